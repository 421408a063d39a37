//! Flow against exactly known motion.

use super::known_motion::{Disc, Move, Pair, Texture, endpoint_error, pair};
use super::*;
use crate::kernels::InstructionSet;

const SIZE: (usize, usize) = (320, 200);

fn settings(preset: FlowPreset, scale: FlowScale) -> FlowSettings {
    FlowSettings {
        preset,
        scale,
        threads: 2,
    }
}

fn chelsea() -> Texture {
    Texture::sample("chelsea.png", 1.4)
}

fn coffee() -> Texture {
    Texture::sample("coffee.jpg", 1.2)
}

/// Error of both directions of a pushed pair; the forward one is the known motion.
fn error(pair: &Pair, settings: FlowSettings) -> f32 {
    let mut estimator = FlowEstimator::new(settings);
    assert!(estimator.push(&pair.first).is_none());
    let motion = estimator.push(&pair.second).unwrap();
    assert_eq!(
        (motion.backward.width, motion.backward.height),
        (pair.first.width, pair.first.height)
    );
    endpoint_error(&motion.forward, &pair.flow, &pair.visible)
}

#[test]
fn the_backward_flow_alone_is_the_same_and_uses_what_was_given_back() {
    let pair = pair(SIZE, &chelsea(), Move::shift(5.3, 2.6), &[]);
    let settings = settings(FlowPreset::Medium, FlowScale::Half);
    let mut whole = FlowEstimator::new(settings);
    let mut lean = FlowEstimator::new(settings).backward_only();
    let spare = lean.spare();
    let mut memory = None;
    for luma in [&pair.first, &pair.second, &pair.first] {
        let (Some(expected), Some(motion)) = (whole.push(luma), lean.push(luma)) else {
            continue;
        };
        assert_eq!(motion.backward, expected.backward);
        assert_eq!(motion.consistent, expected.consistent);
        assert!(motion.forward.u.is_empty() && motion.boundary.is_empty());
        assert!(motion.confidence.is_empty() && !expected.confidence.is_empty());
        let at = motion.backward.u.as_ptr();
        assert_eq!(*memory.get_or_insert(at), at);
        spare.give(motion);
    }
    assert!(memory.is_some());
}

#[test]
fn shifts_zooms_and_turns_are_found() {
    let texture = chelsea();
    let moves = [
        Move::shift(0.4, -0.7),
        Move::shift(5.3, 2.6),
        Move::shift(-13.0, 8.5),
        Move {
            zoom: 1.05,
            ..Move::shift(0.5, 0.0)
        },
        Move {
            degrees: 3.0,
            ..Move::shift(0.0, 0.0)
        },
    ];
    for (index, motion) in moves.into_iter().enumerate() {
        let pair = pair(SIZE, &texture, motion, &[]);
        for (preset, scale, bound) in [
            (FlowPreset::UltraFast, FlowScale::Full, 1.0),
            (FlowPreset::Fast, FlowScale::Full, 0.5),
            (FlowPreset::Medium, FlowScale::Full, 0.25),
            (FlowPreset::Medium, FlowScale::Half, 0.5),
        ] {
            let error = error(&pair, settings(preset, scale));
            assert!(error < bound, "move {index}, {preset:?} {scale:?}: {error}");
        }
    }
}

#[test]
fn a_still_picture_does_not_move() {
    let pair = pair(SIZE, &chelsea(), Move::shift(0.0, 0.0), &[]);
    for preset in [FlowPreset::UltraFast, FlowPreset::Fast, FlowPreset::Medium] {
        assert!(error(&pair, settings(preset, FlowScale::Full)) < 1e-3);
    }
}

fn layers() -> Pair {
    let disc = Disc {
        centre: (-20.0, 5.0),
        radius: 45.0,
        shift: (9.0, -4.0),
    };
    pair(
        SIZE,
        &chelsea(),
        Move::shift(-2.0, 1.0),
        &[(disc, &coffee())],
    )
}

#[test]
fn layers_move_apart() {
    let pair = layers();
    assert!(error(&pair, settings(FlowPreset::Fast, FlowScale::Full)) < 0.9);
    assert!(error(&pair, settings(FlowPreset::Medium, FlowScale::Full)) < 0.5);
}

#[test]
fn masks_show_what_was_uncovered() {
    let pair = layers();
    let mut estimator = FlowEstimator::new(settings(FlowPreset::Medium, FlowScale::Full));
    // Pushed backwards, so that `backward` is the known motion and its hidden pixels are what is newly uncovered.
    estimator.push(&pair.second);
    let motion = estimator.push(&pair.first).unwrap();
    let share = |visible: bool, of: &dyn Fn(usize) -> f32| {
        let chosen: Vec<usize> = (0..pair.visible.len())
            .filter(|&i| pair.visible[i] == visible)
            .collect();
        chosen.iter().map(|&i| of(i)).sum::<f32>() / chosen.len() as f32
    };
    let consistent = |i: usize| f32::from(motion.consistent[i]);
    assert!(
        share(true, &consistent) > 0.95,
        "{}",
        share(true, &consistent)
    );
    assert!(
        share(false, &consistent) < 0.35,
        "{}",
        share(false, &consistent)
    );
    let confidence = |i: usize| motion.confidence[i];
    assert!(
        share(true, &confidence) > 0.85,
        "{}",
        share(true, &confidence)
    );
    assert!(
        share(false, &confidence) < 0.35,
        "{}",
        share(false, &confidence)
    );
    assert!(
        motion
            .confidence
            .iter()
            .all(|value| (0.0..=1.0).contains(value))
    );
    // Motion boundaries are few and near the disc's rim.
    let boundary: f32 = motion.boundary.iter().map(|&one| f32::from(one)).sum();
    let share = boundary / motion.boundary.len() as f32;
    assert!((0.005..0.2).contains(&share), "{share}");
}

#[test]
fn any_size_is_taken() {
    let texture = chelsea();
    for size in [
        (32, 32),
        (33, 47),
        (101, 37),
        (64, 129),
        (255, 33),
        (9, 40),
        (8, 8),
        (7, 30),
        (1, 1),
    ] {
        let pair = pair(size, &texture, Move::shift(1.0, 0.5), &[]);
        for scale in [FlowScale::Full, FlowScale::Half] {
            let mut estimator = FlowEstimator::new(settings(FlowPreset::Medium, scale));
            estimator.push(&pair.first);
            let motion = estimator.push(&pair.second).unwrap();
            for plane in [
                &motion.forward.u,
                &motion.forward.v,
                &motion.backward.u,
                &motion.confidence,
            ] {
                assert_eq!(plane.len(), size.0 * size.1);
                assert!(plane.iter().all(|value| value.is_finite()));
            }
            if size.0.min(size.1) >= 32 {
                let error = endpoint_error(&motion.forward, &pair.flow, &pair.visible);
                assert!(error < 0.7, "{size:?} {scale:?}: {error}");
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let pair = layers();
    let motion = |threads: usize| {
        let mut estimator = FlowEstimator::new(FlowSettings {
            threads,
            ..FlowSettings::default()
        });
        estimator.push(&pair.first);
        estimator.push(&pair.second).unwrap()
    };
    let alone = motion(1);
    for threads in [2, 3, 5] {
        assert!(motion(threads) == alone, "{threads} threads");
    }
}

#[test]
fn every_instruction_set_finds_the_same_motion() {
    let pair = layers();
    let flow = |set: InstructionSet| {
        FlowEstimator::with_instruction_set(FlowSettings::default(), set)
            .between(&pair.first, &pair.second)
            .unwrap()
    };
    let portable = flow(InstructionSet::Portable);
    let judged = vec![true; portable.u.len()];
    for set in InstructionSet::ALL
        .into_iter()
        .filter(|set| set.is_available())
    {
        let difference = endpoint_error(&flow(set), &portable, &judged);
        assert!(difference < 0.02, "{set}: {difference}");
    }
}

#[test]
fn reset_and_a_new_size_begin_anew() {
    let pair = layers();
    let small = Luma::new(40, 40, vec![7; 1600]).unwrap();
    let mut estimator = FlowEstimator::new(FlowSettings::default());
    assert!(estimator.push(&pair.first).is_none());
    let first = estimator.push(&pair.second).unwrap();
    estimator.reset();
    assert!(estimator.push(&pair.first).is_none());
    assert!(estimator.push(&small).is_none());
    assert!(estimator.push(&small).is_some());
    assert!(estimator.push(&pair.first).is_none());
    // A warm estimator with recycled memory finds what a new one finds.
    estimator.recycle(first.clone());
    assert!(estimator.push(&pair.second).unwrap() == first);
    assert!(estimator.between(&small, &pair.first).is_none());
}

#[test]
fn pictures_of_different_scenes_are_not_consistent() {
    let first = pair(SIZE, &chelsea(), Move::shift(0.0, 0.0), &[]).first;
    let second = pair(SIZE, &coffee(), Move::shift(0.0, 0.0), &[]).first;
    let mut estimator = FlowEstimator::new(FlowSettings::default());
    estimator.push(&first);
    let across = estimator.push(&second).unwrap().consistency();
    let within = estimator.push(&second).unwrap().consistency();
    assert!(across < 0.5 && within > 0.99, "{across} {within}");
}

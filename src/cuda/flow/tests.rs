//! Motion of the card against the processor's, and against the truth.

use proptest::prelude::*;

use super::*;
use crate::{
    cuda::{SteadyOnCard, compare, emulated::EmulatedCard},
    frame::{Packet, Picture},
    source::{FrameSource, Sizing, VideoFileSource, VideoSourceSettings},
    temporal::{
        flow::{
            FlowEstimator, FlowPreset, FlowScale, Luma,
            known_motion::{Disc, Move, Pair, Texture, endpoint_error, pair},
        },
        steady::{SteadySettings, tests::noise},
    },
};

fn settings(preset: FlowPreset, scale: FlowScale) -> FlowSettings {
    FlowSettings {
        preset,
        scale,
        threads: 1,
    }
}

/// A grey picture of this luma.
fn grey(luma: &Luma) -> Picture {
    let rgb = luma.pixels.iter().flat_map(|&value| [value; 3]).collect();
    Picture::new(luma.width, luma.height, rgb).unwrap()
}

fn push(flow: &mut FlowOnCard<EmulatedCard>, picture: &Picture) -> FrameOnCard<EmulatedCard> {
    let size = (picture.width(), picture.height());
    flow.push(picture.rgb(), size).unwrap()
}

/// How the motion of the card differs from the processor's.
#[derive(Debug)]
struct Apart {
    /// Mean end point difference, in pixels, and the largest.
    mean: f32,
    largest: f32,
    /// Share of the pixels that only one of both finds consistent.
    masks: f32,
}

fn apart(found: &Motion, expected: &Motion) -> Apart {
    assert_eq!(found.backward.width, expected.backward.width);
    let everywhere = vec![true; expected.consistent.len()];
    let (u, v) = (&found.backward.u, &found.backward.v);
    let lengths = (0..u.len())
        .map(|at| (u[at] - expected.backward.u[at]).hypot(v[at] - expected.backward.v[at]));
    let masks = found.consistent.iter().zip(&expected.consistent);
    let others = masks.filter(|(found, expected)| found != expected).count();
    Apart {
        mean: endpoint_error(&found.backward, &expected.backward, &everywhere),
        largest: lengths.fold(0.0, f32::max),
        masks: others as f32 / everywhere.len() as f32,
    }
}

/// The motion from the first picture to the second, of the card and of the processor.
fn both(first: &Picture, second: &Picture, settings: FlowSettings) -> [Motion; 2] {
    let mut card = FlowOnCard::new(settings, EmulatedCard::new());
    let mut processor = FlowEstimator::new(settings).backward_only();
    assert!(push(&mut card, first).consistency().is_none());
    assert!(processor.push(&Luma::from_rgb(first)).is_none());
    let frame = push(&mut card, second);
    let found = card.download(&frame).unwrap();
    let expected = processor.push(&Luma::from_rgb(second)).unwrap();
    let consistency = frame.consistency().unwrap();
    assert!((consistency - found.consistency()).abs() < 1e-5);
    assert_eq!(frame.tracks(), Some(&Tracks::some(&found)));
    [found, expected]
}

fn scenes(size: (usize, usize)) -> [(&'static str, Pair); 4] {
    let (chelsea, coffee) = (
        Texture::sample("chelsea.png", 1.4),
        Texture::sample("coffee.jpg", 1.2),
    );
    let disc = Disc {
        centre: (-20.0, 5.0),
        radius: 30.0,
        shift: (9.0, -4.0),
    };
    let zoom = Move {
        zoom: 1.05,
        ..Move::shift(0.5, 0.0)
    };
    let turn = Move {
        degrees: 3.0,
        ..Move::shift(0.0, 0.0)
    };
    [
        ("shift", pair(size, &chelsea, Move::shift(-13.0, 8.5), &[])),
        ("zoom", pair(size, &chelsea, zoom, &[])),
        ("turn", pair(size, &chelsea, turn, &[])),
        (
            "layers",
            pair(size, &chelsea, Move::shift(-2.0, 1.0), &[(disc, &coffee)]),
        ),
    ]
}

#[test]
fn known_motion_is_found_on_the_card_as_exactly_as_on_the_processor() {
    for (preset, scale) in [
        (FlowPreset::Medium, FlowScale::Full),
        (FlowPreset::Medium, FlowScale::Half),
        (FlowPreset::Fast, FlowScale::Full),
        (FlowPreset::UltraFast, FlowScale::Full),
    ] {
        for (name, pair) in scenes((161, 120)) {
            // Pushed backwards, so that `backward` is the known motion.
            let (first, second) = (grey(&pair.second), grey(&pair.first));
            let [found, expected] = both(&first, &second, settings(preset, scale));
            let apart = apart(&found, &expected);
            let [error, usual] = [&found, &expected]
                .map(|motion| endpoint_error(&motion.backward, &pair.flow, &pair.visible));
            println!("{preset:?} {scale:?} {name}: {apart:?}; error {error}, processor {usual}");
            assert!(
                apart.mean < 0.002 && apart.largest < 0.1 && apart.masks < 0.001,
                "{name}: {apart:?}"
            );
            assert!(error < 1.01 * usual + 1e-3, "{name}: {error}, {usual}");
        }
    }
}

/// Frames of the sample clip.
fn film(width: usize, height: usize, count: usize) -> Vec<Picture> {
    let settings = VideoSourceSettings {
        size: Sizing::Exact { width, height },
        start: Some(1.0),
        keep_tracks: false,
        threads: 1,
        ..VideoSourceSettings::default()
    };
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/bunny.mp4");
    let mut source = VideoFileSource::open(clip.as_ref(), settings).unwrap();
    let mut frames = Vec::new();
    while frames.len() < count {
        match source.next().unwrap() {
            Packet::Frame(frame) => frames.push(frame.picture),
            Packet::End => break,
            Packet::Track(_) | Packet::Reset(_) => {}
        }
    }
    frames
}

#[test]
fn the_motion_of_a_film_is_the_processors() {
    let settings = settings(FlowPreset::Medium, FlowScale::Half);
    let mut card = FlowOnCard::new(settings, EmulatedCard::new());
    let mut processor = FlowEstimator::new(settings).backward_only();
    let mut frames = film(320, 180, 5);
    // Another size, and back.
    frames.extend(film(203, 115, 2));
    frames.extend(film(320, 180, 2));
    let mut held = Vec::new();
    for (t, picture) in frames.iter().enumerate() {
        if t == 3 {
            card.reset();
            processor.reset();
        }
        let frame = push(&mut card, picture);
        let expected = processor.push(&Luma::from_rgb(picture));
        assert_eq!(
            frame.consistency().is_some(),
            expected.is_some(),
            "frame {t}"
        );
        let Some(expected) = expected else {
            assert_eq!(card.found().unwrap(), None, "frame {t}");
            continue;
        };
        let found = card.download(&frame).unwrap();
        // Every second pixel of every second row, at this size.
        assert_eq!(frame.tracks(), Some(&Tracks::some(&found)));
        let apart = apart(&found, &expected);
        println!("frame {t}: {apart:?}");
        assert!(
            apart.mean < 0.002 && apart.largest < 0.1 && apart.masks < 0.001,
            "frame {t}: {apart:?}"
        );
        // What is kept for later gives the same motion again, and the way back.
        let (kept, own) = (card.found().unwrap().unwrap(), processor.found().unwrap());
        let mut again = FlowEstimator::new(settings).backward_only();
        let once_more = self::apart(&again.again(&kept, false), &found);
        assert!(
            once_more.mean < 1e-4 && once_more.masks < 1e-3,
            "{once_more:?}"
        );
        let back = self::apart(&again.again(&kept, true), &again.again(&own, true));
        assert!(
            back.mean < 0.002 && back.masks < 0.001,
            "frame {t}: {back:?}"
        );
        held.push((frame, found));
    }
    // What somebody holds stays as it is.
    for (frame, found) in held {
        assert_eq!(card.download(&frame).unwrap(), found);
    }
}

#[test]
fn memory_of_frames_is_used_again() {
    let frames = film(64, 40, 2);
    let mut card = FlowOnCard::new(FlowSettings::default(), EmulatedCard::new());
    let place = |frame: &FrameOnCard<EmulatedCard>| frame.room().u.as_ptr();
    let first = push(&mut card, &frames[0]);
    let second = push(&mut card, &frames[1]);
    assert_ne!(place(&first), place(&second));
    let places = [place(&first), place(&second)];
    drop((first, second));
    for picture in &frames {
        assert!(places.contains(&place(&push(&mut card, picture))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn pictures_of_any_size_move_as_on_the_processor(
        width in 8_usize..90, height in 8_usize..70, u in -3.0_f64..3.0, v in -3.0_f64..3.0,
        preset in prop::sample::select(vec![FlowPreset::UltraFast, FlowPreset::Fast, FlowPreset::Medium]),
        scale in prop::sample::select(vec![FlowScale::Full, FlowScale::Half]),
    ) {
        let pair = pair((width, height), &Texture::sample("chelsea.png", 1.4), Move::shift(u, v), &[]);
        let (first, second) = (grey(&pair.first), grey(&pair.second));
        let [found, expected] = both(&first, &second, settings(preset, scale));
        let apart = apart(&found, &expected);
        prop_assert!(apart.mean < 0.005 && apart.masks < 0.01, "{apart:?}");
    }
}

#[test]
fn the_smallest_pictures_and_those_of_different_scenes() {
    let texture = Texture::sample("chelsea.png", 1.4);
    for size in [(8, 8), (9, 40), (32, 32), (33, 47)] {
        let pair = pair(size, &texture, Move::shift(1.0, 0.5), &[]);
        let (first, second) = (grey(&pair.first), grey(&pair.second));
        let [found, expected] = both(&first, &second, FlowSettings::default());
        let apart = apart(&found, &expected);
        assert!(
            apart.mean < 0.005 && apart.masks < 0.01,
            "{size:?}: {apart:?}"
        );
    }
    // Smaller than a patch.
    let mut card = FlowOnCard::new(FlowSettings::default(), EmulatedCard::new());
    for _ in 0..2 {
        let frame = push(&mut card, &Picture::black(7, 30));
        assert!(frame.consistency().is_none() && card.found().unwrap().is_none());
    }
    let other = Texture::sample("coffee.jpg", 1.2);
    let [first, second] =
        [&texture, &other].map(|texture| pair((96, 64), texture, Move::shift(0.0, 0.0), &[]).first);
    let [found, expected] = both(&grey(&first), &grey(&second), FlowSettings::default());
    assert!(found.consistency() < 0.5);
    let apart = apart(&found, &expected);
    println!("different scenes: {apart:?}");
    assert!(apart.masks < 0.002, "{apart:?}");
}

#[test]
fn a_film_steadied_along_the_cards_motion_is_that_along_the_processors() {
    let settings = settings(FlowPreset::Medium, FlowScale::Half);
    let strength = SteadySettings::new(1.0, 1).unwrap();
    let card = EmulatedCard::new();
    let mut flow = FlowOnCard::new(settings, card.clone());
    let mut processor = FlowEstimator::new(settings).backward_only();
    let mut steadiers = [(); 2].map(|()| SteadyOnCard::new(strength, card.clone()).unwrap());
    let (mut worst, mut changed) = ((0.0_f64, 0), 0.0_f64);
    for (t, input) in film(240, 135, 6).iter().enumerate() {
        let mut painting = input.clone();
        for (i, value) in painting.rgb_mut().iter_mut().enumerate() {
            *value = (255 - *value).saturating_add((noise(i / 6, t, 1) * 40.0) as u8);
        }
        let frame = push(&mut flow, input);
        let motion = processor.push(&Luma::from_rgb(input));
        let [along_card, along_processor] = &mut steadiers;
        let size = (input.width(), input.height());
        let brought = along_processor.bring(input.rgb(), size, motion.as_ref());
        let [mut own, mut expected] = [painting.clone(), painting.clone()];
        along_card.push_painting(&frame, own.rgb_mut()).unwrap();
        (along_processor.push_painting(&brought.unwrap(), expected.rgb_mut())).unwrap();
        let (mean, most) = compare(own.rgb(), expected.rgb());
        worst = (worst.0.max(mean), worst.1.max(most));
        changed = changed.max(compare(own.rgb(), painting.rgb()).0);
    }
    println!(
        "worst frame: mean {}, at most {}; steadying changes {changed}",
        worst.0, worst.1
    );
    assert!(
        worst.0 < 0.02 && worst.1 <= 12 && changed > 3.0,
        "{worst:?}, {changed}"
    );
}

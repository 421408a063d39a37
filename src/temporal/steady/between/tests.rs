use super::*;
use crate::temporal::{
    flow::{FlowPreset, FlowScale},
    steady::{LeavingOut, tests::noise},
};

const SIZE: (usize, usize) = (160, 112);

fn settings() -> FlowSettings {
    FlowSettings {
        preset: FlowPreset::Medium,
        scale: FlowScale::Full,
        threads: 2,
    }
}

/// A value of 0..1 that varies over some ten pixels.
fn smooth(x: f32, y: f32, seed: u64) -> f32 {
    let (x0, y0) = (x.div_euclid(8.0), y.div_euclid(8.0));
    let (fx, fy) = (x / 8.0 - x0, y / 8.0 - y0);
    let at = |dx: f32, dy: f32| noise((x0 + dx + 99.0) as usize, (y0 + dy + 99.0) as usize, seed);
    let ease = |f: f32| f * f * (3.0 - 2.0 * f);
    let row = |dy: f32| at(0.0, dy) + ease(fx) * (at(1.0, dy) - at(0.0, dy));
    row(0.0) + ease(fy) * (row(1.0) - row(0.0))
}

fn grey(value: impl Fn(f32, f32) -> f32) -> Picture {
    let pixels = (0..SIZE.0 * SIZE.1)
        .flat_map(|at| [value((at % SIZE.0) as f32, (at / SIZE.0) as f32).round() as u8; 3]);
    Picture::new(SIZE.0, SIZE.1, pixels.collect()).unwrap()
}

/// Whether a place is on a thing that moves to the left before everything else.
fn on_thing(x: f32, y: f32, t: f32) -> bool {
    (x - 100.0 + 5.0 * t).abs() < 24.0 && (y - 56.0).abs() < 30.0
}

/// A ground that moves to the right, two pixels a picture, and a thing before it; the second texture is that of its painting.
fn scene(t: usize, seed: u64) -> Picture {
    let t = t as f32;
    grey(|x, y| match on_thing(x, y, t) {
        true => 20.0 + 200.0 * smooth(x + 5.0 * t, y, seed + 1),
        false => 20.0 + 200.0 * smooth(x - 2.0 * t, y, seed),
    })
}

/// Paintings of the pictures between the first and the last of the scene, as they should be and as they are.
fn film(count: usize) -> Vec<[Picture; 2]> {
    let mut flow = FlowEstimator::new(settings());
    let inputs: Vec<_> = (0..=count + 1)
        .map(|t| Luma::from_rgb(&scene(t, 1)))
        .collect();
    let founds: Vec<_> = inputs
        .iter()
        .map(|input| flow.push(input).and_then(|_| flow.found()))
        .collect();
    let mut between = Between::new(settings()).unwrap();
    between.painted(&scene(0, 7), inputs[0].clone(), &mut [], None);
    let mut pictures = vec![Picture::black(SIZE.0, SIZE.1); count];
    let mut unpainted: Vec<_> = pictures
        .iter_mut()
        .enumerate()
        .map(|(i, picture)| Unpainted {
            luma: &inputs[i + 1],
            found: founds[i + 1].as_ref().unwrap(),
            picture,
        })
        .collect();
    between.painted(
        &scene(count + 1, 7),
        inputs[count + 1].clone(),
        &mut unpainted,
        founds[count + 1].as_ref(),
    );
    let wanted = (1..=count).map(|t| scene(t, 7));
    wanted.zip(pictures).map(|(a, b)| [a, b]).collect()
}

/// Mean difference of two pictures over the places for which `counts` says so.
fn apart([a, b]: &[Picture; 2], counts: impl Fn(f32, f32) -> bool) -> f64 {
    let places =
        (0..SIZE.0 * SIZE.1).filter(|at| counts((at % SIZE.0) as f32, (at / SIZE.0) as f32));
    let differences: Vec<_> = places
        .map(|at| f64::from(a.rgb()[3 * at].abs_diff(b.rgb()[3 * at])))
        .collect();
    differences.iter().sum::<f64>() / differences.len() as f64
}

#[test]
fn pictures_between_have_the_strokes_of_those_around_them_in_their_place() {
    for count in 1..=3 {
        for (i, pair) in film(count).iter().enumerate() {
            let t = (i + 1) as f32;
            let all = apart(pair, |_, _| true);
            assert!(all < 6.0, "{i} of {count}: {all}");
            // The strip that the thing has uncovered since the first painting, but for its edge.
            let uncovered = |x: f32, y: f32| {
                on_thing(x - 2.0, y, 0.0) && !on_thing(x - 2.0, y, t) && (y - 56.0).abs() < 24.0
            };
            let strip = apart(pair, uncovered);
            assert!(strip < 25.0, "{i} of {count}: {strip}");
        }
    }
    // What is not moved is far from it.
    let still = apart(&[scene(0, 7), scene(1, 7)], |_, _| true);
    assert!(still > 12.0, "{still}");
}

#[test]
fn pictures_are_left_out_where_motion_is_understood_and_the_light_stays() {
    let mut leaving = LeavingOut::new(2, 2).unwrap();
    let mut flow = FlowEstimator::new(settings());
    let mut next = |picture: &Picture| {
        let luma = Luma::from_rgb(picture);
        let motion = flow.push(&luma);
        let found = motion.as_ref().and_then(|_| flow.found());
        let held = leaving.see(&luma, motion.as_ref(), found.as_ref());
        (held, leaving.may_leave_out(true))
    };
    // The ground alone.
    let slide =
        |t: usize, light: f32| grey(|x, y| light * (20.0 + 200.0 * smooth(x - t as f32, y, 1)));
    let seen: Vec<_> = (0..8).map(|t| next(&slide(t, 1.0))).collect();
    let left_out = [false, true, true, false, true, true, false, true];
    assert_eq!(seen, left_out.map(|left_out| (false, left_out)));
    // The last one before a flash is painted, or the flash would be seen in it.
    assert_eq!(
        next(&slide(8, 0.85)),
        (true, false),
        "the light has changed"
    );
    assert_eq!(next(&slide(9, 0.85)), (false, true));
    // A thing that is there for one picture alone.
    let sparkling = |t: usize| {
        let slide = slide(t, 0.85);
        let pixels = slide
            .rgb()
            .chunks_exact(3)
            .enumerate()
            .flat_map(|(at, rgb)| {
                let (x, y) = (at % SIZE.0, at / SIZE.0);
                let is_spark = (x as i32 - 80).pow(2) + (y as i32 - 50).pow(2) < 64;
                [if is_spark { 255 } else { rgb[0] }; 3]
            });
        Picture::new(SIZE.0, SIZE.1, pixels.collect()).unwrap()
    };
    assert_eq!(next(&slide(10, 0.85)), (false, true));
    assert_eq!(next(&slide(11, 0.85)), (false, false));
    assert_eq!(next(&sparkling(12)), (false, true));
    assert!(next(&slide(13, 0.85)).0);
    assert!(!next(&scene(0, 30)).1, "another scene");
    leaving.reset();
    assert!(!leaving.see(&Luma::from_rgb(&scene(1, 30)), None, None));
    assert!(!leaving.may_leave_out(true));
}

#[test]
fn joined_motion_is_that_over_both_pairs_of_pictures() {
    let mut flow = FlowEstimator::new(settings());
    let inputs = [0, 1, 2].map(|t| {
        Luma::from_rgb(&grey(|x, y| {
            20.0 + 200.0 * smooth(x - 2.0 * t as f32, y + t as f32, 1)
        }))
    });
    flow.push(&inputs[0]);
    let found = [1, 2].map(|t| {
        flow.push(&inputs[t]).unwrap();
        flow.found().unwrap()
    });
    let joined = found[0].join(&found[1]);
    for (reversed, [u, v]) in [(false, [-4.0, 2.0]), (true, [4.0, -2.0])] {
        let motion = flow.again(&joined, reversed);
        let inside = (16..SIZE.1 - 16).flat_map(|y| (16..SIZE.0 - 16).map(move |x| y * SIZE.0 + x));
        for at in inside {
            let off = (motion.backward.u[at] - u).hypot(motion.backward.v[at] - v);
            assert!(off < 0.5, "{reversed} {at}: {off}");
        }
        let seen = motion.consistency();
        assert!(seen > 0.9, "{seen}");
    }
}

//! Steadying on the card against the processor's.

use super::*;
use crate::{
    cuda::{Fetch, TransformOnCard, compare, emulated::EmulatedCard},
    frame::Picture,
    kernels::{NetworkShape, reference::random_network},
    temporal::{
        flow::{FlowEstimator, FlowPreset, FlowSettings, Luma},
        steady::{Steady, tests::noise},
    },
};

/// Noise that is smooth over some pixels, so that its motion can be found.
fn smooth(x: f32, y: f32, scale: f32, seed: u64) -> f32 {
    let (x, y) = (x / scale, y / scale);
    let (column, row) = (x.floor() as i64, y.floor() as i64);
    let (fx, fy) = (x - x.floor(), y - y.floor());
    let at = |i, j| noise((column + i) as usize, (row + j) as usize, seed);
    let top = at(0, 0) + fx * (at(1, 0) - at(0, 0));
    let bottom = at(0, 1) + fx * (at(1, 1) - at(0, 1));
    top + fy * (bottom - top)
}

/// A ground that begins to move at frame `rest`, and a square that passes before it and uncovers what is behind it; the
/// light grows.
fn scene((width, height): (usize, usize), t: usize, rest: usize, channel: usize) -> Vec<f32> {
    let (time, ground) = (t as f32, t.saturating_sub(rest) as f32);
    (0..width * height)
        .map(|i| {
            let (x, y) = ((i % width) as f32, (i / width) as f32);
            let left = 4.0 + 3.0 * time;
            let square = (left..left + 20.0).contains(&x) && (8.0..28.0).contains(&y);
            let seed = 10 * channel as u64;
            let value = if square {
                40.0 + 200.0 * smooth(x - 3.0 * time, y, 4.0, 5 + seed)
            } else {
                20.0 + 150.0 * smooth(x + 1.3 * ground, y - 0.6 * ground, 5.0, 6 + seed)
            };
            value + time.min(30.0)
        })
        .collect()
}

fn picture((width, height): (usize, usize), channels: [Vec<f32>; 3]) -> Picture {
    let rgb = (0..width * height).flat_map(|i| channels.each_ref().map(|c| c[i] as u8));
    Picture::new(width, height, rgb.collect()).unwrap()
}

fn input(size: (usize, usize), t: usize, rest: usize) -> Picture {
    picture(size, [0, 1, 2].map(|c| scene(size, t, rest, c)))
}

/// The scene in other colours, with strokes that flicker.
fn painting(size: (usize, usize), t: usize, rest: usize) -> Picture {
    let flicker = |value: &f32, i: usize, c: usize| {
        let (x, y) = (i % size.0, i / size.0);
        255.0 - value + 60.0 * (noise(x / 2, y / 2, 100 * t as u64 + c as u64) - 0.5)
    };
    let channel = |c: usize| {
        let plane = scene(size, t, rest, (c + 1) % 3);
        let values = plane.iter().enumerate();
        values.map(|(i, value)| flicker(value, i, c)).collect()
    };
    picture(size, [0, 1, 2].map(channel))
}

fn estimator() -> FlowEstimator {
    FlowEstimator::new(FlowSettings {
        preset: FlowPreset::UltraFast,
        threads: 1,
        ..FlowSettings::default()
    })
    .backward_only()
}

fn push(
    card: &mut SteadyOnCard<EmulatedCard>,
    input: &Picture,
    painting: &mut Picture,
    motion: Option<&Motion>,
) {
    let size = (input.width(), input.height());
    let frame = card.bring(input.rgb(), size, motion).unwrap();
    card.push_painting(&frame, painting.rgb_mut()).unwrap();
}

fn strength(strength: f32) -> SteadySettings {
    SteadySettings::new(strength, 1).unwrap()
}

#[test]
fn a_film_steadied_on_the_card_is_the_processors() {
    let mut card = SteadyOnCard::new(strength(1.0), EmulatedCard::new()).unwrap();
    let mut processor = Steady::new(strength(1.0)).unwrap();
    for size in [(67, 45), (301, 37), (96, 64)] {
        let (width, height) = size;
        let mut flow = estimator();
        let (mut sum, mut largest, mut changed) = (0.0, 0, 0.0);
        const FRAMES: usize = 16;
        for t in 0..FRAMES {
            match t {
                7 => {
                    card.reset();
                    processor.reset();
                }
                10 => {
                    card.set(strength(0.4));
                    processor.set(strength(0.4));
                }
                12 => {
                    card.set(strength(0.0));
                    processor.set(strength(0.0));
                }
                13 => {
                    card.set(strength(1.0));
                    processor.set(strength(1.0));
                }
                _ => {}
            }
            let input = input(size, t, 0);
            let luma = Luma::from_rgb(&input);
            let motion = flow.push(&luma);
            // A cut: no motion.
            let motion = motion.filter(|_| t != 4);
            let painting = painting(size, t, 0);
            let mut steady = painting.clone();
            push(&mut card, &input, &mut steady, motion.as_ref());
            let expected = processor.push(painting.clone(), &luma, motion.as_ref());
            let (mean, most) = compare(steady.rgb(), expected.rgb());
            println!("{width}x{height} frame {t}: mean {mean}, at most {most}");
            assert!(mean < 0.02 && most <= 2, "frame {t}: {mean}, {most}");
            sum += mean;
            largest = largest.max(most);
            changed += compare(painting.rgb(), expected.rgb()).0;
        }
        let frames = FRAMES as f64;
        println!(
            "{width}x{height}: mean {}, at most {largest}; steadying changes {}",
            sum / frames,
            changed / frames
        );
        assert!(changed / frames > 3.0, "there was nothing to steady");
    }
}

#[test]
fn strokes_are_replaced_on_the_card_as_on_the_processor() {
    // Long enough for every cell's turn, and for what was uncovered to be seen for a while.
    let (size, rest) = ((48, 33), 50);
    let mut card = SteadyOnCard::new(strength(1.0), EmulatedCard::new()).unwrap();
    let mut processor = Steady::new(strength(1.0)).unwrap();
    let mut flow = estimator();
    let mut worst = (0.0_f64, 0);
    for t in 0..110 {
        let input = input(size, t, rest);
        let luma = Luma::from_rgb(&input);
        let motion = flow.push(&luma);
        let painting = painting(size, t, rest);
        let mut steady = painting.clone();
        push(&mut card, &input, &mut steady, motion.as_ref());
        let expected = processor.push(painting, &luma, motion.as_ref());
        let (mean, most) = compare(steady.rgb(), expected.rgb());
        worst = (worst.0.max(mean), worst.1.max(most));
        assert!(mean < 0.05 && most <= 4, "frame {t}: {mean}, {most}");
    }
    println!("worst frame: mean {}, at most {}", worst.0, worst.1);
}

#[test]
fn what_the_card_paints_is_steadied_there() {
    let (width, height) = (50, 38);
    let (weights, style) = random_network(NetworkShape::STYLE_PACK, 3);
    let card = EmulatedCard::new();
    let mut network = TransformOnCard::new(&weights, card.clone()).unwrap();
    network.set_style(&style).unwrap();
    let mut steady = SteadyOnCard::new(strength(1.0), card).unwrap();
    let mut processor = Steady::new(strength(1.0)).unwrap();
    let mut flow = estimator();
    for t in 0..4 {
        let input = input((width, height), t, 0);
        let luma = Luma::from_rgb(&input);
        let motion = flow.push(&luma);
        let mut painted = input.clone();
        network
            .paint(input.rgb(), width, height, painted.rgb_mut())
            .unwrap();
        let expected = processor.push(painted.clone(), &luma, motion.as_ref());
        let mut result = input.clone();
        let frame = (steady.bring(input.rgb(), (width, height), motion.as_ref())).unwrap();
        let fetched = network.paint_steady(&frame, &mut steady).unwrap();
        fetched.take(result.rgb_mut()).unwrap();
        let (mean, most) = compare(result.rgb(), expected.rgb());
        println!("frame {t}: mean {mean}, at most {most}");
        assert!(mean < 0.02 && most <= 2, "frame {t}: {mean}, {most}");
        assert_eq!(t == 0, result == painted);
    }
}

#[test]
fn small_pictures_pass_as_they_are() {
    let mut card = SteadyOnCard::new(strength(1.0), EmulatedCard::new()).unwrap();
    let mut flow = estimator();
    for t in 0..3 {
        let input = input((40, 20), t, 0);
        let motion = flow.push(&Luma::from_rgb(&input));
        let mut painting = painting((40, 20), t, 0);
        let before = painting.clone();
        push(&mut card, &input, &mut painting, motion.as_ref());
        assert_eq!(painting, before);
    }
}

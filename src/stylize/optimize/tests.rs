//! The painter on a small loss network, so that a painting takes milliseconds.

mod on_card;

use super::{style::Guide, tiles::Tiles, *};
use crate::kernels::Pooling;
use crate::nn::vgg::tests::small;

/// As many layers as VGG-16 to conv5_1, a few channels each.
fn weights() -> VggWeights {
    small(&[
        (8, false),
        (8, false),
        (8, true),
        (8, false),
        (8, true),
        (8, false),
        (8, false),
        (8, true),
        (8, false),
        (8, false),
        (8, true),
    ])
}

/// A patterned picture that lies `shift` pixels to the left of itself.
fn picture(shift: usize, scale: f32) -> Picture {
    let (width, height) = (96, 64);
    let rgb = (0..width * height * 3).map(|i| {
        let (x, y) = ((i / 3 % width + shift) as f32, (i / 3 / width) as f32);
        let wave =
            (x * 0.21 * scale).sin() + (y * 0.13 * scale + x * 0.05).cos() + (x * y * 0.003).sin();
        (128.0 + 35.0 * wave + 10.0 * (i % 3) as f32) as u8
    });
    Picture::new(width, height, rgb.collect()).unwrap()
}

fn settings() -> OptimizeSettings {
    OptimizeSettings {
        iterations: 8,
        next_iterations: 3,
        losses: losses(20.0),
        ..OptimizeSettings::new(vec![(Arc::new(picture(0, 3.0)), 1.0)], Quality::Draft)
    }
}

/// All blocks of the network take part.
fn losses(style: f32) -> LossWeights {
    let names = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"];
    LossWeights {
        style,
        variation: 2.0,
        style_layers: layers(&names.map(|name| (name, 0.2))),
        ..LossWeights::default()
    }
}

fn film(painter: &mut Optimize, shifts: &[usize]) -> Vec<Picture> {
    let paint = |shift: &usize| {
        let mut picture = picture(*shift, 1.0);
        painter.paint(&mut picture).unwrap();
        picture
    };
    shifts.iter().map(paint).collect()
}

fn difference(a: &Picture, b: &Picture, shift: usize) -> f64 {
    let (width, mut sum) = (a.width(), 0.0);
    for y in 0..a.height() {
        for x in 0..3 * (width - shift) {
            let (a, b) = (
                a.rgb()[3 * (y * width + shift) + x],
                b.rgb()[3 * y * width + x],
            );
            sum += (f64::from(a) - f64::from(b)).abs();
        }
    }
    sum / (3 * (width - shift) * a.height()) as f64
}

/// What a painting of `size` is drawn to by one picture.
fn target(network: &mut dyn Features, size: Size, scale: f32) -> StyleTarget {
    let losses = settings().losses;
    let layers: Vec<usize> = losses.style_layers.iter().map(|layer| layer.0).collect();
    let mut styles = Styles::new(vec![(Arc::new(picture(0, scale)), 1.0)]);
    let mut look = Look {
        network,
        input: &mut Vec::new(),
    };
    let whole = |size: Size| Tiles::new(size.pair(), 0, usize::MAX);
    let pixels = (size.width * size.height) as f64;
    styles
        .target(&mut look, &layers, (pixels, 1.0), whole)
        .unwrap()
}

fn on_processor(weights: &VggWeights) -> OnProcessor {
    OnProcessor::new(weights.on_processor(Pooling::Average))
}

/// The left part of a canvas and the rest, with a soft edge.
fn halves(size: Size) -> [Guide; 2] {
    let left: Vec<f32> = (0..size.width * size.height)
        .map(|i| ((30.0 - (i % size.width) as f32) / 8.0).clamp(0.0, 1.0))
        .collect();
    let right = left.iter().map(|m| 1.0 - m).collect();
    [left, right].map(|mask| Guide::new(mask, size.pair()))
}

#[test]
fn tiles_change_nothing() {
    let (weights, settings) = (weights(), settings());
    let mut network = on_processor(&weights);
    let size = Size::of(300, 420);
    let large = |shift: usize| {
        let small = picture(shift, 1.0);
        Canvas::new(&small, size)
    };
    let (left, right) = (
        target(&mut network, size, 3.0),
        target(&mut network, size, 5.0),
    );
    let guides = halves(size);
    let (content, x) = (large(0), large(9).planes);
    let mut evaluate = |largest: usize, guided: bool| {
        let parts = [&left, &right].into_iter().zip(&guides);
        let parts = parts.map(|(style, guide)| Part {
            style,
            guide: guided.then_some(guide),
        });
        let reach = network.reach(10);
        let tiles = Tiles::new(size.pair(), reach, largest);
        let count = tiles.tiles.len();
        let mut gradient = vec![0.0; x.len()];
        let mut objective = Objective::new(
            &mut network,
            &settings.losses,
            parts.collect(),
            &content,
            &[],
            tiles,
        )
        .unwrap();
        let losses = objective.evaluate(&x, &mut gradient).unwrap();
        (losses, gradient, count)
    };
    for guided in [false, true] {
        let (whole, gradient, one) = evaluate(usize::MAX, guided);
        let (tiled, of_tiles, several) = evaluate(1, guided);
        assert!(one == 1 && several > 3, "{one} {several}");
        for (a, b) in [
            (whole.content, tiled.content),
            (whole.style, tiled.style),
            (whole.total, tiled.total),
        ] {
            assert!((a / b - 1.0).abs() < 1e-4, "{whole:?} {tiled:?}");
        }
        let largest = gradient.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        for (a, b) in gradient.iter().zip(&of_tiles) {
            assert!((a - b).abs() < 1e-3 * largest, "{a} {b} of {largest}");
        }
    }
}

#[test]
fn each_part_is_drawn_to_its_own_style() {
    let (weights, settings) = (weights(), settings());
    let mut network = on_processor(&weights);
    let size = Size::of(64, 96);
    let (left, right) = (
        target(&mut network, size, 3.0),
        target(&mut network, size, 7.0),
    );
    let content = Canvas::new(&picture(0, 1.0), size);
    let guides = halves(size);
    let mut loss_of = |styles: [&StyleTarget; 2], x: &[f32], gradient: &mut [f32]| {
        let parts = styles.into_iter().zip(&guides).map(|(style, guide)| Part {
            style,
            guide: Some(guide),
        });
        let tiles = Tiles::new(size.pair(), 0, usize::MAX);
        let losses = &settings.losses;
        let parts = parts.collect();
        Objective::new(&mut network, losses, parts, &content, &[], tiles)
            .unwrap()
            .evaluate(x, gradient)
            .unwrap()
    };
    let mut nothing = vec![0.0; content.planes.len()];
    let before = loss_of([&left, &right], &content.planes, &mut nothing).style;
    let mut x = content.planes.clone();
    let evaluate = |x: &Vec<f32>, gradient: &mut Vec<f32>| {
        Ok::<_, std::convert::Infallible>(loss_of([&left, &right], x, gradient).total)
    };
    let rule = StopRule::after(12);
    let mut space = Processor::new(x.len());
    let mut method = Lbfgs::new(5);
    let Ok(_losses) = minimise(
        &mut method,
        &mut space,
        &mut x,
        rule,
        evaluate,
        |_, _, _| true,
    );
    let after = loss_of([&left, &right], &x, &mut nothing).style;
    let exchanged = loss_of([&right, &left], &x, &mut nothing).style;
    assert!(
        after < 0.8 * before && after < exchanged,
        "{before} {after} {exchanged}"
    );
}

#[test]
fn a_mask_and_what_is_new_make_parts() {
    let size = Size::of(64, 96);
    let content = picture(0, 1.0);
    let mask: Vec<u8> = (0..96 * 64)
        .map(|i| if i % 96 < 48 { 255 } else { 0 })
        .collect();
    let scene = Scene {
        content: &content,
        mask: Some(&mask),
    };
    let pixels = size.width * size.height;
    let sum = |part: &(usize, Option<Guide>)| part.1.as_ref().map_or(0.0, |guide| guide.at(1).1);
    let parts = scene.parts(size, &[]);
    assert_eq!(parts.iter().map(|part| part.0).collect::<Vec<_>>(), [0, 1]);
    assert!((sum(&parts[0]) + sum(&parts[1]) - pixels as f64).abs() < 1e-3 * pixels as f64);
    // The upper half is known from before.
    let anchors = [Anchor {
        target: vec![0.0; 3 * pixels],
        confidence: (0..pixels)
            .map(|i| f32::from(u8::from(i < pixels / 2)))
            .collect(),
    }];
    let split = scene.parts(size, &anchors);
    assert_eq!(
        split.iter().map(|part| part.0).collect::<Vec<_>>(),
        [0, 0, 1, 1]
    );
    for (half, whole) in [(0, 0), (2, 1)] {
        let together = sum(&split[half]) + sum(&split[half + 1]);
        assert!((together - sum(&parts[whole])).abs() < 1.0, "{together}");
    }
}

#[test]
fn the_gradient_of_all_terms_is_that_of_finite_differences() {
    let (weights, settings) = (weights(), settings());
    let mut network = on_processor(&weights);
    let loss_weights = settings.losses;
    let size = Size::scaled(64, 96, 0.5);
    let (left, right) = (
        target(&mut network, size, 3.0),
        target(&mut network, size, 5.0),
    );
    let content = Canvas::new(&picture(0, 1.0), size);
    let anchors = [Anchor {
        target: Canvas::new(&picture(3, 1.0), size).planes,
        confidence: vec![0.5; size.width * size.height],
    }];
    let guides = halves(size);
    let parts = [&left, &right].into_iter().zip(&guides);
    let parts = parts.map(|(style, guide)| Part {
        style,
        guide: Some(guide),
    });
    let mut objective = Objective::new(
        &mut network,
        &loss_weights,
        parts.collect(),
        &content,
        &anchors,
        Tiles::new(size.pair(), 0, usize::MAX),
    )
    .unwrap();
    let x = Canvas::new(&picture(20, 2.0), size).planes;
    let mut gradient = vec![0.0; x.len()];
    let losses = objective.evaluate(&x, &mut gradient).unwrap();
    let terms = [
        losses.content,
        losses.style,
        losses.variation,
        losses.temporal,
    ];
    assert!(terms.iter().all(|term| *term > 0.0), "{losses:?}");
    assert!((terms.iter().sum::<f64>() - losses.total).abs() < 1e-9);
    // Along the gradient itself: single pixels drown in what f32 resolves.
    let norm = gradient
        .iter()
        .map(|g| f64::from(*g).powi(2))
        .sum::<f64>()
        .sqrt();
    let mut nothing = vec![0.0; x.len()];
    let mut at = |length: f64| {
        let moved: Vec<f32> = x
            .iter()
            .zip(&gradient)
            .map(|(x, g)| x + (length * f64::from(*g) / norm) as f32)
            .collect();
        objective.evaluate(&moved, &mut nothing).unwrap().total
    };
    let slope = (at(2.0) - at(-2.0)) / 4.0;
    assert!((slope / norm - 1.0).abs() < 0.02, "{slope} {norm}");
}

#[test]
fn painting_brings_the_loss_down_and_repeats_itself() {
    let run = || {
        let (sender, steps) = std::sync::mpsc::sync_channel(10_000);
        let watch =
            Box::new(move |step: &Step<'_>| sender.send((step.scale, step.losses.total)).is_ok());
        let mut painter = Optimize::new(&weights(), settings()).watched(watch);
        let painting = film(&mut painter, &[0]).remove(0);
        drop(painter);
        (painting, steps.iter().collect::<Vec<_>>())
    };
    let (painting, steps) = run();
    assert!(difference(&painting, &picture(0, 1.0), 0) > 3.0);
    let full: Vec<f64> = steps.iter().filter(|s| s.0 == 1.0).map(|s| s.1).collect();
    assert_eq!(full.len(), 8);
    assert!(full[7] < 0.8 * full[0], "{full:?}");
    assert!(run().0 == painting);
}

#[test]
fn a_film_is_steadier_than_its_frames_alone_until_it_cuts() {
    let together = film(&mut Optimize::new(&weights(), settings()), &[0, 2, 4]);
    let alone = film(
        &mut Optimize::new(
            &weights(),
            OptimizeSettings {
                losses: LossWeights {
                    temporal: 0.0,
                    ..losses(20.0)
                },
                ..settings()
            },
        ),
        &[0, 2, 4],
    );
    assert!(together[0] == alone[0]);
    let (a, b) = (
        difference(&together[0], &together[1], 2),
        difference(&alone[0], &alone[1], 2),
    );
    assert!(a < 0.7 * b, "{a} {b}");
}

#[test]
fn kept_paintings_are_taken_up_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("film.frames");
    let count = || std::fs::read_dir(&kept).unwrap().count();
    let painter = |settings| Optimize::new(&weights(), settings).keeping(kept.clone());
    let whole = film(&mut painter(settings()), &[0, 2, 4]);
    assert_eq!(count(), 3);
    // Interrupted after the first: the rest is painted again, the same.
    let mut names: Vec<_> = std::fs::read_dir(&kept)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    std::fs::remove_file(&names[1]).unwrap();
    std::fs::write(&names[2], b"damaged").unwrap();
    let (sender, painted) = std::sync::mpsc::sync_channel(10_000);
    let watch = Box::new(move |step: &Step<'_>| sender.send(step.frame).is_ok());
    let mut again = painter(settings()).watched(watch);
    assert!(film(&mut again, &[0, 2, 4]) == whole);
    drop(again);
    let mut frames: Vec<u64> = painted.iter().collect();
    frames.dedup();
    assert_eq!(frames, [1, 2]);
    let other = OptimizeSettings {
        losses: losses(40.0),
        ..settings()
    };
    assert!(film(&mut painter(other), &[0])[0] != whole[0]);
    assert_eq!(count(), 4);
}

#[test]
fn a_painting_that_was_broken_off_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("film.frames");
    let watch = Box::new(|step: &Step<'_>| step.frame == 0 || step.iteration < 2);
    let painter = Optimize::new(&weights(), settings()).keeping(kept.clone());
    let mut painter = painter.watched(watch);
    let first = film(&mut painter, &[0]);
    let broken = painter.paint(&mut picture(2, 1.0));
    assert!(matches!(broken, Err(StylizeError::Stopped)));
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 1);
    let mut again = Optimize::new(&weights(), settings()).keeping(kept);
    let whole = film(&mut again, &[0, 2]);
    assert!(whole[0] == first[0]);
}

/// A picture too large to be begun at full size.
fn large_picture() -> Picture {
    let small = picture(0, 1.0);
    let rows = small.rgb().chunks_exact(3 * small.width());
    let large = rows
        .flat_map(|row| [row.repeat(2), row.repeat(2), row.repeat(2)].concat())
        .collect();
    Picture::new(2 * small.width(), 3 * small.height(), large).unwrap()
}

/// What is new in a film is painted at the smaller sizes with all the steps of a picture of its own.
#[test]
fn a_picture_that_goes_on_is_begun_small_as_one_of_its_own() {
    let (sender, steps) = std::sync::mpsc::sync_channel(10_000);
    let watch = Box::new(move |step: &Step<'_>| sender.send((step.frame, step.scale)).is_ok());
    let mut painter = Optimize::new(&weights(), settings()).watched(watch);
    for _ in 0..2 {
        painter.paint(&mut large_picture()).unwrap();
    }
    drop(painter);
    let steps: Vec<_> = steps.iter().collect();
    let count = |step| steps.iter().filter(|&&other| other == step).count();
    assert!(
        count((0, 0.5)) > 1 && count((1, 0.5)) == count((0, 0.5)),
        "{steps:?}"
    );
    assert!(count((1, 1.0)) < count((0, 1.0)), "{steps:?}");
}

#[test]
fn the_smaller_sizes_take_so_many_steps_at_most() {
    let (sender, steps) = std::sync::mpsc::sync_channel(10_000);
    let watch = Box::new(move |step: &Step<'_>| sender.send(step.scale).is_ok());
    let settings = OptimizeSettings {
        iterations: ENOUGH_COARSE + 5,
        ..settings()
    };
    let mut painter = Optimize::new(&weights(), settings).watched(watch);
    painter.paint(&mut large_picture()).unwrap();
    drop(painter);
    let (coarse, full): (Vec<f64>, Vec<f64>) = steps.iter().partition(|scale| *scale < 1.0);
    assert_eq!(
        [coarse.len(), full.len()],
        [ENOUGH_COARSE, ENOUGH_COARSE + 5]
    );
}

#[test]
fn large_pictures_are_begun_small_and_small_ones_are_not() {
    let (sender, steps) = std::sync::mpsc::sync_channel(10_000);
    let watch = Box::new(move |step: &Step<'_>| sender.send(step.scale).is_ok());
    let mut painter = Optimize::new(&weights(), settings()).watched(watch);
    let mut large = large_picture();
    painter.paint(&mut large).unwrap();
    painter.reset();
    film(&mut painter, &[0]);
    drop(painter);
    let mut scales: Vec<f64> = steps.iter().collect();
    scales.dedup();
    assert_eq!(scales, [0.5, 1.0]);
    assert_eq!((large.width(), large.height()), (192, 192));
}

//! Whether a card paints, steadies and finds motion as the processor does: before it is trusted, and before it is timed.

use super::{Card, CardError, FlowOnCard, SteadyOnCard, TransformOnCard};
use crate::{
    device::check::{BOUNDS, compare, waves},
    frame::Picture,
    kernels::{Precision, StyleParameters, TransformConfig, TransformEngine, TransformWeights},
    models::ModelStore,
    style::{StyleChoice, StylePack},
    temporal::{
        flow::{Flow, FlowEstimator, FlowSettings, Luma, Motion},
        steady::{Steady, SteadySettings},
    },
};

/// The same of steadying, which is done in single precision on both.
const STEADY_BOUNDS: (f64, u8) = (0.1, 8);

/// The bounds of motion: mean difference in pixels, and the share of pixels that only one of both finds consistent.
const FLOW_BOUNDS: [f64; 2] = [0.01, 0.005];

/// Size of the pictures that are made to find out; no multiple of anything that the kernels like.
const SIZE: (usize, usize) = (90, 70);

/// Paints a small picture in the first style of the program's own pack, steadies a few more and finds the motion between two,
/// on the card and on the processor, some ten milliseconds of work.
///
/// # Errors
/// When what they make differs by more than [`BOUNDS`] (steadying and motion by less), or the card fails.
pub fn paints_alike<C: Card + Clone>(card: C) -> Result<(), CardError> {
    let within =
        |what, (mean, largest), bounds: (f64, u8)| match mean > bounds.0 || largest > bounds.1 {
            true => Err(CardError::Differs {
                what,
                mean,
                largest,
            }),
            false => Ok(()),
        };
    within("steadying", steadied(card.clone())?, STEADY_BOUNDS)?;
    let [pixels, share] = moved(card.clone())?;
    if !(pixels <= FLOW_BOUNDS[0] && share <= FLOW_BOUNDS[1]) {
        return Err(CardError::Moves { pixels, share });
    }
    let Ok(pack) = ModelStore::embedded().and_then(|store| StylePack::load(&store)) else {
        // A program without its own models has nothing to paint.
        return Ok(());
    };
    let style = pack.parameters(&StyleChoice::single(0));
    within("painting", painted(pack.network(), &style, card)?, BOUNDS)
}

/// A picture that moves to the left by 1.25 pixels from frame to frame.
fn picture(frame: usize) -> Picture {
    waves(SIZE, 1.25 * frame as f32)
}

/// The same with a square in front of it that moves to the right by two pixels.
fn layers(frame: usize) -> Picture {
    let (mut picture, width) = (picture(frame), SIZE.0);
    let (left, top, side) = (25 + 2 * frame, 20, 30);
    for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
        let (a, b) = (x as f32, y as f32);
        let value = 120.0 + 60.0 * (0.5 * a).sin() + 50.0 * (0.4 * b + 0.1 * a).cos();
        let at = 3 * ((top + y) * width + left + x);
        picture.rgb_mut()[at..at + 3].fill(value as u8);
    }
    picture
}

fn painted<C: Card>(
    weights: &TransformWeights,
    style: &StyleParameters,
    card: C,
) -> Result<(f64, u8), CardError> {
    let (width, height) = SIZE;
    let picture = picture(0).into_rgb();
    let config = TransformConfig {
        threads: 1,
        precision: Precision::F32,
        ..TransformConfig::default()
    };
    let mut processor = TransformEngine::new(weights, config)?;
    processor.set_style(style)?;
    let mut expected = vec![0; picture.len()];
    processor.paint(&picture, width, height, &mut expected)?;
    let mut network = TransformOnCard::new(weights, card)?;
    network.set_style(style)?;
    let mut painted = vec![0; picture.len()];
    network.paint(&picture, width, height, &mut painted)?;
    Ok(compare(&painted, &expected))
}

/// Over a few frames of a film whose strokes flicker and of which a part is uncovered.
fn steadied<C: Card + Clone>(card: C) -> Result<(f64, u8), CardError> {
    let (width, height) = SIZE;
    let pixels = width * height;
    let motion = Motion {
        backward: Flow {
            width,
            height,
            u: vec![1.25; pixels],
            v: vec![0.0; pixels],
        },
        consistent: (0..pixels)
            .map(|at| u8::from(at % width < width / 2 || at / width > height / 3))
            .collect(),
        ..Motion::default()
    };
    let settings = SteadySettings::new(1.0, 1)?;
    let mut processor = Steady::new(settings)?;
    let mut steady = SteadyOnCard::new(settings, card)?;
    let (mut mean, mut largest) = (0.0_f64, 0);
    for frame in 0..4 {
        let input = picture(frame);
        let mut painting = input.clone();
        for (at, value) in painting.rgb_mut().iter_mut().enumerate() {
            let mixed = (at as u32 + 7919 * frame as u32).wrapping_mul(0x9e37_79b1);
            *value = (255 - *value).saturating_add((mixed >> 27) as u8);
        }
        let mut own = painting.clone();
        let motion = (frame > 0).then_some(&motion);
        let brought = steady.bring(input.rgb(), SIZE, motion)?;
        steady.push_painting(&brought, own.rgb_mut())?;
        let expected = processor.push(painting, &Luma::from_rgb(&input), motion);
        let (off, most) = compare(own.rgb(), expected.rgb());
        (mean, largest) = (mean.max(off), largest.max(most));
    }
    Ok((mean, largest))
}

/// Mean difference of the motion in pixels, and the share of pixels whose consistency differs.
fn moved<C: Card + Clone>(card: C) -> Result<[f64; 2], CardError> {
    let settings = FlowSettings {
        threads: 1,
        ..FlowSettings::default()
    };
    let mut processor = FlowEstimator::new(settings).backward_only();
    let mut flow = FlowOnCard::new(settings, card);
    let [before, now] = [layers(0), layers(1)];
    processor.push(&Luma::from_rgb(&before));
    let expected = processor.push(&Luma::from_rgb(&now)).unwrap_or_default();
    flow.push(before.rgb(), SIZE)?;
    let frame = flow.push(now.rgb(), SIZE)?;
    let found = flow.download(&frame)?;
    let apart = |at: usize| {
        let (u, v) = (found.backward.u[at], found.backward.v[at]);
        f64::from((u - expected.backward.u[at]).hypot(v - expected.backward.v[at]))
    };
    let pixels = expected.consistent.len();
    let masks = found.consistent.iter().zip(&expected.consistent);
    let others = masks.filter(|(found, expected)| found != expected).count();
    Ok([
        (0..pixels).map(apart).sum::<f64>() / pixels as f64,
        others as f64 / pixels as f64,
    ])
}

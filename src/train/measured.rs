//! What a pack says of itself: how fast it paints on this machine, and how much it flickers.
//!
//! Speed is the shortest of many paintings, since other programs only ever make it longer. Flicker is the root of the mean
//! square by which the paintings of two views of the same thing differ (moved by whole pixels, in a little other light,
//! with noise; nothing steadies them), as a part of what the network of 26 styles makes of the same views, in the mean of
//! its styles: 1 flickers as that does, 0.5 half as much.

use super::loss::compare_pair;
use super::overlap::overlap;
use super::photos::{Photos, Views};
use super::random::Random;
use crate::kernels::{
    InstructionSet, KernelError, Precision, StyleParameters, TransformConfig, TransformEngine,
    TransformWeights,
};
use rayon::prelude::*;
use std::time::Instant;

/// Width and height of the picture that speed is measured with.
pub const SPEED_SIZE: (usize, usize) = (640, 360);
const PAINTINGS: usize = 25;
/// Pieces of photos that flicker is measured with, and their sides.
const PIECES: (u64, usize) = (4, 192);

/// How fast a network paints.
#[derive(Clone, Debug, PartialEq)]
pub struct Speed {
    /// Milliseconds per picture of [`SPEED_SIZE`].
    pub millis: f64,
    /// Threads that painted.
    pub threads: usize,
    /// Arithmetic that `auto` chose.
    pub precision: Precision,
    /// Vector instructions.
    pub instructions: InstructionSet,
}

/// Paints with `threads` threads and the usual arithmetic.
///
/// # Errors
/// When the network or the style does not fit.
pub fn measure_speed(
    network: &TransformWeights,
    style: &StyleParameters,
    threads: usize,
) -> Result<Speed, KernelError> {
    let config = TransformConfig {
        threads,
        ..TransformConfig::default()
    };
    let mut engine = TransformEngine::new(network, config)?;
    engine.set_style(style)?;
    let (width, height) = SPEED_SIZE;
    let mut random = Random::new(0, [0, 0]);
    let picture: Vec<u8> = (0..3 * width * height)
        .map(|_| random.below(256) as u8)
        .collect();
    let mut painted = vec![0; picture.len()];
    let mut shortest = f64::INFINITY;
    for _ in 0..PAINTINGS {
        let started = Instant::now();
        engine.paint(&picture, width, height, &mut painted)?;
        shortest = shortest.min(started.elapsed().as_secs_f64());
    }
    Ok(Speed {
        millis: 1e3 * shortest,
        threads: engine.threads(),
        precision: engine.precision(),
        instructions: engine.instruction_set(),
    })
}

/// A network with some styles.
pub type Painters<'a> = (&'a TransformWeights, &'a [StyleParameters]);

/// Flicker of each style of `own`, as a part of the mean of those of `reference`, on pieces of `photos`.
///
/// # Errors
/// When a network or a style does not fit.
pub fn measure_flicker(
    own: Painters<'_>,
    reference: Painters<'_>,
    photos: &Photos,
) -> Result<Vec<f32>, KernelError> {
    let pieces: Vec<Views> = (0..PIECES.0)
        .map(|piece| photos.views(&mut Random::new(0, [piece, 7]), PIECES.1, true))
        .collect();
    let flickers = |(network, styles): Painters<'_>| {
        let flickers = styles
            .par_iter()
            .map(|style| mean_square(network, style, &pieces));
        flickers.collect::<Result<Vec<f32>, KernelError>>()
    };
    let usual = flickers(reference)?;
    let mean = usual.iter().sum::<f32>() / usual.len().max(1) as f32;
    let own = flickers(own)?.into_iter();
    Ok(own
        .map(|flicker| (flicker / mean.max(1e-12)).sqrt())
        .collect())
}

fn mean_square(
    network: &TransformWeights,
    style: &StyleParameters,
    pieces: &[Views],
) -> Result<f32, KernelError> {
    let config = TransformConfig {
        threads: 1,
        precision: Precision::F32,
        ..TransformConfig::default()
    };
    let mut engine = TransformEngine::new(network, config)?;
    engine.set_style(style)?;
    let side = PIECES.1;
    let mut sum = 0.0;
    for views in pieces {
        let mut paint = |seen: &[f32]| {
            let bytes: Vec<u8> = seen
                .iter()
                .map(|value| (value * 255.0 + 0.5) as u8)
                .collect();
            let mut painted = vec![0.0; seen.len()];
            engine.paint_f32(&bytes, side, side, &mut painted)?;
            Ok::<_, KernelError>(painted)
        };
        let [a, b] = [paint(&views.seen[0])?, paint(&views.seen[1])?];
        let [mut a, mut b] = overlap(&a, &b, views.moved, side);
        let (first, second) = (a.clone(), b.clone());
        sum += compare_pair((&first, &mut a), (&second, &mut b), 0.0);
    }
    Ok(sum / pieces.len() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::Picture,
        models::ModelStore,
        style::{StyleChoice, StylePack},
    };

    #[test]
    fn the_neutral_style_flickers_least_and_the_reference_as_itself() {
        let pack = StylePack::load(&ModelStore::embedded().unwrap()).unwrap();
        let mut random = Random::new(9, [0, 0]);
        let photos = (0..2).map(|_| {
            let bytes = (0..3 * 240 * 240)
                .map(|_| random.below(256) as u8)
                .collect();
            Picture::new(240, 240, bytes).unwrap()
        });
        let photos = Photos::new(photos);
        let loud = [pack.parameters(&StyleChoice::single(19))];
        let neutral = [pack.neutral().unwrap().clone()];
        let network = pack.network();
        let own = measure_flicker((network, &loud), (network, &loud), &photos).unwrap();
        assert!((own[0] - 1.0).abs() < 1e-5, "{own:?}");
        let least = measure_flicker((network, &neutral), (network, &loud), &photos).unwrap();
        assert!((0.01..0.9).contains(&least[0]), "{least:?}");
        let speed = measure_speed(network, &neutral[0], 1).unwrap();
        assert!(speed.millis > 1.0 && speed.threads == 1, "{speed:?}");
    }
}

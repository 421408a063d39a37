//! Whether a card paints what the processor paints: before it is trusted, and before it is timed.

use super::{Card, CardError, TransformOnCard};
use crate::{
    kernels::{Precision, StyleParameters, TransformConfig, TransformEngine, TransformWeights},
    models::ModelStore,
    style::{StyleChoice, StylePack},
};

/// The bounds of the difference to the processor's painting in single precision, of 255: mean and largest.
pub const BOUNDS: (f64, u8) = (1.0, 8);

/// Size of the picture that is painted to find out; no multiple of anything that the kernels like.
const SIZE: (usize, usize) = (90, 70);

/// Mean and largest difference of two pictures, of 255.
#[must_use]
pub fn compare(painted: &[u8], expected: &[u8]) -> (f64, u8) {
    let differences = painted.iter().zip(expected).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    let mean = sum as f64 / painted.len().max(1) as f64;
    (mean, differences.max().unwrap_or(0))
}

/// Paints a small picture in the first style of the program's own pack on the card and on the processor, some ten
/// milliseconds of work.
///
/// # Errors
/// When the paintings differ by more than [`BOUNDS`], or the card fails.
pub fn paints_alike<C: Card>(card: C) -> Result<(), CardError> {
    let Ok(pack) = ModelStore::embedded().and_then(|store| StylePack::load(&store)) else {
        // A program without its own models has nothing to compare with.
        return Ok(());
    };
    let style = pack.parameters(&StyleChoice::single(0));
    let (mean, largest) = difference(pack.network(), &style, card)?;
    if mean > BOUNDS.0 || largest > BOUNDS.1 {
        return Err(CardError::Differs { mean, largest });
    }
    Ok(())
}

fn difference<C: Card>(
    weights: &TransformWeights,
    style: &StyleParameters,
    card: C,
) -> Result<(f64, u8), CardError> {
    let (width, height) = SIZE;
    let picture: Vec<u8> = (0..width * height * 3)
        .map(|i| {
            let (x, y, c) = ((i / 3 % width) as f32, (i / 3 / width) as f32, i % 3);
            let wave = (0.21 * x + c as f32).sin() + (0.17 * y + 0.05 * x).cos();
            (128.0 + 50.0 * wave + 20.0 * (x * y * 0.003).sin()) as u8
        })
        .collect();
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

//! Whether a GPU paints as the processor does, and whether it is worth it.

use std::time::Instant;

use super::{Gpu, GpuError, TransformOnGpu};
use crate::{
    device::check::{BOUNDS, compare, waves},
    kernels::{Precision, StyleParameters, TransformConfig, TransformEngine},
    models::ModelStore,
    style::{StyleChoice, StylePack},
};

/// Size of the picture that is painted to be compared; no multiple of anything that the shaders like.
const SIZE: (usize, usize) = (90, 70);
/// The same to be timed.
const TIMED: (usize, usize) = (640, 360);
/// How often.
const RUNS: usize = 3;
/// How much faster it has to be: near a draw the choice would change from run to run.
const MARGIN: f64 = 1.2;

/// The program's own pack and its first style; a program without its own models has nothing to paint.
fn pack() -> Option<(StylePack, StyleParameters)> {
    let pack = ModelStore::embedded()
        .and_then(|store| StylePack::load(&store))
        .ok()?;
    let style = pack.parameters(&StyleChoice::single(0));
    Some((pack, style))
}

/// Paints a small picture in the first style of the program's own pack, on the GPU and on the processor.
///
/// # Errors
/// When the paintings differ by more than [`BOUNDS`], or the GPU fails.
pub fn paints_alike(gpu: &Gpu) -> Result<(), GpuError> {
    let Some((pack, style)) = pack() else {
        return Ok(());
    };
    let picture = waves(SIZE, 0.0).into_rgb();
    let config = TransformConfig {
        threads: 1,
        precision: Precision::F32,
        ..TransformConfig::default()
    };
    let mut processor = TransformEngine::new(pack.network(), config)?;
    processor.set_style(&style)?;
    let mut expected = vec![0; picture.len()];
    processor.paint(&picture, SIZE.0, SIZE.1, &mut expected)?;
    let mut network = TransformOnGpu::new(pack.network(), gpu.clone())?;
    network.set_style(&style)?;
    let mut painted = vec![0; picture.len()];
    network.paint(&picture, SIZE.0, SIZE.1, &mut painted)?;
    let (mean, largest) = compare(&painted, &expected);
    match mean > BOUNDS.0 || largest > BOUNDS.1 {
        true => Err(GpuError::Differs { mean, largest }),
        false => Ok(()),
    }
}

/// Paints a few pictures on both.
///
/// # Errors
/// When the GPU is not faster by a fifth than the processor with all its threads, as where software plays it, or fails.
pub fn paints_faster(gpu: &Gpu) -> Result<(), GpuError> {
    let slower = || GpuError::Slower(gpu.description().into());
    if gpu.is_software() {
        return Err(slower());
    }
    let [own, processor] = race(gpu)?;
    tracing::debug!(
        "{}: {own:.1} ms, the processor {processor:.1} ms",
        gpu.description()
    );
    match own * MARGIN < processor {
        true => Ok(()),
        false => Err(slower()),
    }
}

/// Milliseconds of a picture on the GPU and on the processor, the best of some.
fn race(gpu: &Gpu) -> Result<[f64; 2], GpuError> {
    let Some((pack, style)) = pack() else {
        return Ok([0.0, 1.0]);
    };
    let (width, height) = TIMED;
    let picture = waves(TIMED, 0.0).into_rgb();
    let mut painted = vec![0; picture.len()];
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let config = TransformConfig {
        threads,
        ..TransformConfig::default()
    };
    let mut processor = TransformEngine::new(pack.network(), config)?;
    processor.set_style(&style)?;
    let mut network = TransformOnGpu::new(pack.network(), gpu.clone())?;
    network.set_style(&style)?;
    let mut best = [f64::INFINITY; 2];
    for _ in 0..=RUNS {
        let started = Instant::now();
        network.paint(&picture, width, height, &mut painted)?;
        best[0] = best[0].min(started.elapsed().as_secs_f64() * 1000.0);
        let started = Instant::now();
        processor.paint(&picture, width, height, &mut painted)?;
        best[1] = best[1].min(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(best)
}

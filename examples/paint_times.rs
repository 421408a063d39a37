//! Prints how long each painting of one picture takes, in milliseconds: `paint_times WIDTH HEIGHT PRECISION SET RUNS`.
//!
//! The weights are random: the arithmetic does not depend on them. With `RUNS` 0 it paints once per line read from
//! standard input, so that another program can interleave its own measurements.

use allaprima::kernels::{
    ConvolutionWeights, InstructionSet, LayerShape, NetworkShape, Precision, StyleParameters,
    TransformConfig, TransformEngine, TransformWeights,
};
use std::io::{BufRead, Write};
use std::time::Instant;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| {
        arguments
            .get(index)
            .cloned()
            .unwrap_or_else(|| default.to_owned())
    };
    let (width, height): (usize, usize) =
        (argument(0, "640").parse()?, argument(1, "360").parse()?);
    let precision = match argument(2, "f32").as_str() {
        "auto" => Precision::Auto,
        "bf16" => Precision::Bf16,
        "int8" => Precision::Int8,
        _ => Precision::F32,
    };
    let instruction_set = match argument(3, "best").as_str() {
        "portable" => Some(InstructionSet::Portable),
        "avx2" => Some(InstructionSet::Avx2),
        "dot" => Some(InstructionSet::Avx512Dot),
        "avx512" => Some(InstructionSet::Avx512),
        _ => None,
    };
    let runs: usize = argument(4, "10").parse()?;

    let mut seed = 1_u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let weights = TransformWeights::from_layers(NetworkShape::STYLE_PACK, |_, layer| {
        let LayerShape {
            out_channels,
            in_channels,
            kernel_size,
            ..
        } = layer;
        let weight = (0..out_channels * in_channels * kernel_size * kernel_size)
            .map(|_| noise() * 0.1)
            .collect();
        let convolution = ConvolutionWeights {
            out_channels,
            in_channels,
            kernel_size,
            weight,
        };
        Ok::<_, anyhow::Error>((convolution, Vec::new()))
    })?;
    let threads = std::env::var("PAINT_THREADS").map_or(Ok(2), |threads| threads.parse())?;
    let config = TransformConfig {
        threads,
        precision,
        instruction_set,
    };
    let mut engine = TransformEngine::new(&weights, config)?;
    engine.set_style(&StyleParameters {
        scale: vec![1.0; NetworkShape::STYLE_PACK.style_channels()],
        shift: vec![0.1; NetworkShape::STYLE_PACK.style_channels()],
    })?;
    let picture: Vec<u8> = (0..width * height * 3)
        .map(|i| (i * 7919 % 251) as u8)
        .collect();
    let mut painting = vec![0; picture.len()];
    let mut paint = || -> anyhow::Result<()> {
        let start = Instant::now();
        engine.paint(&picture, width, height, &mut painting)?;
        println!("{:.3}", start.elapsed().as_secs_f64() * 1e3);
        Ok(std::io::stdout().flush()?)
    };
    paint()?;
    if runs == 0 {
        std::io::stdin().lock().lines().try_for_each(|_| paint())
    } else {
        (0..runs).try_for_each(|_| paint())
    }
}

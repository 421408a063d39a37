//! `allaprima bench --device cuda --layers`: whether a card paints what the processor paints, and what each layer takes.

use std::{sync::Arc, time::Instant};

use allaprima::{
    cuda::{BOUNDS, Device, FlowOnCard, Launch, SteadyOnCard, TransformOnCard, compare},
    device::PaintDevice,
    frame::Picture,
    kernels::{Precision, StyleParameters, TransformConfig, TransformEngine, TransformWeights},
    models::ModelStore,
    temporal::steady::SteadySettings,
};
use anyhow::{Result, bail};
use serde::Serialize;

use super::{args::BenchArgs, bench_steps, settings::threads, video::file_flow};

/// Runs of a launch, of which the median counts.
const RUNS: usize = 30;

/// The share of values that may differ by more than [`BOUNDS`] from the processor's.
const BEYOND: f64 = 1e-3;

#[derive(Serialize)]
struct Layer {
    name: String,
    ms: f64,
    gigabytes_per_second: f64,
    tera_multiply_adds_per_second: f64,
}

#[derive(Serialize)]
struct Size {
    width: usize,
    height: usize,
    /// Mean and largest difference of the painting of a real and of a random picture, of 255.
    difference: [(f64, u8); 2],
    /// The share of the values of each that differ by more than 8.
    beyond: [f64; 2],
    /// On the card, of all launches that paint.
    device_ms: f64,
    /// The same of those that find the motion, and of those that steady.
    motion_ms: f64,
    steady_ms: f64,
    /// From the picture in memory to the painting in memory.
    whole_ms: f64,
    card_mib: usize,
    layers: Vec<Layer>,
}

/// Pictures: width, height and RGB bytes.
pub fn run(
    weights: &TransformWeights,
    style: &StyleParameters,
    device: &Arc<Device>,
    pictures: &[(usize, usize, Vec<u8>)],
    (args, models): (&BenchArgs, &ModelStore),
) -> Result<()> {
    let (copy, products) = (device.copy_rate()?, device.product_rate()?);
    if !args.json {
        put!("{}", device.description());
        put!(
            "ceilings measured here: copy {:.0} GB/s read and written, products {:.0} T multiply-adds/s",
            copy / 1e9,
            products / 1e12
        );
    }
    let config = TransformConfig {
        threads: threads(args.threads),
        precision: Precision::F32,
        ..TransformConfig::default()
    };
    let mut processor = TransformEngine::new(weights, config)?;
    processor.set_style(style)?;
    let mut sizes = Vec::new();
    for (width, height, picture) in pictures {
        let before = device.memory_used()?;
        let mut card = TransformOnCard::new(weights, device.clone())?;
        card.set_style(style)?;
        let mut painted = vec![0; picture.len()];
        let mut expected = vec![0; picture.len()];
        let (mut difference, mut beyond) = ([(0.0, 0); 2], [0.0; 2]);
        let noise = noise(picture.len());
        for ((found, beyond), picture) in difference
            .iter_mut()
            .zip(&mut beyond)
            .zip([picture, &noise])
        {
            processor.paint(picture, *width, *height, &mut expected)?;
            painted.fill(0x55);
            card.paint(picture, *width, *height, &mut painted)?;
            *found = compare(&painted, &expected);
            let pairs = painted.iter().zip(&expected);
            let far = pairs.filter(|(a, b)| a.abs_diff(**b) > BOUNDS.1).count();
            *beyond = far as f64 / painted.len() as f64;
            // Strokes of some styles turn over where the picture gives them no hold, as in the sky of the test card.
            if found.0 > BOUNDS.0 || *beyond > BEYOND {
                bail!(
                    "{width}x{height}: the card's painting differs from the processor's by {:.3} of 255 in the mean, by {} at most, and by more than {} in {:.3} % of the values",
                    found.0,
                    found.1,
                    BOUNDS.1,
                    100.0 * *beyond
                );
            }
        }
        let mut whole = Vec::new();
        for _ in 0..RUNS {
            let started = Instant::now();
            card.paint(picture, *width, *height, &mut painted)?;
            whole.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        let launches = card.launches().to_vec();
        // SAFETY: the launches are those of `card`, `flow` and `steady`, which live on and, with `frame`, hold what they work
        // on.
        let time = |launches: &[Launch]| unsafe { device.time(launches, RUNS) };
        let device_ms = median(time(&launches)?.into_iter().map(f64::from).collect());
        let mut steady = SteadyOnCard::new(SteadySettings::new(1.0, 1)?, device.clone())?;
        let mut flow = FlowOnCard::new(file_flow(*width, *height, 1), device.clone());
        let first = flow.push(picture, (*width, *height))?;
        steady.push_painting(&first, &mut painted)?;
        // The picture moved by five pixels and two rows.
        let mut next = picture.clone();
        next.rotate_left(3 * (2 * width + 5).min(width * height));
        let frame = flow.push(&next, (*width, *height))?;
        steady.push_painting(&frame, &mut painted)?;
        let moving = flow.launches().to_vec();
        let motion_ms = median(time(&moving)?.into_iter().map(f64::from).collect());
        let steadying = steady.launches().to_vec();
        let steady_ms = median(time(&steadying)?.into_iter().map(f64::from).collect());
        let mut layers = Vec::new();
        for launch in launches.iter().chain(&moving).chain(&steadying) {
            let ms = median(
                time(std::slice::from_ref(launch))?
                    .into_iter()
                    .map(f64::from)
                    .collect(),
            );
            layers.push(Layer {
                name: launch.name.clone(),
                ms,
                gigabytes_per_second: launch.bytes as f64 / ms / 1e6,
                tera_multiply_adds_per_second: launch.multiply_adds as f64 / ms / 1e9,
            });
        }
        let size = Size {
            width: *width,
            height: *height,
            difference,
            beyond,
            device_ms,
            motion_ms,
            steady_ms,
            whole_ms: median(whole),
            card_mib: device.memory_used()?.saturating_sub(before) >> 20,
            layers,
        };
        if !args.json {
            print(&size, copy, products);
        }
        sizes.push(size);
    }
    let paint_device = PaintDevice::Cuda(device.clone());
    let steps = match pictures.first() {
        Some((width, height, rgb)) => {
            let picture = Picture::new(*width, *height, rgb.clone())?;
            bench_steps::run(&paint_device, models, &picture)?
        }
        None => Vec::new(),
    };
    if !args.json && !steps.is_empty() {
        put!("\nsteps of --engine optimize (ms), and the loss after the last");
        for step in &steps {
            put!("{step}");
        }
    }
    if args.json {
        put!(
            "{}",
            serde_json::json!({
                "card": device.description(),
                "copy_bytes_per_second": copy,
                "multiply_adds_per_second": products,
                "sizes": sizes,
                "optimize": steps,
            })
        );
    }
    Ok(())
}

fn print(size: &Size, copy: f64, products: f64) {
    let [real, random] = size.difference;
    put!(
        "\n{}x{}: {:.3} ms on the card, {:.2} ms with the copies, {:.3} ms to find the motion, {:.3} ms to steady, {} MiB; differs from the processor by {:.3} (at most {}; {:.5} % by more than {}) of 255, on noise by {:.3} ({})",
        size.width,
        size.height,
        size.device_ms,
        size.whole_ms,
        size.motion_ms,
        size.steady_ms,
        size.card_mib,
        real.0,
        real.1,
        100.0 * size.beyond[0],
        BOUNDS.1,
        random.0,
        random.1
    );
    put!(
        "{:>28} {:>9} {:>18} {:>22}",
        "layer",
        "ms",
        "GB/s",
        "T multiply-adds/s"
    );
    for layer in &size.layers {
        put!(
            "{:>28} {:>9.4} {:>10.0} ({:>3.0} %) {:>14.1} ({:>3.0} %)",
            layer.name,
            layer.ms,
            layer.gigabytes_per_second,
            layer.gigabytes_per_second * 1e11 / copy,
            layer.tera_multiply_adds_per_second,
            layer.tera_multiply_adds_per_second * 1e14 / products
        );
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Bytes that look random, the same every time.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 56) as u8
    })
    .take(count)
    .collect()
}

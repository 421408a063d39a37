//! Layers in GFLOP/s and as a share of the peak that the same run measures, and whole paintings in milliseconds.
//!
//! `cargo bench --bench kernels [-- wide|paint]`. Layers are measured on one thread by its processor time (which other
//! programs on the machine disturb less than the clock on the wall), peak and layer in turn; medians are printed.

use allaprima::kernels::{
    ConvolutionWeights, InstructionSet, LayerShape, NetworkShape, Precision, StyleParameters,
    TransformConfig, TransformEngine, TransformWeights, WideWeights, multiply_adds,
};
use std::time::Instant;

const ROUNDS: usize = 9;

/// Seconds that this thread has been running.
#[cfg(target_os = "linux")]
fn thread_seconds() -> f64 {
    #[repr(C)]
    struct Timespec {
        seconds: i64,
        nanoseconds: i64,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
    }
    const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: the structure is laid out as 64-bit Linux has it.
    unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.seconds as f64 + time.nanoseconds as f64 * 1e-9
}

/// Seconds since the first call.
#[cfg(not(target_os = "linux"))]
fn thread_seconds() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

fn seconds(work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn noise(count: usize) -> Vec<f32> {
    let mut seed = 1_u32;
    let next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// `f32` multiply-adds of one thread, operations per second.
fn peak(set: InstructionSet) -> f64 {
    let start = thread_seconds();
    let operations = multiply_adds(set);
    operations as f64 / (thread_seconds() - start)
}

/// VGG's 3×3 layers, forward and with respect to the input.
fn wide(set: InstructionSet) {
    println!("\n3x3 convolutions of many channels, {set}, one thread");
    println!("{:<32}{:>8}{:>8}{:>8}", "layer", "GFLOP/s", "peak", "share");
    for (channels, side) in [(64, 256), (128, 128), (256, 64), (512, 32)] {
        let weight = noise(channels * channels * 9);
        let input = noise(channels * side * side);
        let mut output = vec![0.0; input.len()];
        let forward = WideWeights::new(channels, channels, &weight, None).on(set);
        let backward = WideWeights::turned(channels, channels, &weight).on(set);
        for (name, weights) in [("forward", &forward), ("backward-input", &backward)] {
            let operations = 2.0 * (channels * channels * 9 * side * side) as f64;
            let (mut rates, mut peaks, mut shares) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let before = peak(set);
                let start = thread_seconds();
                weights.convolve(&input, (side, side), &mut output);
                let rate = operations / (thread_seconds() - start);
                let peak = 0.5 * (before + peak(set));
                rates.push(rate * 1e-9);
                peaks.push(peak * 1e-9);
                shares.push(rate / peak * 100.0);
            }
            let label = format!("{channels}->{channels} {side}x{side} {name}");
            println!(
                "{label:<32}{:>8.0}{:>8.0}{:>7.0}%",
                median(rates),
                median(peaks),
                median(shares)
            );
        }
    }
}

/// Whole paintings.
fn paint(threads: usize) {
    let weights = TransformWeights::from_layers(NetworkShape::STYLE_PACK, |_, layer| {
        let LayerShape {
            out_channels,
            in_channels,
            kernel_size,
            ..
        } = layer;
        let weight = noise(out_channels * in_channels * kernel_size * kernel_size);
        let convolution = ConvolutionWeights {
            out_channels,
            in_channels,
            kernel_size,
            weight,
        };
        Ok::<_, ()>((convolution, Vec::new()))
    })
    .expect("layers are built, not read");
    let style = StyleParameters {
        scale: vec![1.0; NetworkShape::STYLE_PACK.style_channels()],
        shift: vec![0.1; NetworkShape::STYLE_PACK.style_channels()],
    };
    println!("\nthe whole network, {threads} threads, milliseconds a frame (median of {ROUNDS})");
    println!(
        "{:<10}{:<30}{:>10}{:>10}{:>10}{:>10}",
        "precision", "instruction set", "320x180", "640x360", "1280x720", "1920x1080"
    );
    for set in InstructionSet::ALL
        .into_iter()
        .filter(|set| set.is_available())
    {
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let config = TransformConfig {
                threads,
                precision,
                instruction_set: Some(set),
            };
            let repeats = precision == Precision::F32 && set > InstructionSet::Avx512;
            let repeats =
                repeats || precision == Precision::Int8 && set > InstructionSet::Avx512Dot;
            let Ok(mut engine) = TransformEngine::new(&weights, config) else {
                continue;
            };
            if repeats {
                continue; // The same code as on the set before.
            }
            engine
                .set_style(&style)
                .expect("the style has the network's channels");
            let mut line = format!("{:<10}{:<30}", format!("{precision:?}"), set.to_string());
            for (width, height) in [(320, 180), (640, 360), (1280, 720), (1920, 1080)] {
                let picture: Vec<u8> = (0..width * height * 3)
                    .map(|i| (i * 7919 % 251) as u8)
                    .collect();
                let mut painting = vec![0; picture.len()];
                let mut run = || {
                    engine
                        .paint(&picture, width, height, &mut painting)
                        .expect("the buffers fit")
                };
                run();
                let times = (0..ROUNDS).map(|_| seconds(&mut run) * 1e3).collect();
                line += &format!("{:>10.1}", median(times));
            }
            println!("{line}");
        }
    }
}

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let chosen = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| chosen.as_deref().is_none_or(|chosen| chosen == name);
    if wanted("wide") {
        let one = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .expect("one thread starts");
        for set in [InstructionSet::Avx2, InstructionSet::Avx512]
            .into_iter()
            .filter(|set| set.is_available())
        {
            one.install(|| wide(set));
        }
    }
    if wanted("paint") {
        paint(threads);
    }
}

//! Layers in GFLOP/s and as a share of the peak that the same run measures, and whole paintings in milliseconds.
//!
//! `cargo bench --bench kernels [-- wide|paint|students]`. Layers are measured on one thread by its processor time (which other
//! programs on the machine disturb less than the clock on the wall) and on all by the clock on the wall, peak and layer
//! in turn; medians are printed.

use allaprima::kernels::{
    ConvolutionWeights, Entry, InstructionSet, NetworkShape, Precision, StyleParameters,
    TransformConfig, TransformEngine, TransformWeights, WideWeights, add_weight_gradient,
    multiply_adds,
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

/// Seconds of one thread's processor time, or with more threads seconds of the clock on the wall.
fn clocked(threads: usize, work: &mut dyn FnMut()) -> f64 {
    if threads > 1 {
        return seconds(work);
    }
    let start = thread_seconds();
    work();
    thread_seconds() - start
}

/// `f32` multiply-adds of the pool's threads, operations per second.
fn peak(set: InstructionSet) -> f64 {
    let mut operations = 0;
    let threads = rayon::current_num_threads();
    let time = clocked(threads, &mut || {
        operations = if threads > 1 {
            rayon::broadcast(|_| multiply_adds(set)).into_iter().sum()
        } else {
            multiply_adds(set)
        };
    });
    operations as f64 / time
}

/// VGG's 3×3 layers, forward and with respect to the input, in operations of direct convolution.
fn wide(set: InstructionSet) {
    let threads = rayon::current_num_threads();
    println!("\n3x3 convolutions of many channels, {set}, threads: {threads}");
    println!(
        "{:<32}{:>8}{:>8}{:>8}{:>8}",
        "layer", "ms", "GFLOP/s", "peak", "share"
    );
    let square =
        [(64, 256), (128, 128), (256, 64), (512, 32), (512, 16)].map(|(c, side)| (c, c, side));
    let growing = [(3, 64, 256), (64, 128, 128), (128, 256, 64), (256, 512, 32)];
    for (inputs, outputs, side) in square.into_iter().chain(growing) {
        let weight = noise(inputs * outputs * 9);
        let operations = 2.0 * (inputs * outputs * 9 * side * side) as f64;
        let forward = WideWeights::new(outputs, inputs, &weight, None).on(set);
        let backward = WideWeights::turned(outputs, inputs, &weight).on(set);
        let (input, gradient) = (noise(inputs * side * side), noise(outputs * side * side));
        let size = (side, side);
        let (mut to_output, mut to_input) = (gradient.clone(), input.clone());
        let mut to_weights = weight.clone();
        let kernels: [(&str, &mut dyn FnMut()); 3] = [
            ("forward", &mut || {
                forward.convolve(&input, size, &mut to_output)
            }),
            ("backward-input", &mut || {
                backward.convolve(&gradient, size, &mut to_input)
            }),
            ("backward-weights", &mut || {
                add_weight_gradient(
                    (&input, inputs),
                    (&gradient, outputs),
                    size,
                    &mut to_weights,
                );
            }),
        ];
        for (name, kernel) in kernels {
            if name == "backward-weights"
                && set < InstructionSet::best().min(InstructionSet::Avx512)
            {
                continue; // It takes the best set.
            }
            let mut rounds = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                let before = peak(set);
                let time = clocked(threads, kernel);
                let peak = 0.5 * (before + peak(set));
                let rate = operations / time;
                let values = [time * 1e3, rate * 1e-9, peak * 1e-9, rate / peak * 100.0];
                rounds
                    .iter_mut()
                    .zip(values)
                    .for_each(|(round, value)| round.push(value));
            }
            let label = format!("{inputs}->{outputs} {side}x{side} {name}");
            let [time, rate, peak, share] = rounds.map(median);
            println!("{label:<32}{time:>8.2}{rate:>8.0}{peak:>8.0}{share:>7.0}%");
        }
    }
}

/// A network with random weights, and a style.
fn network(shape: NetworkShape) -> (TransformWeights, StyleParameters) {
    let weights = TransformWeights::from_layers(shape, |_, layer| {
        let (in_channels, kernel_size) = (layer.in_channels, layer.kernel_size);
        let out_channels = layer.kernel_outputs();
        let convolution = ConvolutionWeights {
            out_channels,
            in_channels,
            kernel_size,
            weight: noise(out_channels * in_channels * kernel_size * kernel_size),
        };
        Ok::<_, ()>((convolution, Vec::new()))
    })
    .expect("layers are built, not read");
    let style = StyleParameters {
        scale: vec![1.0; shape.style_channels()],
        shift: vec![0.1; shape.style_channels()],
    };
    (weights, style)
}

fn picture(width: usize, height: usize) -> Vec<u8> {
    (0..width * height * 3)
        .map(|i| (i * 7919 % 251) as u8)
        .collect()
}

/// The network of 26 styles and students of several shapes in turn, in the arithmetic that each chooses.
fn students(threads: usize) {
    let student = |channels, blocks, detail, last_kernel: Option<usize>| NetworkShape {
        entry: Entry::Unshuffle {
            channels,
            layers: 2,
        },
        blocks,
        expand: [detail, if last_kernel.is_some() { 4 } else { 3 }],
        last_kernel,
    };
    let mut shapes = vec![("26 styles".to_owned(), NetworkShape::STYLE_PACK)];
    for (width, blocks, detail, refine) in [
        (16, 4, 8, None),
        (32, 3, 8, None),
        (32, 4, 8, None),
        (32, 5, 8, None),
        (32, 4, 16, None),
        (32, 4, 8, Some(5)),
        (32, 6, 8, Some(9)),
        (32, 4, 8, Some(9)),
        (32, 6, 8, None),
        (32, 6, 16, Some(9)),
    ] {
        let name = format!(
            "width {width}, {blocks} blocks, detail {detail}{}",
            refine.map_or_else(String::new, |side| format!(", refine {side}"))
        );
        shapes.push((name, student(width, blocks, detail, refine)));
    }
    for (width, height) in [(640, 360), (1280, 720)] {
        println!(
            "\nstudents at {width}x{height}, {threads} threads, milliseconds (median of {ROUNDS}, least)"
        );
        let mut engines: Vec<_> = shapes
            .iter()
            .map(|(name, shape)| {
                let (weights, style) = network(*shape);
                let config = TransformConfig {
                    threads,
                    ..TransformConfig::default()
                };
                let mut engine = TransformEngine::new(&weights, config).expect("shapes are sound");
                engine
                    .set_style(&style)
                    .expect("the style has the network's channels");
                (name, engine, Vec::new())
            })
            .collect();
        let picture = picture(width, height);
        let mut painting = vec![0; picture.len()];
        for round in 0..=ROUNDS {
            for (_, engine, times) in &mut engines {
                let time = seconds(&mut || {
                    engine
                        .paint(&picture, width, height, &mut painting)
                        .expect("the buffers fit");
                });
                if round > 0 {
                    times.push(time * 1e3);
                }
            }
        }
        let mut teacher = None;
        for (name, engine, times) in engines {
            let least = times.iter().copied().fold(f64::INFINITY, f64::min);
            let time = median(times);
            let teacher = *teacher.get_or_insert(time);
            let precision = engine.precision();
            println!(
                "{name:<38}{precision:>6}{time:>9.1}{least:>9.1}{:>8.1}x",
                teacher / time
            );
        }
    }
}

/// Whole paintings.
fn paint(threads: usize) {
    let (weights, style) = network(NetworkShape::STYLE_PACK);
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
                let picture = picture(width, height);
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
        for count in [1, threads] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(count)
                .build()
                .expect("threads start");
            let sets = [
                InstructionSet::Neon,
                InstructionSet::Avx2,
                InstructionSet::Avx512,
            ];
            for set in sets.into_iter().filter(|set| set.is_available()) {
                pool.install(|| wide(set));
            }
        }
    }
    if wanted("paint") {
        paint(threads);
    }
    if wanted("students") {
        students(threads);
    }
}

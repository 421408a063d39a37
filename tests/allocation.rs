//! A warm engine asks the allocator for nothing.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use allaprima::kernels::{
    ConvolutionWeights, Entry, LayerShape, NetworkShape, Precision, StyleParameters,
    TransformConfig, TransformEngine, TransformWeights,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static CALLS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is handed to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller guarantees.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller guarantees.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_warm_engine_allocates_nothing_and_stays_small() {
    let student = NetworkShape {
        entry: Entry::Unshuffle {
            channels: 32,
            layers: 2,
        },
        blocks: 2,
        expand: [8, 3],
        last_kernel: None,
    };
    for shape in [NetworkShape::STYLE_PACK, student] {
        warm_engines_of(shape);
    }
}

fn warm_engines_of(shape: NetworkShape) {
    let weights = TransformWeights::from_layers(shape, |_, layer| {
        let LayerShape {
            in_channels,
            kernel_size,
            ..
        } = layer;
        let out_channels = layer.kernel_outputs();
        let count = out_channels * in_channels * kernel_size * kernel_size;
        let weight = (0..count)
            .map(|i| ((i * 7919 % 257) as f32 - 128.0) * 1e-3)
            .collect();
        let convolution = ConvolutionWeights {
            out_channels,
            in_channels,
            kernel_size,
            weight,
        };
        Ok::<_, ()>((convolution, Vec::new()))
    })
    .unwrap();
    let style = StyleParameters {
        scale: vec![1.0; shape.style_channels()],
        shift: vec![0.1; shape.style_channels()],
    };
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let config = TransformConfig {
            threads: 2,
            precision,
            instruction_set: None,
        };
        let Ok(mut engine) = TransformEngine::new(&weights, config) else {
            continue; // This processor lacks the precision.
        };
        engine.set_style(&style).unwrap();
        let picture: Vec<u8> = (0..150 * 101 * 3).map(|i| (i % 251) as u8).collect();
        let mut painting = vec![0; picture.len()];
        engine.paint(&picture, 150, 101, &mut painting).unwrap();

        // The test runner's own thread may allocate in between, but not in every round.
        let fewest = (0..5)
            .map(|_| {
                let before = CALLS.load(Ordering::Relaxed);
                for _ in 0..5 {
                    engine.set_style(&style).unwrap();
                    engine.paint(&picture, 150, 101, &mut painting).unwrap();
                }
                CALLS.load(Ordering::Relaxed) - before
            })
            .min();
        assert_eq!(fewest, Some(0), "{precision:?}: painting allocated");

        let (width, height) = (1280, 720);
        let large = vec![100; width * height * 3];
        engine
            .paint(&large, width, height, &mut vec![0; large.len()])
            .unwrap();
        let mebibytes = engine.working_set_bytes() as f64 / f64::from(1 << 20);
        println!("{precision:?}: working set at 1280x720 {mebibytes:.1} MiB");
        assert!(mebibytes < 120.0, "{precision:?}: {mebibytes} MiB");
    }
}

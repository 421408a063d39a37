//! The shaders against the reference, on whatever GPU there is: a software one does.

use super::{
    Backend, GROUP_MEMORY, Gpu, GpuError, TransformOnGpu, form::Form, plan::THREADS,
    template::expand,
};
use crate::kernels::{
    Entry, NetworkShape, Precision, TransformConfig, TransformEngine,
    reference::{self, random_network, random_picture},
};

const STUDENT: NetworkShape = NetworkShape {
    entry: Entry::Unshuffle {
        channels: 32,
        layers: 2,
    },
    blocks: 1,
    expand: [8, 4],
    last_kernel: Some(9),
};

/// The GPU of the machine. Where there is none the tests say so, and `ALLAPRIMA_TEST_GPU` makes that an error.
pub(crate) fn gpu() -> Option<Gpu> {
    match Gpu::open(Backend::Vulkan, 0) {
        Ok(gpu) => Some(gpu),
        Err(error) if std::env::var_os("ALLAPRIMA_TEST_GPU").is_some() => panic!("{error}"),
        Err(error) => {
            println!("not tested: {error}");
            None
        }
    }
}

#[test]
fn paintings_of_a_gpu_agree_with_the_reference() {
    let Some(gpu) = gpu() else { return };
    println!("{}", gpu.description());
    let without_last = NetworkShape {
        expand: [16, 3],
        last_kernel: None,
        ..STUDENT
    };
    let narrow = NetworkShape {
        entry: Entry::Unshuffle {
            channels: 20,
            layers: 1,
        },
        expand: [12, 3],
        last_kernel: Some(5),
        ..STUDENT
    };
    let without_blocks = NetworkShape {
        blocks: 0,
        ..STUDENT
    };
    // Bounds are twice what was measured; a quarter of a level is what rounding to bytes alone makes.
    for (shape, width, height, most) in [
        (NetworkShape::STYLE_PACK, 67, 45, 0.55),
        (NetworkShape::STYLE_PACK, 300, 33, 0.55),
        (NetworkShape::STYLE_PACK, 33, 300, 0.55),
        (NetworkShape::ANY_PICTURE, 40, 50, 1.4),
        (STUDENT, 67, 45, 0.52),
        (without_last, 61, 49, 0.52),
        (without_blocks, 50, 70, 0.52),
        (narrow, 150, 34, 0.52),
    ] {
        let (weights, style) = random_network(shape, (width + height) as u64);
        let picture = random_picture(7, width, height);
        let expected = reference::paint(&weights, &style, &picture, width, height);
        let mut network = TransformOnGpu::new(&weights, gpu.clone()).unwrap();
        network.set_style(&style).unwrap();
        let mut painted = vec![0; picture.len()];
        network
            .paint(&picture, width, height, &mut painted)
            .unwrap();
        // Of another size in between.
        let mut other = vec![0; 3 * 32 * 32];
        network
            .paint(&random_picture(8, 32, 32), 32, 32, &mut other)
            .unwrap();
        let mut again = vec![0; picture.len()];
        network.paint(&picture, width, height, &mut again).unwrap();
        assert_eq!(painted, again, "painting twice should give the same");
        let off = |(a, b): (&f32, &u8)| (255.0 * a - f32::from(*b)).abs();
        let differences = expected.iter().zip(&painted).map(off);
        let largest = differences.clone().fold(0.0, f32::max);
        let mean = differences.sum::<f32>() / painted.len() as f32;
        println!("{shape:?} {width}x{height}: mean {mean}, largest {largest}");
        assert!(
            mean < most && largest < 20.0 * most,
            "{shape:?}: {mean}, {largest}"
        );
    }
}

#[test]
fn two_networks_paint_on_one_gpu_at_once() {
    let Some(gpu) = gpu() else { return };
    let paint = |seed: u64| {
        let (weights, style) = random_network(STUDENT, seed);
        let mut network = TransformOnGpu::new(&weights, gpu.clone()).unwrap();
        network.set_style(&style).unwrap();
        let picture = random_picture(seed, 64, 48);
        let mut painted = vec![0; picture.len()];
        network.paint(&picture, 64, 48, &mut painted).unwrap();
        painted
    };
    let alone = [paint(1), paint(2)];
    for _ in 0..5 {
        std::thread::scope(|scope| {
            let both = [1, 2].map(|seed| scope.spawn(move || paint(seed)));
            assert_eq!(both.map(|thread| thread.join().unwrap()), alone);
        });
    }
}

#[test]
fn what_a_gpu_cannot_paint_is_told_and_it_goes_on() {
    let Some(gpu) = gpu() else { return };
    let (weights, style) = random_network(STUDENT, 3);
    let mut network = TransformOnGpu::new(&weights, gpu).unwrap();
    network.set_style(&style).unwrap();
    // More groups of threads, one below the other, than a GPU takes.
    let (width, height) = (32, 2_200_000);
    let picture = vec![100; 3 * width * height];
    let mut painted = vec![0; picture.len()];
    let error = network
        .paint(&picture, width, height, &mut painted)
        .unwrap_err();
    assert!(matches!(error, GpuError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("--max-size"), "{error}");
    let error = network
        .paint(&picture[..3 * 31 * 40], 31, 40, &mut painted[..3 * 31 * 40])
        .unwrap_err();
    assert!(error.to_string().contains("too small"), "{error}");
    let small = random_picture(4, 40, 40);
    network
        .paint(&small, 40, 40, &mut painted[..3 * 40 * 40])
        .unwrap();
}

/// Metal compiles what naga makes of the shaders; that it can be made is seen on every system.
#[test]
fn all_shaders_are_right_and_can_be_told_to_metal() {
    let mut sources = vec![
        include_str!("shaders/statistics.wgsl").to_owned(),
        expand(
            include_str!("shaders/picture.wgsl"),
            &[("THREADS", THREADS)],
            &[],
        ),
    ];
    for network in [NetworkShape::STYLE_PACK, NetworkShape::ANY_PICTURE, STUDENT] {
        for single in [true, false] {
            sources.extend(Form::all(network, single).iter().map(Form::shader));
        }
    }
    for source in sources {
        if let Some((_, room)) = source.split_once("const ROOM: i32 = ") {
            let words: u32 = room.split(';').next().unwrap().parse().unwrap();
            assert!(8 * words <= GROUP_MEMORY, "{words}");
        }
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{}", error.emit_to_string(&source)));
        let info = naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32,
        )
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(&source)));
        let options = naga::back::msl::Options {
            fake_missing_bindings: true,
            ..naga::back::msl::Options::default()
        };
        let (metal, _) = naga::back::msl::write_string(
            &module,
            &info,
            &options,
            &naga::back::msl::PipelineOptions::default(),
        )
        .unwrap();
        assert!(metal.contains("kernel void"), "{metal}");
    }
}

#[test]
fn a_gpu_that_is_not_there_is_told() {
    let error = Gpu::open(Backend::Vulkan, 1000).unwrap_err();
    assert!(
        matches!(error, GpuError::None { wanted: 1000, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("the driver knows"), "{error}");
}

/// Software has room for 128 MiB in one piece, which the first layer's outputs in single precision would take more than.
#[test]
fn what_has_no_room_in_single_precision_is_painted_in_half() {
    let Some(gpu) = gpu() else { return };
    let (weights, style) = random_network(NetworkShape::STYLE_PACK, 4);
    let mut network = TransformOnGpu::new(&weights, gpu.clone()).unwrap();
    network.set_style(&style).unwrap();
    let config = TransformConfig {
        precision: Precision::F32,
        ..TransformConfig::default()
    };
    let mut processor = TransformEngine::new(&weights, config).unwrap();
    processor.set_style(&style).unwrap();
    let limit = gpu.device().limits().max_storage_buffer_binding_size;
    for (width, height) in [(1100, 1000), (64, 48)] {
        let picture = random_picture(9, width, height);
        let mut painted = vec![0; picture.len()];
        network
            .paint(&picture, width, height, &mut painted)
            .unwrap();
        let fits = (width * height * 32 * 4) as u64 <= limit;
        assert_eq!(network.single, fits, "{width}x{height} of {limit}");
        let mut expected = vec![0; picture.len()];
        processor
            .paint(&picture, width, height, &mut expected)
            .unwrap();
        let apart = expected.iter().zip(&painted);
        let apart: u64 = apart.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = apart as f64 / painted.len() as f64;
        assert!(mean < 0.3, "{width}x{height}: {mean}");
    }
}

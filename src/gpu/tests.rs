//! The shaders against the reference, on whatever GPU there is: a software one does.

use super::{Backend, Gpu, GpuError, TransformOnGpu, form::Form};
use crate::kernels::{
    Entry, NetworkShape,
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
fn gpu() -> Option<Gpu> {
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
    for (shape, width, height) in [
        (NetworkShape::STYLE_PACK, 67, 45),
        (NetworkShape::ANY_PICTURE, 40, 50),
        (STUDENT, 67, 45),
        (without_last, 61, 49),
        (narrow, 150, 34),
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
        let mut again = vec![0; picture.len()];
        network.paint(&picture, width, height, &mut again).unwrap();
        assert_eq!(painted, again, "painting twice should give the same");
        let differences = expected
            .iter()
            .zip(&painted)
            .map(|(a, b)| (255.0 * a - f32::from(*b)).abs());
        let largest = differences.clone().fold(0.0, f32::max);
        let mean = differences.sum::<f32>() / painted.len() as f32;
        println!("{shape:?} {width}x{height}: mean {mean}, largest {largest}");
        // A quarter of a level is what rounding to bytes alone makes.
        assert!(mean < 1.0, "{shape:?}: {mean}");
    }
}

/// Metal compiles what naga makes of the shaders; that it can be made is seen on every system.
#[test]
fn all_shaders_are_right_and_can_be_told_to_metal() {
    let mut sources = vec![
        include_str!("shaders/statistics.wgsl").to_owned(),
        include_str!("shaders/picture.wgsl").to_owned(),
    ];
    for network in [NetworkShape::STYLE_PACK, NetworkShape::ANY_PICTURE, STUDENT] {
        sources.extend(Form::all(network).iter().map(Form::shader));
    }
    for source in sources {
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

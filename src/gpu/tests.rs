//! The shaders against the reference, on whatever GPU there is: a software one does.

use super::{Backend, Gpu, GpuError, TransformOnGpu};
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

#[test]
fn a_gpu_that_is_not_there_is_told() {
    let error = Gpu::open(Backend::Vulkan, 1000).unwrap_err();
    assert!(
        matches!(error, GpuError::None { wanted: 1000, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("the driver knows"), "{error}");
}

//! Gradients through networks that stay as they are, against finite differences; paintings against the engine.

use super::*;
use crate::kernels::{ConvolutionWeights, Precision, TransformConfig, TransformEngine};
use crate::train::random::Random;

const SHAPES: [NetworkShape; 3] = [
    NetworkShape {
        blocks: 2,
        ..NetworkShape::STYLE_PACK
    },
    NetworkShape {
        entry: Entry::Unshuffle {
            channels: 16,
            layers: 1,
        },
        blocks: 1,
        expand: [8, 3],
        last_kernel: None,
    },
    NetworkShape {
        entry: Entry::Unshuffle {
            channels: 16,
            layers: 2,
        },
        blocks: 1,
        expand: [8, 4],
        last_kernel: Some(5),
    },
];

pub(crate) fn random_network(shape: NetworkShape, random: &mut Random) -> TransformWeights {
    let weights = TransformWeights::from_layers(shape, |_, layer| {
        let (out_channels, in_channels) = (layer.kernel_outputs(), layer.in_channels);
        let count = out_channels * in_channels * layer.kernel_size.pow(2);
        let weight = (0..count).map(|_| random.between(-0.1, 0.1)).collect();
        let convolution = ConvolutionWeights {
            out_channels,
            in_channels,
            kernel_size: layer.kernel_size,
            weight,
        };
        Ok::<_, ()>((convolution, Vec::new()))
    });
    weights.unwrap()
}

pub(crate) fn random_style(channels: usize, random: &mut Random) -> StyleParameters {
    let mut values = |low, high| (0..channels).map(|_| random.between(low, high)).collect();
    StyleParameters {
        scale: values(0.5, 1.5),
        shift: values(-0.3, 0.3),
    }
}

pub(crate) fn zeros(channels: usize) -> StyleParameters {
    StyleParameters {
        scale: vec![0.0; channels],
        shift: vec![0.0; channels],
    }
}

/// A picture of noise, the engine in `f32`, and what it paints of it.
fn painted_by_engine(
    weights: &TransformWeights,
    style: &StyleParameters,
    (height, width): (usize, usize),
    random: &mut Random,
) -> (Vec<u8>, TransformEngine, Vec<f32>) {
    let rgb: Vec<u8> = (0..3 * height * width)
        .map(|_| random.below(256) as u8)
        .collect();
    let config = TransformConfig {
        threads: 1,
        precision: Precision::F32,
        ..TransformConfig::default()
    };
    let mut engine = TransformEngine::new(weights, config).unwrap();
    engine.set_style(style).unwrap();
    let mut painted = vec![0.0; rgb.len()];
    engine.paint_f32(&rgb, width, height, &mut painted).unwrap();
    (rgb, engine, painted)
}

#[test]
fn it_paints_what_the_engine_paints() {
    for shape in SHAPES {
        let mut random = Random::new(3, [0, 0]);
        let weights = random_network(shape, &mut random);
        let style = random_style(shape.style_channels(), &mut random);
        let (height, width) = (36, 44);
        let (rgb, _, expected) = painted_by_engine(&weights, &style, (height, width), &mut random);
        let seen: Vec<f32> = rgb.iter().map(|value| f32::from(*value) / 255.0).collect();
        let network = FrozenNetwork::new(&weights).unwrap();
        let mut tape = FrozenTape::default();
        let painted = tape.forward(&network, &style, &seen, (height, width));
        for (a, b) in painted.iter().zip(&expected) {
            assert!((a - b).abs() < 2e-3, "{shape:?}: {a} {b}");
        }
    }
}

/// The derivative along a random direction of the style, by central differences in double steps, against the gradient's.
#[test]
fn the_gradient_of_a_style_is_that_of_finite_differences() {
    for shape in SHAPES {
        let mut random = Random::new(5, [0, 0]);
        let weights = random_network(shape, &mut random);
        let channels = shape.style_channels();
        let style = random_style(channels, &mut random);
        let size = (32, 40);
        let count = 3 * size.0 * size.1;
        let picture: Vec<f32> = (0..count).map(|_| random.unit()).collect();
        let upstream: Vec<f32> = (0..count).map(|_| random.between(-1.0, 1.0)).collect();
        let network = FrozenNetwork::new(&weights).unwrap();
        let mut tape = FrozenTape::default();
        tape.forward(&network, &style, &picture, size);
        let mut gradient = zeros(channels);
        tape.backward(&network, &upstream, &mut gradient);
        let mut loss = |style: &StyleParameters| {
            let painted = tape.forward(&network, style, &picture, size);
            let products = painted.iter().zip(&upstream);
            products
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum::<f64>()
        };
        let squares = gradient.scale.iter().chain(&gradient.shift).map(|g| g * g);
        let whole = squares.sum::<f32>().sqrt();
        for layer in 0..shape.layers() {
            let own = shape.style_channels_of(layer);
            for which in 0..2 {
                // Along the layer's own gradient, where the slope is the largest and the rounding the smallest.
                let part = |style: &StyleParameters| {
                    let values = if which == 0 {
                        &style.scale
                    } else {
                        &style.shift
                    };
                    values[own.clone()].to_vec()
                };
                let direction = part(&gradient);
                let length = direction.iter().map(|g| g * g).sum::<f32>().sqrt();
                let step = 3e-3;
                let mut at = |sign: f32| {
                    let mut moved = style.clone();
                    let values = if which == 0 {
                        &mut moved.scale
                    } else {
                        &mut moved.shift
                    };
                    for (value, g) in values[own.clone()].iter_mut().zip(&direction) {
                        *value += sign * step * g / length;
                    }
                    loss(&moved)
                };
                let slope = (at(1.0) - at(-1.0)) / (2.0 * f64::from(step));
                // What is added to a plane that is normalised before anything else looks at it changes nothing: no
                // gradient but rounding.
                let fits = if length < 1e-3 * whole {
                    slope.abs() < f64::from(1e-2 * whole)
                } else {
                    (slope / f64::from(length) - 1.0).abs() < 0.03
                };
                assert!(
                    fits,
                    "{shape:?}, layer {layer}, {which}: {slope} {length} of {whole}"
                );
            }
        }
    }
}

/// The end alone goes on from the trunk's plane as the whole network does.
#[test]
fn an_end_paints_from_the_plane_what_the_engine_paints_from_the_picture() {
    let mut random = Random::new(6, [0, 0]);
    let weights = random_network(SHAPES[0], &mut random);
    let style = random_style(SHAPES[0].style_channels(), &mut random);
    let (height, width) = (36, 44);
    let (rgb, mut engine, expected) =
        painted_by_engine(&weights, &style, (height, width), &mut random);
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    engine
        .trunk(&rgb, width, height, [&mut before, &mut behind])
        .unwrap();
    let end = FrozenNetwork::end(&weights).unwrap();
    let mut tape = FrozenTape::default();
    let painted = tape.forward_end(&end, &style, &behind, (height / BLOCK, width / BLOCK));
    assert_eq!(painted.len(), expected.len());
    for (a, b) in painted.iter().zip(&expected) {
        assert!((a - b).abs() < 2e-3, "{a} {b}");
    }
}

/// The derivative along the gradient of the plane that an end paints from, by central differences.
#[test]
fn the_gradient_of_the_plane_is_that_of_finite_differences() {
    for shape in SHAPES {
        let mut random = Random::new(7, [0, 0]);
        let weights = random_network(shape, &mut random);
        let style = random_style(shape.style_channels(), &mut random);
        let (rows, columns) = (8, 10);
        let plane: Vec<f32> = (0..rows * columns * shape.trunk())
            .map(|_| random.between(-1.0, 1.0))
            .collect();
        let upstream: Vec<f32> = (0..3 * 16 * rows * columns)
            .map(|_| random.between(-1.0, 1.0))
            .collect();
        let end = FrozenNetwork::end(&weights).unwrap();
        let mut tape = FrozenTape::default();
        tape.forward_end(&end, &style, &plane, (rows, columns));
        let mut unused = zeros(shape.style_channels());
        let gradient = tape.backward(&end, &upstream, &mut unused).to_vec();
        let length = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let step = 3e-2;
        let mut at = |sign: f32| {
            let moved: Vec<f32> = plane
                .iter()
                .zip(&gradient)
                .map(|(value, g)| value + sign * step * g / length)
                .collect();
            let painted = tape.forward_end(&end, &style, &moved, (rows, columns));
            let products = painted.iter().zip(&upstream);
            products
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum::<f64>()
        };
        let slope = (at(1.0) - at(-1.0)) / (2.0 * f64::from(step));
        assert!(
            (slope / f64::from(length) - 1.0).abs() < 0.03,
            "{shape:?}: {slope} {length}"
        );
    }
}

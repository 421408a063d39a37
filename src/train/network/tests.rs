//! Gradients of a student's layers against candle's.

use super::*;
use crate::kernels::Precision;
use crate::nn::student_net::StudentNet;
use crate::train::random::Random;
use candle_core::{DType, Device, Tensor, Var};
use std::collections::BTreeMap;

const SHAPE: Shape = Shape {
    config: StudentConfig {
        blocks: 2,
        upsampling: [Upsampling::Shuffle, Upsampling::Nearest],
        refine: None,
        ..StudentConfig::SWIFT
    },
    styles: 3,
};

/// Random parameters of which those that fill up are zero, and the same as variables of candle.
fn parameters(random: &mut Random) -> (Vec<f32>, BTreeMap<String, Var>) {
    let (layers, length) = SHAPE.layers();
    let mut parameters = vec![0.0; length];
    let mut tensors = BTreeMap::new();
    for layer in &layers {
        let (inputs, outputs) = layer.channels;
        let mut fill = |name: &str, dims: &[usize], at: Vec<usize>, low: f32, high: f32| {
            let values: Vec<f32> = at.iter().map(|_| random.between(low, high)).collect();
            at.iter()
                .zip(&values)
                .for_each(|(at, value)| parameters[*at] = *value);
            let tensor = Tensor::from_vec(values, dims, &Device::Cpu).unwrap();
            let variable = Var::from_tensor(&tensor).unwrap();
            tensors.insert(format!("{}.{name}", layer.name), variable);
        };
        let (taps, side) = (layer.taps, layer.taps.isqrt());
        let weights = (0..outputs * inputs * taps)
            .map(|n| layer.weight(n / taps / inputs, n / taps % inputs, n % taps))
            .collect();
        fill("weight", &[outputs, inputs, side, side], weights, -0.1, 0.1);
        let rows = |which: fn((usize, usize)) -> usize| {
            let at = 0..SHAPE.styles * layer.normed;
            at.map(|n| which(layer.norm(n / layer.normed, n % layer.normed)))
                .collect()
        };
        let dims = [SHAPE.styles, layer.normed];
        fill("scale", &dims, rows(|at| at.0), 0.5, 1.5);
        fill("shift", &dims, rows(|at| at.1), -0.3, 0.3);
    }
    (parameters, tensors)
}

#[test]
fn forward_and_all_gradients_agree_with_candle() {
    let mut random = Random::new(5, [0, 0]);
    let (parameters, variables) = parameters(&mut random);
    let (height, width) = (24, 40);
    let size = height * width * 3;
    let picture: Vec<f32> = (0..size).map(|_| random.unit()).collect();
    let upstream: Vec<f32> = (0..size).map(|_| random.between(-1.0, 1.0)).collect();
    let style = [(2, 0.75), (0, 0.25)];

    let run = |precision| {
        let mut tape = Tape::new(&SHAPE);
        let mut weights = Convolutions::new(precision);
        weights.update(&SHAPE, &parameters);
        let actual = tape
            .forward(&weights, &style, &picture, (height, width))
            .to_vec();
        let mut gradients = vec![0.0; parameters.len()];
        tape.backward(&weights, &upstream, &mut gradients);
        (actual, gradients)
    };

    let tensors = variables
        .iter()
        .map(|(name, variable)| (name.clone(), variable.as_tensor().clone()))
        .collect();
    let net = StudentNet::new(SHAPE.config, SHAPE.styles, &tensors).unwrap();
    let planar = |values: &[f32]| {
        let rows = Tensor::from_slice(values, (1, height, width, 3), &Device::Cpu).unwrap();
        rows.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap()
    };
    let weights = Tensor::new(&[[0.25_f32, 0.0, 0.75]], &Device::Cpu).unwrap();
    let expected = net.forward(&planar(&picture), &weights).unwrap();
    let loss = (&expected * planar(&upstream)).unwrap().sum_all().unwrap();
    let store = loss.backward().unwrap();
    let rows = |tensor: &Tensor| {
        let tensor = tensor.flatten_all().unwrap().to_dtype(DType::F32).unwrap();
        tensor.to_vec1::<f32>().unwrap()
    };
    let close = |what: &str, actual: &[f32], expected: &[f32], bound: f32| {
        assert_eq!(actual.len(), expected.len());
        let largest = expected
            .iter()
            .fold(1e-3_f32, |most, value| most.max(value.abs()));
        for (a, b) in actual.iter().zip(expected) {
            assert!(
                (a - b).abs() < bound * largest,
                "{what}: {a} {b} of {largest}"
            );
        }
    };
    // Rounded to bf16 (where the processor has the unit for it) paintings differ by a hundredth. Gradients of so small a
    // picture differ by a tenth, because some values pass ReLU on the one side only: their lengths are compared.
    let near = |what: &str, actual: &[f32], expected: &[f32]| {
        let length =
            |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
        let differences = &mut actual.iter().zip(expected).map(|(a, b)| a - b);
        let part = length(differences) / length(&mut expected.iter().copied());
        assert!(part < 0.25, "{what}: differs by {part} of its length");
    };
    for (precision, of_painting) in [(Precision::F32, 1e-4), (Precision::Auto, 0.03)] {
        let (actual, gradients) = run(precision);
        close(
            "painting",
            &actual,
            &rows(&expected.permute((0, 2, 3, 1)).unwrap()),
            of_painting,
        );
        for layer in SHAPE.layers().0 {
            let (inputs, outputs) = layer.channels;
            let expected = |what: &str| {
                let variable = &variables[&format!("{}.{what}", layer.name)];
                rows(store.get(variable).unwrap())
            };
            let taps = layer.taps;
            let own: Vec<f32> = (0..outputs * inputs * taps)
                .map(|n| gradients[layer.weight(n / taps / inputs, n / taps % inputs, n % taps)])
                .collect();
            let (scale, shift): (Vec<f32>, Vec<f32>) = (0..SHAPE.styles * layer.normed)
                .map(|n| layer.norm(n / layer.normed, n % layer.normed))
                .map(|at| (gradients[at.0], gradients[at.1]))
                .unzip();
            for (what, values) in [("weight", &own), ("scale", &scale), ("shift", &shift)] {
                let name = format!("{precision} {} {what}", layer.name);
                match precision {
                    Precision::F32 => close(&name, values, &expected(what), 1e-3),
                    _ => near(&name, values, &expected(what)),
                }
            }
        }
    }
}

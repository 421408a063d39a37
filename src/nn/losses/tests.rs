//! Each loss against central differences in `f64`, on the picture itself and through a small network, and against a
//! case small enough to work out by hand.

use super::*;
use crate::nn::vgg::{Pooling, Vgg16, tests::small};
use candle_core::{DType, Device, Result, Tensor, Var};

const SHAPE: (usize, usize, usize, usize) = (1, 3, 8, 10);

fn random(shape: (usize, usize, usize, usize), seed: u32) -> Tensor {
    let count = shape.0 * shape.1 * shape.2 * shape.3;
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let values = (0..count).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    });
    Tensor::from_vec(values.collect::<Vec<_>>(), shape, &Device::Cpu).unwrap()
}

fn scalar(t: &Tensor) -> f64 {
    t.to_scalar::<f64>().unwrap()
}

/// The gradient of `loss` by its argument against central differences, at every fifth value.
fn check(x: &Tensor, step: f64, loss: impl Fn(&Tensor) -> Result<Tensor>) {
    let x = Var::from_tensor(x).unwrap();
    let value = loss(&x).unwrap();
    let gradient = value.backward().unwrap().get(&x).unwrap().clone();
    let gradient = gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let values = x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let largest = gradient.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    assert!(largest > 0.0, "no gradient");
    for i in (0..values.len()).step_by(5) {
        let at = |delta: f64| {
            let mut moved = values.clone();
            moved[i] += delta;
            let moved = Tensor::from_vec(moved, x.shape(), &Device::Cpu).unwrap();
            scalar(&loss(&moved).unwrap())
        };
        let expected = (at(step) - at(-step)) / (2.0 * step);
        let error = (gradient[i] - expected).abs();
        assert!(error < 1e-5 * largest, "{i}: {} {expected}", gradient[i]);
    }
}

fn network() -> Vgg16 {
    let weights = small(&[(6, false), (8, false), (8, true)]);
    Vgg16::new(&weights, Pooling::Average, &Device::Cpu, DType::F64).unwrap()
}

/// A picture of 0..255.
fn picture(seed: u32) -> Tensor {
    (random(SHAPE, seed) * 255.0).unwrap()
}

#[test]
fn content_and_style_through_a_network() {
    let network = network();
    let layers = [0, 2];
    let target = network.features(&picture(1), &layers).unwrap();
    check(&picture(2), 1e-3, |x| {
        content(&network.features(x, &layers)?[1], &target[1])
    });
    let grams: Vec<Tensor> = target.iter().map(|f| gram(f).unwrap()).collect();
    check(&picture(3), 1e-3, |x| {
        let features = network.features(x, &layers)?;
        style(&features[0], &grams[0])? + style(&features[1], &grams[1])?
    });
    check(&picture(4), 1e-3, total_variation);
}

#[test]
fn temporal_losses() {
    let (warped, mask) = (random(SHAPE, 2), random((1, 1, 8, 10), 3));
    check(&random(SHAPE, 1), 1e-5, |x| short_term(x, &warped, &mask));
    let earlier: Vec<_> = (0..3)
        .map(|i| (random(SHAPE, 10 + i), random((1, 1, 8, 10), 20 + i)))
        .collect();
    check(&random(SHAPE, 1), 1e-5, |x| long_term(x, &earlier));
    let (input, warped_input) = (random(SHAPE, 4), random(SHAPE, 5));
    check(&random(SHAPE, 1), 1e-5, |x| {
        luminance_aware((x, &warped), (&input, &warped_input), &mask)
    });
}

#[test]
fn temporal_losses_reach_the_earlier_frame_through_the_warp() {
    let u: Vec<f32> = (0..80).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
    let v: Vec<f32> = (0..80).map(|i| (i as f32 * 1.3).cos() * 2.0).collect();
    let (now, mask) = (random(SHAPE, 2), random((1, 1, 8, 10), 3));
    check(&random(SHAPE, 1), 1e-5, |x| {
        short_term(&now, &backward_warp(x, &u, &v)?, &mask)
    });
}

#[test]
fn feature_losses_through_a_network() {
    let network = network();
    let mask = random((1, 1, 4, 5), 3);
    let features = |x: &Tensor| Ok::<_, candle_core::Error>(network.features(x, &[2])?.remove(0));
    let warped = features(&picture(5)).unwrap();
    check(&picture(6), 1e-3, |x| {
        feature_temporal(&features(x)?, &warped, &mask)
    });
    let [before, input, input_before] = [7, 8, 9].map(picture);
    check(&picture(6), 1e-4, |x| {
        frame_difference(
            (x, &before),
            (&input, &input_before),
            (&features(x)?, &features(&before)?),
            (&features(&input)?, &features(&input_before)?),
            (10.0, 600.0),
        )
    });
}

fn row(values: &[f64]) -> Tensor {
    Tensor::from_slice(values, (1, 1, 1, values.len()), &Device::Cpu).unwrap()
}

fn close(a: &Tensor, b: f64) {
    let a = scalar(a);
    assert!((a - b).abs() < 1e-12, "{a} is not {b}");
}

#[test]
fn perceptual_losses_by_hand() {
    // 2² + 1² over 3² + 1².
    close(&content(&row(&[5.0, 0.0]), &row(&[3.0, 1.0])).unwrap(), 0.5);
    // The Gram matrix of one channel (1, 3) is (1 + 9) / 2 = 5; off by 3 of 2.
    let target = Tensor::new(&[[[2.0_f64]]], &Device::Cpu).unwrap();
    close(&style(&row(&[1.0, 3.0]), &target).unwrap(), 9.0 / 4.0);
    let x = Tensor::new(&[[[[1.0_f64, 3.0], [4.0, 3.0]]]], &Device::Cpu).unwrap();
    // Across: 2² + 1²; down: 3² + 0²; four pixels.
    close(&total_variation(&x).unwrap(), 14.0 / 4.0);
}

#[test]
fn temporal_losses_by_hand() {
    let x = row(&[1.0, 2.0, 3.0, 4.0]);
    let warped = row(&[0.0, 2.0, 1.0, 0.0]);
    let mask = row(&[1.0, 1.0, 0.5, 0.0]);
    // 1·1² + 0 + 0.5·2² + 0 over four values.
    close(&short_term(&x, &warped, &mask).unwrap(), 0.75);
    // What the nearest frame shows is its own; 0.5 is left of the third pixel, all of the fourth, nothing of the rest.
    let all = row(&[1.0, 1.0, 1.0, 1.0]);
    let weights = nearest_first(&[mask.clone(), all.clone(), all.clone()]).unwrap();
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(values(&weights[1]), [0.0, 0.0, 0.5, 1.0]);
    assert_eq!(values(&weights[2]), [0.0; 4]);
    let second = row(&[9.0, 9.0, 3.0, 3.0]);
    // 0.75 as above, and 0.5·0² + 1·1² over four.
    let earlier = [(warped, mask), (second, all)];
    close(&long_term(&x, &earlier).unwrap(), 1.0);
}

#[test]
fn a_change_of_light_costs_nothing() {
    let colour =
        |r: f64, g: f64, b: f64| Tensor::new(&[[[[r]], [[g]], [[b]]]], &Device::Cpu).unwrap();
    let mask = Tensor::new(&[[[[1.0_f64]]]], &Device::Cpu).unwrap();
    let (dark, light) = (colour(0.2, 0.2, 0.2), colour(0.5, 0.5, 0.5));
    let (painted, lighter) = (colour(0.1, 0.4, 0.3), colour(0.4, 0.7, 0.6));
    let loss = luminance_aware((&lighter, &painted), (&light, &dark), &mask).unwrap();
    assert!(scalar(&loss).abs() < 1e-12);
    // A scene that turns red by 1 has 0.2126 more light; the painting stays, off by that in each channel.
    let red = colour(1.2, 0.2, 0.2);
    let loss = luminance_aware((&painted, &painted), (&red, &dark), &mask).unwrap();
    close(&loss, 0.2126 * 0.2126);
}

#[test]
fn frame_difference_by_hand() {
    let (zero, one, two) = (row(&[0.0, 0.0]), row(&[1.0, 0.0]), row(&[0.0, 2.0]));
    // The output changes by (1, 0), the input not: 0.5 in the mean. Features change by (0, 2) and (1, 0): 1.5.
    let loss = frame_difference(
        (&one, &zero),
        (&zero, &zero),
        (&two, &zero),
        (&one, &zero),
        (10.0, 600.0),
    );
    close(&loss.unwrap(), 5.0 + 900.0);
}

#[test]
fn warping_looks_where_the_motion_points() {
    let x = row(&[1.0, 2.0, 4.0, 8.0]);
    let warped = backward_warp(&x, &[1.0, 0.5, -5.0, 3.0], &[0.0; 4]).unwrap();
    let values = warped.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(values, [2.0, 3.0, 1.0, 8.0]);
}

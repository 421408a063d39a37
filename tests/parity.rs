//! The networks against onnxruntime on the original file (golden numbers of `tests/golden/make_golden.py`), and the
//! kernels against candle.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{fs, path::Path};

use allaprima::{
    kernels::{TransformConfig, TransformEngine},
    models::ModelStore,
    nn::{transform_net::TransformNet, weights::floats},
    style::{StyleChoice, StylePack},
};
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;

/// The bound that the project sets itself; onnxruntime differs from itself by 4e-6 between its optimisation levels.
const BOUND: f32 = 2e-3;

const SIZES: [(usize, usize); 3] = [(64, 48), (75, 53), (128, 96)];
const CASES: [&str; 5] = ["0", "7", "19", "3:0.5,12:0.5", "0:0.2,8:0.3,25:0.5"];

struct Golden(Vec<u8>);

impl Golden {
    fn load() -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/multistyle26.safetensors");
        Self(fs::read(path).unwrap())
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    /// `height * width * 3` bytes.
    fn input(&self, (width, height): (usize, usize)) -> Vec<u8> {
        self.file()
            .tensor(&format!("input.{width}x{height}"))
            .unwrap()
            .data()
            .to_vec()
    }

    /// `height * width * 3` values, 0..1.
    fn output(&self, (width, height): (usize, usize), case: &str) -> Vec<f32> {
        floats(
            &self.file(),
            &format!("output.{width}x{height}.{case}"),
            &[height, width, 3],
        )
        .unwrap()
    }
}

fn pack() -> StylePack {
    StylePack::load(&ModelStore::embedded().unwrap()).unwrap()
}

/// The painting by candle on the processor, `height * width * 3` values.
fn candle(pack: &StylePack, case: &str, rgb: &[u8], (width, height): (usize, usize)) -> Vec<f32> {
    let style = pack.parameters(&StyleChoice::parse(case, pack.styles()).unwrap());
    let net = TransformNet::new(pack.network(), &style, &Device::Cpu).unwrap();
    let x = Tensor::from_slice(rgb, (1, height, width, 3), &Device::Cpu).unwrap();
    let x = (x
        .permute((0, 3, 1, 2))
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap()
        / 255.0)
        .unwrap();
    let y = net.forward(&x).unwrap().permute((0, 2, 3, 1)).unwrap();
    y.flatten_all().unwrap().to_vec1().unwrap()
}

/// The painting by the kernels, `height * width * 3` values.
fn kernels(pack: &StylePack, case: &str, rgb: &[u8], (width, height): (usize, usize)) -> Vec<f32> {
    let style = pack.parameters(&StyleChoice::parse(case, pack.styles()).unwrap());
    let config = TransformConfig {
        precision: allaprima::kernels::Precision::F32,
        ..TransformConfig::default()
    };
    let mut engine = TransformEngine::new(pack.network(), config).unwrap();
    engine.set_style(&style).unwrap();
    let mut painting = vec![0.0; rgb.len()];
    engine.paint_f32(rgb, width, height, &mut painting).unwrap();
    painting
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn candle_paints_what_onnxruntime_paints() {
    let (pack, golden) = (pack(), Golden::load());
    for size in SIZES {
        let rgb = golden.input(size);
        for case in CASES {
            let difference =
                largest_difference(&candle(&pack, case, &rgb, size), &golden.output(size, case));
            println!("{size:?} {case}: {difference:.1e}");
            assert!(difference <= BOUND, "{size:?} {case}: {difference}");
        }
    }
}

#[test]
fn the_kernels_paint_what_onnxruntime_paints() {
    let (pack, golden) = (pack(), Golden::load());
    for size in SIZES {
        let rgb = golden.input(size);
        for case in CASES {
            let difference = largest_difference(
                &kernels(&pack, case, &rgb, size),
                &golden.output(size, case),
            );
            println!("{size:?} {case}: {difference:.1e}");
            assert!(difference <= BOUND, "{size:?} {case}: {difference}");
        }
    }
}

#[test]
fn the_kernels_paint_what_candle_paints_at_every_size() {
    let (pack, golden) = (pack(), Golden::load());
    let source = golden.input((128, 96));
    for (width, height) in [(32, 32), (33, 32), (32, 35), (50, 50), (61, 47), (127, 95)] {
        let rgb: Vec<u8> = source
            .chunks_exact(128 * 3)
            .take(height)
            .flat_map(|row| &row[..width * 3])
            .copied()
            .collect();
        let size = (width, height);
        let difference = largest_difference(
            &kernels(&pack, "11", &rgb, size),
            &candle(&pack, "11", &rgb, size),
        );
        assert!(difference <= BOUND, "{size:?}: {difference}");
    }
}

#[test]
fn a_wrong_style_is_far_outside_of_the_bound() {
    let (pack, golden) = (pack(), Golden::load());
    let size = (64, 48);
    let difference = largest_difference(
        &kernels(&pack, "8", &golden.input(size), size),
        &golden.output(size, "7"),
    );
    assert!(difference > 100.0 * BOUND, "{difference}");
}

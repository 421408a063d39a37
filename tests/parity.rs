//! The networks against onnxruntime on the original file (golden numbers of `tests/golden/make_golden.py`), and the
//! kernels against candle.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{collections::BTreeMap, fs, path::Path};

use allaprima::{
    kernels::{TransformConfig, TransformEngine},
    models::{ANY_PREDICT, ModelStore, PERSON},
    nn::{
        person_net::PersonNet,
        student_file::{NEUTRAL, StudentFile},
        student_net::{StudentConfig, StudentNet, Upsampling},
        style_predictor::StylePredictor,
        transform_net::TransformNet,
        weights::floats,
    },
    style::{AnyPicture, StyleChoice, StylePack},
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

/// The numbers and paintings of the any-picture networks: from the original graphs with their int8 roundings removed, and
/// (`int8`) as they are.
struct AnyGolden(Vec<u8>);

impl AnyGolden {
    fn load() -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/any_picture.safetensors");
        Self(fs::read(path).unwrap())
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        file.tensor(name).unwrap().data().to_vec()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let bytes = self.bytes(name);
        let values = bytes.chunks_exact(4);
        values
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }
}

fn mean_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32
}

#[test]
fn the_predictor_says_what_onnxruntime_says() {
    let golden = AnyGolden::load();
    let store = ModelStore::embedded().unwrap();
    let bytes = store.read(ANY_PREDICT).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let predictor = StylePredictor::new(&file, &Device::Cpu).unwrap();
    let started = std::time::Instant::now();
    let numbers = predictor.predict(&golden.bytes("style.256x256")).unwrap();
    println!("{:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    let difference = largest_difference(&numbers, &golden.floats("numbers"));
    let int8 = mean_difference(&numbers, &golden.floats("numbers.int8"));
    println!("{difference:.1e}, from the int8 file {int8:.1e} in the mean");
    assert!(difference < 1e-4, "{difference}");
    assert!(int8 < 0.02, "{int8}");
}

/// Both implementations at both sizes; 384x384 is kept as every fourth pixel of every fourth row.
#[test]
fn any_picture_is_painted_as_onnxruntime_paints_it() {
    let golden = AnyGolden::load();
    let any = AnyPicture::load(&ModelStore::embedded().unwrap(), &Device::Cpu).unwrap();
    let style = any.parameters(&golden.floats("numbers"));
    for (width, height, step) in [(75, 53, 1), (384, 384, 4)] {
        let rgb = golden.bytes(&format!("input.{width}x{height}"));
        let every = if step == 4 { ".every4" } else { "" };
        let name = format!("output.{width}x{height}{every}");
        let thin = |painting: &[f32]| -> Vec<f32> {
            let rows = painting.chunks_exact(width * 3).step_by(step);
            let pixels = rows.flat_map(|row| row.chunks_exact(3).step_by(step));
            pixels.flatten().copied().collect()
        };
        let net = TransformNet::new(any.network(), &style, &Device::Cpu).unwrap();
        let x = Tensor::from_slice(&rgb, (1, height, width, 3), &Device::Cpu).unwrap();
        let x = x
            .permute((0, 3, 1, 2))
            .unwrap()
            .to_dtype(DType::F32)
            .unwrap();
        let y = net.forward(&(x / 255.0).unwrap()).unwrap();
        let y = y.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap();
        let candle = thin(&y.to_vec1::<f32>().unwrap());
        let expected = golden.floats(&name);
        let difference = largest_difference(&candle, &expected);
        println!("candle {width}x{height}: {difference:.1e}");
        assert!(difference < BOUND, "candle {width}x{height}: {difference}");

        use allaprima::kernels::Precision;
        for precision in [Precision::F32, Precision::Auto] {
            let config = TransformConfig {
                precision,
                ..TransformConfig::default()
            };
            let mut engine = TransformEngine::new(any.network(), config).unwrap();
            engine.set_style(&style).unwrap();
            let mut painting = vec![0.0; rgb.len()];
            engine
                .paint_f32(&rgb, width, height, &mut painting)
                .unwrap();
            let difference = mean_difference(&thin(&painting), &expected);
            println!("kernels {precision} {width}x{height}: {difference:.1e} in the mean");
            let bound = if precision == Precision::F32 {
                3e-4
            } else {
                5e-3
            };
            assert!(
                difference < bound,
                "{precision} {width}x{height}: {difference}"
            );
            if step == 4 {
                let int8 = golden.floats(&format!("{name}.int8"));
                let difference = mean_difference(&thin(&painting), &int8);
                println!("    from the int8 files {difference:.1e} in the mean");
                // The file's own graph, run in float, is as far away: it rounds every activation to 8 bits.
                assert!(difference <= 0.035, "{difference}");
            }
        }
    }
}

#[test]
fn people_are_where_mediapipe_sees_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/person.safetensors");
    let golden = AnyGolden(fs::read(path).unwrap());
    let bytes = ModelStore::embedded().unwrap().read(PERSON).unwrap();
    let net = PersonNet::new(&bytes).unwrap();
    let mask = net.forward(&golden.bytes("input.256x256"));
    let thin: Vec<f32> = mask
        .chunks_exact(256)
        .step_by(2)
        .flat_map(|row| row.iter().step_by(2).copied())
        .collect();
    let expected = golden.floats("output.256x256.every2");
    let difference = mean_difference(&thin, &expected);
    println!("{difference:.1e} in the mean");
    assert!(difference < 2e-3, "{difference}");
    let inside = expected.iter().filter(|p| **p > 0.5).count();
    assert!(
        inside > 4000,
        "the astronaut fills half of the picture: {inside}"
    );
}

/// Untrained students of three styles, the last of which paints the picture as it is.
fn students() -> Vec<(StudentFile, BTreeMap<String, Tensor>)> {
    let shapes = [
        (32, 8, [Upsampling::Shuffle; 2], None),
        (32, 16, [Upsampling::Shuffle, Upsampling::Nearest], Some(5)),
        (16, 8, [Upsampling::Nearest; 2], Some(9)),
        (16, 16, [Upsampling::Nearest, Upsampling::Shuffle], None),
    ];
    let student = |(seed, (width, detail, upsampling, refine))| {
        let config = StudentConfig {
            width,
            entry: 2,
            blocks: 2,
            detail,
            upsampling,
            refine,
        };
        let mut tensors = config.initial(3, seed, &Device::Cpu).unwrap();
        for (name, tensor) in &mut tensors {
            // Pixels of a block differ, and so do styles.
            let spread = if name.ends_with("weight") { 0.02 } else { 0.3 };
            let count = tensor.elem_count() as u32;
            let noise: Vec<f32> = (0..count)
                .map(|i| (i.wrapping_mul(2_654_435_761) >> 16) as f32 / 32_768.0 - 1.0)
                .collect();
            let noise = Tensor::from_vec(noise, tensor.dims(), &Device::Cpu).unwrap();
            *tensor = (&*tensor + (noise * spread).unwrap()).unwrap();
        }
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
        let file = StudentFile {
            config,
            styles: vec!["gravel".into(), "moss".into(), NEUTRAL.into()],
            training: serde_json::json!({ "seed": seed }),
            tensors: tensors
                .iter()
                .map(|(n, t)| (n.clone(), values(t)))
                .collect(),
        };
        (file, tensors)
    };
    (1..).zip(shapes).map(student).collect()
}

#[test]
fn students_paint_the_same_by_kernels_and_by_candle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.safetensors");
    for (file, tensors) in students() {
        fs::write(&path, file.to_bytes().unwrap()).unwrap();
        let pack = StylePack::open(&path).unwrap();
        let names: Vec<_> = pack.styles().iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["gravel", "moss"]);
        assert!(pack.neutral().is_some());
        let net = StudentNet::new(file.config, 3, &tensors).unwrap();
        let golden = Golden::load();
        for ((width, height), (case, weights)) in SIZES.into_iter().zip([
            ("gravel", [1.0_f32, 0.0, 0.0]),
            ("1", [0.0, 1.0, 0.0]),
            ("gravel:0.25,moss:0.75", [0.25, 0.75, 0.0]),
        ]) {
            let rgb = golden.input((width, height));
            let x = Tensor::from_slice(&rgb, (1, height, width, 3), &Device::Cpu).unwrap();
            let x = x
                .permute((0, 3, 1, 2))
                .unwrap()
                .to_dtype(DType::F32)
                .unwrap();
            let weights = Tensor::new(&[weights], &Device::Cpu).unwrap();
            let y = net.forward(&(x / 255.0).unwrap(), &weights).unwrap();
            let y = y.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap();
            let expected: Vec<f32> = y.to_vec1().unwrap();
            let spread = expected
                .iter()
                .fold(0.0_f32, |most, v| most.max((v - 0.5).abs()));
            assert!(spread > 0.2, "the painting is flat");
            for (way, painting) in [
                ("kernels", kernels(&pack, case, &rgb, (width, height))),
                ("candle", candle(&pack, case, &rgb, (width, height))),
            ] {
                let differences = expected.iter().zip(&painting).map(|(a, b)| (a - b).abs());
                let largest = differences.fold(0.0, f32::max);
                println!(
                    "{:?} {way} {width}x{height} {case}: {largest:.1e}",
                    file.config
                );
                assert!(largest < 1e-3, "{way} {width}x{height} {case}: {largest}");
            }
        }
    }
}

/// Eight pixels are packed at once, the last ones of a row singly.
#[test]
fn painted_bytes_are_the_rounded_values() {
    let (file, _) = students().swap_remove(0);
    let mut engine =
        TransformEngine::new(&file.network().unwrap(), TransformConfig::default()).unwrap();
    engine.set_style(&file.parameters().unwrap()[0]).unwrap();
    for (width, height) in [(64, 48), (75, 53), (33, 40), (49, 32)] {
        let rgb: Vec<u8> = (0..width * height * 3)
            .map(|i| (i * 7919 % 251) as u8)
            .collect();
        let (mut bytes, mut values) = (vec![0; rgb.len()], vec![0.0; rgb.len()]);
        engine.paint(&rgb, width, height, &mut bytes).unwrap();
        engine.paint_f32(&rgb, width, height, &mut values).unwrap();
        for (i, (byte, value)) in bytes.iter().zip(&values).enumerate() {
            let difference = (f32::from(*byte) - 255.0 * value).abs();
            assert!(
                difference < 0.501,
                "{width}x{height}, value {i}: {byte}, {value}"
            );
        }
    }
}

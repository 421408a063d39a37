//! VGG-16 up to conv5_1, the network whose features content and style are compared in.
//!
//! Simonyan and Zisserman: "Very Deep Convolutional Networks" (2014). Gatys et al. (2016) compare a painting with its
//! content by the features of one layer, and with its style by the correlations (Gram matrices) of several. The weights
//! stay frozen, so a gradient is only ever wanted for the picture. Here stands the network as candle tensors, for any
//! device and number type; on the processor the optimiser runs [`crate::kernels::LossNetwork`] instead, which is
//! checked against this.

use candle_core::{DType, Device, Result, Tensor};
use safetensors::SafeTensors;

use super::{weights::floats, wide_convolution::WideConvolution};
use crate::kernels::LossNetwork;
pub use crate::kernels::Pooling;

/// What is taken from R, G and B (0..255) before the first convolution.
pub const MEAN_RGB: [f32; 3] = [122.678_92, 116.668_77, 104.006_99];

/// Names of the layers of [`VggWeights::load`], after whose ReLU features are taken.
pub const LAYER_NAMES: [&str; 11] = [
    "relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3", "relu4_1",
    "relu4_2", "relu4_3", "relu5_1",
];

const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

/// One 3×3 convolution (zero padding 1) with its ReLU.
#[derive(Clone, Debug)]
pub struct VggLayer {
    /// Channels out.
    pub out_channels: usize,
    /// Channels in.
    pub in_channels: usize,
    /// `[out][in][3][3]`.
    pub weight: Vec<f32>,
    /// One per channel out.
    pub bias: Vec<f32>,
    /// Whether 2×2 pooling (stride 2, an odd row or column left out) comes before it.
    pub pooled: bool,
}

/// A chain of such layers; the first takes B, G, R with the mean taken off.
#[derive(Clone, Debug)]
pub struct VggWeights {
    /// In the order of execution.
    pub layers: Vec<VggLayer>,
}

impl VggWeights {
    /// Reads conv1_1 to conv5_1.
    ///
    /// # Errors
    /// A sentence that names the tensor that is missing or has a wrong shape.
    pub fn load(file: &SafeTensors<'_>) -> std::result::Result<Self, String> {
        let mut in_channels = 3;
        let mut layers = Vec::new();
        for name in LAYER_NAMES {
            let name = name.replace("relu", "conv");
            let block = usize::from(name.as_bytes()[4] - b'1');
            let out_channels = CHANNELS[block];
            let shape = [out_channels, in_channels, 3, 3];
            layers.push(VggLayer {
                out_channels,
                in_channels,
                weight: floats(file, &format!("{name}.weight"), &shape)?,
                bias: floats(file, &format!("{name}.bias"), &[out_channels])?,
                pooled: block > 0 && name.ends_with("_1"),
            });
            in_channels = out_channels;
        }
        Ok(Self { layers })
    }

    /// The network on the processor's kernels.
    #[must_use]
    pub fn on_processor(&self, pooling: Pooling) -> LossNetwork {
        let mut network = LossNetwork::new(pooling);
        for layer in &self.layers {
            let shape = (layer.out_channels, layer.in_channels);
            network.push(shape, &layer.weight, &layer.bias, layer.pooled);
        }
        network
    }
}

/// Planes of R, G, B (0..255) as the first convolution takes them: B, G, R with the mean taken off.
pub fn to_input(planes_rgb: &[f32], input: &mut Vec<f32>) {
    let pixels = planes_rgb.len() / 3;
    input.clear();
    for channel in [2, 1, 0] {
        let plane = &planes_rgb[channel * pixels..][..pixels];
        input.extend(plane.iter().map(|value| value - MEAN_RGB[channel]));
    }
}

/// Brings a gradient by what [`to_input`] made (B, G, R) into the order of the planes (R, G, B).
pub fn from_input(gradient: &mut [f32]) {
    let pixels = gradient.len() / 3;
    let (blue, rest) = gradient.split_at_mut(pixels);
    blue.swap_with_slice(&mut rest[pixels..]);
}

/// The number of the layer `name`, such as `relu4_2`.
#[must_use]
pub fn layer_number(name: &str) -> Option<usize> {
    LAYER_NAMES.iter().position(|layer| *layer == name)
}

enum Convolution {
    /// The processor's kernels, `f32`.
    Wide(WideConvolution),
    /// candle's own: other devices and number types. Its backward pass also makes the gradient of the weights.
    Candle { weight: Tensor, bias: Tensor },
}

/// The network as candle tensors.
pub struct Vgg16 {
    layers: Vec<(Convolution, bool)>,
    pooling: Pooling,
    mean: Tensor,
}

impl Vgg16 {
    /// Puts `weights` on `device`, to compute in `dtype`.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn new(
        weights: &VggWeights,
        pooling: Pooling,
        device: &Device,
        dtype: DType,
    ) -> Result<Self> {
        let layers = weights.layers.iter().map(|layer| {
            let shape = (layer.out_channels, layer.in_channels, 3, 3);
            let weight = Tensor::from_slice(&layer.weight, shape, device)?;
            let bias = Tensor::from_slice(&layer.bias, layer.out_channels, device)?;
            let convolution = if device.is_cpu() && dtype == DType::F32 {
                Convolution::Wide(WideConvolution::new(&weight, Some(&bias))?)
            } else {
                let bias = bias.reshape((1, layer.out_channels, 1, 1))?;
                Convolution::Candle {
                    weight: weight.to_dtype(dtype)?,
                    bias: bias.to_dtype(dtype)?,
                }
            };
            Ok((convolution, layer.pooled))
        });
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            pooling,
            mean: Tensor::new(&MEAN_RGB, device)?
                .to_dtype(dtype)?
                .reshape((1, 3, 1, 1))?,
        })
    }

    /// The features of `x_nchw` (N×3×H×W, RGB, 0..255) after the ReLU of each of the `layers` (numbers, ascending);
    /// nothing behind the last of them is computed.
    ///
    /// # Errors
    /// When the shape does not fit or the device fails.
    pub fn features(&self, x_nchw: &Tensor, layers: &[usize]) -> Result<Vec<Tensor>> {
        let reversed = Tensor::new(&[2_u32, 1, 0], x_nchw.device())?;
        let mut x = x_nchw
            .broadcast_sub(&self.mean)?
            .index_select(&reversed, 1)?;
        let mut features = Vec::new();
        let last = layers.iter().copied().max().map_or(0, |last| last + 1);
        for (number, (convolution, pooled)) in self.layers.iter().take(last).enumerate() {
            if *pooled {
                x = pool(&x, self.pooling)?;
            }
            x = match convolution {
                Convolution::Wide(wide) => wide.forward(&x)?,
                Convolution::Candle { weight, bias } => {
                    x.conv2d(weight, 1, 1, 1, 1)?.broadcast_add(bias)?
                }
            };
            x = x.relu()?;
            if layers.contains(&number) {
                features.push(x.clone());
            }
        }
        Ok(features)
    }
}

/// 2×2 pooling with stride 2. Composed, because candle's own has a wrong gradient (0.11.1: that of the maximum comes out
/// at a quarter) and none for odd sizes.
fn pool(x_nchw: &Tensor, pooling: Pooling) -> Result<Tensor> {
    let (n, c, height, width) = x_nchw.dims4()?;
    let (rows, columns) = (height / 2, width / 2);
    let pixels = x_nchw.narrow(2, 0, 2 * rows)?.narrow(3, 0, 2 * columns)?;
    let windows = pixels.reshape((n * c * rows, 2, columns, 2))?;
    let pooled = match pooling {
        Pooling::Max => windows.max(3)?.max(1)?,
        Pooling::Average => windows.mean(3)?.mean(1)?,
    };
    pooled.reshape((n, c, rows, columns))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernels::Tape;
    use candle_core::Var;

    /// A chain of layers with pseudo-random weights.
    pub(crate) fn small(channels: &[(usize, bool)]) -> VggWeights {
        let mut in_channels = 3;
        let mut state = 12_345_u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let layers = channels.iter().map(|&(out_channels, pooled)| {
            let scale = (6.0 / (9.0 * in_channels as f32)).sqrt();
            let layer = VggLayer {
                out_channels,
                in_channels,
                weight: (0..out_channels * in_channels * 9)
                    .map(|_| scale * random())
                    .collect(),
                bias: (0..out_channels).map(|_| 0.1 * random()).collect(),
                pooled,
            };
            in_channels = out_channels;
            layer
        });
        VggWeights {
            layers: layers.collect(),
        }
    }

    #[test]
    fn features_are_those_of_onnxruntime() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |name: &str| std::fs::read(root.join(name)).unwrap();
        let (model, golden) = (
            read("models/vgg16.safetensors"),
            read("tests/golden/vgg16.safetensors"),
        );
        let weights = VggWeights::load(&SafeTensors::deserialize(&model).unwrap()).unwrap();
        let golden = SafeTensors::deserialize(&golden).unwrap();
        let device = Device::Cpu;
        let network = Vgg16::new(&weights, Pooling::Max, &device, DType::F32).unwrap();
        let pixels = golden.tensor("input.64x48").unwrap();
        let x = Tensor::from_slice(pixels.data(), (1, 48, 64, 3), &device).unwrap();
        let x = x
            .permute((0, 3, 1, 2))
            .unwrap()
            .to_dtype(DType::F32)
            .unwrap();
        let all: Vec<usize> = (0..LAYER_NAMES.len()).collect();
        let features = network.features(&x, &all).unwrap();
        for (name, features) in LAYER_NAMES.iter().zip(&features) {
            let channels = features.dim(1).unwrap();
            let expected = floats(&golden, &format!("{name}.mean"), &[channels]).unwrap();
            let means = features.mean((0, 2, 3)).unwrap().to_vec1::<f32>().unwrap();
            let largest = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
            for (a, b) in means.iter().zip(&expected) {
                assert!((a - b).abs() < 2e-5 * largest, "{name}: {a} {b}");
            }
        }
        let expected = floats(&golden, "relu5_1", &[512, 3, 4]).unwrap();
        let last = features[10]
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        let largest = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        for (a, b) in last.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-4 * largest, "{a} {b}");
        }
    }

    #[test]
    fn the_kernels_agree_with_candle_forward_and_backward() {
        let weights = small(&[(8, false), (12, false), (16, true), (16, false), (20, true)]);
        let wanted = [0, 1, 3, 4];
        for pooling in [Pooling::Max, Pooling::Average] {
            for (height, width) in [(16, 20), (23, 17)] {
                let device = Device::Cpu;
                let x = Tensor::randn(128_f32, 50.0, (1, 3, height, width), &device).unwrap();
                let x = Var::from_tensor(&x).unwrap();
                let reference = Vgg16::new(&weights, pooling, &device, DType::F32).unwrap();
                let features = reference.features(&x, &wanted).unwrap();
                // The loss is half the sum of squares, so the gradient by the features is the features.
                let loss = features.iter().map(|f| f.sqr().unwrap().sum_all().unwrap());
                let loss = (loss.reduce(|a, b| (a + b).unwrap()).unwrap() * 0.5).unwrap();
                let expected = loss.backward().unwrap().get(&x).unwrap().clone();
                let expected = expected.flatten_all().unwrap().to_vec1::<f32>().unwrap();

                let network = weights.on_processor(pooling);
                let planes = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let mut input = Vec::new();
                to_input(&planes, &mut input);
                let (mut tape, mut gradient) = (Tape::default(), vec![0.0; planes.len()]);
                // Twice: what the first pass left behind must not matter.
                for _ in 0..2 {
                    network.forward(&mut tape, &input, (height, width), &wanted);
                    for (layer, features) in wanted.iter().zip(&features) {
                        let features = features.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                        for (a, b) in tape.features(*layer).iter().zip(&features) {
                            assert!((a - b).abs() < 1e-2, "{a} {b}");
                        }
                    }
                    let add = |_, features: &[f32], gradient: &mut [f32]| {
                        gradient.iter_mut().zip(features).for_each(|(g, f)| *g += f);
                    };
                    network.backward(&mut tape, &wanted, add, &mut gradient);
                }
                from_input(&mut gradient);
                let largest = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
                for (a, b) in gradient.iter().zip(&expected) {
                    assert!(
                        (a - b).abs() < 1e-4 * largest,
                        "{pooling:?} {a} {b} of {largest}"
                    );
                }
            }
        }
    }
}

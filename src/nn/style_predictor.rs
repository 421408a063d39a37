//! The style predictor of Ghiasi et al. 2017 ("Exploring the structure of a real-time, arbitrary neural artistic
//! stylization network"): a picture of a style becomes 100 numbers.
//!
//! A MobileNetV2 (Sandler et al. 2018) looks at the picture at 256×256: a 3×3 stem, 17 inverted residual blocks (widen
//! by a 1×1 convolution, filter each channel by a depthwise 3×3, narrow by another 1×1), a 1×1 head, the mean over the
//! picture, and a last linear map. Batch normalisation is folded into weights and biases.

use candle_core::{DType, Device, Result, Tensor};
use safetensors::SafeTensors;

use super::{
    depthwise::DepthwiseConvolution,
    elementwise::{Activation, Joint, join},
    weights::floats,
};

/// Side of the picture that is looked at, in pixels.
pub const INPUT_SIDE: usize = 256;

/// Numbers that describe a style.
pub const STYLE_NUMBERS: usize = 100;

/// Blocks of one width: how many, output channels, stride of the first, how much wider a block is inside.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (2, 24, 2, 6),
    (3, 32, 2, 6),
    (4, 64, 2, 6),
    (3, 96, 1, 6),
    (3, 160, 2, 6),
    (1, 320, 1, 6),
];
const STEM: usize = 32;
const HEAD: usize = 1280;

/// A 1×1 convolution: a matrix over the channels.
#[derive(Debug)]
struct Pointwise {
    /// O×I.
    weight: Tensor,
    /// 1×O×1×1.
    bias: Tensor,
}

#[derive(Debug)]
struct Block {
    expand: Option<Pointwise>,
    depthwise: DepthwiseConvolution,
    depthwise_bias: Tensor,
    project: Pointwise,
    skip: bool,
}

/// The network on a device, in `f32`.
#[derive(Debug)]
pub struct StylePredictor {
    device: Device,
    stem: Tensor,
    stem_bias: Tensor,
    blocks: Vec<Block>,
    head: Pointwise,
    style: Pointwise,
}

impl StylePredictor {
    /// Puts the weights of `file` on `device`.
    ///
    /// # Errors
    /// A sentence: which tensor is missing or has a wrong shape, or what the device said.
    pub fn new(file: &SafeTensors<'_>, device: &Device) -> std::result::Result<Self, String> {
        let load = Load { file, device };
        let mut blocks = Vec::new();
        let mut channels = STEM;
        for (repeat, out_channels, stride, factor) in STAGES {
            for index in 0..repeat {
                let name = format!("block.{}", blocks.len());
                let inner = channels * factor;
                let expand = (factor > 1)
                    .then(|| load.pointwise(&format!("{name}.expand"), inner, channels))
                    .transpose()?;
                let depthwise =
                    load.tensor(&format!("{name}.depthwise.weight"), &[inner, 1, 3, 3])?;
                let stride = if index == 0 { stride } else { 1 };
                blocks.push(Block {
                    expand,
                    depthwise: DepthwiseConvolution::new(depthwise, stride)
                        .map_err(|error| error.to_string())?,
                    depthwise_bias: load.bias(&format!("{name}.depthwise"), inner)?,
                    project: load.pointwise(&format!("{name}.project"), out_channels, inner)?,
                    skip: index > 0,
                });
                channels = out_channels;
            }
        }
        Ok(Self {
            device: device.clone(),
            stem: load.tensor("stem.weight", &[STEM, 3, 3, 3])?,
            stem_bias: load.bias("stem", STEM)?,
            blocks,
            head: load.pointwise("head", HEAD, channels)?,
            style: load.pointwise("style", STYLE_NUMBERS, HEAD)?,
        })
    }

    /// The style of `rgb`, 256 rows of 256 pixels of 3 bytes: [`STYLE_NUMBERS`] numbers.
    ///
    /// # Errors
    /// When the device fails.
    pub fn predict(&self, rgb: &[u8]) -> Result<Vec<f32>> {
        let x = Tensor::from_slice(rgb, (1, INPUT_SIDE, INPUT_SIDE, 3), &self.device)?;
        let x = (x.permute((0, 3, 1, 2))?.to_dtype(DType::F32)? / 255.0)?.contiguous()?;
        let x = x.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?;
        let x = x.conv2d(&self.stem, 0, 2, 1, 1)?;
        let mut x = join(&x, &self.stem_bias, Joint::Add, Activation::Relu6)?;
        for block in &self.blocks {
            let mut y = match &block.expand {
                Some(expand) => expand.forward(&x, Activation::Relu6)?,
                None => x.clone(),
            };
            y = block.depthwise.forward(&y)?;
            y = join(&y, &block.depthwise_bias, Joint::Add, Activation::Relu6)?;
            y = block.project.forward(&y, Activation::Identity)?;
            x = if block.skip {
                join(&x, &y, Joint::Add, Activation::Identity)?
            } else {
                y
            };
        }
        let x = self.head.forward(&x, Activation::Relu6)?;
        let mean = x.mean_keepdim(3)?.mean_keepdim(2)?;
        let numbers = self.style.forward(&mean, Activation::Identity)?;
        numbers.flatten_all()?.to_vec1()
    }
}

impl Pointwise {
    fn forward(&self, x_nchw: &Tensor, activation: Activation) -> Result<Tensor> {
        let (_, channels, height, width) = x_nchw.dims4()?;
        let flat = x_nchw.reshape((channels, height * width))?;
        let y = self.weight.matmul(&flat)?;
        let y = y.reshape((1, y.dim(0)?, height, width))?;
        join(&y, &self.bias, Joint::Add, activation)
    }
}

struct Load<'a> {
    file: &'a SafeTensors<'a>,
    device: &'a Device,
}

impl Load<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> std::result::Result<Tensor, String> {
        Tensor::from_vec(floats(self.file, name, shape)?, shape, self.device)
            .map_err(|error| error.to_string())
    }

    /// 1×C×1×1.
    fn bias(&self, layer: &str, channels: usize) -> std::result::Result<Tensor, String> {
        self.tensor(&format!("{layer}.bias"), &[channels])?
            .reshape((1, channels, 1, 1))
            .map_err(|error| error.to_string())
    }

    fn pointwise(
        &self,
        layer: &str,
        out_channels: usize,
        in_channels: usize,
    ) -> std::result::Result<Pointwise, String> {
        let weight = self.tensor(
            &format!("{layer}.weight"),
            &[out_channels, in_channels, 1, 1],
        )?;
        Ok(Pointwise {
            weight: weight
                .reshape((out_channels, in_channels))
                .map_err(|error| error.to_string())?,
            bias: self.bias(layer, out_channels)?,
        })
    }
}

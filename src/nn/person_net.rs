//! Who is a person in a picture: MediaPipe's selfie segmenter, a MobileNetV3 (Howard et al. 2019) with a small decoder.
//!
//! The model file lists the network's steps in the order of execution, so this is an interpreter of eleven kinds of them.
//! It sees the picture squeezed to 256×256, and is cheap: 1×1 convolutions are matrix products, depthwise ones are
//! [`DepthwiseConvolution`].

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor};
use safetensors::SafeTensors;
use serde::Deserialize;

use super::{
    depthwise::DepthwiseConvolution,
    elementwise::{Activation, Joint, join},
    weights::floats,
};

/// Side of the picture that is looked at and of the answer, in pixels.
pub const SIDE: usize = 256;

/// A step as the file has it.
#[derive(Debug, Deserialize)]
struct Step {
    op: String,
    #[serde(rename = "in")]
    inputs: Vec<usize>,
    out: usize,
    #[serde(default)]
    name: String,
    #[serde(default)]
    stride: usize,
}

/// What a step does.
#[derive(Debug)]
enum Op {
    Relu,
    HardSwish,
    Sigmoid,
    Multiply,
    Add,
    /// Over the whole plane.
    Mean,
    /// Bilinear, twice as large.
    Double,
    /// 1×1, or larger with a stride of 2.
    Convolution {
        weight: Tensor,
        bias: Tensor,
        stride: usize,
    },
    Depthwise {
        convolution: DepthwiseConvolution,
        bias: Tensor,
    },
    /// Transposed convolution of 2×2 with stride 2: each pixel becomes a block of four.
    Spread {
        /// 4×I.
        weight: Tensor,
        bias: f64,
    },
}

/// The network on a device, in `f32`.
#[derive(Debug)]
pub struct PersonNet {
    device: Device,
    first: usize,
    steps: Vec<(Op, Vec<usize>, usize)>,
}

impl PersonNet {
    /// Reads steps and weights of a model file.
    ///
    /// # Errors
    /// A sentence: what is missing or not understood, or what the device said.
    pub fn new(bytes: &[u8], device: &Device) -> std::result::Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let facts = header.metadata().clone().unwrap_or_default();
        let fact = |name: &str| facts.get(name).ok_or(format!("{name} is not stated"));
        let listed: Vec<Step> =
            serde_json::from_str(fact("steps")?).map_err(|error| error.to_string())?;
        let first = fact("first")?
            .parse()
            .map_err(|_| "first is no number".to_owned())?;
        let mut steps = Vec::new();
        for step in listed {
            let op = Op::new(&file, &step, device)?;
            steps.push((op, step.inputs, step.out));
        }
        Ok(Self {
            device: device.clone(),
            first,
            steps,
        })
    }

    /// How likely each pixel of `rgb` (256 rows of 256 pixels of 3 bytes) is part of a person: 256×256 numbers, 0..1.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, rgb: &[u8]) -> Result<Vec<f32>> {
        let x = Tensor::from_slice(rgb, (1, SIDE, SIDE, 3), &self.device)?;
        let x = (x.permute((0, 3, 1, 2))?.to_dtype(DType::F32)? / 255.0)?.contiguous()?;
        let mut values = HashMap::from([(self.first, x)]);
        let mut last = self.first;
        for (op, inputs, out) in &self.steps {
            let input = |i: usize| {
                inputs
                    .get(i)
                    .and_then(|name| values.get(name))
                    .ok_or_else(|| candle_core::Error::Msg(format!("step {out} has no input")))
            };
            let first = input(0)?;
            let value = match op {
                Op::Multiply => join(first, input(1)?, Joint::Multiply, Activation::Identity)?,
                Op::Add => join(first, input(1)?, Joint::Add, Activation::Identity)?,
                op => op.apply(first)?,
            };
            values.insert(*out, value);
            last = *out;
        }
        match values.remove(&last) {
            Some(value) => value.flatten_all()?.to_vec1(),
            None => candle_core::bail!("the network has no steps"),
        }
    }
}

impl Op {
    fn new(
        file: &SafeTensors<'_>,
        step: &Step,
        device: &Device,
    ) -> std::result::Result<Self, String> {
        let load = |what: &str| -> std::result::Result<Tensor, String> {
            let name = format!("{}.{what}", step.name);
            let shape = file
                .tensor(&name)
                .map_err(|_| format!("tensor {name} is missing"))?
                .shape()
                .to_vec();
            Tensor::from_vec(floats(file, &name, &shape)?, shape, device)
                .map_err(|error| error.to_string())
        };
        let bias = || -> Result<Tensor> {
            let bias = load("bias").map_err(candle_core::Error::Msg)?;
            bias.reshape((1, bias.elem_count(), 1, 1))
        };
        let text = |error: candle_core::Error| error.to_string();
        Ok(match step.op.as_str() {
            "relu" => Self::Relu,
            "hard_swish" => Self::HardSwish,
            "sigmoid" => Self::Sigmoid,
            "mul" => Self::Multiply,
            "add" => Self::Add,
            "mean" => Self::Mean,
            "double" => Self::Double,
            "conv" => Self::Convolution {
                weight: load("weight")?,
                bias: bias().map_err(text)?,
                stride: step.stride,
            },
            "depthwise" => Self::Depthwise {
                convolution: DepthwiseConvolution::new(load("weight")?, step.stride)
                    .map_err(text)?,
                bias: bias().map_err(text)?,
            },
            "spread" => {
                let weight = load("weight")?;
                let channels = weight.dim(1).map_err(text)?;
                let weight = weight
                    .permute((2, 3, 0, 1))
                    .and_then(|w| w.reshape((4, channels)))
                    .map_err(text)?;
                let bias = load("bias")?.to_vec1::<f32>().map_err(text)?;
                Self::Spread {
                    weight,
                    bias: f64::from(bias[0]),
                }
            }
            other => return Err(format!("step {other} is not known")),
        })
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = x.dims4()?;
        match self {
            Self::Relu => Activation::Relu.apply(x),
            Self::HardSwish => Activation::HardSwish.apply(x),
            // The logistic function by tanh, which every device has.
            Self::Sigmoid => (((x * 0.5)?.tanh()? + 1.0)? * 0.5)?.contiguous(),
            Self::Multiply | Self::Add => Ok(x.clone()),
            Self::Mean => x.mean_keepdim(3)?.mean_keepdim(2),
            Self::Double => x.upsample_bilinear2d(2 * height, 2 * width, false),
            Self::Convolution {
                weight,
                bias,
                stride: 1,
            } if weight.dim(2)? == 1 => {
                let flat = x.contiguous()?.reshape((channels, height * width))?;
                let y = weight.reshape((weight.dim(0)?, channels))?.matmul(&flat)?;
                let y = y.reshape((1, weight.dim(0)?, height, width))?;
                join(&y, bias, Joint::Add, Activation::Identity)
            }
            Self::Convolution {
                weight,
                bias,
                stride,
            } => {
                let all = weight.dim(2)? - stride;
                let (before, after) = (all / 2, all - all / 2);
                let y = x
                    .pad_with_zeros(2, before, after)?
                    .pad_with_zeros(3, before, after)?
                    .conv2d(weight, 0, *stride, 1, 1)?;
                join(&y, bias, Joint::Add, Activation::Identity)
            }
            Self::Depthwise { convolution, bias } => {
                let y = convolution.forward(x)?;
                join(&y, bias, Joint::Add, Activation::Identity)
            }
            Self::Spread { weight, bias } => {
                let flat = x.contiguous()?.reshape((channels, height * width))?;
                let blocks = weight.matmul(&flat)?.reshape((2, 2, height, width))?;
                let plane = blocks.permute((2, 0, 3, 1))?.contiguous()?;
                plane.reshape((1, 1, 2 * height, 2 * width))? + *bias
            }
        }
    }
}

//! Who is a person in a picture: MediaPipe's selfie segmenter, a MobileNetV3 (Howard et al. 2019) with a small decoder.
//!
//! The model file lists the network's steps in the order of execution, so this is an interpreter of a dozen kinds of them,
//! over planes of plain numbers ([`planes`]). It always runs on the processor: 60 million multiply-adds, for a picture
//! squeezed to 256×256. All sizes are known from the file, so what could go wrong is found out when it is read. An
//! activation that nothing but the following steps needs is applied by the convolution before it, and the memory of a plane
//! is used again after the last step that reads it.

mod planes;

use planes::{Activation, Size};
use safetensors::SafeTensors;
use serde::Deserialize;

use super::weights::floats;

/// Side of the picture that is looked at and of the answer, in pixels.
pub const SIDE: usize = 256;

/// A step as the file has it.
#[derive(Debug, Deserialize)]
struct Listed {
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
    Activate(Activation),
    Sigmoid,
    /// By a number for each channel.
    Gate,
    Add,
    /// Over the whole plane.
    Mean,
    /// Bilinear, twice as large.
    Double,
    /// 3×3 with stride 2, of the picture.
    Enter(Convolution),
    /// 1×1.
    Pointwise(Convolution),
    /// Weights are `[tap][channel]`.
    Depthwise {
        convolution: Convolution,
        kernel: usize,
        stride: usize,
    },
    /// Transposed convolution of 2×2 with stride 2 to one channel, `[channel][4]`.
    Spread {
        weights: Vec<f32>,
        bias: f32,
    },
}

/// Weights `[input][output]`, and what follows.
#[derive(Debug)]
struct Convolution {
    weights: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
}

#[derive(Debug)]
struct Step {
    op: Op,
    /// Numbers of planes.
    inputs: Vec<usize>,
    out: usize,
    size: Size,
    /// Planes that no later step reads.
    done: Vec<usize>,
}

/// The network, in `f32`.
#[derive(Debug)]
pub struct PersonNet {
    steps: Vec<Step>,
    /// Sizes of the planes by number.
    sizes: Vec<Option<Size>>,
}

/// What a picture is.
const PICTURE: Size = Size {
    height: SIDE,
    width: SIDE,
    channels: 3,
};

impl PersonNet {
    /// Reads steps and weights of a model file.
    ///
    /// # Errors
    /// A sentence: what is missing, not understood or does not fit.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let facts = header.metadata().clone().unwrap_or_default();
        let fact = |name: &str| facts.get(name).ok_or(format!("{name} is not stated"));
        let listed: Vec<Listed> =
            serde_json::from_str(fact("steps")?).map_err(|error| error.to_string())?;
        let first: usize = fact("first")?
            .parse()
            .map_err(|_| "first is no number".to_owned())?;
        let planes = listed
            .iter()
            .map(|step| step.out)
            .max()
            .unwrap_or(0)
            .max(first)
            + 1;
        if planes > 4096 {
            return Err(format!("it has {planes} planes, which are too many"));
        }
        let mut sizes = vec![None; planes];
        sizes[first] = Some(PICTURE);
        let mut steps: Vec<Step> = Vec::new();
        for step in &listed {
            let found = step
                .inputs
                .iter()
                .map(|input| sizes.get(*input).copied().flatten());
            let inputs: Vec<Size> = found
                .collect::<Option<_>>()
                .filter(|inputs: &Vec<Size>| !inputs.is_empty())
                .ok_or_else(|| format!("step {} has no input", step.out))?;
            let uses = |plane: usize| listed.iter().filter(|s| s.inputs.contains(&plane)).count();
            let (op, size) = Op::new(&file, step, &inputs)?;
            if let (Op::Activate(activation), Some(before)) = (&op, steps.last_mut())
                && before.out == step.inputs[0]
                && uses(before.out) == 1
                && let Some(convolution) = before.op.convolution()
            {
                convolution.activation = *activation;
                before.out = step.out;
            } else {
                let inputs = step.inputs.clone();
                steps.push(Step {
                    op,
                    inputs,
                    out: step.out,
                    size,
                    done: Vec::new(),
                });
            }
            sizes[step.out] = Some(size);
        }
        let answer = Size {
            height: SIDE,
            width: SIDE,
            channels: 1,
        };
        match steps.last() {
            Some(last) if last.size == answer => {}
            _ => return Err("its answer is no mask of 256x256".into()),
        }
        for plane in 0..planes {
            let reader = steps.iter().rposition(|step| step.inputs.contains(&plane));
            if let Some(reader) = reader {
                steps[reader].done.push(plane);
            }
        }
        Ok(Self { steps, sizes })
    }

    /// How likely each pixel of `rgb` (256 rows of 256 pixels of 3 bytes) is part of a person: 256×256 numbers, 0..1.
    ///
    /// # Panics
    /// When the picture has another size.
    #[must_use]
    pub fn forward(&self, rgb: &[u8]) -> Vec<f32> {
        assert_eq!(rgb.len(), PICTURE.len());
        let mut planes: Vec<Vec<f32>> = vec![Vec::new(); self.sizes.len()];
        let mut spare: Vec<Vec<f32>> = Vec::new();
        let mut last = 0;
        for step in &self.steps {
            let mut out = spare.pop().unwrap_or_default();
            out.resize(step.size.len(), 0.0);
            let inputs: Vec<&[f32]> = step.inputs.iter().map(|n| planes[*n].as_slice()).collect();
            let size = self.sizes[step.inputs[0]].unwrap_or(PICTURE);
            step.op.apply(rgb, &inputs, size, step.size, &mut out);
            for done in &step.done {
                spare.push(std::mem::take(&mut planes[*done]));
            }
            planes[step.out] = out;
            last = step.out;
        }
        std::mem::take(&mut planes[last])
    }
}

impl Op {
    fn convolution(&mut self) -> Option<&mut Convolution> {
        match self {
            Self::Enter(convolution)
            | Self::Pointwise(convolution)
            | Self::Depthwise { convolution, .. } => Some(convolution),
            _ => None,
        }
    }

    /// The operation of a step, and the size of what it makes.
    fn new(file: &SafeTensors<'_>, step: &Listed, inputs: &[Size]) -> Result<(Self, Size), String> {
        let load = |what: &str| -> Result<(Vec<f32>, Vec<usize>), String> {
            let name = format!("{}.{what}", step.name);
            let shape = file
                .tensor(&name)
                .map_err(|_| format!("tensor {name} is missing"))?
                .shape()
                .to_vec();
            Ok((floats(file, &name, &shape)?, shape))
        };
        let wrong = |what: &str| format!("step {}: {what}", step.out);
        let size = inputs[0];
        let same = |size: Size, op: Self| Ok((op, size));
        let convolution = |weights: Vec<f32>, outputs: usize| {
            let (bias, _) = load("bias")?;
            if bias.len() != outputs || !outputs.is_multiple_of(8) {
                return Err(wrong("its outputs are no multiple of 8, each with a bias"));
            }
            let activation = Activation::Identity;
            Ok(Convolution {
                weights,
                bias,
                activation,
            })
        };
        match step.op.as_str() {
            "relu" => same(size, Self::Activate(Activation::Relu)),
            "hard_swish" => same(size, Self::Activate(Activation::HardSwish)),
            "sigmoid" => same(size, Self::Sigmoid),
            "add" | "mul" => {
                let gate = Size {
                    height: 1,
                    width: 1,
                    ..size
                };
                match (step.op.as_str(), inputs) {
                    ("add", [_, other]) if *other == size => same(size, Self::Add),
                    ("mul", [_, other]) if *other == gate => same(size, Self::Gate),
                    _ => Err(wrong("its two inputs do not fit")),
                }
            }
            "mean" => same(
                Size {
                    height: 1,
                    width: 1,
                    ..size
                },
                Self::Mean,
            ),
            "double" => {
                let (height, width) = (2 * size.height, 2 * size.width);
                same(
                    Size {
                        height,
                        width,
                        ..size
                    },
                    Self::Double,
                )
            }
            "conv" => {
                let (weights, shape) = load("weight")?;
                let [outputs, channels, height, width] = shape[..] else {
                    return Err(wrong("its weights have no four sides"));
                };
                // O×I×K×K to [tap][input][output].
                let table = turned(&weights, outputs, channels, height * width);
                let made = Size {
                    channels: outputs,
                    ..size
                };
                match (height, width, step.stride) {
                    (1, 1, 0 | 1) if channels == size.channels => {
                        Ok((Self::Pointwise(convolution(table, outputs)?), made))
                    }
                    (3, 3, 2) if size == PICTURE && channels == 3 => {
                        let (height, width) = (SIDE / 2, SIDE / 2);
                        let made = Size {
                            height,
                            width,
                            ..made
                        };
                        Ok((Self::Enter(convolution(table, outputs)?), made))
                    }
                    _ => Err(wrong("such a convolution is not known")),
                }
            }
            "depthwise" => {
                let (weights, shape) = load("weight")?;
                let [outputs, 1, kernel, width] = shape[..] else {
                    return Err(wrong("its weights are not C x 1 x K x K"));
                };
                let stride = step.stride.max(1);
                let fits = outputs == size.channels && kernel == width && kernel % 2 == 1;
                let even = size.height.is_multiple_of(stride) && size.width.is_multiple_of(stride);
                if !fits || !even || stride > 2 || size.height < kernel || size.width < kernel {
                    return Err(wrong("such a depthwise convolution is not known"));
                }
                let taps = turned(&weights, outputs, 1, kernel * kernel);
                let convolution = convolution(taps, outputs)?;
                let (height, width) = (size.height / stride, size.width / stride);
                let op = Self::Depthwise {
                    convolution,
                    kernel,
                    stride,
                };
                Ok((
                    op,
                    Size {
                        height,
                        width,
                        ..size
                    },
                ))
            }
            "spread" => {
                let (weights, shape) = load("weight")?;
                let (bias, _) = load("bias")?;
                if shape != [1, size.channels, 2, 2] || bias.len() != 1 {
                    return Err(wrong("its weights are not 1 x C x 2 x 2"));
                }
                let (height, width) = (2 * size.height, 2 * size.width);
                let made = Size {
                    height,
                    width,
                    channels: 1,
                };
                Ok((
                    Self::Spread {
                        weights,
                        bias: bias[0],
                    },
                    made,
                ))
            }
            other => Err(format!("step {other} is not known")),
        }
    }

    fn apply(&self, rgb: &[u8], inputs: &[&[f32]], size: Size, made: Size, out: &mut [f32]) {
        let x = inputs[0];
        match self {
            Self::Activate(activation) => {
                out.copy_from_slice(x);
                planes::activate(*activation, out);
            }
            Self::Sigmoid => {
                out.copy_from_slice(x);
                planes::sigmoid(out);
            }
            Self::Gate => planes::gate(x, inputs[1], out),
            Self::Add => planes::add(x, inputs[1], out),
            Self::Mean => planes::mean(x, out),
            Self::Double => planes::double(x, size, out),
            Self::Enter(c) => {
                let mut patches = vec![0.0; 9 * PICTURE.len() / 4];
                planes::patches(rgb, PICTURE, &mut patches);
                planes::pointwise(&patches, &c.weights, &c.bias, made.row(), c.activation, out);
            }
            Self::Pointwise(c) => {
                planes::pointwise(x, &c.weights, &c.bias, made.row(), c.activation, out);
            }
            Self::Depthwise {
                convolution: c,
                kernel,
                stride,
            } => {
                let taps = (c.weights.as_slice(), *kernel, *stride);
                planes::depthwise(x, size, taps, &c.bias, c.activation, out);
            }
            Self::Spread { weights, bias } => planes::spread(x, size, weights, *bias, out),
        }
    }
}

/// Weights `[output][input][tap]` as `[tap][input][output]`.
fn turned(weights: &[f32], outputs: usize, inputs: usize, taps: usize) -> Vec<f32> {
    let mut table = vec![0.0; weights.len()];
    for (at, value) in weights.iter().enumerate() {
        let (output, input, tap) = (at / (inputs * taps), at / taps % inputs, at % taps);
        table[(tap * inputs + input) * outputs + output] = *value;
    }
    table
}

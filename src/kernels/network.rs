//! The shape of the feed-forward networks: what is convolved, in which order, and which numbers a style holds.

use super::KernelError;

/// Weights of one convolution without bias.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvolutionWeights {
    /// Output channels.
    pub out_channels: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Height and width of the kernel, odd.
    pub kernel_size: usize,
    /// `[out_channels][in_channels][kernel_size][kernel_size]`.
    pub weight: Vec<f32>,
}

/// How a network comes from the picture to its trunk, at a quarter of the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Three contracting convolutions, 9×9, then two 3×3 of stride 2, with so many output channels; normalised by the
    /// style, or with a bias each. Such a network expands behind nearest upsampling.
    Contract {
        /// Output channels.
        channels: [usize; 3],
        /// Whether the style normalises them.
        normalised: bool,
    },
    /// Each block of 4×4 pixels is one pixel of 48 channels, `[row in the block][column in the block][colour]`, and 3×3
    /// convolutions make so many of them. Such a network expands by pixel shuffle.
    Unshuffle {
        /// Output channels.
        channels: usize,
        /// How many convolutions, 1 or 2.
        layers: usize,
    },
}

/// How a layer doubles the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upsample {
    /// Its convolution stands behind nearest ×2 upsampling.
    Nearest,
    /// Its convolution makes four times its channels, `[row][column][channel]` of a 2×2 block (Shi et al. 2016).
    Shuffle,
}

/// The shape of a transform network: an entry, residual blocks of two 3×3 convolutions over the trunk, two expanding 3×3
/// convolutions, and as a rule a last one at full size, to three channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkShape {
    /// From the picture to the trunk.
    pub entry: Entry,
    /// Number of residual blocks.
    pub blocks: usize,
    /// Output channels of the two expanding convolutions; the second makes the three colours where nothing follows.
    pub expand: [usize; 2],
    /// Side of the kernel of the last convolution, 5 or 9, if there is one.
    pub last_kernel: Option<usize>,
}

/// One layer of a [`NetworkShape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    /// Output channels.
    pub out_channels: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Height and width of the kernel.
    pub kernel_size: usize,
    /// Pixels between two places of the kernel.
    pub stride: usize,
    /// How it doubles the size, if it does.
    pub upsample: Option<Upsample>,
    /// Whether a ReLU follows.
    pub relu: bool,
    /// Whether instance normalisation with the style's scale and shift follows; if not it has a bias.
    pub normalised: bool,
}

impl LayerShape {
    /// Outputs of the layer's kernel: its channels, or those of the four pixels of a block.
    #[must_use]
    pub const fn kernel_outputs(&self) -> usize {
        match self.upsample {
            Some(Upsample::Shuffle) => 4 * self.out_channels,
            _ => self.out_channels,
        }
    }
}

impl NetworkShape {
    /// The network of 26 styles (Dumoulin et al. 2017).
    pub const STYLE_PACK: Self = Self {
        entry: Entry::Contract {
            channels: [32, 32, 32],
            normalised: true,
        },
        blocks: 6,
        expand: [8, 4],
        last_kernel: Some(9),
    };
    /// The network whose style is predicted from any picture (Ghiasi et al. 2017).
    pub const ANY_PICTURE: Self = Self {
        entry: Entry::Contract {
            channels: [8, 16, 32],
            normalised: false,
        },
        blocks: 5,
        expand: [16, 8],
        last_kernel: Some(9),
    };

    /// Number of convolutions.
    #[must_use]
    pub const fn layers(&self) -> usize {
        self.expanding() + 2 + self.last_kernel.is_some() as usize
    }

    /// The layers in network order.
    pub fn iter(self) -> impl Iterator<Item = LayerShape> {
        (0..self.layers()).map(move |layer| self.layer(layer))
    }

    /// The first layer of the residual blocks.
    #[must_use]
    pub const fn residual(&self) -> usize {
        match self.entry {
            Entry::Contract { .. } => 3,
            Entry::Unshuffle { layers, .. } => layers,
        }
    }

    /// The first layer that expands.
    #[must_use]
    pub const fn expanding(&self) -> usize {
        self.residual() + 2 * self.blocks
    }

    /// Channels of the trunk.
    pub(crate) const fn trunk(&self) -> usize {
        match self.entry {
            Entry::Contract { channels, .. } => channels[2],
            Entry::Unshuffle { channels, .. } => channels,
        }
    }

    /// A layer, in network order.
    #[must_use]
    pub const fn layer(&self, layer: usize) -> LayerShape {
        let (residual, expanding) = (self.residual(), self.expanding());
        let (mut stride, mut upsample, mut relu, mut normalised) = (1, None, true, true);
        let (out_channels, in_channels, kernel_size) = if layer < residual {
            match self.entry {
                Entry::Contract {
                    channels,
                    normalised: by_style,
                } => {
                    normalised = by_style;
                    if layer == 0 {
                        (channels[0], 3, 9)
                    } else {
                        stride = 2;
                        (channels[layer], channels[layer - 1], 3)
                    }
                }
                Entry::Unshuffle { channels, .. } => {
                    (channels, if layer == 0 { UNSHUFFLED } else { channels }, 3)
                }
            }
        } else if layer < expanding {
            relu = (layer - residual).is_multiple_of(2);
            (self.trunk(), self.trunk(), 3)
        } else if layer < expanding + 2 {
            upsample = Some(match self.entry {
                Entry::Contract { .. } => Upsample::Nearest,
                Entry::Unshuffle { .. } => Upsample::Shuffle,
            });
            relu = layer == expanding || self.last_kernel.is_some();
            if layer == expanding {
                (self.expand[0], self.trunk(), 3)
            } else {
                (self.expand[1], self.expand[0], 3)
            }
        } else {
            relu = false;
            let side = match self.last_kernel {
                Some(side) => side,
                None => 1,
            };
            (3, self.expand[1], side)
        };
        LayerShape {
            out_channels,
            in_channels,
            kernel_size,
            stride,
            upsample,
            relu,
            normalised,
        }
    }

    /// Name of a layer as the weight files have it: `contract.0` or `enter`, `residual.4.1`, `expand.2` or `refine`.
    #[must_use]
    pub fn name(&self, layer: usize) -> String {
        let (residual, expanding) = (self.residual(), self.expanding());
        let unshuffled = matches!(self.entry, Entry::Unshuffle { .. });
        if layer < residual {
            if unshuffled && layer == 0 {
                "enter".into()
            } else if unshuffled {
                format!("enter.{layer}")
            } else {
                format!("contract.{layer}")
            }
        } else if layer < expanding {
            format!(
                "residual.{}.{}",
                (layer - residual) / 2,
                (layer - residual) % 2
            )
        } else if unshuffled && layer == expanding + 2 {
            "refine".into()
        } else {
            format!("expand.{}", layer - expanding)
        }
    }

    /// The last layer.
    pub(crate) const fn last(&self) -> usize {
        self.layers() - 1
    }

    /// Where a layer's channels lie among a style's; empty for a layer that is not normalised.
    #[must_use]
    pub const fn style_channels_of(&self, layer: usize) -> std::ops::Range<usize> {
        let (mut start, mut i) = (0, 0);
        while i < layer {
            if self.layer(i).normalised {
                start += self.layer(i).out_channels;
            }
            i += 1;
        }
        let own = self.layer(layer);
        start..start + if own.normalised { own.out_channels } else { 0 }
    }

    /// Scales (and as many shifts) that make a style: the channels of all normalised layers together.
    #[must_use]
    pub const fn style_channels(&self) -> usize {
        self.style_channels_of(self.last()).end
    }
}

/// Weights of a transform network.
#[derive(Debug, Clone, PartialEq)]
pub struct TransformWeights {
    shape: NetworkShape,
    layers: Vec<ConvolutionWeights>,
    /// One per output channel of each layer that is not normalised, empty for the others.
    biases: Vec<Vec<f32>>,
}

/// Scales and shifts of all normalised channels, in network order.
#[derive(Debug, Clone, PartialEq)]
pub struct StyleParameters {
    /// [`NetworkShape::style_channels`] scales.
    pub scale: Vec<f32>,
    /// As many shifts.
    pub shift: Vec<f32>,
}

/// Channels of a block of 4×4 pixels.
const UNSHUFFLED: usize = 48;

/// The smallest side of a picture, in pixels.
pub const MINIMUM_SIDE: usize = 32;

impl TransformWeights {
    /// Builds a network from its layers by name (`contract.0`, `residual.5.1`, …), each with its bias, which is empty for
    /// a normalised layer.
    ///
    /// # Errors
    /// Whatever `layer` returns, as it is.
    pub fn from_layers<E>(
        shape: NetworkShape,
        mut layer: impl FnMut(&str, LayerShape) -> Result<(ConvolutionWeights, Vec<f32>), E>,
    ) -> Result<Self, E> {
        let (mut layers, mut biases) = (Vec::new(), Vec::new());
        for index in 0..shape.layers() {
            let (weights, bias) = layer(&shape.name(index), shape.layer(index))?;
            layers.push(weights);
            biases.push(bias);
        }
        Ok(Self {
            shape,
            layers,
            biases,
        })
    }

    /// The network's shape.
    #[must_use]
    pub fn shape(&self) -> NetworkShape {
        self.shape
    }

    /// The convolutions in network order.
    #[must_use]
    pub fn layers(&self) -> &[ConvolutionWeights] {
        &self.layers
    }

    /// What is added to a layer's outputs, one per channel; empty for a normalised layer.
    #[must_use]
    pub fn bias(&self, layer: usize) -> &[f32] {
        &self.biases[layer]
    }

    /// Checks every layer's shape.
    pub(crate) fn check(&self) -> Result<(), KernelError> {
        for (index, layer) in self.layers.iter().enumerate() {
            let layer_shape = self.shape.layer(index);
            let LayerShape {
                in_channels,
                kernel_size,
                normalised,
                ..
            } = layer_shape;
            let out_channels = layer_shape.kernel_outputs();
            let shape = (layer.out_channels, layer.in_channels, layer.kernel_size);
            let expected = out_channels * in_channels * kernel_size * kernel_size;
            let biases = if normalised { 0 } else { out_channels };
            if shape != (out_channels, in_channels, kernel_size)
                || layer.weight.len() != expected
                || self.biases[index].len() != biases
            {
                return Err(KernelError::WeightShape {
                    layer: self.shape.name(index),
                    expected: format!(
                        "{out_channels}x{in_channels}x{kernel_size}x{kernel_size} with {biases} biases"
                    ),
                    found: format!(
                        "{}x{}x{}x{} with {} values and {} biases",
                        shape.0,
                        shape.1,
                        shape.2,
                        shape.2,
                        layer.weight.len(),
                        self.biases[index].len()
                    ),
                });
            }
        }
        Ok(())
    }
}

impl StyleParameters {
    /// Checks both lengths, and that all are numbers.
    pub(crate) fn check(&self, shape: NetworkShape) -> Result<(), KernelError> {
        let expected = shape.style_channels();
        if self.scale.len() != expected || self.shift.len() != expected {
            return Err(KernelError::StyleLength {
                expected,
                scales: self.scale.len(),
                shifts: self.shift.len(),
            });
        }
        match self.scale.iter().chain(&self.shift).all(|x| x.is_finite()) {
            true => Ok(()),
            false => Err(KernelError::StyleValue),
        }
    }
}

/// A shuffling convolution with so many channels per pixel of a block; those it does not have are zero.
pub(crate) fn pad_blocks(weights: ConvolutionWeights, channels: usize) -> ConvolutionWeights {
    let own = weights.out_channels / 4;
    if own == channels {
        return weights;
    }
    let one = weights.in_channels * weights.kernel_size * weights.kernel_size;
    let pixels = weights.weight.chunks_exact(own * one);
    let weight = pixels.flat_map(|pixel| {
        let zeros = std::iter::repeat_n(0.0, (channels - own) * one);
        pixel.iter().copied().chain(zeros)
    });
    ConvolutionWeights {
        out_channels: 4 * channels,
        weight: weight.collect(),
        ..weights
    }
}

/// Folds nearest ×2 upsampling into the 3×3 convolution behind it.
///
/// Each output of the upsampled plane sees only 2×2 different source pixels, and which kernel columns fall on the same
/// one depends only on whether its row and column are even: four kernels on the *source*, whose outputs are the four
/// pixels of a 2×2 block. Returned as one 3×3 convolution with `4 * out_channels` outputs, `[row][column][channel]` of
/// the block. Reflection at the border becomes repetition of the border pixel.
pub(crate) fn fold_upsampling(weights: &ConvolutionWeights) -> ConvolutionWeights {
    let ConvolutionWeights {
        out_channels,
        in_channels,
        ref weight,
        ..
    } = *weights;
    let mut folded = vec![0.0; 4 * out_channels * in_channels * 9];
    // Kernel tap `t` of an output in position `half` of its block reads source neighbour 0, 1 or 2.
    let neighbour = |half: usize, tap: usize| (half + tap).div_ceil(2);
    for phase in 0..4 {
        for o in 0..out_channels {
            for i in 0..in_channels {
                for (y, x) in (0..9).map(|tap| (tap / 3, tap % 3)) {
                    let (row, column) = (neighbour(phase / 2, y), neighbour(phase % 2, x));
                    let target =
                        (((phase * out_channels + o) * in_channels + i) * 3 + row) * 3 + column;
                    folded[target] += weight[((o * in_channels + i) * 3 + y) * 3 + x];
                }
            }
        }
    }
    ConvolutionWeights {
        out_channels: 4 * out_channels,
        in_channels,
        kernel_size: 3,
        weight: folded,
    }
}

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

/// The shape of a transform network: three contracting convolutions (9×9, then two 3×3 of stride 2), residual blocks of
/// two 3×3 over 32 channels, three expanding ones (3×3 behind nearest ×2 upsampling twice, then 9×9 to three channels).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkShape {
    /// Output channels of the contracting convolutions.
    pub contract: [usize; 3],
    /// Number of residual blocks.
    pub blocks: usize,
    /// Output channels of the first two expanding convolutions.
    pub expand: [usize; 2],
    /// Whether the contracting convolutions are normalised by the style; if not they have a bias.
    pub normalised_contraction: bool,
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
    /// Whether nearest ×2 upsampling comes before it.
    pub upsample: bool,
    /// Whether a ReLU follows.
    pub relu: bool,
    /// Whether instance normalisation with the style's scale and shift follows; if not it has a bias.
    pub normalised: bool,
}

impl NetworkShape {
    /// The network of 26 styles (Dumoulin et al. 2017).
    pub const STYLE_PACK: Self = Self {
        contract: [32, 32, 32],
        blocks: 6,
        expand: [8, 4],
        normalised_contraction: true,
    };
    /// The network whose style is predicted from any picture (Ghiasi et al. 2017).
    pub const ANY_PICTURE: Self = Self {
        contract: [8, 16, 32],
        blocks: 5,
        expand: [16, 8],
        normalised_contraction: false,
    };

    /// Number of convolutions.
    #[must_use]
    pub const fn layers(&self) -> usize {
        6 + 2 * self.blocks
    }

    /// The layers in network order.
    pub fn iter(self) -> impl Iterator<Item = LayerShape> {
        (0..self.layers()).map(move |layer| self.layer(layer))
    }

    /// A layer, in network order.
    #[must_use]
    pub const fn layer(&self, layer: usize) -> LayerShape {
        let expand = 3 + 2 * self.blocks;
        let (out_channels, in_channels, kernel_size) = if layer == 0 {
            (self.contract[0], 3, 9)
        } else if layer < 3 {
            (self.contract[layer], self.contract[layer - 1], 3)
        } else if layer < expand {
            (self.contract[2], self.contract[2], 3)
        } else if layer == expand {
            (self.expand[0], self.contract[2], 3)
        } else if layer == expand + 1 {
            (self.expand[1], self.expand[0], 3)
        } else {
            (3, self.expand[1], 9)
        };
        LayerShape {
            out_channels,
            in_channels,
            kernel_size,
            stride: if layer == 1 || layer == 2 { 2 } else { 1 },
            upsample: layer == expand || layer == expand + 1,
            relu: layer < 3
                || layer == expand
                || layer == expand + 1
                || (layer < expand && layer % 2 == 1),
            normalised: layer >= 3 || self.normalised_contraction,
        }
    }

    /// Name of a layer as the weight files have it: `contract.0`, `residual.4.1`, `expand.2`.
    #[must_use]
    pub fn name(&self, layer: usize) -> String {
        let expand = 3 + 2 * self.blocks;
        if layer < 3 {
            format!("contract.{layer}")
        } else if layer < expand {
            format!("residual.{}.{}", (layer - 3) / 2, (layer - 3) % 2)
        } else {
            format!("expand.{}", layer - expand)
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
            let LayerShape {
                out_channels,
                in_channels,
                kernel_size,
                normalised,
                ..
            } = self.shape.layer(index);
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
    /// Checks both lengths.
    pub(crate) fn check(&self, shape: NetworkShape) -> Result<(), KernelError> {
        let expected = shape.style_channels();
        if self.scale.len() == expected && self.shift.len() == expected {
            return Ok(());
        }
        Err(KernelError::StyleLength {
            expected,
            scales: self.scale.len(),
            shifts: self.shift.len(),
        })
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

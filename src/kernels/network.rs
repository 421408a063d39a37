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

/// Weights of the transform network: three contracting convolutions (strides 1, 2, 2), residual blocks of two, three
/// expanding ones (the first two after nearest ×2 upsampling).
#[derive(Debug, Clone, PartialEq)]
pub struct TransformWeights {
    /// 9×9 3→32, then two 3×3 32→32 of stride 2.
    pub contract: [ConvolutionWeights; 3],
    /// 3×3 32→32; ReLU between the two, none after the sum.
    pub residual: [[ConvolutionWeights; 2]; 6],
    /// 3×3 32→8, 3×3 8→4, 9×9 4→3.
    pub expand: [ConvolutionWeights; 3],
}

/// Scales and shifts of all normalised channels, in network order: 3×32, 12×32, 8, 4, 3.
#[derive(Debug, Clone, PartialEq)]
pub struct StyleParameters {
    /// [`STYLE_CHANNELS`] scales.
    pub scale: Vec<f32>,
    /// [`STYLE_CHANNELS`] shifts.
    pub shift: Vec<f32>,
}

/// Number of convolutions.
pub const LAYERS: usize = 18;
/// Channels of all normalised layers together.
pub const STYLE_CHANNELS: usize = 15 * 32 + 8 + 4 + 3;
/// The smallest side of a picture, in pixels.
pub const MINIMUM_SIDE: usize = 32;

/// (output channels, input channels, kernel size) of a layer, in network order.
pub(crate) const fn layer_shape(layer: usize) -> (usize, usize, usize) {
    match layer {
        0 => (32, 3, 9),
        15 => (8, 32, 3),
        16 => (4, 8, 3),
        17 => (3, 4, 9),
        _ => (32, 32, 3),
    }
}

/// Name of a layer as the weight files have it.
pub(crate) fn layer_name(layer: usize) -> String {
    match layer {
        0..3 => format!("contract.{layer}"),
        3..15 => format!("residual.{}.{}", (layer - 3) / 2, (layer - 3) % 2),
        _ => format!("expand.{}", layer - 15),
    }
}

/// Where a layer's channels start among a style's.
pub(crate) fn style_offset(layer: usize) -> usize {
    (0..layer).map(|layer| layer_shape(layer).0).sum()
}

impl TransformWeights {
    /// The convolutions in network order.
    pub fn layers(&self) -> impl Iterator<Item = &ConvolutionWeights> {
        self.contract
            .iter()
            .chain(self.residual.iter().flatten())
            .chain(&self.expand)
    }

    /// Builds the network from its layers by name (`contract.0`, `residual.5.1`, …).
    ///
    /// # Errors
    /// Whatever `layer` returns, as it is.
    pub fn from_layers<E>(
        mut layer: impl FnMut(&str) -> Result<ConvolutionWeights, E>,
    ) -> Result<Self, E> {
        let mut next = 0;
        let mut take = || {
            next += 1;
            layer(&layer_name(next - 1))
        };
        Ok(Self {
            contract: [take()?, take()?, take()?],
            residual: [
                [take()?, take()?],
                [take()?, take()?],
                [take()?, take()?],
                [take()?, take()?],
                [take()?, take()?],
                [take()?, take()?],
            ],
            expand: [take()?, take()?, take()?],
        })
    }

    /// Checks every layer's shape.
    pub(crate) fn check(&self) -> Result<(), KernelError> {
        for (index, layer) in self.layers().enumerate() {
            let (out_channels, in_channels, kernel) = layer_shape(index);
            let shape = (layer.out_channels, layer.in_channels, layer.kernel_size);
            let expected = out_channels * in_channels * kernel * kernel;
            if shape != (out_channels, in_channels, kernel) || layer.weight.len() != expected {
                return Err(KernelError::WeightShape {
                    layer: layer_name(index),
                    expected: format!("{out_channels}x{in_channels}x{kernel}x{kernel}"),
                    found: format!(
                        "{}x{}x{}x{} with {} values",
                        shape.0,
                        shape.1,
                        shape.2,
                        shape.2,
                        layer.weight.len()
                    ),
                });
            }
        }
        Ok(())
    }
}

impl StyleParameters {
    /// Checks both lengths.
    pub(crate) fn check(&self) -> Result<(), KernelError> {
        if self.scale.len() == STYLE_CHANNELS && self.shift.len() == STYLE_CHANNELS {
            return Ok(());
        }
        Err(KernelError::StyleLength {
            expected: STYLE_CHANNELS,
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

//! The feed-forward painter: an image transformation network (Johnson et al. 2016) with conditional instance
//! normalisation (Dumoulin et al. 2017, "A learned representation for artistic style").
//!
//! Three convolutions bring the picture to a quarter of its size and 32 channels, six residual blocks repaint it, three
//! convolutions bring it back. A style is nothing but the scales and shifts of the 18 normalisations, 990 numbers, so
//! two styles blend by blending numbers.

use candle_core::{DType, Device, Result, Tensor};

use super::layers::{instance_norm, reflection_pad, reflection_pad_to_multiple};
use crate::kernels::{StyleParameters, TransformWeights};

/// One convolution of the network, with what stands before and behind it. Every one is padded by reflection with
/// `kernel / 2` pixels and normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerConfig {
    /// Name of its weights in the model file.
    pub name: &'static str,
    /// Channels it reads.
    pub in_channels: usize,
    /// Channels it writes.
    pub out_channels: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Pixels between two places of the kernel.
    pub stride: usize,
    /// Whether what it reads is doubled in size first (nearest neighbour).
    pub upsample: bool,
    /// Whether a ReLU follows the normalisation.
    pub relu: bool,
}

const fn layer(
    name: &'static str,
    (in_channels, out_channels): (usize, usize),
    kernel: usize,
    stride: usize,
    upsample: bool,
    relu: bool,
) -> LayerConfig {
    LayerConfig {
        name,
        in_channels,
        out_channels,
        kernel,
        stride,
        upsample,
        relu,
    }
}

/// The 18 layers in the order of the data, as in the graph of Magenta's 26-style network.
pub const LAYERS: [LayerConfig; 18] = [
    layer("contract.0", (3, 32), 9, 1, false, true),
    layer("contract.1", (32, 32), 3, 2, false, true),
    layer("contract.2", (32, 32), 3, 2, false, true),
    layer("residual.0.0", (32, 32), 3, 1, false, true),
    layer("residual.0.1", (32, 32), 3, 1, false, false),
    layer("residual.1.0", (32, 32), 3, 1, false, true),
    layer("residual.1.1", (32, 32), 3, 1, false, false),
    layer("residual.2.0", (32, 32), 3, 1, false, true),
    layer("residual.2.1", (32, 32), 3, 1, false, false),
    layer("residual.3.0", (32, 32), 3, 1, false, true),
    layer("residual.3.1", (32, 32), 3, 1, false, false),
    layer("residual.4.0", (32, 32), 3, 1, false, true),
    layer("residual.4.1", (32, 32), 3, 1, false, false),
    layer("residual.5.0", (32, 32), 3, 1, false, true),
    layer("residual.5.1", (32, 32), 3, 1, false, false),
    layer("expand.0", (32, 8), 3, 1, true, true),
    layer("expand.1", (8, 4), 3, 1, true, true),
    layer("expand.2", (4, 3), 9, 1, false, false),
];

/// Scales (and as many shifts) that make a style: the sum of all layers' output channels.
pub const STYLE_LEN: usize = 495;

/// Added to the variance before its root is taken.
pub const EPSILON: f64 = 1e-5;

/// The network's two strided layers make it see the picture in blocks of this many pixels.
const BLOCK: usize = 4;

/// The network on a candle device, in `f32`, with one style set.
#[derive(Debug)]
pub struct TransformNet {
    device: Device,
    kernels: Vec<Tensor>,
    norms: Vec<(Tensor, Tensor)>,
}

impl TransformNet {
    /// Puts the weights and a style on `device`.
    ///
    /// # Errors
    /// When the device refuses (out of memory) or the weights do not have the shapes of [`LAYERS`].
    pub fn new(
        weights: &TransformWeights,
        style: &StyleParameters,
        device: &Device,
    ) -> Result<Self> {
        let kernels = LAYERS
            .iter()
            .zip(weights.layers())
            .map(|(config, convolution)| {
                let shape = (
                    config.out_channels,
                    config.in_channels,
                    config.kernel,
                    config.kernel,
                );
                Tensor::from_slice(&convolution.weight, shape, device)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut net = Self {
            device: device.clone(),
            kernels,
            norms: Vec::new(),
        };
        net.set_style(style)?;
        Ok(net)
    }

    /// Changes the style of what is painted from now on.
    ///
    /// # Errors
    /// As [`TransformNet::new`].
    pub fn set_style(&mut self, style: &StyleParameters) -> Result<()> {
        let mut first = 0;
        self.norms.clear();
        for config in &LAYERS {
            let channels = first..first + config.out_channels;
            first = channels.end;
            let scale = Tensor::from_slice(
                &style.scale[channels.clone()],
                config.out_channels,
                &self.device,
            )?;
            let shift =
                Tensor::from_slice(&style.shift[channels], config.out_channels, &self.device)?;
            self.norms.push((scale, shift));
        }
        Ok(())
    }

    /// Paints `x_nchw`: RGB, values 0..1, shape (N, 3, H, W) with sides of 32 or more; the result has the same shape
    /// and range. Sides that are no multiple of 4 are padded by reflection and cropped back.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, x_nchw: &Tensor) -> Result<Tensor> {
        let (_, _, height, width) = x_nchw.dims4()?;
        let mut x = reflection_pad_to_multiple(x_nchw, BLOCK)?;
        for i in 0..3 {
            x = self.layer(i, &x)?;
        }
        for block in 0..6 {
            let inner = self.layer(3 + 2 * block, &x)?;
            x = (x + self.layer(4 + 2 * block, &inner)?)?;
        }
        for i in 15..18 {
            x = self.layer(i, &x)?;
        }
        // The logistic function by tanh, which every device has.
        let y = (((x * 0.5)?.tanh()? + 1.0)? * 0.5)?;
        y.narrow(2, 0, height)?.narrow(3, 0, width)
    }

    fn layer(&self, index: usize, x: &Tensor) -> Result<Tensor> {
        let config = &LAYERS[index];
        let (_, _, height, width) = x.dims4()?;
        let x = if config.upsample {
            &x.upsample_nearest2d(2 * height, 2 * width)?
        } else {
            x
        };
        let y = reflection_pad(x, config.kernel / 2)?.conv2d(
            &self.kernels[index],
            0,
            config.stride,
            1,
            1,
        )?;
        let (scale, shift) = &self.norms[index];
        let y = instance_norm(&y, scale, shift, EPSILON)?;
        if config.relu { y.relu() } else { Ok(y) }
    }

    /// Paints `height` rows of `width` RGB pixels and writes the painting over them.
    ///
    /// # Errors
    /// When the device fails.
    pub fn paint(&self, rgb: &mut [u8], width: usize, height: usize) -> Result<()> {
        let x = Tensor::from_slice(rgb, (1, height, width, 3), &self.device)?;
        let x = (x.permute((0, 3, 1, 2))?.to_dtype(DType::F32)? / 255.0)?;
        let y = ((self.forward(&x)? * 255.0)? + 0.5)?.clamp(0f32, 255f32)?;
        let y = y.permute((0, 2, 3, 1))?.contiguous()?.to_dtype(DType::U8)?;
        rgb.copy_from_slice(&y.flatten_all()?.to_vec1::<u8>()?);
        Ok(())
    }
}

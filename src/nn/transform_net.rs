//! The feed-forward painters: image transformation networks (Johnson et al. 2016) with conditional instance
//! normalisation (Dumoulin et al. 2017, "A learned representation for artistic style").
//!
//! Three convolutions (or one, over blocks of pixels) bring the picture to a quarter of its size and 32 channels, residual
//! blocks repaint it, two or three convolutions bring it back. A style is nothing but the scales and shifts of the
//! normalisations (990 numbers for the network of 26 styles, 694 for that of any picture), so two styles blend by
//! blending numbers.

use candle_core::{DType, Device, Result, Tensor};

use super::layers::{
    instance_norm, pixel_shuffle, pixel_unshuffle, reflection_pad, reflection_pad_to_multiple,
};
use crate::kernels::{Entry, NetworkShape, StyleParameters, TransformWeights, Upsample};

/// Added to the variance before its root is taken.
pub const EPSILON: f64 = 1e-5;

/// The trunk is a quarter of the picture's size, so that the network sees the picture in blocks of this many pixels.
const BLOCK: usize = 4;

/// The network on a candle device, in `f32`, with one style set.
#[derive(Debug)]
pub struct TransformNet {
    device: Device,
    shape: NetworkShape,
    kernels: Vec<Tensor>,
    /// Of the layers that are not normalised.
    biases: Vec<Option<Tensor>>,
    /// Of the others.
    norms: Vec<Option<(Tensor, Tensor)>>,
}

impl TransformNet {
    /// Puts the weights and a style on `device`.
    ///
    /// # Errors
    /// When the device refuses (out of memory) or the weights do not have the shape they say.
    pub fn new(
        weights: &TransformWeights,
        style: &StyleParameters,
        device: &Device,
    ) -> Result<Self> {
        let shape = weights.shape();
        let (mut kernels, mut biases) = (Vec::new(), Vec::new());
        for (index, (layer, convolution)) in shape.iter().zip(weights.layers()).enumerate() {
            let dims = (
                layer.kernel_outputs(),
                layer.in_channels,
                layer.kernel_size,
                layer.kernel_size,
            );
            kernels.push(Tensor::from_slice(&convolution.weight, dims, device)?);
            let bias = (!layer.normalised).then(|| {
                Tensor::from_slice(weights.bias(index), (1, layer.out_channels, 1, 1), device)
            });
            biases.push(bias.transpose()?);
        }
        let mut net = Self {
            device: device.clone(),
            shape,
            kernels,
            biases,
            norms: Vec::new(),
        };
        net.set_style(style)?;
        Ok(net)
    }

    /// Changes the style of what is painted from now on.
    ///
    /// # Errors
    /// As [`TransformNet::new`], also when the style has another number of scales and shifts than the network.
    pub fn set_style(&mut self, style: &StyleParameters) -> Result<()> {
        let expected = self.shape.style_channels();
        if style.scale.len() != expected || style.shift.len() != expected {
            candle_core::bail!("a style needs {expected} scales and shifts");
        }
        self.norms.clear();
        for layer in 0..self.shape.layers() {
            let own = self.shape.style_channels_of(layer);
            let part =
                |values: &[f32]| Tensor::from_slice(&values[own.clone()], own.len(), &self.device);
            let norm = (!own.is_empty())
                .then(|| Ok::<_, candle_core::Error>((part(&style.scale)?, part(&style.shift)?)));
            self.norms.push(norm.transpose()?);
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
        if let Entry::Unshuffle { .. } = self.shape.entry {
            x = pixel_unshuffle(&x, BLOCK)?;
        }
        let (residual, expanding) = (self.shape.residual(), self.shape.expanding());
        for i in 0..residual {
            x = self.layer(i, &x)?;
        }
        for i in (residual..expanding).step_by(2) {
            let inner = self.layer(i, &x)?;
            x = (x + self.layer(i + 1, &inner)?)?;
        }
        for i in expanding..self.shape.layers() {
            x = self.layer(i, &x)?;
        }
        // The logistic function by tanh, which every device has.
        let y = (((x * 0.5)?.tanh()? + 1.0)? * 0.5)?;
        y.narrow(2, 0, height)?.narrow(3, 0, width)
    }

    fn layer(&self, index: usize, x: &Tensor) -> Result<Tensor> {
        let layer = self.shape.layer(index);
        let (_, _, height, width) = x.dims4()?;
        let x = if layer.upsample == Some(Upsample::Nearest) {
            &x.upsample_nearest2d(2 * height, 2 * width)?
        } else {
            x
        };
        let mut y = reflection_pad(x, layer.kernel_size / 2)?.conv2d(
            &self.kernels[index],
            0,
            layer.stride,
            1,
            1,
        )?;
        if layer.upsample == Some(Upsample::Shuffle) {
            y = pixel_shuffle(&y)?;
        }
        if let Some(bias) = &self.biases[index] {
            y = y.broadcast_add(bias)?;
        }
        if let Some((scale, shift)) = &self.norms[index] {
            y = instance_norm(&y, scale, shift, EPSILON)?;
        }
        if layer.relu { y.relu() } else { Ok(y) }
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

//! Depthwise convolution: every channel with a kernel of its own, as MobileNets have it.
//!
//! candle's convolution on the processor walks groups one after the other, each as a convolution of its own; with 960
//! groups of one channel that is nearly all overhead. On the processor this is a candle operation of plain loops over
//! rows, channels side by side on all threads; other devices take candle's.

use candle_core::{CpuStorage, CustomOp1, Error, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// A depthwise convolution without bias, padded as TensorFlow's SAME.
#[derive(Clone, Debug)]
pub struct DepthwiseConvolution {
    /// C×1×K×K, on the device.
    weight: Tensor,
    kernel: usize,
    taps: Vec<f32>,
    stride: usize,
}

/// Zeros around a plane, in pixels: top and left, bottom and right.
const fn padding(kernel: usize, stride: usize) -> (usize, usize) {
    // On even sides a stride of 2 needs one less, and it is taken away before the picture.
    let all = kernel - stride;
    (all / 2, all - all / 2)
}

impl DepthwiseConvolution {
    /// `weight` is C×1×K×K in `f32`, K odd; `stride` is 1 or 2 (then for even sides).
    ///
    /// # Errors
    /// When the weights have another shape or number type.
    pub fn new(weight: Tensor, stride: usize) -> Result<Self> {
        let (_, inputs, kernel, width) = weight.dims4()?;
        if inputs != 1 || kernel != width || kernel % 2 == 0 || !(1..=2).contains(&stride) {
            candle_core::bail!(
                "a depthwise kernel is C x 1 x K x K with K odd and a stride of 1 or 2"
            );
        }
        Ok(Self {
            taps: weight.flatten_all()?.to_vec1()?,
            weight,
            kernel,
            stride,
        })
    }

    /// Convolves `x_nchw` (1×C×H×W, `f32`), sides divided by the stride, rounded up.
    ///
    /// # Errors
    /// When the shape or the number type does not fit.
    pub fn forward(&self, x_nchw: &Tensor) -> Result<Tensor> {
        let channels = self.weight.dim(0)?;
        if x_nchw.dim(1)? != channels {
            candle_core::bail!("a depthwise convolution of {channels} channels got another number");
        }
        if x_nchw.device().is_cpu() {
            return x_nchw.contiguous()?.apply_op1_no_bwd(self);
        }
        let (before, after) = padding(self.kernel, self.stride);
        x_nchw
            .pad_with_zeros(2, before, after)?
            .pad_with_zeros(3, before, after)?
            .conv2d(&self.weight, 0, self.stride, 1, channels)
    }
}

impl CustomOp1 for DepthwiseConvolution {
    fn name(&self) -> &'static str {
        "depthwise-convolution"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let CpuStorage::F32(values) = storage else {
            candle_core::bail!("a depthwise convolution takes f32 values")
        };
        let Some((start, end)) = layout.contiguous_offsets() else {
            return Err(Error::RequiresContiguous {
                op: "depthwise-convolution",
            }
            .bt());
        };
        let (out_height, out_width) = (height.div_ceil(self.stride), width.div_ceil(self.stride));
        let mut out = vec![0.0_f32; batch * channels * out_height * out_width];
        let planes = values[start..end].par_chunks_exact((height * width).max(1));
        out.par_chunks_exact_mut((out_height * out_width).max(1))
            .zip(planes)
            .enumerate()
            .for_each(|(index, (out, plane))| {
                let count = self.kernel * self.kernel;
                let taps = &self.taps[index % channels * count..][..count];
                convolve_plane(
                    plane,
                    width,
                    (taps, self.kernel),
                    self.stride,
                    (out, out_width),
                );
            });
        let shape = Shape::from((batch, channels, out_height, out_width));
        Ok((CpuStorage::F32(out), shape))
    }
}

/// Adds up the shifted planes, row by row.
fn convolve_plane(
    plane: &[f32],
    width: usize,
    (taps, kernel): (&[f32], usize),
    stride: usize,
    (out, out_width): (&mut [f32], usize),
) {
    let height = plane.len() / width;
    let before = padding(kernel, stride).0;
    for (y, out) in out.chunks_exact_mut(out_width).enumerate() {
        for (i, &tap) in taps.iter().enumerate() {
            // Rows and columns of the plane that the tap falls on; those outside are zeros.
            let Some(row) = (y * stride + i / kernel)
                .checked_sub(before)
                .filter(|row| *row < height)
            else {
                continue;
            };
            let row = &plane[row * width..(row + 1) * width];
            let first = before.saturating_sub(i % kernel).div_ceil(stride);
            let column = first * stride + i % kernel - before;
            if first >= out.len() || column >= row.len() {
                continue;
            }
            let (out, row) = (&mut out[first..], &row[column..]);
            if stride == 1 {
                for (out, value) in out.iter_mut().zip(row) {
                    *out += tap * value;
                }
            } else {
                for (out, value) in out.iter_mut().zip(row.iter().step_by(stride)) {
                    *out += tap * value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_is_candles_grouped_convolution() -> Result<()> {
        for (kernel, stride, height, width) in [
            (3, 1, 7, 9),
            (3, 2, 8, 6),
            (3, 1, 1, 1),
            (3, 2, 2, 2),
            (5, 1, 7, 9),
            (5, 2, 8, 6),
            (5, 1, 2, 1),
        ] {
            let numbers = |count: usize, period: usize| {
                (0..count).map(move |i| (i * 37 % period) as f32 - period as f32 / 2.0)
            };
            let x = Tensor::from_iter(numbers(5 * height * width, 101), &Device::Cpu)?;
            let x = x.reshape((1, 5, height, width))?;
            let weight = Tensor::from_iter(numbers(5 * kernel * kernel, 23), &Device::Cpu)?;
            let weight = weight.reshape((5, 1, kernel, kernel))?;
            let ours = DepthwiseConvolution::new(weight.clone(), stride)?.forward(&x)?;
            let (before, after) = padding(kernel, stride);
            let padded = x.pad_with_zeros(2, before, after)?;
            let padded = padded.pad_with_zeros(3, before, after)?;
            let candles = padded.conv2d(&weight, 0, stride, 1, 5)?;
            assert_eq!(ours.dims(), candles.dims());
            let difference = (ours - candles)?.abs()?.flatten_all()?;
            let difference = difference.max(0)?.to_scalar::<f32>()?;
            assert!(difference < 1e-2, "{kernel} by {stride}: {difference}");
        }
        Ok(())
    }
}

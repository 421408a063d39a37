//! The loops of the segmenter, over planes `[row][column][channel]`.
//!
//! Channels lie side by side, so a 1×1 convolution is a product of short rows with a small table that stays in the first
//! cache, and a depthwise one walks whole vectors. Rows of large planes are shared among rayon's threads, which sleep when
//! there is nothing to do: painting goes on beside this.

use crate::kernels::vectorised;
use rayon::prelude::*;

/// Rows, columns and channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Numbers per pixel.
    pub channels: usize,
}

impl Size {
    /// Numbers of all.
    pub fn len(self) -> usize {
        self.row() * self.height
    }

    /// Numbers of a row.
    pub fn row(self) -> usize {
        self.width * self.channels
    }
}

/// What becomes of a number at the end of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// max(x, 0)
    Relu,
    /// x·min(max(x + 3, 0), 6)/6 (Howard et al. 2019)
    HardSwish,
}

/// Zeros before the first row or column of a plane that is padded as TensorFlow's SAME; on even sides a stride of 2 needs
/// one zero less, and it is taken away here.
fn before(kernel: usize, stride: usize) -> usize {
    (kernel - stride) / 2
}

/// Numbers of a plane that are worth a thread.
const SPAN: usize = 32 * 1024;

/// Calls `each` with the number of a first row and some rows of `out` from there on, on several threads for large planes.
fn by_rows(out: &mut [f32], row: usize, each: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = SPAN.div_ceil(row);
    if out.len() <= 2 * SPAN {
        each(0, out);
    } else {
        out.par_chunks_mut(rows * row)
            .enumerate()
            .for_each(|(index, part)| each(index * rows, part));
    }
}

/// 1×1 convolution: `weights` are `[input][output]`, outputs a multiple of 8.
pub fn pointwise(
    input: &[f32],
    weights: &[f32],
    bias: &[f32],
    row: usize,
    activation: Activation,
    out: &mut [f32],
) {
    let (outputs, inputs) = (bias.len(), weights.len() / bias.len());
    by_rows(out, row, |first, out| {
        let start = first * row / outputs * inputs;
        let input = &input[start..start + out.len() / outputs * inputs];
        multiply(input, weights, bias, out);
        activate(activation, out);
    });
}

/// Puts the 3×3 pixels that each output of a convolution with stride 2 looks at side by side: 27 numbers per output.
pub fn patches(rgb: &[u8], size: Size, out: &mut [f32]) {
    let run = 9 * size.channels;
    let across = size.width / 2;
    out.fill(0.0);
    for (y, line) in out.chunks_exact_mut(across * run).enumerate() {
        for (x, patch) in line.chunks_exact_mut(run).enumerate() {
            for (tap, values) in patch.chunks_exact_mut(size.channels).enumerate() {
                let (row, column) = (2 * y + tap / 3, 2 * x + tap % 3);
                if row < size.height && column < size.width {
                    let pixel = &rgb[(row * size.width + column) * size.channels..];
                    for (value, byte) in values.iter_mut().zip(pixel) {
                        *value = f32::from(*byte) / 255.0;
                    }
                }
            }
        }
    }
}

/// Depthwise convolution: `taps` are `[tap][channel]`, channels a multiple of 8.
pub fn depthwise(
    input: &[f32],
    size: Size,
    (taps, kernel, stride): (&[f32], usize, usize),
    bias: &[f32],
    activation: Activation,
    out: &mut [f32],
) {
    let row = size.width / stride * size.channels;
    let top = before(kernel, stride);
    by_rows(out, row, |first, out| {
        for (y, line) in out.chunks_exact_mut(row).enumerate() {
            let start = (first + y) * stride;
            // Rows of the kernel that fall on the plane.
            let from = top.saturating_sub(start);
            let to = kernel.min(size.height + top - start);
            let rows = &input[(start + from - top) * size.row()..(start + to - top) * size.row()];
            let taps = &taps[from * kernel * size.channels..to * kernel * size.channels];
            depthwise_row(rows, size.width, taps, kernel, stride, bias, line);
        }
        activate(activation, out);
    });
}

/// The mean of each channel.
pub fn mean(input: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    add_pixels(input, out);
    let count = (input.len() / out.len()) as f32;
    out.iter_mut().for_each(|value| *value /= count);
}

/// Bilinear, twice as large.
pub fn double(input: &[f32], size: Size, out: &mut [f32]) {
    let row = 2 * size.row();
    by_rows(out, row, |first, out| {
        let mut blend = vec![0.0; size.row()];
        for (y, line) in out.chunks_exact_mut(row).enumerate() {
            let (near, far) = neighbours(first + y, size.height);
            let rows = [near, far].map(|y| &input[y * size.row()..(y + 1) * size.row()]);
            mix(rows[0], rows[1], &mut blend);
            for (x, pixel) in line.chunks_exact_mut(size.channels).enumerate() {
                let (near, far) = neighbours(x, size.width);
                let pixels = [near, far].map(|x| &blend[x * size.channels..][..size.channels]);
                mix(pixels[0], pixels[1], pixel);
            }
        }
    });
}

/// The source of a pixel of a plane twice as large, three quarters of it, and the one whose quarter is added.
fn neighbours(place: usize, count: usize) -> (usize, usize) {
    let near = place / 2;
    let far = match place % 2 {
        0 => near.saturating_sub(1),
        _ => (near + 1).min(count - 1),
    };
    (near, far)
}

/// Transposed convolution of 2×2 with stride 2 to one channel: `weights` are `[channel][4]`.
pub fn spread(input: &[f32], size: Size, weights: &[f32], bias: f32, out: &mut [f32]) {
    let row = 2 * size.width;
    for (pixels, lines) in input
        .chunks_exact(size.row())
        .zip(out.chunks_exact_mut(2 * row))
    {
        for (x, pixel) in pixels.chunks_exact(size.channels).enumerate() {
            let mut block = [bias; 4];
            for (value, weights) in pixel.iter().zip(weights.chunks_exact(4)) {
                for (sum, weight) in block.iter_mut().zip(weights) {
                    *sum += value * weight;
                }
            }
            lines[2 * x..2 * x + 2].copy_from_slice(&block[..2]);
            lines[row + 2 * x..row + 2 * x + 2].copy_from_slice(&block[2..]);
        }
    }
}

/// Applies an activation to every number.
pub fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Identity => {}
        Activation::Relu => relu(values),
        Activation::HardSwish => hard_swish(values),
    }
}

/// The logistic function of every number.
pub fn sigmoid(values: &mut [f32]) {
    values
        .iter_mut()
        .for_each(|value| *value = 1.0 / (1.0 + (-*value).exp()));
}

vectorised! {
    /// `out` = `input` (pixels × inputs) · `weights` (inputs × outputs) + `bias`; eight pixels and eight outputs at a time.
    fn multiply(input: &[f32], weights: &[f32], bias: &[f32], out: &mut [f32]) {
        let (outputs, inputs) = (bias.len(), weights.len() / bias.len());
        for (pixels, lines) in input.chunks(8 * inputs).zip(out.chunks_mut(8 * outputs)) {
            for at in (0..outputs).step_by(8) {
                let mut sums = [[0.0_f32; 8]; 8];
                for sum in &mut sums {
                    sum.copy_from_slice(&bias[at..at + 8]);
                }
                let count = pixels.len() / inputs;
                if count == 8 {
                    for (input, weights) in weights.chunks_exact(outputs).enumerate() {
                        let weights = &weights[at..at + 8];
                        for (pixel, sums) in sums.iter_mut().enumerate() {
                            let value = pixels[pixel * inputs + input];
                            for (sum, weight) in sums.iter_mut().zip(weights) {
                                *sum += value * weight;
                            }
                        }
                    }
                } else {
                    for (pixel, sums) in pixels.chunks_exact(inputs).zip(&mut sums) {
                        for (value, weights) in pixel.iter().zip(weights.chunks_exact(outputs)) {
                            for (sum, weight) in sums.iter_mut().zip(&weights[at..at + 8]) {
                                *sum += value * weight;
                            }
                        }
                    }
                }
                for (line, sums) in lines.chunks_exact_mut(outputs).zip(&sums) {
                    line[at..at + 8].copy_from_slice(sums);
                }
            }
        }
    }

    /// One row of a depthwise convolution, from those rows of the plane and of the kernel that it sees.
    fn depthwise_row(
        rows: &[f32],
        width: usize,
        taps: &[f32],
        kernel: usize,
        stride: usize,
        bias: &[f32],
        out: &mut [f32],
    ) {
        let channels = bias.len();
        let row = width * channels;
        let left = (kernel - stride) / 2;
        for (x, pixel) in out.chunks_exact_mut(channels).enumerate() {
            let start = x * stride;
            let (from, to) = (left.saturating_sub(start), kernel.min(width + left - start));
            for (at, pixel) in pixel.chunks_exact_mut(8).enumerate() {
                let at = 8 * at;
                let mut sums = [0.0_f32; 8];
                sums.copy_from_slice(&bias[at..at + 8]);
                for (line, taps) in rows.chunks_exact(row).zip(taps.chunks_exact(kernel * channels)) {
                    for tap in from..to {
                        let values = &line[(start + tap - left) * channels + at..][..8];
                        let weights = &taps[tap * channels + at..][..8];
                        for i in 0..8 {
                            sums[i] += values[i] * weights[i];
                        }
                    }
                }
                pixel.copy_from_slice(&sums);
            }
        }
    }

    fn add_pixels(input: &[f32], sums: &mut [f32]) {
        for pixel in input.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += value;
            }
        }
    }

    /// Three quarters of one and a quarter of the other.
    fn mix(near: &[f32], far: &[f32], out: &mut [f32]) {
        for ((near, far), out) in near.iter().zip(far).zip(out) {
            *out = 0.75 * near + 0.25 * far;
        }
    }

    fn relu(values: &mut [f32]) {
        values.iter_mut().for_each(|value| *value = value.max(0.0));
    }

    fn hard_swish(values: &mut [f32]) {
        for value in values {
            *value *= (*value + 3.0).clamp(0.0, 6.0) / 6.0;
        }
    }

    /// `out` = `a` + `b`.
    pub fn add(a: &[f32], b: &[f32], out: &mut [f32]) {
        for ((a, b), out) in a.iter().zip(b).zip(out) {
            *out = a + b;
        }
    }

    /// `out` = `a` times `gate`, a number for each channel.
    pub fn gate(a: &[f32], gate: &[f32], out: &mut [f32]) {
        for (a, out) in a.chunks_exact(gate.len()).zip(out.chunks_exact_mut(gate.len())) {
            for ((a, gate), out) in a.iter().zip(gate).zip(out) {
                *out = a * gate;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Result, Tensor};

    fn numbers(count: usize, period: usize) -> Vec<f32> {
        (0..count)
            .map(|i| (i * 37 % period) as f32 / period as f32 - 0.5)
            .collect()
    }

    /// `[row][column][channel]` to 1×C×H×W.
    fn nchw(values: &[f32], size: Size) -> Result<Tensor> {
        Tensor::from_slice(
            values,
            (1, size.height, size.width, size.channels),
            &Device::Cpu,
        )?
        .permute((0, 3, 1, 2))?
        .contiguous()
    }

    fn compare(ours: &[f32], size: Size, expected: &Tensor) -> Result<()> {
        let difference = (nchw(ours, size)? - expected)?.abs()?.flatten_all()?;
        let difference = difference.max(0)?.to_scalar::<f32>()?;
        assert!(difference < 1e-4, "{size:?}: {difference}");
        Ok(())
    }

    #[test]
    fn convolutions_are_candles() -> Result<()> {
        for (height, width, channels, kernel, stride) in [
            (8, 10, 16, 3, 1),
            (8, 10, 8, 3, 2),
            (6, 4, 24, 5, 1),
            (12, 14, 8, 5, 2),
            (160, 64, 16, 3, 1),
        ] {
            let size = Size {
                height,
                width,
                channels,
            };
            let x = numbers(size.len(), 101);
            let taps = numbers(kernel * kernel * channels, 23);
            let bias = numbers(channels, 7);
            let half = Size {
                height: height / stride,
                width: width / stride,
                channels,
            };
            let mut out = vec![0.0; half.len()];
            let shape = (taps.as_slice(), kernel, stride);
            depthwise(&x, size, shape, &bias, Activation::Relu, &mut out);
            let (first, all) = (before(kernel, stride), kernel - stride);
            let padded = nchw(&x, size)?
                .pad_with_zeros(2, first, all - first)?
                .pad_with_zeros(3, first, all - first)?;
            let weight = Tensor::from_slice(&taps, (kernel * kernel, channels), &Device::Cpu)?
                .t()?
                .contiguous()?
                .reshape((channels, 1, kernel, kernel))?;
            let bias = Tensor::from_slice(&bias, (1, channels, 1, 1), &Device::Cpu)?;
            let expected = padded.conv2d(&weight, 0, stride, 1, channels)?;
            compare(&out, half, &expected.broadcast_add(&bias)?.relu()?)?;

            let table = numbers(channels * 24, 31);
            let shift = numbers(24, 5);
            let wide = Size {
                channels: 24,
                ..size
            };
            let mut out = vec![0.0; wide.len()];
            pointwise(
                &x,
                &table,
                &shift,
                wide.row(),
                Activation::Identity,
                &mut out,
            );
            let weight = Tensor::from_slice(&table, (channels, 24), &Device::Cpu)?
                .t()?
                .contiguous()?
                .reshape((24, channels, 1, 1))?;
            let shift = Tensor::from_slice(&shift, (1, 24, 1, 1), &Device::Cpu)?;
            let expected = nchw(&x, size)?.conv2d(&weight, 0, 1, 1, 1)?;
            compare(&out, wide, &expected.broadcast_add(&shift)?)?;
        }
        Ok(())
    }

    #[test]
    fn doubling_is_candles() -> Result<()> {
        let size = Size {
            height: 5,
            width: 7,
            channels: 8,
        };
        let x = numbers(size.len(), 53);
        let large = Size {
            height: 10,
            width: 14,
            channels: 8,
        };
        let mut out = vec![0.0; large.len()];
        double(&x, size, &mut out);
        compare(
            &out,
            large,
            &nchw(&x, size)?.upsample_bilinear2d(10, 14, false)?,
        )
    }
}

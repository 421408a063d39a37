//! Layers that candle does not have, composed of operations that every candle device has.

use candle_core::{D, Result, Tensor};

/// Pads height and width of `x_nchw` by `padding` pixels on each side, mirrored about the edge pixel, which is not
/// repeated (`dcb|abcd|cba`). Both sides must be longer than `padding`.
pub fn reflection_pad(x_nchw: &Tensor, padding: usize) -> Result<Tensor> {
    let (_, _, height, width) = x_nchw.dims4()?;
    let device = x_nchw.device();
    let rows = Tensor::from_vec(
        mirrored(padding, height, padding),
        height + 2 * padding,
        device,
    )?;
    let columns = Tensor::from_vec(
        mirrored(padding, width, padding),
        width + 2 * padding,
        device,
    )?;
    x_nchw.index_select(&rows, 2)?.index_select(&columns, 3)
}

/// Pads height and width of `x_nchw` at the bottom and on the right, mirrored as in [`reflection_pad`], to the next
/// multiple of `multiple`.
pub fn reflection_pad_to_multiple(x_nchw: &Tensor, multiple: usize) -> Result<Tensor> {
    let (_, _, height, width) = x_nchw.dims4()?;
    let (tall, wide) = (
        height.next_multiple_of(multiple),
        width.next_multiple_of(multiple),
    );
    if (tall, wide) == (height, width) {
        return Ok(x_nchw.clone());
    }
    let device = x_nchw.device();
    let rows = Tensor::from_vec(mirrored(0, height, tall - height), tall, device)?;
    let columns = Tensor::from_vec(mirrored(0, width, wide - width), wide, device)?;
    x_nchw.index_select(&rows, 2)?.index_select(&columns, 3)
}

/// Indices into `length` places: `before` mirrored ones, all of them, `after` mirrored ones.
fn mirrored(before: usize, length: usize, after: usize) -> Vec<u32> {
    let last = length as i64 - 1;
    (-(before as i64)..(length + after) as i64)
        .map(|i| (last - (last - i.abs()).abs()) as u32)
        .collect()
}

/// Instance normalisation (Ulyanov et al. 2016): each channel of each picture of `x_nchw` is brought to mean 0 and
/// variance 1 (biased, `epsilon` added), then scaled by `scale` and shifted by `shift` (C numbers each).
pub fn instance_norm(
    x_nchw: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    epsilon: f64,
) -> Result<Tensor> {
    let (n, c, h, w) = x_nchw.dims4()?;
    let flat = x_nchw.reshape((n, c, h * w))?;
    let centred = flat.broadcast_sub(&flat.mean_keepdim(D::Minus1)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
    centred
        .broadcast_div(&deviation)?
        .broadcast_mul(&scale.reshape((1, c, 1))?)?
        .broadcast_add(&shift.reshape((1, c, 1))?)?
        .reshape((n, c, h, w))
}

/// (N, C, H, W) to (N, C·b·b, H/b, W/b) with `block` b, which divides both sides: the pixels of a block become channels,
/// `[row in the block][column in the block][channel]`.
pub fn pixel_unshuffle(x_nchw: &Tensor, block: usize) -> Result<Tensor> {
    let (n, c, h, w) = x_nchw.dims4()?;
    x_nchw
        .reshape(&[n, c, h / block, block, w / block, block][..])?
        .permute(vec![0, 3, 5, 1, 2, 4])?
        .contiguous()?
        .reshape((n, c * block * block, h / block, w / block))
}

/// (N, 4C, H, W) to (N, C, 2H, 2W), the channels being `[row in the block][column in the block][channel]` of blocks of
/// 2×2 pixels (Shi et al. 2016).
pub fn pixel_shuffle(x_nchw: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x_nchw.dims4()?;
    x_nchw
        .reshape(&[n, 2, 2, c / 4, h, w][..])?
        .permute(vec![0, 3, 4, 1, 5, 2])?
        .contiguous()?
        .reshape((n, c / 4, 2 * h, 2 * w))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn mirrored_indices_do_not_repeat_the_edge() {
        assert_eq!(mirrored(3, 5, 3), [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]);
        assert_eq!(mirrored(0, 5, 3), [0, 1, 2, 3, 4, 3, 2, 1]);
    }

    #[test]
    fn padding_mirrors_both_axes() -> Result<()> {
        let x = Tensor::arange(0f32, 6., &Device::Cpu)?.reshape((1, 1, 2, 3))?;
        let padded = reflection_pad(&x, 1)?.reshape((4, 5))?.to_vec2::<f32>()?;
        assert_eq!(
            padded,
            [
                [4., 3., 4., 5., 4.],
                [1., 0., 1., 2., 1.],
                [4., 3., 4., 5., 4.],
                [1., 0., 1., 2., 1.]
            ]
        );
        let wide = reflection_pad_to_multiple(&x, 4)?;
        assert_eq!(wide.dims(), [1, 1, 4, 4]);
        Ok(())
    }

    #[test]
    fn shuffling_undoes_unshuffling() -> Result<()> {
        let x = Tensor::arange(0f32, 48., &Device::Cpu)?.reshape((1, 2, 4, 6))?;
        let blocks = pixel_unshuffle(&x, 2)?;
        assert_eq!(blocks.dims(), [1, 8, 2, 3]);
        // The second block's lower left pixel: row 1, column 2 of either channel.
        let pixel = blocks.narrow(2, 0, 1)?.narrow(3, 1, 1)?.flatten_all()?;
        assert_eq!(pixel.to_vec1::<f32>()?[4..6], [8., 32.]);
        let back = pixel_shuffle(&blocks)?;
        assert_eq!(
            back.flatten_all()?.to_vec1::<f32>()?,
            x.flatten_all()?.to_vec1::<f32>()?
        );
        Ok(())
    }

    #[test]
    fn normalised_channels_have_the_asked_mean_and_deviation() -> Result<()> {
        let x = Tensor::new(&[1f32, 3., 5., 7., 10., 10., 30., 30.], &Device::Cpu)?
            .reshape((1, 2, 2, 2))?;
        let (scale, shift) = (
            Tensor::new(&[2f32, 1.], &Device::Cpu)?,
            Tensor::new(&[0.5f32, -1.], &Device::Cpu)?,
        );
        let y = instance_norm(&x, &scale, &shift, 0.0)?
            .reshape((2, 4))?
            .to_vec2::<f32>()?;
        // Channel 0: mean 4, deviation sqrt(5); channel 1: mean 20, deviation 10.
        let first = [-3f32, -1., 1., 3.].map(|d| 2.0 * d / 5f32.sqrt() + 0.5);
        for (y, expected) in y[0]
            .iter()
            .chain(&y[1])
            .zip(first.iter().chain(&[-2., -2., 0., 0.]))
        {
            assert!((y - expected).abs() < 1e-5, "{y} is not {expected}");
        }
        Ok(())
    }
}

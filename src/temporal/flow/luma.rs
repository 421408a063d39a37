//! The brightness of a picture, which is all that flow looks at.

use crate::{frame::Picture, kernels::vectorised};

/// BT.709 luma, 8 bits a pixel, rows packed without padding, top row first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Luma {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height * width` values.
    pub pixels: Vec<u8>,
}

/// 0.2126, 0.7152 and 0.0722 (ITU-R BT.709) in units of 1/65536.
const WEIGHTS: [u32; 3] = [13_933, 46_871, 4_732];

#[inline(always)]
fn luma(rgb: &[u8]) -> u32 {
    WEIGHTS[0] * u32::from(rgb[0]) + WEIGHTS[1] * u32::from(rgb[1]) + WEIGHTS[2] * u32::from(rgb[2])
}

vectorised! {
    /// The luma of RGB pixels.
    fn take(rgb: &[u8], pixels: &mut [u8]) {
        for (pixel, &[r, g, b]) in pixels.iter_mut().zip(rgb.as_chunks::<3>().0) {
            *pixel = ((luma(&[r, g, b]) + 0x8000) >> 16) as u8;
        }
    }
}

impl Luma {
    /// Wraps pixels that another decoder has made (the Y plane of a video frame, say); `None` when they are not
    /// `width * height`.
    #[must_use]
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Option<Self> {
        (pixels.len() == width * height).then_some(Self {
            width,
            height,
            pixels,
        })
    }

    /// The luma of a picture.
    #[must_use]
    pub fn from_rgb(picture: &Picture) -> Self {
        let mut pixels = vec![0; picture.width() * picture.height()];
        take(picture.rgb(), &mut pixels);
        Self {
            width: picture.width(),
            height: picture.height(),
            pixels,
        }
    }

    /// The luma of a picture made `factor` times smaller, each pixel the mean of `factor`×`factor`; a row or column
    /// that does not fill a pixel is averaged over what there is. A factor of 0 counts as 1.
    #[must_use]
    pub fn from_rgb_scaled(picture: &Picture, factor: usize) -> Self {
        if factor < 2 {
            return Self::from_rgb(picture);
        }
        let (full_width, full_height) = (picture.width(), picture.height());
        let (width, height) = (full_width.div_ceil(factor), full_height.div_ceil(factor));
        let mut pixels = Vec::with_capacity(width * height);
        let mut sums = vec![0_u64; width];
        for y in 0..height {
            sums.fill(0);
            let rows = y * factor..((y + 1) * factor).min(full_height);
            let count = rows.len();
            for row in rows {
                let row = &picture.rgb()[row * full_width * 3..(row + 1) * full_width * 3];
                for (sum, block) in sums.iter_mut().zip(row.chunks(factor * 3)) {
                    *sum += block
                        .chunks_exact(3)
                        .map(|rgb| u64::from(luma(rgb)))
                        .sum::<u64>();
                }
            }
            pixels.extend(sums.iter().enumerate().map(|(x, sum)| {
                let area = (count * factor.min(full_width - x * factor)) as u64;
                ((sum / area + 0x8000) >> 16) as u8
            }));
        }
        Self {
            width,
            height,
            pixels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_is_white_and_green_is_brightest() {
        let picture =
            Picture::new(4, 1, vec![255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255]).unwrap();
        assert_eq!(Luma::from_rgb(&picture).pixels, [255, 54, 182, 18]);
    }

    #[test]
    fn scaled_luma_is_the_mean_also_at_the_edges() {
        let values: Vec<u8> = (0..15).map(|value| value * 10).collect();
        let rgb = values.iter().flat_map(|&value| [value; 3]).collect();
        let picture = Picture::new(5, 3, rgb).unwrap();
        let scaled = Luma::from_rgb_scaled(&picture, 2);
        assert_eq!((scaled.width, scaled.height), (3, 2));
        assert_eq!(scaled.pixels, [30, 50, 65, 105, 125, 140]);
    }
}

//! Looking up a picture between its pixels.
//!
//! A picture that is carried along the motion is resampled once per frame, again and again, so the interpolation
//! decides how fast fine strokes wash out. [`cubic_weights`] are those of Catmull and Rom's spline (Keys' cubic with
//! a = −1/2): they keep straight ramps and parabolas exactly and lose far less of the finest octave than bilinear
//! weights. Positions outside the picture take the value of its edge.

use crate::frame::Picture;

/// A pixel of a working picture: R, G, B and BT.709 luma, 0..255. Four lanes fill a vector register, and luma is what
/// the octaves' energy is measured with.
pub(crate) type Rgby = [f32; 4];

/// Weights of the pixels at −1, 0, 1 and 2 for a position `f` (0..1) behind pixel 0.
#[inline(always)]
pub(crate) fn cubic_weights(f: f32) -> [f32; 4] {
    let (f2, f3) = (f * f, f * f * f);
    [
        -0.5 * f + f2 - 0.5 * f3,
        1.0 - 2.5 * f2 + 1.5 * f3,
        0.5 * f + 2.0 * f2 - 1.5 * f3,
        -0.5 * f2 + 0.5 * f3,
    ]
}

/// Where a position falls: the pixel before it (clamped so that one further pixel is inside) and the fraction behind it.
#[inline(always)]
pub(crate) fn split(position: f32, size: usize) -> (usize, f32) {
    let inside = position.clamp(0.0, (size - 1) as f32);
    let before = (inside as usize).min(size.saturating_sub(2));
    (before, inside - before as f32)
}

/// A picture of [`Rgby`] pixels, 2 pixels or more on each side.
#[derive(Clone, Copy)]
pub(crate) struct Sampler<'a> {
    pixels: &'a [Rgby],
    width: usize,
    height: usize,
}

impl<'a> Sampler<'a> {
    /// A picture of `width` by `height` pixels, rows packed.
    #[inline(always)]
    pub(crate) fn new(pixels: &'a [Rgby], width: usize, height: usize) -> Self {
        assert!(pixels.len() == width * height && width > 1 && height > 1);
        Self {
            pixels,
            width,
            height,
        }
    }

    /// The Catmull–Rom value at (`x`, `y`), in pixels from the centre of the first.
    #[inline(always)]
    pub(crate) fn cubic(&self, x: f32, y: f32) -> Rgby {
        let (x0, fx) = split(x, self.width);
        let (y0, fy) = split(y, self.height);
        let (wx, wy) = (cubic_weights(fx), cubic_weights(fy));
        let inside = x0 >= 1 && x0 + 2 < self.width && y0 >= 1 && y0 + 2 < self.height;
        let mut column = [[0.0_f32; 4]; 4];
        if inside {
            // Four neighbours of four lanes each: one row is one run of sixteen numbers.
            for (i, &weight) in wy.iter().enumerate() {
                let start = (y0 + i - 1) * self.width + x0 - 1;
                for (sum, pixel) in column.iter_mut().zip(&self.pixels[start..start + 4]) {
                    for lane in 0..4 {
                        sum[lane] += weight * pixel[lane];
                    }
                }
            }
        } else {
            for (i, &weight) in wy.iter().enumerate() {
                let row = (y0 + i).saturating_sub(1).min(self.height - 1) * self.width;
                for (j, sum) in column.iter_mut().enumerate() {
                    let pixel = self.pixels[row + (x0 + j).saturating_sub(1).min(self.width - 1)];
                    for lane in 0..4 {
                        sum[lane] += weight * pixel[lane];
                    }
                }
            }
        }
        std::array::from_fn(|lane| {
            wx[0] * column[0][lane]
                + wx[1] * column[1][lane]
                + wx[2] * column[2][lane]
                + wx[3] * column[3][lane]
        })
    }
}

/// The Catmull–Rom value of a picture of bytes at (`x`, `y`), in pixels from the centre of the first: R, G, B, 0..255.
pub(crate) fn cubic_rgb(picture: &Picture, x: f32, y: f32) -> [f32; 3] {
    let (width, height) = (picture.width(), picture.height());
    let (x0, fx) = split(x, width);
    let (y0, fy) = split(y, height);
    let (wx, wy) = (cubic_weights(fx), cubic_weights(fy));
    let mut value = [0.0; 3];
    for (i, &wy) in wy.iter().enumerate() {
        let row = (y0 + i).saturating_sub(1).min(height - 1) * width;
        for (j, &wx) in wx.iter().enumerate() {
            let at = 3 * (row + (x0 + j).saturating_sub(1).min(width - 1));
            for (value, &byte) in value.iter_mut().zip(&picture.rgb()[at..at + 3]) {
                *value += wx * wy * f32::from(byte);
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, value: impl Fn(f32, f32) -> f32) -> Vec<Rgby> {
        (0..width * height)
            .map(|i| [value((i % width) as f32, (i / width) as f32); 4])
            .collect()
    }

    #[test]
    fn parabolas_are_kept_exactly_inside() {
        let value = |x: f32, y: f32| 3.0 + 0.5 * x - 0.2 * y + 0.25 * x * x - 0.125 * y * y;
        let pixels = picture(12, 9, value);
        let sampler = Sampler::new(&pixels, 12, 9);
        for (x, y) in [(3.0, 4.0), (3.25, 4.75), (7.9, 2.1), (1.0, 6.999)] {
            let [r, ..] = sampler.cubic(x, y);
            assert!((r - value(x, y)).abs() < 1e-4, "({x}, {y}): {r}");
        }
    }

    #[test]
    fn whole_positions_return_the_pixel_and_outside_the_edge() {
        let pixels = picture(6, 5, |x, y| x * 10.0 + y);
        let sampler = Sampler::new(&pixels, 6, 5);
        for y in 0..5 {
            for x in 0..6 {
                let got = sampler.cubic(x as f32, y as f32)[0];
                assert!((got - (x * 10 + y) as f32).abs() < 1e-4);
            }
        }
        assert_eq!(sampler.cubic(-30.0, -2.0)[0], 0.0);
        assert_eq!(sampler.cubic(99.0, 99.0)[0], 54.0);
        assert!(sampler.cubic(f32::NAN, 1.0)[0].is_nan() || sampler.cubic(f32::NAN, 1.0)[0] >= 0.0);
    }
}

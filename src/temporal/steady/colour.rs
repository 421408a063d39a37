//! Pictures as luma at full size and colour at half size.
//!
//! The eye sees light finer than colour, so every common video codec keeps colour at half the width and height (4:2:0).
//! So does steadying: what it looks up, filters and remembers is 1.5 numbers a pixel where R, G and B would be 3. Colour
//! here is the pair B − Y, R − Y, with Y the luma of BT.709; a pixel at half size is the mean of 2×2.

use crate::kernels::vectorised;

/// BT.709 luma weights of R, G and B.
const LUMA: [f32; 3] = [0.2126, 0.7152, 0.0722];

/// R, G and B of a luma with its colour.
#[inline(always)]
pub(super) fn rgb([y, blue, red]: [f32; 3]) -> [f32; 3] {
    let green = y - (LUMA[0] / LUMA[1]) * red - (LUMA[2] / LUMA[1]) * blue;
    [y + red, green, y + blue]
}

/// Mean square over R, G and B.
#[inline(always)]
pub(super) fn mean_square(difference: [f32; 3]) -> f32 {
    rgb(difference).iter().map(|lane| lane * lane).sum::<f32>() / 3.0
}

vectorised! {
    /// Takes rows of `width` RGB pixels apart, the first of them even: luma, and colour of each 2×2 pixels.
    pub(super) fn take(picture: &[u8], width: usize, luma: &mut [f32], colour: &mut [f32]) {
        // No `map` over arrays in these loops: it is a function that may stay outside, without the vectors.
        for (luma, &[r, g, b]) in luma.iter_mut().zip(picture.as_chunks::<3>().0) {
            *luma = LUMA[0] * f32::from(r) + LUMA[1] * f32::from(g) + LUMA[2] * f32::from(b);
        }
        let narrow = width.div_ceil(2);
        let rows = picture.chunks(6 * width).zip(luma.chunks(2 * width));
        for (colour, (pixels, luma)) in colour.chunks_exact_mut(2 * narrow).zip(rows) {
            let second = (luma.len() / width - 1) * width;
            let (above, below) = (&pixels[..3 * width], &pixels[3 * second..][..3 * width]);
            let (light_above, light_below) = (&luma[..width], &luma[second..][..width]);
            let colour = colour.as_chunks_mut::<2>().0;
            let light = light_above.as_chunks::<2>().0.iter().zip(light_below.as_chunks::<2>().0);
            let pairs = above.as_chunks::<6>().0.iter().zip(below.as_chunks::<6>().0);
            for (colour, ((a, b), (light, under))) in colour.iter_mut().zip(pairs.zip(light)) {
                let y = light[0] + light[1] + under[0] + under[1];
                let red = i32::from(a[0]) + i32::from(a[3]) + i32::from(b[0]) + i32::from(b[3]);
                let blue = i32::from(a[2]) + i32::from(a[5]) + i32::from(b[2]) + i32::from(b[5]);
                *colour = [0.25 * (blue as f32 - y), 0.25 * (red as f32 - y)];
            }
            // Of an odd row the last pixel counts twice.
            if let (1, Some(colour), [.., red, _, blue], [.., red_below, _, blue_below]) = (width % 2, colour.last_mut(), above, below) {
                let y = light_above[width - 1] + light_below[width - 1];
                let (red, blue) = (i32::from(*red) + i32::from(*red_below), i32::from(*blue) + i32::from(*blue_below));
                *colour = [0.5 * (blue as f32 - y), 0.5 * (red as f32 - y)];
            }
        }
    }

    /// Puts a row of pixels together from luma and colour, the latter at full width.
    pub(super) fn put(luma: &[f32], colour: &[f32], row: &mut [u8]) {
        for ((pixel, &y), &[blue, red]) in row.as_chunks_mut::<3>().0.iter_mut().zip(luma).zip(colour.as_chunks::<2>().0) {
            let [r, g, b] = rgb([y, blue, red]);
            *pixel = [byte(r), byte(g), byte(b)];
        }
    }
}

/// The nearest byte.
#[inline(always)]
#[allow(
    clippy::manual_clamp,
    reason = "`clamp` would leave a NaN, which `max` replaces"
)]
fn byte(value: f32) -> u8 {
    let inside = value.max(0.0).min(255.0) + 0.5;
    // SAFETY: between 0.5 and 255.5, and no NaN, which `max` has replaced. (The checked conversion does not become
    // vector instructions.)
    unsafe { inside.to_int_unchecked::<i32>() as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_colours_come_back() {
        for (width, height) in [(5, 3), (8, 4), (1, 2)] {
            let pixels = [200_u8, 30, 90].repeat(width * height);
            let mut luma = vec![0.0; width * height];
            let mut colour = vec![0.0; 2 * width.div_ceil(2) * usize::div_ceil(height, 2)];
            take(&pixels, width, &mut luma, &mut colour);
            let wide: Vec<f32> = colour[..2].repeat(width * height);
            let mut back = vec![0; pixels.len()];
            put(&luma, &wide, &mut back);
            assert_eq!(back, pixels, "{width}x{height}");
            assert!(
                colour
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .all(|pair| *pair == colour[..2])
            );
        }
    }

    #[test]
    fn a_pixel_at_half_size_is_the_mean_of_four() {
        let pixels = [[0, 0, 0], [255, 0, 0], [0, 0, 255], [0, 0, 0]].concat();
        let (mut luma, mut colour) = ([0.0; 4], [0.0; 2]);
        take(&pixels, 2, &mut luma, &mut colour);
        let y = 0.25 * 255.0 * (LUMA[0] + LUMA[2]);
        assert!((colour[0] - (63.75 - y)).abs() < 1e-3 && (colour[1] - (63.75 - y)).abs() < 1e-3);
    }
}

//! Colours in Oklab (Ottosson 2020), where equal steps look equal: lightness, green to red, blue to yellow.
//!
//! Everything that is done to colours here is one affine map in that space, so one loop serves saturation and palettes.
//! A map that spreads colours apart would show the 256 steps it started from as bands, so results are dithered on their
//! way back to bytes, by a pattern that stays the same from frame to frame.

use std::sync::LazyLock;

use rayon::prelude::*;

use crate::kernels::vectorised;

/// `matrix * lab + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabMap {
    /// Rows.
    pub matrix: [[f32; 3]; 3],
    /// Added last.
    pub offset: [f32; 3],
}

impl LabMap {
    /// Scales the distance from grey.
    pub fn saturation(factor: f32) -> Self {
        Self {
            matrix: [[1.0, 0.0, 0.0], [0.0, factor, 0.0], [0.0, 0.0, factor]],
            offset: [0.0; 3],
        }
    }

    /// Applies the map to rows of `width` sRGB pixels.
    pub fn apply(&self, rgb: &mut [u8], width: usize) {
        rgb.par_chunks_mut((width * 3).max(3))
            .enumerate()
            .for_each(|(y, row)| {
                let mut lab = vec![[0.0_f32; 4]; row.len() / 3];
                map_row(row, &mut lab, self, y as u32);
            });
    }
}

/// sRGB bytes to linear light.
static LINEAR: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let v = i as f32 / 255.0;
        if v <= 0.04045 {
            v / 12.92
        } else {
            ((v + 0.055) / 1.055).powf(2.4)
        }
    })
});

/// Steps of [`ENCODED`]: fine enough that neighbours differ by an eighth of a byte.
const STEPS: usize = 4096;

/// Roots of linear light, in [`STEPS`] steps, to sRGB in 0..=255. (By the root, dark tones have steps enough.)
static ENCODED: LazyLock<Vec<f32>> = LazyLock::new(|| {
    (0..=STEPS)
        .map(|i| {
            let v = (i as f32 / STEPS as f32).powi(2);
            255.0
                * if v <= 0.003_130_8 {
                    v * 12.92
                } else {
                    1.055 * v.powf(1.0 / 2.4) - 0.055
                }
        })
        .collect()
});

/// One sRGB pixel in Oklab.
pub fn from_rgb(rgb: &[u8]) -> [f32; 3] {
    let light: &[f32; 256] = &LINEAR;
    lab([rgb[0], rgb[1], rgb[2]].map(|byte| light[usize::from(byte)]))
}

#[inline(always)]
fn lab([r, g, b]: [f32; 3]) -> [f32; 3] {
    let l = cube_root(0.412_221_47 * r + 0.536_332_54 * g + 0.051_445_993 * b);
    let m = cube_root(0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b);
    let s = cube_root(0.088_302_46 * r + 0.281_718_84 * g + 0.629_978_7 * b);
    [
        0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
        1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
        0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
    ]
}

#[inline(always)]
fn linear([l, a, b]: [f32; 3]) -> [f32; 3] {
    let cubed = |v: f32| v * v * v;
    let long = cubed(l + 0.396_337_78 * a + 0.215_803_76 * b);
    let medium = cubed(l - 0.105_561_346 * a - 0.063_854_17 * b);
    let short = cubed(l - 0.089_484_18 * a - 1.291_485_5 * b);
    [
        4.076_741_7 * long - 3.307_711_6 * medium + 0.230_969_94 * short,
        -1.268_438 * long + 2.609_757_4 * medium - 0.341_319_38 * short,
        -0.004_196_086_3 * long - 0.703_418_6 * medium + 1.707_614_7 * short,
    ]
}

/// The cube root of a number that is not negative: a guess from the exponent, then Halley's rule twice (error 1e-6).
#[inline(always)]
fn cube_root(x: f32) -> f32 {
    let mut y = f32::from_bits(x.to_bits() / 3 + 0x2a51_37a0);
    for _ in 0..2 {
        let cube = y * y * y;
        y *= (cube + 2.0 * x) / (2.0 * cube + x + 1e-30);
    }
    y
}

/// Interleaved gradient noise (Jimenez 2014), 0..1: neighbouring pixels differ as much as they can.
#[inline(always)]
fn dither(x: u32, y: u32) -> f32 {
    let v = 0.067_110_56 * x as f32 + 0.005_837_15 * y as f32;
    (52.982_918 * (v - v.floor())).fract()
}

vectorised! {
    fn map_row(row: &mut [u8], colours: &mut [[f32; 4]], map: &LabMap, y: u32) {
        let (light, encoded): (&[f32; 256], &[f32]) = (&LINEAR, &ENCODED);
        let (pixels, _) = row.as_chunks_mut::<3>();
        for (colour, pixel) in colours.iter_mut().zip(pixels.iter()) {
            let [r, g, b] = pixel.map(|byte| light[usize::from(byte)]);
            *colour = [r, g, b, 0.0];
        }
        for colour in colours.iter_mut() {
            let from = lab([colour[0], colour[1], colour[2]]);
            let mut to = map.offset;
            for (to, row) in to.iter_mut().zip(&map.matrix) {
                *to += row[0] * from[0] + row[1] * from[1] + row[2] * from[2];
            }
            let [r, g, b] = linear(to).map(|v| v.clamp(0.0, 1.0).sqrt() * STEPS as f32);
            *colour = [r, g, b, 0.0];
        }
        for (x, (pixel, colour)) in pixels.iter_mut().zip(colours.iter()).enumerate() {
            let noise = dither(x as u32, y);
            for (byte, &place) in pixel.iter_mut().zip(colour) {
                // Saturates.
                *byte = (encoded[(place + 0.5) as usize] + noise) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_colours() {
        // Ottosson's own figures for sRGB white and red.
        let [l, a, b] = from_rgb(&[255, 255, 255]);
        assert!((l - 1.0).abs() < 1e-3 && a.abs() < 1e-3 && b.abs() < 1e-3);
        let [l, a, b] = from_rgb(&[255, 0, 0]);
        assert!(
            (l - 0.6279).abs() < 1e-3 && (a - 0.2249).abs() < 1e-3 && (b - 0.1258).abs() < 1e-3
        );
    }

    #[test]
    fn there_and_back_is_within_a_step() {
        let before: Vec<u8> = (0..256 * 3 * 8).map(|i| (i * 53 % 256) as u8).collect();
        let mut after = before.clone();
        LabMap::saturation(1.0).apply(&mut after, 64);
        let worst = before.iter().zip(&after).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(1), "{worst:?}");
    }

    #[test]
    fn without_saturation_everything_is_grey() {
        let mut pixels = vec![200, 40, 90, 10, 250, 30];
        LabMap::saturation(0.0).apply(&mut pixels, 2);
        for pixel in pixels.chunks_exact(3) {
            let spread = pixel.iter().max().unwrap() - pixel.iter().min().unwrap();
            assert!(spread <= 1, "{pixel:?}");
        }
    }

    /// A gentle ramp of more saturation must not fall into fewer steps than it had: the mean of neighbours goes on rising.
    #[test]
    fn stretched_ramps_have_no_bands() {
        let (width, height) = (512, 16);
        let mut ramp: Vec<u8> = (0..height)
            .flat_map(|_| (0..width).flat_map(|x| [120 + (x / 64) as u8, 120, 120]))
            .collect();
        LabMap::saturation(2.5).apply(&mut ramp, width);
        let column = |x: usize| {
            (0..height)
                .flat_map(|y| (x..x + 16).map(move |x| (y, x)))
                .map(|(y, x)| f32::from(ramp[(y * width + x) * 3]))
                .sum::<f32>()
        };
        // Within a step of the input nothing drifts, and the levels are not whole bytes: they are dithered.
        let levels: Vec<_> = (0..8).map(|step| column(step * 64 + 16) / 256.0).collect();
        assert!(
            levels.windows(2).all(|pair| pair[1] > pair[0] + 0.5),
            "{levels:?}"
        );
        assert!(
            levels
                .iter()
                .any(|level| (level - level.round()).abs() > 0.1),
            "{levels:?}"
        );
    }
}

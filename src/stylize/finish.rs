//! What is done to a painting after the network: original colours put back, saturation, and the original mixed in.

use std::{fmt, str::FromStr};

use super::LabMap;
use crate::frame::Picture;

/// Where a painting's colours come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colors {
    /// As the network paints them.
    #[default]
    Style,
    /// The original's: the painting gives only light and dark.
    Keep,
    /// The palette of the style picture, by mean and covariance (see [`Palette`](super::Palette)).
    Match,
}

impl FromStr for Colors {
    type Err = UnknownColors;

    fn from_str(text: &str) -> Result<Self, UnknownColors> {
        match text {
            "style" => Ok(Self::Style),
            "keep" => Ok(Self::Keep),
            "match" => Ok(Self::Match),
            _ => Err(UnknownColors(text.to_owned())),
        }
    }
}

impl fmt::Display for Colors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Style => "style",
            Self::Keep => "keep",
            Self::Match => "match",
        })
    }
}

/// A word that says nothing about colours.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no choice of colours: use style, keep or match")]
pub struct UnknownColors(String);

/// How the painting and the original are joined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finish {
    opacity: f32,
    colors: Colors,
    saturation: f32,
}

/// A number out of its range.
#[derive(Debug, thiserror::Error)]
pub enum InvalidFinish {
    /// Outside of 0..1.
    #[error("opacity {0} is out of range: --opacity takes 0 (the original) to 1 (the painting)")]
    Opacity(f32),
    /// Outside of 0..4.
    #[error(
        "saturation {0} is out of range: --saturation takes 0 (grey) to 4, 1 is as it was painted"
    )]
    Saturation(f32),
}

impl Default for Finish {
    /// The painting as it is.
    fn default() -> Self {
        Self {
            opacity: 1.0,
            colors: Colors::Style,
            saturation: 1.0,
        }
    }
}

impl Finish {
    /// `opacity` is that of the painting over the original, 0..1; with [`Colors::Keep`] the painting gives only its luma
    /// (BT.709), brought to the mean and deviation of the original's (Gatys et al. 2016, "Preserving color in neural
    /// artistic style transfer"), and the original its two colour differences; `saturation` scales the distance from grey in Oklab, 0..4.
    ///
    /// # Errors
    /// [`InvalidFinish`] for numbers out of range.
    pub fn new(opacity: f32, colors: Colors, saturation: f32) -> Result<Self, InvalidFinish> {
        if !(0.0..=1.0).contains(&opacity) {
            return Err(InvalidFinish::Opacity(opacity));
        }
        if !(0.0..=4.0).contains(&saturation) {
            return Err(InvalidFinish::Saturation(saturation));
        }
        Ok(Self {
            opacity,
            colors,
            saturation,
        })
    }

    /// Where the colours come from. [`Finish::apply`] does nothing about [`Colors::Match`]: the stylizer does.
    pub fn colors(&self) -> Colors {
        self.colors
    }

    /// Whether nothing of the painting is seen, so that it need not be painted.
    pub fn hides_painting(&self) -> bool {
        self.opacity <= 0.0
    }

    /// Whether [`Finish::apply`] looks at the original at all.
    pub fn needs_original(&self) -> bool {
        self.colors == Colors::Keep || self.opacity < 1.0
    }

    /// Finishes `painting`, which the network made from `original` (RGB bytes of the same picture).
    pub fn apply(&self, original: &[u8], painting: &mut Picture) {
        let width = painting.width();
        if self.colors == Colors::Keep {
            keep_colors(original, painting.rgb_mut());
        }
        if self.saturation != 1.0 {
            LabMap::saturation(self.saturation).apply(painting.rgb_mut(), width);
        }
        if self.opacity < 1.0 {
            let opacity = (self.opacity * 256.0).round() as i32;
            for (p, &o) in painting.rgb_mut().iter_mut().zip(original) {
                let o = i32::from(o);
                *p = (o + (((i32::from(*p) - o) * opacity + 128) >> 8)) as u8;
            }
        }
    }
}

/// Luma under which a painting is black, of 255.
const BLACK: f32 = 24.0;

/// Paints `original` by the light and dark of `painting`, in its own colours.
fn keep_colors(original: &[u8], painting: &mut [u8]) {
    let (mean, deviation) = light(original);
    let (own_mean, own_deviation) = light(painting);
    // Where the painting is even there is nothing to be spread.
    let gain = deviation.max(4.0) / own_deviation.max(4.0);
    // Black stays black: bars, and lines that are drawn so.
    let wanted: [f32; 256] = std::array::from_fn(|luma| {
        let luma = luma as f32;
        let there = luma.max(BLACK);
        let wanted = (mean + (there - own_mean) * gain).clamp(0.0, 255.0);
        wanted * luma / there
    });
    for (painted, original) in painting.chunks_exact_mut(3).zip(original.chunks_exact(3)) {
        let luma_there = wanted[luma(painted) as usize];
        let own = luma(original) as f32;
        let differences: [f32; 3] = std::array::from_fn(|i| f32::from(original[i]) - own);
        // What is too dark or too light for its colour is paler, and no other colour.
        let room = differences.iter().fold(1.0_f32, |room, &difference| {
            let space = if difference > 0.0 {
                255.0 - luma_there
            } else {
                luma_there
            };
            room.min(space / difference.abs().max(1e-3))
        });
        for (value, difference) in painted.iter_mut().zip(differences) {
            *value = (luma_there + room * difference + 0.5) as u8;
        }
    }
}

/// Mean and deviation of the luma of RGB pixels, 0..255.
fn light(rgb: &[u8]) -> (f32, f32) {
    let (mut sum, mut squares) = (0_u64, 0_u64);
    for pixel in rgb.chunks_exact(3) {
        let luma = luma(pixel) as u64;
        sum += luma;
        squares += luma * luma;
    }
    let count = (rgb.len() / 3).max(1) as f64;
    let mean = sum as f64 / count;
    let variance = squares as f64 / count - mean * mean;
    (mean as f32, variance.max(0.0).sqrt() as f32)
}

/// BT.709 luma of an RGB pixel, 0..255 (weights in 1/65536).
fn luma(rgb: &[u8]) -> i32 {
    (13_933 * i32::from(rgb[0]) + 46_871 * i32::from(rgb[1]) + 4_732 * i32::from(rgb[2]) + 32_768)
        >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(opacity: f32, colors: Colors, original: [u8; 3], painted: [u8; 3]) -> Vec<u8> {
        let mut picture = Picture::new(1, 1, painted.to_vec()).unwrap();
        Finish::new(opacity, colors, 1.0)
            .unwrap()
            .apply(&original, &mut picture);
        picture.into_rgb()
    }

    #[test]
    fn opacity_mixes_linearly() {
        for (opacity, expected) in [
            (0.0, [10, 20, 30]),
            (1.0, [200, 100, 0]),
            (0.5, [105, 60, 15]),
        ] {
            let mixed = finish(opacity, Colors::Style, [10, 20, 30], [200, 100, 0]);
            assert_eq!(mixed, expected);
        }
    }

    #[test]
    fn kept_colors_take_the_light_and_dark_of_the_painting() {
        // Brick red, dark and light by turns; the painting is pale, and light where it was dark.
        let original: Vec<u8> = [[120, 40, 30], [180, 100, 90]].repeat(50).concat();
        let painted = [[230, 230, 250], [150, 170, 150]].repeat(50).concat();
        let mut picture = Picture::new(10, 10, painted).unwrap();
        let finish = Finish::new(1.0, Colors::Keep, 1.0).unwrap();
        finish.apply(&original, &mut picture);
        let (mean, deviation) = light(&original);
        let (own_mean, own_deviation) = light(picture.rgb());
        assert!((mean - own_mean).abs() < 1.0 && (deviation - own_deviation).abs() < 1.0);
        for (out, before) in picture.rgb().chunks_exact(3).zip(original.chunks_exact(3)) {
            for i in 0..2 {
                let difference = |p: &[u8]| i32::from(p[i]) - i32::from(p[i + 1]);
                assert!((difference(out) - difference(before)).abs() <= 1, "{out:?}");
            }
        }
        assert!(luma(&picture.rgb()[..3]) > luma(&picture.rgb()[3..6]) + 40);
    }

    #[test]
    fn kept_colors_grow_pale_rather_than_change() {
        // One orange pixel that is painted white among greys that are painted as they are.
        let mut original: Vec<u8> = [[30; 3], [220; 3]].repeat(50).concat();
        let mut painted = original.clone();
        original[..3].copy_from_slice(&[250, 140, 40]);
        painted[..3].copy_from_slice(&[250; 3]);
        let mut picture = Picture::new(10, 10, painted).unwrap();
        let finish = Finish::new(1.0, Colors::Keep, 1.0).unwrap();
        finish.apply(&original, &mut picture);
        let [r, g, b] = [0, 1, 2].map(|i| f32::from(picture.rgb()[i]));
        assert!(r > g && g > b, "{r} {g} {b}");
        // As far from yellow and from red as it was.
        assert!(
            ((g - b) / (r - b) - 100.0 / 210.0).abs() < 0.15,
            "{r} {g} {b}"
        );
    }

    #[test]
    fn numbers_out_of_range_name_the_option() {
        for bad in [-0.1, 1.1, f32::NAN] {
            let error = Finish::new(bad, Colors::Style, 1.0).unwrap_err();
            assert!(error.to_string().contains("--opacity"));
        }
        for bad in [-0.1, 4.1, f32::NAN] {
            let error = Finish::new(1.0, Colors::Style, bad).unwrap_err();
            assert!(error.to_string().contains("--saturation"));
        }
    }
}

//! What is done to a painting after the network: original colours put back, and the original mixed in.

use crate::frame::Picture;

/// How the painting and the original are joined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finish {
    strength: f32,
    keep_colors: bool,
}

/// A strength outside of 0..1.
#[derive(Debug, thiserror::Error)]
#[error("strength {0} is out of range: --strength takes 0 (the original) to 1 (the painting)")]
pub struct InvalidStrength(f32);

impl Default for Finish {
    /// The painting as it is.
    fn default() -> Self {
        Self {
            strength: 1.0,
            keep_colors: false,
        }
    }
}

impl Finish {
    /// `strength` is the opacity of the painting over the original, 0..1; with `keep_colors` the painting gives only
    /// its luma (BT.709) and the original its two colour differences.
    ///
    /// # Errors
    /// [`InvalidStrength`] outside of 0..1.
    pub fn new(strength: f32, keep_colors: bool) -> Result<Self, InvalidStrength> {
        if !(0.0..=1.0).contains(&strength) {
            return Err(InvalidStrength(strength));
        }
        Ok(Self {
            strength,
            keep_colors,
        })
    }

    /// Whether [`Finish::apply`] looks at the original at all.
    pub fn needs_original(&self) -> bool {
        self.keep_colors || self.strength < 1.0
    }

    /// Finishes `painting`, which the network made from `original` (RGB bytes of the same picture).
    pub fn apply(&self, original: &[u8], painting: &mut Picture) {
        if !self.needs_original() {
            return;
        }
        let opacity = (self.strength * 256.0).round() as i32;
        for (painted, original) in painting
            .rgb_mut()
            .chunks_exact_mut(3)
            .zip(original.chunks_exact(3))
        {
            let lift = if self.keep_colors {
                luma(painted) - luma(original)
            } else {
                0
            };
            for (p, &o) in painted.iter_mut().zip(original) {
                let o = i32::from(o);
                // Adding one number to R, G and B changes the luma by it and leaves both colour differences alone.
                let target = if self.keep_colors {
                    (o + lift).clamp(0, 255)
                } else {
                    i32::from(*p)
                };
                *p = (o + (((target - o) * opacity + 128) >> 8)) as u8;
            }
        }
    }
}

/// BT.709 luma of an RGB pixel, 0..255 (weights in 1/65536).
fn luma(rgb: &[u8]) -> i32 {
    (13_933 * i32::from(rgb[0]) + 46_871 * i32::from(rgb[1]) + 4_732 * i32::from(rgb[2]) + 32_768)
        >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(strength: f32, keep_colors: bool, original: [u8; 3], painted: [u8; 3]) -> Vec<u8> {
        let mut picture = Picture::new(1, 1, painted.to_vec()).unwrap();
        Finish::new(strength, keep_colors)
            .unwrap()
            .apply(&original, &mut picture);
        picture.into_rgb()
    }

    #[test]
    fn strength_mixes_linearly() {
        assert_eq!(
            finish(0.0, false, [10, 20, 30], [200, 100, 0]),
            [10, 20, 30]
        );
        assert_eq!(
            finish(1.0, false, [10, 20, 30], [200, 100, 0]),
            [200, 100, 0]
        );
        assert_eq!(
            finish(0.5, false, [10, 20, 30], [200, 100, 0]),
            [105, 60, 15]
        );
    }

    #[test]
    fn kept_colors_take_the_luma_of_the_painting() {
        let out = finish(1.0, true, [100, 50, 60], [140, 140, 140]);
        assert!((luma(&out) - 140).abs() <= 1, "luma {}", luma(&out));
        assert_eq!(
            (
                i32::from(out[0]) - i32::from(out[1]),
                i32::from(out[2]) - i32::from(out[1])
            ),
            (50, 10)
        );
    }

    #[test]
    fn strength_out_of_range_names_the_option() {
        for bad in [-0.1, 1.1, f32::NAN] {
            assert!(
                Finish::new(bad, false)
                    .unwrap_err()
                    .to_string()
                    .contains("--strength")
            );
        }
    }
}

//! Letters on a picture of 32-bit pixels.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

use super::Canvas;

/// Writes text. Keeps the last few texts as masks, so that a line that stands still is drawn once.
pub struct Lettering {
    font: FontRef<'static>,
    kept: Vec<Mask>,
}

/// Coverage of one line of text.
struct Mask {
    text: String,
    height: usize,
    width: usize,
    rows: usize,
    coverage: Vec<u8>,
}

/// Lines that are kept.
const KEPT: usize = 48;

impl Lettering {
    /// With the font that is built in.
    ///
    /// # Errors
    /// When the font is damaged.
    pub fn new() -> Result<Self, ab_glyph::InvalidFont> {
        let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT)?;
        Ok(Self {
            font,
            kept: Vec::new(),
        })
    }

    /// How many pixels a line is wide at this letter height.
    pub fn width(&self, text: &str, height: usize) -> usize {
        let font = self.font.as_scaled(PxScale::from(height as f32));
        let width: f32 = text.chars().map(|c| font.h_advance(font.glyph_id(c))).sum();
        width.ceil() as usize
    }

    /// Writes a line in `colour` (0xRRGGBB) with its upper left corner at a place; `opacity` 0..=255. What falls outside
    /// is cut off.
    pub fn write(
        &mut self,
        canvas: &mut Canvas,
        text: &str,
        height: usize,
        (left, top): (i64, i64),
        colour: u32,
        opacity: u8,
    ) {
        let mask = self.mask(text, height);
        for row in 0..mask.rows {
            let y = top + row as i64;
            for column in 0..mask.width {
                let coverage = mask.coverage[row * mask.width + column];
                if coverage > 0 {
                    let alpha = u32::from(coverage) * u32::from(opacity) / 255;
                    canvas.blend(left + column as i64, y, colour, alpha);
                }
            }
        }
    }

    fn mask(&mut self, text: &str, height: usize) -> &Mask {
        let place = self
            .kept
            .iter()
            .position(|mask| mask.text == text && mask.height == height);
        let mask = match place {
            Some(place) => self.kept.remove(place),
            None => self.draw(text, height),
        };
        // The last used stands last; the first goes.
        if self.kept.len() == KEPT {
            self.kept.remove(0);
        }
        self.kept.push(mask);
        &self.kept[self.kept.len() - 1]
    }

    fn draw(&self, text: &str, height: usize) -> Mask {
        let scale = PxScale::from(height as f32);
        let font = self.font.as_scaled(scale);
        let width = self.width(text, height) + 2;
        let rows = height + 2;
        let mut coverage = vec![0u8; width * rows];
        let mut x = 0.0;
        for c in text.chars() {
            let glyph = font
                .glyph_id(c)
                .with_scale_and_position(scale, point(x, font.ascent()));
            x += font.h_advance(glyph.id);
            let Some(outline) = font.outline_glyph(glyph) else {
                continue;
            };
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, value| {
                let (px, py) = (
                    corner.x as i64 + i64::from(dx),
                    corner.y as i64 + i64::from(dy),
                );
                if (0..width as i64).contains(&px) && (0..rows as i64).contains(&py) {
                    let place = &mut coverage[py as usize * width + px as usize];
                    *place = place.saturating_add((value.min(1.0) * 255.0) as u8);
                }
            });
        }
        Mask {
            text: text.to_owned(),
            height,
            width,
            rows,
            coverage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_leaves_ink_where_it_stands_and_nowhere_else() {
        let mut canvas = Canvas::default();
        canvas.resize(200, 60);
        let mut lettering = Lettering::new().unwrap();
        lettering.write(&mut canvas, "starry", 24, (20, 10), 0xFF_FFFF, 255);
        let ink = |x0: usize, x1: usize| {
            (0..60)
                .flat_map(|y| (x0..x1).map(move |x| (x, y)))
                .filter(|&(x, y)| canvas.pixels()[y * 200 + x] != 0)
                .count()
        };
        let end = 20 + lettering.width("starry", 24);
        assert!(ink(20, end) > 100);
        assert_eq!(ink(0, 19) + ink(end + 2, 200), 0);
        // Off the edge it is cut, not wrapped.
        lettering.write(&mut canvas, "starry", 24, (-30, 50), 0xFF_FFFF, 255);
    }
}

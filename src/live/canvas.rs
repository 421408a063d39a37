//! What the window shows: a picture fitted into it with bars, two pictures side by side, shaded panels.

use crate::frame::Picture;

/// 32-bit pixels (0x00RRGGBB) of the size of the window.
#[derive(Clone, Debug, Default)]
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u32>,
    columns: Vec<(usize, usize, u32)>,
}

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// Of its upper left corner.
    pub left: usize,
    /// Of its upper left corner.
    pub top: usize,
    /// Of the whole.
    pub width: usize,
    /// Of the whole.
    pub height: usize,
}

impl Canvas {
    /// Makes it this large, and black.
    pub fn resize(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width.max(1), height.max(1));
        self.pixels.clear();
        self.pixels.resize(self.width * self.height, 0);
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels, row by row.
    pub fn pixels(&self) -> &[u32] {
        &self.pixels
    }

    /// Where a picture of this size stands: as large as fits, in the middle, its aspect kept.
    pub fn place(&self, width: usize, height: usize) -> Rectangle {
        let (width, height) = (width.max(1), height.max(1));
        let (fit_width, fit_height) = if self.width * height <= self.height * width {
            (self.width, (self.width * height + width / 2) / width)
        } else {
            ((self.height * width + height / 2) / height, self.height)
        };
        let (fit_width, fit_height) = (
            fit_width.clamp(1, self.width),
            fit_height.clamp(1, self.height),
        );
        Rectangle {
            left: (self.width - fit_width) / 2,
            top: (self.height - fit_height) / 2,
            width: fit_width,
            height: fit_height,
        }
    }

    /// Shows `picture` fitted, and in the left half of it `left`, if given, with a line between. `aspect` is the width
    /// and height whose proportions are kept: a painting's own sides are rounded.
    pub fn show(&mut self, picture: &Picture, left: Option<&Picture>, aspect: (usize, usize)) {
        let place = self.place(aspect.0, aspect.1);
        // The bars: the window may have been resized, or held another aspect.
        self.pixels.fill(0);
        let middle = left.map_or(0, |_| place.width / 2);
        self.draw(picture, place, middle..place.width);
        if let Some(left) = left {
            self.draw(left, place, 0..middle);
            let x = place.left + middle;
            for y in place.top..place.top + place.height {
                for x in x.saturating_sub(1)..(x + 1).min(self.width) {
                    self.pixels[y * self.width + x] = 0xFF_FFFF;
                }
            }
        }
    }

    /// Draws the columns `range` of `picture` stretched over `place`.
    fn draw(&mut self, picture: &Picture, place: Rectangle, range: std::ops::Range<usize>) {
        let (width, height) = (picture.width(), picture.height());
        let packed =
            |rgb: &[u8]| u32::from(rgb[0]) << 16 | u32::from(rgb[1]) << 8 | u32::from(rgb[2]);
        let target = |y: usize| {
            let start = (place.top + y) * self.width + place.left;
            start + range.start..start + range.end
        };
        if (width, height) == (place.width, place.height) {
            for y in 0..height {
                let row =
                    &picture.rgb()[(y * width + range.start) * 3..(y * width + range.end) * 3];
                let line = &mut self.pixels[target(y)];
                for (pixel, rgb) in line.iter_mut().zip(row.chunks_exact(3)) {
                    *pixel = packed(rgb);
                }
            }
            return;
        }
        // Bilinear; weights in 1/256.
        let tap = |i: usize, small: usize, large: usize| {
            let place = ((i as f32 + 0.5) * small as f32 / large as f32 - 0.5)
                .clamp(0.0, (small - 1) as f32);
            let first = place as usize;
            (
                first,
                (first + 1).min(small - 1),
                ((place - first as f32) * 256.0) as u32,
            )
        };
        self.columns.clear();
        self.columns
            .extend(range.clone().map(|x| tap(x, width, place.width)));
        let mut row = vec![[0u32; 3]; width];
        for y in 0..place.height {
            let (above, below, t) = tap(y, height, place.height);
            let line_of =
                |y: usize| picture.rgb()[y * width * 3..(y + 1) * width * 3].chunks_exact(3);
            for ((mixed, above), below) in row.iter_mut().zip(line_of(above)).zip(line_of(below)) {
                for ((mixed, &a), &b) in mixed.iter_mut().zip(above).zip(below) {
                    *mixed = u32::from(a) * (256 - t) + u32::from(b) * t;
                }
            }
            let line = &mut self.pixels[target(y)];
            for (pixel, &(left, right, t)) in line.iter_mut().zip(&self.columns) {
                let value =
                    |c: usize| (row[left][c] * (256 - t) + row[right][c] * t + (1 << 15)) >> 16;
                *pixel = value(0) << 16 | value(1) << 8 | value(2);
            }
        }
    }

    /// Darkens a rectangle, so that text can be read on it; `opacity` 0..=255.
    pub fn shade(&mut self, area: Rectangle, opacity: u8) {
        let keep = 255 - u32::from(opacity);
        let right = (area.left + area.width).min(self.width);
        for y in area.top..(area.top + area.height).min(self.height) {
            for pixel in
                &mut self.pixels[y * self.width + area.left.min(right)..y * self.width + right]
            {
                let part = |shift: u32| (((*pixel >> shift & 0xFF) * keep) / 255) << shift;
                *pixel = part(16) | part(8) | part(0);
            }
        }
    }

    /// Mixes `colour` into one pixel; `alpha` 0..=255. Places outside are ignored.
    pub(super) fn blend(&mut self, x: i64, y: i64, colour: u32, alpha: u32) {
        if x < 0 || y < 0 || x >= self.width as i64 || y >= self.height as i64 {
            return;
        }
        let pixel = &mut self.pixels[y as usize * self.width + x as usize];
        let part = |shift: u32| {
            let (old, new) = (*pixel >> shift & 0xFF, colour >> shift & 0xFF);
            ((old * (255 - alpha) + new * alpha) / 255) << shift
        };
        *pixel = part(16) | part(8) | part(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canvas(width: usize, height: usize) -> Canvas {
        let mut canvas = Canvas::default();
        canvas.resize(width, height);
        canvas
    }

    #[test]
    fn the_aspect_is_kept_with_bars() {
        let place = |w, h| {
            let Rectangle {
                left,
                top,
                width,
                height,
            } = canvas(w, h).place(640, 360);
            (left, top, width, height)
        };
        assert_eq!(place(640, 360), (0, 0, 640, 360));
        assert_eq!(place(1280, 720), (0, 0, 1280, 720));
        assert_eq!(place(640, 640), (0, 140, 640, 360));
        assert_eq!(place(1000, 360), (180, 0, 640, 360));
        assert_eq!(place(1, 1), (0, 0, 1, 1));
        assert_eq!(place(333, 1000), (0, 406, 333, 187));
    }

    #[test]
    fn the_split_view_has_the_original_left_and_the_bars_are_black() {
        let red = Picture::new(8, 4, [255, 0, 0].repeat(32)).unwrap();
        let blue = Picture::new(8, 4, [0, 0, 255].repeat(32)).unwrap();
        let mut canvas = canvas(16, 16);
        canvas.show(&blue, Some(&red), (8, 4));
        let pixel = |x: usize, y: usize| canvas.pixels()[y * 16 + x];
        assert_eq!(pixel(0, 8), 0xFF_0000);
        assert_eq!(pixel(15, 8), 0x00_00FF);
        assert_eq!(pixel(8, 8), 0xFF_FFFF);
        assert_eq!((pixel(0, 3), pixel(0, 12)), (0, 0));
        // The same size is copied pixel by pixel.
        let mut same = super::tests::canvas(8, 4);
        same.show(&red, None, (8, 4));
        assert!(same.pixels().iter().all(|&p| p == 0xFF_0000));
    }
}

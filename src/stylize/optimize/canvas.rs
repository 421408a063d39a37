//! Pictures as planes of floats, with a border, at any scale.
//!
//! VGG pads its layers with zeros, which a loss network sees as a grey frame around the picture, and the optimiser paints
//! what suits a grey frame. So the picture is optimised with a border of its own mirror image, which is cut off at the end.

use image::{GrayImage, Rgb32FImage, imageops};

use crate::frame::Picture;

/// Pixels around the picture at full size, and what the sides are brought to a multiple of.
const BORDER: usize = 16;

/// Planes `[3][height][width]` of R, G, B in 0..255, with a mirrored border.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Canvas {
    pub(super) planes: Vec<f32>,
    pub(super) size: Size,
}

/// Where the picture lies on its canvas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Of the canvas.
    pub(super) height: usize,
    pub(super) width: usize,
    /// Of the picture, which starts [`Size::border`] from the top and left.
    picture: (usize, usize),
    border: usize,
}

impl Size {
    /// The canvas of a picture of `height` × `width`.
    pub(super) fn of(height: usize, width: usize) -> Self {
        // Mirroring needs pixels to mirror.
        let border = BORDER.min(height / 2).min(width / 2);
        let round = |side: usize| (side + 2 * border).next_multiple_of(16);
        Self {
            height: round(height),
            width: round(width),
            picture: (height, width),
            border,
        }
    }

    /// The canvas of the same picture, smaller by `scale` (0..1).
    pub(super) fn scaled(height: usize, width: usize, scale: f64) -> Self {
        let side = |side: usize| ((side as f64 * scale).round() as usize).max(1);
        Self::of(side(height), side(width))
    }

    pub(super) fn pair(self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// The pixel of the picture that the canvas shows at a place along one axis, mirrored without repeating the edge.
    fn source(self, place: usize, length: usize) -> usize {
        let period = 2 * (length as i64 - 1).max(1);
        let offset = (place as i64 - self.border as i64).rem_euclid(period);
        offset.min(period - offset).min(length as i64 - 1) as usize
    }

    /// A plane of bytes of a picture (height, width), scaled to the picture part and spread over the canvas, 0..1.
    pub(super) fn plane(self, bytes: &[u8], (rows, columns): (usize, usize)) -> Vec<f32> {
        let (height, width) = self.picture;
        let plane = GrayImage::from_raw(columns as u32, rows as u32, bytes.to_vec());
        let mut plane = plane.unwrap_or_default();
        if (rows, columns) != (height, width) {
            let filter = imageops::FilterType::Triangle;
            plane = imageops::resize(&plane, width as u32, height as u32, filter);
        }
        let bytes = plane.into_raw();
        self.extend(|pixel| f32::from(bytes[pixel]) / 255.0)
    }

    /// Spreads one plane of the picture over the canvas.
    pub(super) fn extend<T: Copy>(self, plane: impl Fn(usize) -> T) -> Vec<T> {
        let (height, width) = self.picture;
        let columns: Vec<usize> = (0..self.width).map(|x| self.source(x, width)).collect();
        let mut extended = Vec::with_capacity(self.height * self.width);
        for y in 0..self.height {
            let row = self.source(y, height) * width;
            extended.extend(columns.iter().map(|x| plane(row + x)));
        }
        extended
    }
}

impl Canvas {
    /// `picture` scaled to the picture part of `size`.
    pub(super) fn new(picture: &Picture, size: Size) -> Self {
        let (height, width) = size.picture;
        let own = (picture.height(), picture.width());
        let mut pixels: Vec<f32> = picture.rgb().iter().map(|&v| f32::from(v)).collect();
        if own != (height, width) {
            pixels = scaled(
                &pixels,
                own,
                (height, width),
                imageops::FilterType::Lanczos3,
            );
        }
        Self::from_pixels(&pixels, size)
    }

    /// Interleaved R, G, B pixels of the picture part of `size`.
    pub(super) fn from_pixels(rgb: &[f32], size: Size) -> Self {
        let planes = (0..3).flat_map(|channel| size.extend(|pixel| rgb[3 * pixel + channel]));
        Self {
            planes: planes.collect(),
            size,
        }
    }

    /// The picture part, interleaved.
    fn pixels(&self) -> Vec<f32> {
        let Size {
            height,
            width,
            picture: (rows, columns),
            border,
        } = self.size;
        let mut pixels = Vec::with_capacity(3 * rows * columns);
        for y in 0..rows {
            let row = (y + border) * width + border;
            for x in 0..columns {
                pixels.extend((0..3).map(|c| self.planes[c * height * width + row + x]));
            }
        }
        pixels
    }

    /// The same picture at another size, by Catmull and Rom's spline.
    pub(super) fn resized(&self, size: Size) -> Self {
        if size == self.size {
            return self.clone();
        }
        let (rows, columns) = self.size.picture;
        let (height, width) = size.picture;
        let filter = imageops::FilterType::CatmullRom;
        let pixels = scaled(&self.pixels(), (rows, columns), (height, width), filter);
        Self::from_pixels(&pixels, size)
    }

    /// The picture part in bytes.
    pub(super) fn to_picture(&self) -> Picture {
        let (height, width) = self.size.picture;
        let bytes = self.pixels().iter().map(|v| v.round() as u8).collect();
        Picture::new(width, height, bytes).unwrap_or_else(|_| Picture::black(width, height))
    }
}

/// Interleaved pixels of 0..255 at another size.
fn scaled(
    pixels: &[f32],
    (rows, columns): (usize, usize),
    (height, width): (usize, usize),
    filter: imageops::FilterType,
) -> Vec<f32> {
    // The image crate holds floats to 0..1.
    let floats = pixels.iter().map(|value| value / 255.0).collect();
    let image = Rgb32FImage::from_raw(columns as u32, rows as u32, floats).unwrap_or_default();
    let image = imageops::resize(&image, width as u32, height as u32, filter);
    image.into_raw().into_iter().map(|v| 255.0 * v).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Picture {
        let bytes = (0..width * height * 3)
            .map(|i| (i * 37 % 251) as u8)
            .collect();
        Picture::new(width, height, bytes).unwrap()
    }

    #[test]
    fn a_picture_comes_back_as_it_was() {
        for (width, height) in [(32, 32), (61, 33), (100, 75)] {
            let picture = picture(width, height);
            let canvas = Canvas::new(&picture, Size::of(height, width));
            assert_eq!(canvas.size.width % 16, 0);
            assert!(canvas.to_picture() == picture);
        }
    }

    #[test]
    fn the_border_mirrors() {
        let picture = picture(40, 36);
        let canvas = Canvas::new(&picture, Size::of(36, 40));
        let at = |x: usize, y: usize| canvas.planes[y * canvas.size.width + x];
        assert_eq!(at(15, 16), at(17, 16));
        assert_eq!(at(16, 3), at(16, 29));
        assert_eq!(at(56, 20), at(54, 20));
    }

    #[test]
    fn a_flat_picture_stays_flat_at_any_size() {
        let picture = Picture::new(50, 40, vec![90; 6000]).unwrap();
        let canvas = Canvas::new(&picture, Size::scaled(40, 50, 0.25));
        let canvas = canvas.resized(Size::of(40, 50));
        assert!(canvas.to_picture() == picture);
    }
}

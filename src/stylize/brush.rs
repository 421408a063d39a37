//! Broader and finer brushes.
//!
//! A network's strokes have a fixed size in pixels, so a larger picture gets smaller strokes. [`Brush`] paints the picture
//! at another size and brings the painting back, along the picture's own edges (see [`upscale()`]): painted at half its
//! size a picture has strokes twice as broad, at a quarter of the work. What was not painted at that size (bars, all of the
//! picture at no strength) comes from the picture and not back from there, which would blur it.

use super::{Border, Finish, MAX_PIXELS, MIN_SIDE, StylizeError, Stylizer, upscale};
use crate::{frame::Picture, media::scale::Scaler, style::StyleMix};

/// Broadest and finest brush.
pub const BRUSHES: std::ops::RangeInclusive<f32> = 0.5..=4.0;

/// A stylizer whose strokes are so many times as broad.
pub struct Brush {
    inner: Box<dyn Stylizer>,
    breadth: f32,
    scaler: Scaler,
    back: Scaler,
}

impl Brush {
    /// Paints with `inner`, `breadth` (within [`BRUSHES`]) times as broad.
    pub fn new(inner: Box<dyn Stylizer>, breadth: f32) -> Self {
        Self {
            inner,
            breadth: breadth.clamp(*BRUSHES.start(), *BRUSHES.end()),
            scaler: Scaler::default(),
            back: Scaler::default(),
        }
    }

    /// The size at which a picture is painted: never under the smallest or over the largest that is.
    fn size(&self, width: usize, height: usize) -> (usize, usize) {
        let smallest = MIN_SIDE as f32 / width.min(height) as f32;
        let largest = (MAX_PIXELS as f32 / (width * height) as f32).sqrt();
        let scale = (1.0 / self.breadth)
            .max(smallest.min(1.0))
            .min(largest.max(1.0));
        let side = |side: usize| ((side as f32 * scale).round() as usize).max(MIN_SIDE.min(side));
        (side(width), side(height))
    }
}

impl Stylizer for Brush {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        let (width, height) = (picture.width(), picture.height());
        let size = self.size(width, height);
        if size == (width, height) {
            return self.inner.paint(picture);
        }
        let refused = |_| StylizeError::TooSmall { width, height };
        let scaled = self.scaler.scale(picture, size).map_err(refused)?;
        let mut other = scaled.clone();
        self.inner.paint(&mut other)?;
        if other == scaled {
            return Ok(());
        }
        let mut painting = if size.0 < width {
            upscale(&other, picture)
        } else {
            self.back.scale(&other, (width, height)).map_err(refused)?
        };
        if let Some(border) = Border::of(&scaled, &other) {
            border.copy_scaled(picture, &mut painting);
        }
        *picture = painting;
        Ok(())
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn set_style(&mut self, style: &StyleMix) -> Result<(), StylizeError> {
        self.inner.set_style(style)
    }

    fn set_finish(&mut self, finish: Finish) {
        self.inner.set_finish(finish);
    }

    fn set_time(&mut self, seconds: f64) -> Result<(), StylizeError> {
        self.inner.set_time(seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Note(Arc<Mutex<(usize, usize)>>);

    impl Stylizer for Note {
        fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
            *self.0.lock().unwrap() = (picture.width(), picture.height());
            Ok(())
        }
    }

    /// Takes 60 from every value but for rows that are black.
    struct Darker;

    impl Stylizer for Darker {
        fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
            let width = picture.width();
            for row in picture.rgb_mut().chunks_exact_mut(width * 3) {
                if row.iter().any(|&value| value > 20) {
                    row.iter_mut()
                        .for_each(|value| *value = value.saturating_sub(60));
                }
            }
            Ok(())
        }
    }

    /// 96x64 pixels, of which so many rows above and below are black.
    fn framed(bar: usize) -> Picture {
        let rgb = (0..96 * 64 * 3).map(|i| match (bar..64 - bar).contains(&(i / 3 / 96)) {
            true => (120 + i * 37 % 130) as u8,
            false => 0,
        });
        Picture::new(96, 64, rgb.collect()).unwrap()
    }

    #[test]
    fn what_is_not_painted_stays_to_the_byte() {
        let painted = |inner: Box<dyn Stylizer>, breadth: f32, bar: usize| {
            let mut picture = framed(bar);
            Brush::new(inner, breadth).paint(&mut picture).unwrap();
            picture
        };
        for breadth in [0.5, 0.7, 2.0] {
            let note = Box::new(Note(Arc::default()));
            assert_eq!(painted(note, breadth, 10), framed(10), "{breadth}");
            // An even number: at half the size no row is of bar and picture.
            for bar in [0, 8, 10] {
                let picture = painted(Box::new(Darker), breadth, bar);
                let rows = picture.rgb().chunks_exact(96 * 3).enumerate();
                for (y, row) in rows {
                    let is_black = row.iter().all(|&value| value == 0);
                    let is_bar = !(bar..64 - bar).contains(&y);
                    assert_eq!(is_black, is_bar, "row {y}, {bar} black ones, {breadth}");
                }
            }
        }
    }

    #[test]
    fn the_picture_is_painted_at_another_size_and_comes_back_at_its_own() {
        for ((width, height), breadth, painted) in [
            ((640, 360), 2.0, (320, 180)),
            ((640, 360), 0.5, (1280, 720)),
            ((640, 360), 1.0, (640, 360)),
            ((40, 64), 4.0, (32, 51)),
            ((33, 33), 0.5, (66, 66)),
        ] {
            let size = Arc::new(Mutex::new((0, 0)));
            let mut brush = Brush::new(Box::new(Note(size.clone())), breadth);
            let mut picture = Picture::new(width, height, vec![90; width * height * 3]).unwrap();
            brush.paint(&mut picture).unwrap();
            assert_eq!(
                *size.lock().unwrap(),
                painted,
                "{width}x{height} by {breadth}"
            );
            assert_eq!((picture.width(), picture.height()), (width, height));
            assert!(picture.rgb().iter().all(|v| v.abs_diff(90) <= 1));
        }
    }
}

//! The pictures a part of the painting is drawn to, and their Gram matrices.
//!
//! The matrices of a picture are computed once for each size that is painted at and kept, so that a change from one
//! style to another, or a blend of several, costs an addition.

use std::sync::Arc;

use super::{
    canvas::{Canvas, Size},
    style::{Grams, Look, Point, StyleTarget},
    tiles::Tiles,
};
use crate::{
    frame::Picture,
    stylize::{MIN_SIDE, StylizeError},
};

/// Matrices that are kept at most, of all pictures and sizes; the oldest go first.
const KEPT: usize = 48;

/// Pictures with their weights.
pub(super) struct Styles {
    pictures: Vec<(Arc<Picture>, f32)>,
    known: Vec<(Arc<Picture>, f64, Grams)>,
}

impl Styles {
    pub(super) fn new(pictures: Vec<(Arc<Picture>, f32)>) -> Self {
        Self {
            pictures,
            known: Vec::new(),
        }
    }

    /// Changes the pictures; what is known of the others stays known.
    pub(super) fn set(&mut self, pictures: Vec<(Arc<Picture>, f32)>) {
        self.pictures = pictures;
    }

    /// What a painting of so many `pixels` is drawn to, with strokes `stroke` times as large as the pictures' own at that
    /// size. `tiles` cuts a canvas into tiles.
    ///
    /// # Errors
    /// When the network's device fails.
    pub(super) fn target(
        &mut self,
        look: &mut Look<'_>,
        layers: &[usize],
        (pixels, stroke): (f64, f32),
        tiles: impl Fn(Size) -> Tiles,
    ) -> Result<StyleTarget, StylizeError> {
        for (picture, _) in &self.pictures {
            let is_known = |known: &(Arc<Picture>, f64, Grams)| {
                Arc::ptr_eq(&known.0, picture) && known.1 == pixels
            };
            if self.known.iter().any(is_known) {
                continue;
            }
            let own = (picture.width() * picture.height()) as f64;
            let scale = (pixels / own).sqrt() * f64::from(stroke);
            let scale = scale.max(MIN_SIDE as f64 / picture.width().min(picture.height()) as f64);
            let size = Size::scaled(picture.height(), picture.width(), scale);
            let canvas = Canvas::new(picture, size);
            let mut grams = look.grams(
                &tiles(size),
                &Point::Processor(&canvas.planes),
                (layers, layers),
                &[None],
            )?;
            // Not one of those that are drawn to now.
            let is_free = |known: &(Arc<Picture>, f64, Grams)| {
                let is_it = |(picture, _): &(Arc<Picture>, _)| Arc::ptr_eq(picture, &known.0);
                known.1 != pixels || !self.pictures.iter().any(is_it)
            };
            if self.known.len() >= KEPT
                && let Some(oldest) = self.known.iter().position(is_free)
            {
                self.known.remove(oldest);
            }
            if let Some(grams) = grams.pop() {
                self.known.push((picture.clone(), pixels, grams));
            }
        }
        let weighed = self.pictures.iter().filter_map(|(picture, weight)| {
            let known = self.known.iter();
            let mut known =
                known.filter(|known| Arc::ptr_eq(&known.0, picture) && known.1 == pixels);
            Some((&known.next()?.2, *weight))
        });
        Ok(StyleTarget::mean(weighed))
    }
}

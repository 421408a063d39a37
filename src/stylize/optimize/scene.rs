//! What is painted at once, and which of its parts have a style of their own.

use super::{canvas::Size, film, objective::Anchor, style::Guide};
use crate::frame::Picture;

/// Share of the canvas under which a part has no style of its own.
const SMALLEST_PART: f32 = 0.01;

/// A picture to paint, and how much of each of its pixels is inside of the region (0..255).
pub(super) struct Scene<'a> {
    pub(super) content: &'a Picture,
    pub(super) mask: Option<&'a [u8]>,
}

impl Scene<'_> {
    /// The parts of a canvas, each with the number of its style (0: inside of the mask, 1: outside); `None`: all of it.
    ///
    /// What `anchors` do not show is a part of its own: where everything else has its style already, the Gram matrix of the
    /// whole is nearly right, and hardly anything would draw the new part to it.
    pub(super) fn parts(&self, size: Size, anchors: &[Anchor]) -> Vec<(usize, Option<Guide>)> {
        let mut masks = vec![None];
        if let Some(mask) = self.mask {
            let inside = size.plane(mask, (self.content.height(), self.content.width()));
            let outside = inside.iter().map(|m| 1.0 - m).collect();
            masks = vec![Some(inside), Some(outside)];
        }
        let (height, width) = size.pair();
        let trust = film::trust(anchors, height * width);
        let trusted = trust.iter().sum::<f32>() / trust.len() as f32;
        let splits = (SMALLEST_PART..1.0 - SMALLEST_PART).contains(&trusted);
        let mut parts = Vec::new();
        for (number, mask) in masks.into_iter().enumerate() {
            let guide = |mask: Vec<f32>| Some(Guide::new(mask, size.pair()));
            if splits {
                let of = |i: usize| mask.as_ref().map_or(1.0, |mask| mask[i]);
                let seen = trust.iter().enumerate().map(|(i, t)| of(i) * t);
                let new = trust.iter().enumerate().map(|(i, t)| of(i) * (1.0 - t));
                parts.push((number, guide(seen.collect())));
                parts.push((number, guide(new.collect())));
            } else {
                parts.push((number, mask.and_then(guide)));
            }
        }
        parts
    }
}

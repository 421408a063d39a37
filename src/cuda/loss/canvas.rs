//! Canvases that lie on the card: what is optimised there, and the losses on its pixels.

use super::{CardTerm, LossOnCard, SUMS, work::THREADS};
use crate::{
    cuda::{
        Card, CardError,
        parameters::Canvas,
        vectors::{flat, sum},
    },
    nn::vgg::MEAN_RGB,
};

/// The losses on the pixels of a canvas, with their weights; see [`crate::kernels::add_total_variation`],
/// [`crate::kernels::add_out_of_range`] and [`crate::kernels::add_weighted_difference`].
pub struct PixelLosses<'a, C: Card> {
    /// Height and width.
    pub size: (usize, usize),
    /// Of differences between neighbours.
    pub variation: f32,
    /// Of what is out of range.
    pub range: f32,
    /// Of differences to the targets.
    pub temporal: f32,
    /// What the canvas is drawn to, planes, and how strongly, one plane.
    pub anchors: &'a [(C::Memory, C::Memory)],
}

/// A canvas of a height and a width.
fn canvas((height, width): (usize, usize)) -> Canvas {
    Canvas {
        width: width as i32,
        height: height as i32,
        ..Canvas::default()
    }
}

impl<C: Card> LossOnCard<C> {
    /// As [`LossOnCard::forward`], a canvas on the card: planes R, G, B, 0..255.
    ///
    /// # Errors
    /// When the card fails.
    pub fn forward_canvas(
        &mut self,
        planes: &C::Memory,
        size: (usize, usize),
        last: usize,
    ) -> Result<(), CardError> {
        let pixels = size.0 * size.1;
        let from = self.input.of(&self.card, 8 * pixels)?;
        let canvas = Canvas {
            planes: self.card.address(planes),
            pixels: from,
            mean: MEAN_RGB,
            ..canvas(size)
        };
        // SAFETY: planes and pixels have the size that is said.
        unsafe {
            self.card
                .launch(&flat("canvas_take", pixels, 0, canvas.into()))
        }?;
        self.run(from, size, last)
    }

    /// As [`LossOnCard::backward`], by a canvas on the card: its planes R, G, B. Returns also whether there was a gradient to
    /// write.
    ///
    /// # Errors
    /// When the card fails.
    pub fn backward_canvas(
        &mut self,
        terms: &[CardTerm<'_>],
        size: (usize, usize),
        gradient: &mut C::Memory,
    ) -> Result<(f64, bool), CardError> {
        let plane = size.0 * size.1;
        let (content, scale) = self.lead_back(terms, plane)?;
        if let Some(scale) = scale {
            let canvas = Canvas {
                pixels: self.gradients[0].address(&self.card),
                gradient: self.card.address(gradient),
                factor: scale.recip(),
                ..canvas(size)
            };
            // SAFETY: the gradients have the size that is said.
            unsafe {
                self.card
                    .launch(&flat("canvas_give", plane, 0, canvas.into()))
            }?;
        }
        Ok((content, scale.is_some()))
    }

    /// Adds the losses on the pixels of a canvas and their gradient, which begins with them unless `begun`; returns them:
    /// variation with what is out of range, and the differences to the targets.
    ///
    /// # Errors
    /// When the card fails.
    pub fn pixel_losses(
        &mut self,
        planes: &C::Memory,
        gradient: &mut C::Memory,
        losses: &PixelLosses<'_, C>,
        begun: bool,
    ) -> Result<[f64; 2], CardError> {
        const UNIT: f32 = 255.0 * 255.0;
        let size = losses.size;
        let pixels = size.0 * size.1;
        let blocks = (3 * pixels).div_ceil(THREADS);
        let mean = |weight: f32| weight / (pixels as f32 * UNIT);
        let whole = Canvas {
            planes: self.card.address(planes),
            gradient: self.card.address(gradient),
            parts: self.parts.of(&self.card, 8 * blocks)?,
            variation: mean(losses.variation),
            range: mean(losses.range),
            temporal: mean(losses.temporal),
            ..canvas(size)
        };
        let nothing = [None];
        let targets = losses.anchors.iter().map(Some);
        let mut found = [0.0; 2];
        for (number, target) in nothing.into_iter().chain(targets).enumerate() {
            let address = |plane: &C::Memory| self.card.address(plane);
            let canvas = Canvas {
                begin: i32::from(number == 0 && !begun),
                target: target.map_or(0, |(target, _)| address(target)),
                confidence: target.map_or(0, |(_, confidence)| address(confidence)),
                ..whole
            };
            // SAFETY: canvas, gradient and targets have the size that is said, the parts two numbers for each block.
            unsafe {
                self.card
                    .launch(&flat("canvas_losses", 3 * pixels, SUMS, canvas.into()))
            }?;
            let Some(parts) = &self.parts.memory else {
                continue;
            };
            let sums = sum(&self.card, parts, blocks, 2)?;
            match target {
                None => {
                    found[0] +=
                        f64::from(whole.variation) * sums[0] + f64::from(whole.range) * sums[1];
                }
                Some(_) => found[1] += f64::from(whole.temporal) * sums[0],
            }
        }
        Ok(found)
    }
}

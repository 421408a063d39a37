//! A step of the optimiser as those see it who watch.

use super::{
    StylizeError,
    canvas::{Canvas, Size},
    objective::Losses,
};
use crate::frame::Picture;

/// Brings the planes of a canvas, which may lie on a device.
pub(super) type Fetch<'a> = dyn Fn() -> Result<Vec<f32>, StylizeError> + 'a;

/// One step of the optimiser, to be watched.
pub struct Step<'a> {
    /// Number of the picture, from 0.
    pub frame: u64,
    /// Size painted at, as a share of the full one.
    pub scale: f64,
    /// Number of the step at this size, from 1.
    pub iteration: usize,
    /// Steps planned at this size.
    pub iterations: usize,
    /// The loss at the best point of this step.
    pub losses: Losses,
    /// Whether this is the full size.
    pub is_full_size: bool,
    pub(super) planes: &'a Fetch<'a>,
    pub(super) size: Size,
}

impl Step<'_> {
    /// The painting as it is now, at the size painted at.
    ///
    /// # Errors
    /// When it lies on a device that fails.
    pub fn picture(&self) -> Result<Picture, StylizeError> {
        let canvas = Canvas {
            planes: (self.planes)()?,
            size: self.size,
        };
        Ok(canvas.to_picture())
    }
}

/// Watches the steps; returning false ends the picture with what there is.
pub type Watch = Box<dyn FnMut(&Step<'_>) -> bool + Send>;

//! How much memory a painting takes, and how it is kept to what there is: larger pictures are worked on in tiles, and L-BFGS
//! remembers fewer steps.

use super::{canvas::Size, tiles::Tiles};

/// Steps that L-BFGS remembers at most, and at least where memory is scarce.
const HISTORY: (usize, usize) = (4, 10);
/// Bytes that features and their gradient take for each pixel worked on at once.
const FEATURE_BYTES: usize = 1350;
/// Bytes that everything else takes for each pixel of the canvas, without the steps that L-BFGS remembers: 112 and the
/// content's features, 80, in tiles that overlap by up to two fifths.
const CANVAS_BYTES: usize = 224;
/// Bytes of a remembered step for each pixel: two pictures.
const STEP_BYTES: usize = 24;
/// Bytes of the loss network and the program.
const FIXED_BYTES: usize = 200 << 20;

/// How memory is shared out.
#[derive(Clone, Copy)]
pub(super) struct MemoryPlan {
    /// Bytes for everything.
    pub(super) memory: usize,
    /// How far, in pixels, the features look that are compared.
    pub(super) reach: usize,
}

impl MemoryPlan {
    /// Steps that L-BFGS remembers for so many pixels.
    pub(super) fn history(self, pixels: usize) -> usize {
        let fits = self.memory / 8 / (STEP_BYTES * pixels.max(1));
        fits.clamp(HISTORY.0, HISTORY.1)
    }

    /// The tiles of a canvas that fit in memory.
    pub(super) fn tiles(self, size: Size) -> Tiles {
        let (height, width) = size.pair();
        let pixels = height * width;
        let others = CANVAS_BYTES + STEP_BYTES * self.history(pixels);
        let room = self.memory.saturating_sub(FIXED_BYTES + others * pixels);
        Tiles::new((height, width), self.reach, room / FEATURE_BYTES)
    }
}

//! What depends on the size of the picture alone: index maps and tilings.

use super::network::{Entry, NetworkShape};
use super::patch::Tiling;
use super::picture::{BlockSource, PictureSource};

/// Everything that depends on the size of the picture.
pub(crate) struct Plan {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) row_map: Vec<u32>,
    pub(crate) column_map: Vec<u32>,
    /// One per layer; the first two expanding layers are cut in their source's plane.
    pub(crate) tilings: Vec<Tiling>,
}

impl Plan {
    /// `at_once` is how many pixels of a layer's row the matrix unit makes at once, of which a tile has whole numbers; nothing
    /// where vectors do.
    pub(crate) fn new(
        shape: NetworkShape,
        at_once: impl Fn(usize) -> Option<usize>,
        width: usize,
        height: usize,
    ) -> Self {
        let (rows, columns) = (height.next_multiple_of(4), width.next_multiple_of(4));
        let plane = |shrink: usize| (rows / shrink, columns / shrink);
        let (expanding, wide) = (shape.expanding(), shape.expand[0] > 8);
        let tiling = |layer| {
            let (plane, kernel, stride, pixels, quantum) = match (shape.entry, layer) {
                (Entry::Contract { .. }, 0) => (plane(1), 9, 1, 16_384, 12),
                (Entry::Contract { .. }, 1) => (plane(2), 3, 2, 3_072, 12),
                (Entry::Contract { .. }, 2) => (plane(4), 3, 2, 3_072, 12),
                _ if layer <= expanding => (plane(4), 3, 1, 2_048, 12),
                _ if layer == expanding + 1 => {
                    (plane(2), 3, 1, if wide { 4_096 } else { 8_192 }, 12)
                }
                // Whole vectors of pieces of three.
                _ => {
                    let parted = wide && at_once(layer).is_none();
                    let pixels = if parted { 4_096 } else { 8_192 };
                    (plane(1), shape.layer(layer).kernel_size, 1, pixels, 48)
                }
            };
            let quantum = at_once(layer).unwrap_or(quantum);
            Tiling::new(plane, kernel, stride, pixels, quantum)
        };
        let map = |length| match shape.entry {
            Entry::Contract { .. } => PictureSource::map(length, 4),
            Entry::Unshuffle { .. } => BlockSource::map(length),
        };
        Self {
            width,
            height,
            row_map: map(height),
            column_map: map(width),
            tilings: (0..shape.layers()).map(tiling).collect(),
        }
    }

    /// Height and width, both padded to a multiple of four and divided by `shrink`.
    pub(crate) fn plane(&self, shrink: usize) -> (usize, usize) {
        (
            self.height.next_multiple_of(4) / shrink,
            self.width.next_multiple_of(4) / shrink,
        )
    }

    pub(crate) fn pixels(&self) -> usize {
        let (height, width) = self.plane(1);
        height * width
    }
}

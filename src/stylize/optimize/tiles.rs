//! A canvas in tiles, for pictures whose features do not fit in memory at once.
//!
//! Every tile is computed with as much of its surroundings as its features look at, so that they are those of the whole
//! picture, and only the features of its *core* count; the cores make up the canvas. The gradient of what counts in a
//! tile reaches into its surroundings, where the tiles' gradients add up. Nothing is approximated: losses and gradient
//! are those of the whole picture but for rounding. A Gram matrix belongs to the whole picture, so it takes a pass over
//! all tiles before the first gradient is known ([`super::objective`]).

use crate::nn::vgg::to_input;

/// Sides of tiles and canvases are multiples of this: what is pooled together stays together.
const STEP: usize = 16;
/// Cores have sides of this at least, or their surroundings would be most of the work.
const LEAST_CORE: usize = 128;

/// A rectangle of the canvas, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    top: usize,
    left: usize,
    height: usize,
    width: usize,
}

/// A part of the canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// What is computed.
    field: Area,
    /// What counts.
    core: Area,
}

impl Tile {
    /// Height and width of what is computed.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.field.height, self.field.width)
    }
}

/// A canvas and its tiles.
#[derive(Clone, Debug)]
pub(super) struct Tiles {
    canvas: (usize, usize),
    pub(super) tiles: Vec<Tile>,
}

impl Tiles {
    /// Tiles of a canvas (sides are multiples of [`STEP`]) of about `largest` pixels at most, for features that look
    /// `reach` pixels beyond their own place. A canvas that has no more pixels is one tile.
    pub(super) fn new(canvas: (usize, usize), reach: usize, largest: usize) -> Self {
        let (height, width) = canvas;
        let halo = reach.next_multiple_of(STEP);
        let (mut rows, mut columns) = canvas;
        if height * width > largest {
            let side = (largest.isqrt().saturating_sub(2 * halo)).max(LEAST_CORE);
            // Equal parts, in place of a narrow rest.
            let even = |length: usize| {
                length
                    .div_ceil(length.div_ceil(side))
                    .next_multiple_of(STEP)
            };
            (rows, columns) = (even(height), even(width));
        }
        let mut tiles = Vec::new();
        for top in (0..height).step_by(rows) {
            for left in (0..width).step_by(columns) {
                let core = Area {
                    top,
                    left,
                    height: rows.min(height - top),
                    width: columns.min(width - left),
                };
                let (y, x) = (top.saturating_sub(halo), left.saturating_sub(halo));
                let field = Area {
                    top: y,
                    left: x,
                    height: (top + core.height + halo).min(height) - y,
                    width: (left + core.width + halo).min(width) - x,
                };
                tiles.push(Tile { field, core });
            }
        }
        Self { canvas, tiles }
    }

    /// Pixels of the canvas.
    pub(super) fn pixels(&self) -> usize {
        self.canvas.0 * self.canvas.1
    }

    /// The tile's part of the planes `x` (R, G, B) as the loss network takes it.
    pub(super) fn load(&self, tile: &Tile, x: &[f32], input: &mut Vec<f32>) {
        if self.tiles.len() == 1 {
            return to_input(x, input);
        }
        let (height, width) = self.canvas;
        let field = tile.field;
        let mut part = Vec::with_capacity(3 * field.height * field.width);
        for plane in x.chunks_exact(height * width) {
            for y in 0..field.height {
                let start = (field.top + y) * width + field.left;
                part.extend_from_slice(&plane[start..][..field.width]);
            }
        }
        to_input(&part, input);
    }

    /// Adds what a tile found (planes of its field) to the gradient of the canvas.
    pub(super) fn add(&self, tile: &Tile, found: &[f32], gradient: &mut [f32]) {
        let (height, width) = self.canvas;
        let field = tile.field;
        let planes = gradient.chunks_exact_mut(height * width);
        for (plane, found) in planes.zip(found.chunks_exact(field.height * field.width)) {
            for (y, found) in found.chunks_exact(field.width).enumerate() {
                let start = (field.top + y) * width + field.left;
                let row = &mut plane[start..][..field.width];
                row.iter_mut()
                    .zip(found)
                    .for_each(|(sum, value)| *sum += value);
            }
        }
    }

    /// How much each feature of a layer counts whose pixels are `stride` pixels of the canvas wide: nothing outside of the
    /// tile's core, and inside what `guide` (of the whole canvas) says. `None`: all count 1.
    pub(super) fn weights(
        &self,
        tile: &Tile,
        stride: usize,
        guide: Option<&[f32]>,
    ) -> Option<Vec<f32>> {
        if self.tiles.len() == 1 {
            return guide.map(<[f32]>::to_vec);
        }
        let Tile { field, core } = tile;
        let width = self.canvas.1 / stride;
        let columns = field.width / stride;
        let mut weights = vec![0.0; field.height / stride * columns];
        for y in core.top / stride..(core.top + core.height) / stride {
            let to = (y - field.top / stride) * columns + (core.left - field.left) / stride;
            let row = &mut weights[to..][..core.width / stride];
            match guide {
                Some(guide) => {
                    let from = y * width + core.left / stride;
                    row.copy_from_slice(&guide[from..][..row.len()]);
                }
                None => row.fill(1.0),
            }
        }
        Some(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_cover_the_canvas_once() {
        for (canvas, largest) in [
            ((512, 688), 400 * 400),
            ((160, 1008), 90_000),
            ((96, 96), 1),
        ] {
            let tiles = Tiles::new(canvas, 41, largest);
            for stride in [1, 8] {
                let pixels = canvas.0 / stride * (canvas.1 / stride);
                let guide: Vec<f32> = (0..pixels).map(|i| i as f32).collect();
                let mut seen: Vec<f32> = Vec::new();
                for tile in &tiles.tiles {
                    assert!(tile.size().0 % STEP == 0 && tile.size().1 % STEP == 0);
                    match tiles.weights(tile, stride, Some(&guide)) {
                        Some(weights) => seen.extend(weights.iter().filter(|w| **w > 0.0)),
                        None => panic!("there is a guide"),
                    }
                }
                seen.sort_by(f32::total_cmp);
                assert_eq!(seen, guide[1..]);
            }
        }
        assert_eq!(Tiles::new((512, 512), 41, 512 * 512).tiles.len(), 1);
        assert!(Tiles::new((512, 688), 41, 160_000).tiles.len() > 3);
    }
}

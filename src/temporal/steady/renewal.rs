//! When strokes are replaced.
//!
//! Averaging different strokes gives neither, so where history and painting differ the average waits, and the strokes
//! are replaced together: cell by cell, each in its turn. Where nothing moves strokes cannot be in the wrong place, and
//! replacing them would only twinkle.

use super::{
    colour::mean_square,
    grid::{CELL, Grid},
};
use crate::temporal::flow::Flow;

/// Moving frames after which the strokes of a cell are replaced, and how many frames it takes. A step all at once would
/// count fully in the squared error, a fade over n frames one n-th; meanwhile the cell shows a mixture of both, which has
/// less texture, so it must not last.
const RENEWAL: u32 = 72;
const FADE: u32 = 6;

/// Speeds between which a cell counts from not moving to moving, in pixels a frame: the noise of the flow stays below.
const STILL: f32 = 0.15;
const MOVING: f32 = 0.5;

/// Difference of painting and blend, averaged over a cell (0..255), beyond which it is renewed four times as often.
const DRIFTED: f32 = 12.0;

/// When the strokes of a cell are replaced.
#[derive(Clone, Copy)]
struct Turn {
    /// Moving frames since the last time.
    age: f32,
    /// Frames that are left of being replaced.
    fading: u32,
    /// How fast it ages, 0..1: as what has moved there since the last time.
    restless: f32,
}

impl Turn {
    /// A turn that looks like chance: neighbours are not replaced together.
    fn of(x: usize, y: usize) -> Self {
        let (x, y) = (x as u32, y as u32);
        let mut turn =
            (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77)).wrapping_mul(0xc2b2_ae3d);
        turn ^= turn >> 15;
        Self {
            age: (turn % RENEWAL) as f32,
            fading: 0,
            restless: 0.0,
        }
    }
}

/// Moving frames that a cell counts as old at the beginning of a film.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn first_age(x: usize, y: usize) -> f32 {
    Turn::of(x, y).age
}

/// Which cells' strokes are being replaced.
#[derive(Default)]
pub(super) struct Renewal {
    turns: Vec<Turn>,
    /// Per cell, the share of the painting: 0 leaves the strokes that are there.
    pub(super) grid: Grid,
}

impl Renewal {
    /// Takes the size of the pictures.
    pub(super) fn fit(&mut self, width: usize, height: usize) {
        self.grid.fit(width, height);
        let columns = self.grid.width;
        let turn = |at: usize| Turn::of(at % columns, at / columns);
        self.turns = (0..columns * self.grid.height).map(turn).collect();
    }

    /// Chooses the cells for the next painting, so many `pictures` after the last one; `lost` is the mean of painting less blend of
    /// each, luma and colour.
    pub(super) fn next(&mut self, flow: &Flow, lost: &[[f32; 3]], pictures: f32) {
        let columns = self.grid.width;
        for (at, (turn, cell)) in self.turns.iter_mut().zip(&mut self.grid.cells).enumerate() {
            if turn.fading > 0 {
                *cell = 1.0 / turn.fading as f32;
                turn.fading -= 1;
                continue;
            }
            *cell = 0.0;
            let x = (at % columns * CELL + CELL / 2).min(flow.width - 1);
            let y = (at / columns * CELL + CELL / 2).min(flow.height - 1);
            let speed = flow.u[y * flow.width + x].hypot(flow.v[y * flow.width + x]) / pictures;
            let moves = ((speed - STILL) / (MOVING - STILL)).clamp(0.0, 1.0);
            // What has come to rest is replaced once more, or what passed would leave its trace.
            turn.restless = turn.restless.max(moves);
            // Strokes that have drifted far from what is painted there go sooner, even where nothing moves.
            let ages = if mean_square(lost[at]) > DRIFTED * DRIFTED {
                4.0
            } else {
                turn.restless
            };
            turn.age += ages * pictures;
            if turn.age >= RENEWAL as f32 {
                turn.age -= RENEWAL as f32;
                (turn.fading, turn.restless) = (FADE, 0.0);
            }
        }
    }
}

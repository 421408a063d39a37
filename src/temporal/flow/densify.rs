//! From the motion of patches to the motion of pixels.
//!
//! A pixel lies in several patches (four at spacing 4, up to nine at spacing 3). Its motion is their mean, each weighted
//! by 1 / max(1, |difference|) of that very pixel's brightness under that motion (Kroeger et al. 2016, equation 3): a
//! patch across an edge of motion counts for the pixels it explains.

use super::{
    pyramid::Level,
    search::{Grid, PATCH, Patch, place},
    simd::{Kernel, LANES, Vector},
};
use std::ops::Range;

/// The dense motion of some rows of a level.
pub(super) struct Densify<'a> {
    /// The picture that the patches are of.
    pub(super) template: &'a Level,
    /// The picture they move in.
    pub(super) target: &'a Level,
    /// The grid.
    pub(super) grid: Grid,
    /// All patches of the grid.
    pub(super) patches: &'a [Patch],
    /// Rows of pixels to fill.
    pub(super) rows: Range<usize>,
    /// Motion to the right, of those rows, packed.
    pub(super) u: &'a mut [f32],
    /// Motion downwards, of those rows, packed.
    pub(super) v: &'a mut [f32],
    /// Room for the weights of those rows.
    pub(super) weights: &'a mut [f32],
}

impl Kernel for Densify<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (width, height) = (self.template.width, self.template.height);
        let stride = self.template.stride;
        debug_assert!(self.u.len() >= self.rows.len() * width);
        debug_assert!(self.v.len() == self.u.len() && self.weights.len() == self.u.len());
        self.u.fill(0.0);
        self.v.fill(0.0);
        self.weights.fill(0.0);
        for grid_row in 0..self.grid.rows {
            let top = self.grid.start(grid_row, height);
            let rows = top.max(self.rows.start)..(top + PATCH).min(self.rows.end);
            if rows.is_empty() {
                continue;
            }
            for column in 0..self.grid.columns {
                let left = self.grid.start(column, width);
                let patch = self.patches[grid_row * self.grid.columns + column];
                // SAFETY: the patch is eight pixels of rows that are inside the level and inside the slices; `place`
                // holds nine rows and columns.
                unsafe {
                    let (place, fx, fy) =
                        place(self.target, left as f32 + patch.u, top as f32 + patch.v);
                    let (fx, fy) = (V::splat(fx), V::splat(fy));
                    let (u, v) = (V::splat(patch.u), V::splat(patch.v));
                    let (zero, one) = (V::splat(0.0), V::splat(1.0));
                    let horizontal = |row: usize| {
                        let left = V::load(place.add(row * stride));
                        (V::load(place.add(row * stride + 1)) - left).fma(fx, left)
                    };
                    let mut upper = horizontal(rows.start - top);
                    for y in rows.clone() {
                        let lower = horizontal(y - top + 1);
                        let value = (lower - upper).fma(fy, upper);
                        upper = lower;
                        let difference = value
                            - V::load(self.template.smooth.as_ptr().add(self.template.at(left, y)));
                        let weight = one / (zero - difference).max(difference).max(one);
                        let at = (y - self.rows.start) * width + left;
                        let add = |plane: *mut f32, value: V| {
                            weight
                                .fma(value, V::load(plane.add(at)))
                                .store(plane.add(at));
                        };
                        add(self.u.as_mut_ptr(), u);
                        add(self.v.as_mut_ptr(), v);
                        add(self.weights.as_mut_ptr(), one);
                    }
                }
            }
        }
        // Every pixel lies in a patch, so no weight is 0.
        for ((u, v), weight) in self.u.iter_mut().zip(self.v).zip(self.weights) {
            let inverse = 1.0 / *weight;
            *u *= inverse;
            *v *= inverse;
        }
        const { assert!(PATCH == LANES) };
    }
}

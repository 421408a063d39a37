//! Inverse-compositional search: the motion of each 8×8 patch of a grid.
//!
//! A patch of the *template* T is looked for in the other picture I. Gauss–Newton minimises
//! Σ (I(x+s) − T(x) − mean)², with the Jacobian taken from T instead of I, so that the 2×2 Hessian is the same in every
//! step (Baker and Matthews 2004; Kroeger et al. 2016, section 2.1). Taking the mean difference out of the error, and
//! the mean out of the gradients, makes the match blind to a change of brightness.
//!
//! The grid is swept twice, down and up; a patch starts from the best of what the coarser level, itself in the sweep
//! before, and its already visited neighbours say (PatchMatch-like propagation). Rows of the grid are cut into a fixed
//! number of stripes, across which nothing propagates: so the result does not depend on the number of threads.

use super::{
    pyramid::{BORDER, Level},
    simd::{Kernel, LANES, Vector},
};
use std::ops::Range;

/// Side of a patch, in pixels.
pub(super) const PATCH: usize = 8;
/// Pixels that a patch may lie outside the picture: there it sees nothing but the repeated edge.
const OUTSIDE: f32 = 8.0;
/// Stripes of the grid that are searched apart from each other.
pub(super) const STRIPES: usize = 8;

/// Where the patches of a level lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Grid {
    /// Pixels from one patch to the next.
    pub(super) spacing: usize,
    /// Patches in a row.
    pub(super) columns: usize,
    /// Rows of patches.
    pub(super) rows: usize,
}

impl Grid {
    /// The grid of a level of at least 8×8 pixels.
    pub(super) fn new(width: usize, height: usize, spacing: usize) -> Self {
        let count = |side: usize| (side - PATCH).div_ceil(spacing) + 1;
        Self {
            spacing,
            columns: count(width),
            rows: count(height),
        }
    }

    /// The first pixel of a patch along one axis; the last patch ends with the picture.
    #[inline(always)]
    pub(super) fn start(self, index: usize, side: usize) -> usize {
        (index * self.spacing).min(side - PATCH)
    }

    /// The rows of one stripe.
    pub(super) fn stripe(self, stripe: usize) -> Range<usize> {
        stripe * self.rows / STRIPES..(stripe + 1) * self.rows / STRIPES
    }
}

/// What the search finds for one patch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Patch {
    /// Motion to the right, in pixels of the level.
    pub(super) u: f32,
    /// Motion downwards, in pixels of the level.
    pub(super) v: f32,
}

/// The search over one stripe of the grid.
pub(super) struct Search<'a> {
    /// The picture whose patches are looked for.
    pub(super) template: &'a Level,
    /// The picture they are looked for in.
    pub(super) target: &'a Level,
    /// Motion known from the coarser level, one value per pixel of this one, if there is a coarser level.
    pub(super) start: Option<(&'a [f32], &'a [f32])>,
    /// The grid.
    pub(super) grid: Grid,
    /// Rows of the grid to search.
    pub(super) rows: Range<usize>,
    /// Patches of those rows, to be filled.
    pub(super) patches: &'a mut [Patch],
    /// Gauss–Newton steps at most, in each sweep.
    pub(super) steps: usize,
}

/// The error of a patch at one place, and the Gauss–Newton step from there.
#[derive(Clone, Copy)]
struct Probe {
    error: f32,
    u: f32,
    v: f32,
    step_u: f32,
    step_v: f32,
}

impl Kernel for Search<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self {
            template,
            target,
            start,
            grid,
            rows,
            patches,
            steps,
        } = self;
        let (width, height) = (template.width, template.height);
        let columns = grid.columns;
        for sweep in 0..2 {
            for row in 0..rows.len() {
                let row = if sweep == 0 {
                    row
                } else {
                    rows.len() - 1 - row
                };
                let y = grid.start(rows.start + row, height);
                for column in 0..columns {
                    let column = if sweep == 0 {
                        column
                    } else {
                        columns - 1 - column
                    };
                    let x = grid.start(column, width);
                    let index = row * columns + column;
                    // SAFETY: the patch lies inside the template.
                    let matcher = unsafe { Matcher::<V>::new(template, target, x, y) };
                    let own = match (sweep, start) {
                        (0, Some((u, v))) => {
                            let centre = (y + PATCH / 2) * width + x + PATCH / 2;
                            (u[centre], v[centre])
                        }
                        (0, None) => (0.0, 0.0),
                        _ => (patches[index].u, patches[index].v),
                    };
                    // SAFETY: the processor has the instructions of V.
                    let mut best = unsafe { matcher.probe(own.0, own.1) };
                    let beside = if sweep == 0 {
                        (column > 0).then(|| index - 1)
                    } else {
                        (column + 1 < columns).then(|| index + 1)
                    };
                    let before = if sweep == 0 {
                        (row > 0).then(|| index - columns)
                    } else {
                        (row + 1 < rows.len()).then(|| index + columns)
                    };
                    for neighbour in [beside, before].into_iter().flatten() {
                        let Patch { u, v } = patches[neighbour];
                        if (u - best.u).abs() + (v - best.v).abs() > SAME {
                            // SAFETY: as above.
                            let probe = unsafe { matcher.probe(u, v) };
                            if probe.error < best.error {
                                best = probe;
                            }
                        }
                    }
                    // SAFETY: as above.
                    let (u, v) = unsafe { matcher.descend(best, steps) };
                    patches[index] = Patch { u, v };
                }
            }
        }
    }
}

/// Motions nearer than this, in pixels, are not tried one after the other.
const SAME: f32 = 0.05;
/// A step shorter than this, in pixels squared, is the last.
const SHORT: f32 = 0.02 * 0.02;
/// Added to the diagonal of the Hessian, grey levels squared over 64 pixels (Levenberg): where a patch has next to no
/// structure, noise does not drive it away from what the coarser level and its neighbours say.
const DAMPING: f32 = 500.0;

/// One patch of the template, ready to be compared.
struct Matcher<'a, V> {
    template: *const f32,
    gx: *const f32,
    gy: *const f32,
    target: &'a Level,
    stride: usize,
    x: f32,
    y: f32,
    /// Means of the gradients over the patch.
    mean: (f32, f32),
    /// Inverse Hessian: xx, xy, yy.
    inverse: (f32, f32, f32),
    vector: std::marker::PhantomData<V>,
}

impl<'a, V: Vector> Matcher<'a, V> {
    /// # Safety
    /// The patch lies inside the template, whose size is the target's; the processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn new(template: &'a Level, target: &'a Level, x: usize, y: usize) -> Self {
        let at = template.at(x, y);
        // SAFETY: eight values in each of eight rows from `at` are inside the planes.
        unsafe {
            let (gx, gy) = (template.gx.as_ptr().add(at), template.gy.as_ptr().add(at));
            let zero = V::splat(0.0);
            let (mut sx, mut sy, mut sxx, mut sxy, mut syy) = (zero, zero, zero, zero, zero);
            for row in 0..PATCH {
                let (x, y) = (
                    V::load(gx.add(row * template.stride)),
                    V::load(gy.add(row * template.stride)),
                );
                sx = sx + x;
                sy = sy + y;
                sxx = x.fma(x, sxx);
                sxy = x.fma(y, sxy);
                syy = y.fma(y, syy);
            }
            const AREA: f32 = (PATCH * PATCH) as f32;
            let (sx, sy) = (sx.sum(), sy.sum());
            let xx = sxx.sum() - sx * sx / AREA + DAMPING;
            let xy = sxy.sum() - sx * sy / AREA;
            let yy = syy.sum() - sy * sy / AREA + DAMPING;
            let scale = 1.0 / (xx * yy - xy * xy);
            Self {
                template: template.smooth.as_ptr().add(at),
                gx,
                gy,
                target,
                stride: template.stride,
                x: x as f32,
                y: y as f32,
                mean: (sx / AREA, sy / AREA),
                inverse: (yy * scale, -xy * scale, xx * scale),
                vector: std::marker::PhantomData,
            }
        }
    }

    /// Compares the patch with what lies at motion (u, v).
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn probe(&self, u: f32, v: f32) -> Probe {
        // SAFETY: the place is inside the border, with a column and a row to spare for interpolation.
        unsafe {
            let (place, fx, fy) = place(self.target, self.x + u, self.y + v);
            let stride = self.stride;
            let (fx, fy) = (V::splat(fx), V::splat(fy));
            let horizontal = |row: usize| {
                let left = V::load(place.add(row * stride));
                (V::load(place.add(row * stride + 1)) - left).fma(fx, left)
            };
            let zero = V::splat(0.0);
            let (mut sum, mut squares, mut along_x, mut along_y) = (zero, zero, zero, zero);
            let mut upper = horizontal(0);
            for row in 0..PATCH {
                let lower = horizontal(row + 1);
                let value = (lower - upper).fma(fy, upper);
                let difference = value - V::load(self.template.add(row * stride));
                sum = sum + difference;
                squares = difference.fma(difference, squares);
                along_x = difference.fma(V::load(self.gx.add(row * stride)), along_x);
                along_y = difference.fma(V::load(self.gy.add(row * stride)), along_y);
                upper = lower;
            }
            let sum = sum.sum();
            let bx = along_x.sum() - sum * self.mean.0;
            let by = along_y.sum() - sum * self.mean.1;
            let (ixx, ixy, iyy) = self.inverse;
            Probe {
                error: squares.sum() - sum * sum / (PATCH * PATCH) as f32,
                u,
                v,
                step_u: ixx * bx + ixy * by,
                step_v: ixy * bx + iyy * by,
            }
        }
    }

    /// Gauss–Newton from a probe, as long as the error falls.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn descend(&self, start: Probe, steps: usize) -> (f32, f32) {
        let mut best = start;
        for _ in 0..steps {
            let (u, v) = (best.u - best.step_u, best.v - best.step_v);
            let away = (u - start.u).powi(2) + (v - start.v).powi(2);
            // A patch that runs further than its own size has lost itself.
            if away > (PATCH * PATCH) as f32 {
                return (start.u, start.v);
            }
            if best.step_u.powi(2) + best.step_v.powi(2) < SHORT {
                return (u, v);
            }
            // SAFETY: as for this function.
            let next = unsafe { self.probe(u, v) };
            if next.error >= best.error {
                break;
            }
            best = next;
        }
        (best.u, best.v)
    }
}

/// The pixel left of and above a position, held inside the border, and the fractions beyond it.
///
/// # Safety
/// None beyond the level being one: what is returned has nine columns and nine rows to read.
#[inline(always)]
pub(super) unsafe fn place(level: &Level, x: f32, y: f32) -> (*const f32, f32, f32) {
    const {
        assert!(BORDER > OUTSIDE as usize + PATCH && PATCH == LANES);
    }
    let x = x.clamp(-OUTSIDE, level.width as f32) + BORDER as f32;
    let y = y.clamp(-OUTSIDE, level.height as f32) + BORDER as f32;
    let (left, top) = (x as usize, y as usize);
    // SAFETY: between `BORDER - OUTSIDE` and the side plus `BORDER`: inside the plane.
    let pointer = unsafe { level.smooth.as_ptr().add(top * level.stride + left) };
    (pointer, x - left as f32, y - top as f32)
}

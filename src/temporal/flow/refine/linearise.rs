//! The data terms of the energy, linearised about the field that the refinement starts from.

use super::{
    super::{
        pyramid::{BORDER, Level},
        simd::{Kernel, LANES, Vector},
    },
    Shared, U, V_,
};
use std::ops::Range;

/// Warps the target along the field: fills `mean` and `change`.
pub(super) struct Warp<'a> {
    pub(super) shared: Shared,
    pub(super) template: &'a Level,
    pub(super) target: &'a Level,
    pub(super) u: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) rows: Range<usize>,
}

impl Kernel for Warp<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (width, height, stride) = (
            self.template.width,
            self.template.height,
            self.template.stride,
        );
        let ramp: [f32; LANES] = std::array::from_fn(|lane| lane as f32);
        let mut line_u = vec![0.0; width.next_multiple_of(LANES)];
        let mut line_v = line_u.clone();
        for y in self.rows {
            line_u[..width].copy_from_slice(&self.u[y * width..(y + 1) * width]);
            line_v[..width].copy_from_slice(&self.v[y * width..(y + 1) * width]);
            // SAFETY: positions are held inside the picture, whose border has a pixel right of and below each; the rows
            // written belong to this tile, or are the border rows next to them.
            unsafe {
                let border = V::splat(BORDER as f32);
                let zero = V::splat(0.0);
                let (right, bottom) = (V::splat((width - 1) as f32), V::splat((height - 1) as f32));
                let row = self.template.at(0, y);
                let (mean, change) = (
                    self.shared.mean.get().add(row),
                    self.shared.change.get().add(row),
                );
                let mut x = 0;
                while x < width {
                    let px = V::splat(x as f32)
                        + V::load(ramp.as_ptr())
                        + V::load(line_u.as_ptr().add(x));
                    let py = V::splat(y as f32) + V::load(line_v.as_ptr().add(x));
                    let warped = V::bicubic(
                        self.target.image.as_ptr(),
                        stride,
                        px.max(zero).min(right) + border,
                        py.max(zero).min(bottom) + border,
                    );
                    let here = V::load(self.template.image.as_ptr().add(row + x));
                    ((warped + here) * V::splat(0.5)).store(mean.add(x));
                    (warped - here).store(change.add(x));
                    x += LANES;
                }
                for line in [mean, change] {
                    for pad in 0..2 {
                        *line.sub(pad + 1) = *line;
                        *line.add(width + pad) = *line.add(width - 1);
                    }
                    let span = width + 4;
                    let copies = if y == 0 {
                        [-2, -1]
                    } else if y == height - 1 {
                        [1, 2]
                    } else {
                        continue;
                    };
                    for offset in copies {
                        let to = line.sub(2).offset(offset * stride as isize);
                        std::ptr::copy_nonoverlapping(line.sub(2), to, span);
                    }
                }
            }
        }
    }
}

/// Takes derivatives, moves the linearised terms to zero motion, and splits everything by columns.
pub(super) struct Linearise<'a> {
    pub(super) shared: Shared,
    pub(super) template: &'a Level,
    pub(super) u: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) rows: Range<usize>,
}

impl Kernel for Linearise<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self {
            shared, template, ..
        } = self;
        let (width, height, stride) = (template.width, template.height, template.stride);
        let ramp: [f32; LANES] = std::array::from_fn(|lane| lane as f32);
        let mut line_u = vec![0.0; (2 * LANES) * shared.shape.vectors()];
        let mut line_v = line_u.clone();
        for y in self.rows {
            line_u[..width].copy_from_slice(&self.u[y * width..(y + 1) * width]);
            line_v[..width].copy_from_slice(&self.v[y * width..(y + 1) * width]);
            for vector in 0..shared.shape.vectors() {
                let x = vector * 2 * LANES;
                // SAFETY: sixteen values from x on, and two on each side, are inside the rows and their borders of 24;
                // the rows written belong to this tile.
                unsafe {
                    let first = Self::derivatives::<V>(
                        &shared,
                        template.at(x, y),
                        stride,
                        &line_u[x..],
                        &line_v[x..],
                    );
                    let next = Self::derivatives::<V>(
                        &shared,
                        template.at(x + LANES, y),
                        stride,
                        &line_u[x + LANES..],
                        &line_v[x + LANES..],
                    );
                    // A pixel whose motion leads outside has nothing to compare with: only smoothness decides there.
                    let inside = |x: usize| {
                        let (zero, one) = (V::splat(0.0), V::splat(1.0));
                        let px = V::splat(x as f32)
                            + V::load(ramp.as_ptr())
                            + V::load(line_u.as_ptr().add(x));
                        let py = V::splat(y as f32) + V::load(line_v.as_ptr().add(x));
                        let beyond = |p: V, side: usize| {
                            let excess = (zero - p).max(p - V::splat((side - 1) as f32));
                            one - excess.max(zero).min(one)
                        };
                        beyond(px, width) * beyond(py, height)
                    };
                    let (inside_first, inside_next) = (inside(x), inside(x + LANES));
                    let even = shared.shape.at(y as isize, 0) + vector * LANES;
                    let odd = even + shared.shape.half;
                    for plane in 0..8 {
                        let (e, o) =
                            (first[plane] * inside_first).deinterleave(next[plane] * inside_next);
                        e.store(shared.plane(plane, even));
                        o.store(shared.plane(plane, odd));
                    }
                    for (plane, line) in [(U, &line_u), (V_, &line_v)] {
                        let (e, o) = V::load(line.as_ptr().add(x))
                            .deinterleave(V::load(line.as_ptr().add(x + LANES)));
                        e.store(shared.plane(plane, even));
                        o.store(shared.plane(plane, odd));
                    }
                }
            }
        }
    }
}

impl Linearise<'_> {
    /// The eight derivative planes at eight pixels.
    ///
    /// # Safety
    /// `at` is a pixel of the level with eight values, and two more on every side, in `mean` and `change`.
    #[inline(always)]
    unsafe fn derivatives<V: Vector>(
        shared: &Shared,
        at: usize,
        stride: usize,
        u: &[f32],
        v: &[f32],
    ) -> [V; 8] {
        // SAFETY: as for this function.
        unsafe {
            let mean = |dx: isize, dy: isize| {
                V::load(shared.mean.get().add(at).offset(dy * stride as isize + dx))
            };
            let change = |dx: isize, dy: isize| {
                V::load(
                    shared
                        .change
                        .get()
                        .add(at)
                        .offset(dy * stride as isize + dx),
                )
            };
            let (half, quarter) = (V::splat(0.5), V::splat(0.25));
            let (u, v) = (V::load(u.as_ptr()), V::load(v.as_ptr()));
            let here = mean(0, 0);
            let twice = here + here;
            let ix = (mean(1, 0) - mean(-1, 0)) * half;
            let iy = (mean(0, 1) - mean(0, -1)) * half;
            let ixx = (mean(2, 0) + mean(-2, 0) - twice) * quarter;
            let iyy = (mean(0, 2) + mean(0, -2) - twice) * quarter;
            let ixy = ((mean(1, 1) - mean(-1, 1)) - (mean(1, -1) - mean(-1, -1))) * quarter;
            let iz = change(0, 0);
            let ixz = (change(1, 0) - change(-1, 0)) * half;
            let iyz = (change(0, 1) - change(0, -1)) * half;
            [
                ix,
                iy,
                iz - ix * u - iy * v,
                ixx,
                ixy,
                iyy,
                ixz - ixx * u - ixy * v,
                iyz - ixy * u - iyy * v,
            ]
        }
    }
}

/// Puts the refined field back into packed rows.
pub(super) struct Unsplit<'a> {
    pub(super) shared: Shared,
    pub(super) rows: Range<usize>,
    /// The rows, packed.
    pub(super) u: &'a mut [f32],
    pub(super) v: &'a mut [f32],
}

impl Kernel for Unsplit<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let shape = self.shared.shape;
        let mut line = vec![0.0; shape.vectors() * 2 * LANES];
        for (index, y) in self.rows.enumerate() {
            for (plane, output) in [(U, &mut *self.u), (V_, &mut *self.v)] {
                for k in (0..shape.vectors()).map(|vector| vector * LANES) {
                    // SAFETY: places inside the planes; the line has room for the whole row.
                    unsafe {
                        let even = V::load(self.shared.plane(plane, shape.at(y as isize, 0) + k));
                        let odd = V::load(self.shared.plane(plane, shape.at(y as isize, 1) + k));
                        let (first, next) = even.interleave(odd);
                        first.store(line.as_mut_ptr().add(2 * k));
                        next.store(line.as_mut_ptr().add(2 * k + LANES));
                    }
                }
                output[index * shape.width..(index + 1) * shape.width]
                    .copy_from_slice(&line[..shape.width]);
            }
        }
    }
}

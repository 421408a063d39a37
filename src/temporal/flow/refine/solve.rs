//! The linear system of the present robust weights, and its relaxation.

use super::{
    super::simd::{Kernel, LANES, Vector},
    COUPLING, DOWN, INVERSE_U, INVERSE_V, IX, IXX, IXY, IXZ, IY, IYY, IYZ, IZ, RIGHT, SIDE_U,
    SIDE_V, Shared, U, V_, Weights,
};
use std::ops::Range;

/// Over-relaxation; below 2.
const OMEGA: f32 = 1.8;
/// Added to squared gradients in the normalisation, grey levels squared: keeps flat areas from deciding.
const ZETA: f32 = 0.1 * 0.1;
/// ε² of the robust function.
const EPSILON: f32 = 0.01 * 0.01;

/// The smoothness weights of the present field.
pub(super) struct Smoothness {
    pub(super) shared: Shared,
    pub(super) weights: Weights,
    pub(super) rows: Range<usize>,
}

impl Kernel for Smoothness {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { shared, .. } = self;
        let shape = shared.shape;
        let alpha = self.weights.smoothness * 0.5;
        for y in self.rows {
            let last_row = y + 1 == shape.height;
            let below = if last_row { y } else { y + 1 } as isize;
            // SAFETY: places inside the planes; only weights of own rows are written, and this stage reads no weights.
            unsafe {
                let (alpha_v, epsilon) = (V::splat(alpha), V::splat(EPSILON));
                for parity in 0..2 {
                    let row = shape.at(y as isize, parity);
                    // Right of even column 2k is odd k; right of odd column 2k+1 is even k+1.
                    let right = shape.at(y as isize, 1 - parity) + parity;
                    let down = shape.at(below, parity);
                    for k in (0..shape.vectors()).map(|vector| vector * LANES) {
                        let difference = |plane: usize, to: usize| {
                            V::load(shared.plane(plane, to + k))
                                - V::load(shared.plane(plane, row + k))
                        };
                        let (ux, vx) = (difference(U, right), difference(V_, right));
                        let (uy, vy) = (difference(U, down), difference(V_, down));
                        let squares = ux.fma(ux, vx.fma(vx, uy.fma(uy, vy.fma(vy, epsilon))));
                        let weight = alpha_v / squares.sqrt();
                        weight.store(shared.plane(RIGHT, row + k));
                        let weight = if last_row { V::splat(0.0) } else { weight };
                        weight.store(shared.plane(DOWN, row + k));
                    }
                }
                // The last column has no neighbour on the right.
                let last = shape.pixel(y, shape.width - 1);
                let down = shape.pixel(below as usize, shape.width - 1);
                let uy = *shared.plane(U, down) - *shared.plane(U, last);
                let vy = *shared.plane(V_, down) - *shared.plane(V_, last);
                *shared.plane(RIGHT, last) = 0.0;
                if !last_row {
                    *shared.plane(DOWN, last) = alpha / (uy * uy + vy * vy + EPSILON).sqrt();
                }
            }
        }
    }
}

/// The linear system of the present weights.
pub(super) struct Assemble {
    pub(super) shared: Shared,
    pub(super) weights: Weights,
    pub(super) rows: Range<usize>,
}

impl Kernel for Assemble {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { shared, .. } = self;
        let shape = shared.shape;
        for y in self.rows {
            for parity in 0..2 {
                let row = shape.at(y as isize, parity);
                let above = shape.at(y as isize - 1, parity);
                // Left of even column 2k is odd k-1; left of odd column 2k+1 is even k.
                let left = shape.at(y as isize, 1 - parity) + parity - 1;
                for k in (0..shape.vectors()).map(|vector| vector * LANES) {
                    // SAFETY: places inside the planes; own rows of the system are written, which this stage does not
                    // read.
                    unsafe {
                        let load = |plane: usize| V::load(shared.plane(plane, row + k));
                        let (zeta, epsilon) = (V::splat(ZETA), V::splat(EPSILON));
                        let one = V::splat(1.0);
                        let (u, v) = (load(U), load(V_));

                        let (ix, iy, iz) = (load(IX), load(IY), load(IZ));
                        let norm = one / ix.fma(ix, iy.fma(iy, zeta));
                        let error = ix.fma(u, iy.fma(v, iz));
                        let weight = V::splat(self.weights.brightness * 0.5) * norm
                            / (error * error).fma(norm, epsilon).sqrt();
                        let (wx, wy) = (weight * ix, weight * iy);
                        let mut uu = wx.fma(ix, zeta);
                        let mut uv = wx * iy;
                        let mut vv = wy.fma(iy, zeta);
                        let mut side_u = wx * iz;
                        let mut side_v = wy * iz;

                        let (ixx, ixy, iyy) = (load(IXX), load(IXY), load(IYY));
                        let (ixz, iyz) = (load(IXZ), load(IYZ));
                        let cross = ixy.fma(ixy, zeta);
                        let norm_x = one / ixx.fma(ixx, cross);
                        let norm_y = one / iyy.fma(iyy, cross);
                        let error_x = ixx.fma(u, ixy.fma(v, ixz));
                        let error_y = ixy.fma(u, iyy.fma(v, iyz));
                        let squares = (error_x * error_x)
                            .fma(norm_x, (error_y * error_y).fma(norm_y, epsilon));
                        let weight = V::splat(self.weights.gradient * 0.5) / squares.sqrt();
                        let (weight_x, weight_y) = (weight * norm_x, weight * norm_y);
                        let (wxx, wxy) = (weight_x * ixx, weight_x * ixy);
                        let (wyx, wyy) = (weight_y * ixy, weight_y * iyy);
                        uu = wxx.fma(ixx, wyx.fma(ixy, uu));
                        uv = wxx.fma(ixy, wyx.fma(iyy, uv));
                        vv = wxy.fma(ixy, wyy.fma(iyy, vv));
                        side_u = wxx.fma(ixz, wyx.fma(iyz, side_u));
                        side_v = wxy.fma(ixz, wyy.fma(iyz, side_v));

                        let edges = load(RIGHT)
                            + load(DOWN)
                            + V::load(shared.plane(RIGHT, left + k))
                            + V::load(shared.plane(DOWN, above + k));
                        let zero = V::splat(0.0);
                        (one / (uu + edges)).store(shared.plane(INVERSE_U, row + k));
                        uv.store(shared.plane(COUPLING, row + k));
                        (one / (vv + edges)).store(shared.plane(INVERSE_V, row + k));
                        (zero - side_u).store(shared.plane(SIDE_U, row + k));
                        (zero - side_v).store(shared.plane(SIDE_V, row + k));
                    }
                }
            }
        }
    }
}

/// One half sweep of successive over-relaxation.
pub(super) struct Relax {
    pub(super) shared: Shared,
    /// 0 or 1: which pixels, by the parity of row plus column.
    pub(super) colour: usize,
    pub(super) rows: Range<usize>,
}

impl Kernel for Relax {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { shared, .. } = self;
        let shape = shared.shape;
        for y in self.rows {
            let parity = (y + self.colour) & 1;
            let row = shape.at(y as isize, parity);
            let right = shape.at(y as isize, 1 - parity) + parity;
            let left = right - 1;
            let above = shape.at(y as isize - 1, parity);
            let below = shape.at(y as isize + 1, parity);
            for k in (0..shape.vectors()).map(|vector| vector * LANES) {
                // SAFETY: places inside the planes (rows -1 and `height` exist, and have weight 0); pixels of this
                // colour in own rows are written, of the other colour read.
                unsafe {
                    let load = |plane: usize, at: usize| V::load(shared.plane(plane, at + k));
                    let (to_right, to_left) = (load(RIGHT, row), load(RIGHT, left));
                    let (to_below, to_above) = (load(DOWN, row), load(DOWN, above));
                    let around = |plane: usize, side: V| {
                        let horizontal =
                            to_right.fma(load(plane, right), to_left.fma(load(plane, left), side));
                        to_below.fma(
                            load(plane, below),
                            to_above.fma(load(plane, above), horizontal),
                        )
                    };
                    let (u, v) = (load(U, row), load(V_, row));
                    let coupling = load(COUPLING, row);
                    let omega = V::splat(OMEGA);
                    let target =
                        (around(U, load(SIDE_U, row)) - coupling * v) * load(INVERSE_U, row);
                    let u = (target - u).fma(omega, u);
                    let target =
                        (around(V_, load(SIDE_V, row)) - coupling * u) * load(INVERSE_V, row);
                    let v = (target - v).fma(omega, v);
                    u.store(shared.plane(U, row + k));
                    v.store(shared.plane(V_, row + k));
                }
            }
        }
    }
}

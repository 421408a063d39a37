//! Where motion can be trusted.
//!
//! Ruder, Dosovitskiy, Brox ("Artistic style transfer for videos", GCPR 2016, section 4.1): with ŵ the backward flow
//! and w̃ the forward flow at the place ŵ leads to, a pixel is disoccluded where |w̃+ŵ|² > 0.01(|w̃|²+|ŵ|²)+0.5, and lies
//! on a motion boundary where |∇û|²+|∇v̂|² > 0.01|ŵ|²+0.002. Lengths are in pixels of the flow that is tested; flow here
//! has always been brought to the size of the picture, so the constants are the paper's whatever size it was found at.

use super::{
    Flow,
    simd::{Kernel, LANES, Vector},
};
use std::ops::Range;

/// Masks of some rows; slices hold those rows, packed.
pub(super) struct Mask<'a> {
    pub(super) backward: &'a Flow,
    pub(super) forward: &'a Flow,
    pub(super) rows: Range<usize>,
    pub(super) consistent: &'a mut [u8],
    pub(super) boundary: &'a mut [u8],
    pub(super) confidence: &'a mut [f32],
}

impl Kernel for Mask<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (width, height) = (self.backward.width, self.backward.height);
        let (last_x, last_y) = ((width - 1) as f32, (height - 1) as f32);
        let ramp: [f32; LANES] = std::array::from_fn(|lane| lane as f32);
        let (u, v) = (&self.backward.u[..], &self.backward.v[..]);
        for (index, y) in self.rows.enumerate() {
            let row = y * width;
            let below = if y + 1 < height { row + width } else { row };
            let mut x = 0;
            while x < width {
                // The last vector of a row overlaps the one before it.
                x = x.min(width - LANES);
                // SAFETY: eight pixels from x are inside the row; positions are held at least one pixel, or its
                // thousandth, inside the plane, so that the pixel right of and below them exists.
                unsafe {
                    let (zero, one) = (V::splat(0.0), V::splat(1.0));
                    let load = |plane: &[f32], at: usize| V::load(plane.as_ptr().add(at));
                    let (bu, bv) = (load(u, row + x), load(v, row + x));
                    let px = V::splat(x as f32) + V::load(ramp.as_ptr()) + bu;
                    let py = V::splat(y as f32) + bv;
                    let hold = |p: V, last: f32| p.max(zero).min(V::splat(last - 1e-3));
                    let (qx, qy) = (hold(px, last_x), hold(py, last_y));
                    let fu = V::bilinear(self.forward.u.as_ptr(), width, qx, qy);
                    let fv = V::bilinear(self.forward.v.as_ptr(), width, qx, qy);
                    let (du, dv) = (bu + fu, bv + fv);
                    let length = bu.fma(bu, bv * bv);
                    let lengths = fu.fma(fu, fv.fma(fv, length));
                    let disagreement =
                        du.fma(du, dv * dv) / lengths.fma(V::splat(0.01), V::splat(0.5));
                    // 0 inside the picture, the distance in pixels outside.
                    let outside = |p: V, last: f32| (zero - p).max(p - V::splat(last)).max(zero);
                    let outside = outside(px, last_x).max(outside(py, last_y));
                    // The forward difference at the right edge is that of the pixel before.
                    let slope = |plane: &[f32], here: V| {
                        let mut right = [0.0; LANES];
                        let next = (x + 1).min(width - LANES);
                        load(plane, row + next).store(right.as_mut_ptr());
                        if next == x {
                            right.copy_within(1.., 0);
                        }
                        let dx = V::load(right.as_ptr()) - here;
                        let dy = load(plane, below + x) - here;
                        dx.fma(dx, dy * dy)
                    };
                    let slope =
                        (slope(u, bu) + slope(v, bv)) / length.fma(V::splat(0.01), V::splat(0.002));
                    let soft = |excess: V| one / excess.fma(excess, one);
                    let confidence =
                        soft(disagreement) * soft(slope * V::splat(0.5)) * (one - outside.min(one));
                    confidence.store(self.confidence.as_mut_ptr().add(index * width + x));
                    let lanes = |value: V| {
                        let mut lanes = [0.0; LANES];
                        value.store(lanes.as_mut_ptr());
                        lanes
                    };
                    let at = index * width + x;
                    let agrees = lanes(disagreement).into_iter().zip(lanes(outside));
                    for (value, (excess, outside)) in self.consistent[at..].iter_mut().zip(agrees) {
                        *value = u8::from(excess <= 1.0) & u8::from(outside <= 0.0);
                    }
                    for (value, excess) in self.boundary[at..].iter_mut().zip(lanes(slope)) {
                        *value = u8::from(excess > 1.0);
                    }
                }
                x += LANES;
            }
        }
    }
}

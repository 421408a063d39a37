//! Where motion can be trusted.
//!
//! Ruder, Dosovitskiy, Brox ("Artistic style transfer for videos", GCPR 2016, section 4.1): with ŵ the backward flow
//! and w̃ the forward flow at the place ŵ leads to, a pixel is disoccluded where |w̃+ŵ|² > 0.01(|w̃|²+|ŵ|²)+0.5, and lies
//! on a motion boundary where |∇û|²+|∇v̂|² > 0.01|ŵ|²+0.002. Lengths are in pixels of the picture.
//!
//! Flow has no more detail than the level it was found at, so both conditions are evaluated there, with lengths brought
//! to pixels of the picture; what is enlarged is the *ratio* of the two sides (held below 2, so that a gross
//! contradiction does not spread), and compared with 1 at every pixel of the picture.

use super::{
    resample::Source,
    simd::{Kernel, LANES, Vector},
};
use std::ops::Range;

const RAMP: [f32; LANES] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
/// Ratios above this are held to it.
const GROSS: f32 = 2.0;

/// Both conditions' ratios for some rows of the level at which flow was found; 8 or more pixels wide.
pub(super) struct Ratios<'a> {
    /// Backward u, v, forward u, v, in pixels of the level, packed.
    pub(super) flows: [&'a [f32]; 4],
    pub(super) width: usize,
    pub(super) height: usize,
    /// Pixels of the picture in a pixel of the level, along each side.
    pub(super) factor: usize,
    pub(super) rows: Range<usize>,
    /// |w̃+ŵ|² / (0.01(|w̃|²+|ŵ|²)+0.5), of those rows.
    pub(super) disagreement: &'a mut [f32],
    /// (|∇û|²+|∇v̂|²) / (0.01|ŵ|²+0.002), of those rows.
    pub(super) slope: &'a mut [f32],
}

impl Kernel for Ratios<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (width, height) = (self.width, self.height);
        let [u, v, forward_u, forward_v] = self.flows;
        let area = (self.factor * self.factor) as f32;
        for (index, y) in self.rows.enumerate() {
            let row = y * width;
            let below = if y + 1 < height { row + width } else { row };
            let mut x = 0;
            while x < width {
                // The last vector of a row overlaps the one before it.
                x = x.min(width - LANES);
                // SAFETY: eight pixels from x are inside the row; positions are held at least a thousandth of a pixel
                // inside the plane, so that the pixel right of and below them exists.
                unsafe {
                    let (zero, gross) = (V::splat(0.0), V::splat(GROSS));
                    let (bu, bv) = (
                        V::load(u.as_ptr().add(row + x)),
                        V::load(v.as_ptr().add(row + x)),
                    );
                    let px = V::splat(x as f32) + V::load(RAMP.as_ptr()) + bu;
                    let py = V::splat(y as f32) + bv;
                    let qx = px.max(zero).min(V::splat((width - 1) as f32 - 1e-3));
                    let qy = py.max(zero).min(V::splat((height - 1) as f32 - 1e-3));
                    let fu = V::bilinear(forward_u.as_ptr(), width, qx, qy);
                    let fv = V::bilinear(forward_v.as_ptr(), width, qx, qy);
                    let (du, dv) = (bu + fu, bv + fv);
                    let length = bu.fma(bu, bv * bv);
                    let lengths = fu.fma(fu, fv.fma(fv, length));
                    let limit = lengths.fma(V::splat(0.01), V::splat(0.5 / area));
                    let disagreement = du.fma(du, dv * dv) / limit;
                    let at = index * width + x;
                    disagreement
                        .min(gross)
                        .store(self.disagreement.as_mut_ptr().add(at));

                    let squares = slope::<V>(u, row + x, below + x, x + LANES == width)
                        + slope::<V>(v, row + x, below + x, x + LANES == width);
                    let limit = length.fma(V::splat(0.01 * area), V::splat(0.002));
                    (squares / limit)
                        .min(gross)
                        .store(self.slope.as_mut_ptr().add(at));
                }
                x += LANES;
            }
        }
    }
}

/// Squared forward differences at eight pixels; at the right edge that of the pixel before.
///
/// # Safety
/// Eight values from `at` and from `below` are inside the plane, and one more from `at` unless at the edge; the processor
/// has the instructions of `V`.
#[inline(always)]
unsafe fn slope<V: Vector>(plane: &[f32], at: usize, below: usize, edge: bool) -> V {
    // SAFETY: as for this function.
    unsafe {
        let here = V::load(plane.as_ptr().add(at));
        let right = if edge {
            let mut right = [0.0; LANES];
            right[..LANES - 1].copy_from_slice(&plane[at + 1..at + LANES]);
            right[LANES - 1] = 2.0 * plane[at + LANES - 1] - plane[at + LANES - 2];
            V::load(right.as_ptr())
        } else {
            V::load(plane.as_ptr().add(at + 1))
        };
        let dx = right - here;
        let dy = V::load(plane.as_ptr().add(below)) - here;
        dx.fma(dx, dy * dy)
    }
}

/// The masks of some rows of the picture; slices hold those rows, packed.
pub(super) struct Masks<'a> {
    /// What [`Ratios`] gave.
    pub(super) disagreement: Source<'a>,
    /// Size of the picture.
    pub(super) size: (usize, usize),
    pub(super) rows: Range<usize>,
    /// Backward flow of those rows, in pixels of the picture.
    pub(super) u: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) consistent: &'a mut [u8],
    /// The masks that not everyone wants.
    pub(super) further: Option<Further<'a>>,
}

/// Motion boundaries and confidence of some rows.
pub(super) struct Further<'a> {
    /// What [`Ratios`] gave.
    pub(super) slope: Source<'a>,
    pub(super) boundary: &'a mut [u8],
    pub(super) confidence: &'a mut [f32],
}

impl Kernel for Masks<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let (width, height) = self.size;
        let (right, bottom) = ((width - 1) as f32, (height - 1) as f32);
        let mut room = vec![0.0; self.disagreement.room()];
        let (mut disagreement, mut slope) = (vec![0.0; width], vec![0.0; width]);
        for (index, y) in self.rows.enumerate() {
            // SAFETY: as for this function.
            unsafe { self.disagreement.row::<V>(y, &mut room, &mut disagreement) };
            let row = index * width..(index + 1) * width;
            let (u, v) = (&self.u[row.clone()], &self.v[row.clone()]);
            let consistent = &mut self.consistent[row.clone()];
            for x in 0..width {
                let (px, py) = (x as f32 + u[x], y as f32 + v[x]);
                let inside = (px >= 0.0) & (px <= right) & (py >= 0.0) & (py <= bottom);
                consistent[x] = u8::from(inside & (disagreement[x] <= 1.0));
            }
            let Some(further) = &mut self.further else {
                continue;
            };
            // SAFETY: as for this function.
            unsafe { further.slope.row::<V>(y, &mut room, &mut slope) };
            let boundary = &mut further.boundary[row.clone()];
            let confidence = &mut further.confidence[row];
            for x in 0..width {
                let (px, py) = (x as f32 + u[x], y as f32 + v[x]);
                let inside = (px >= 0.0) & (px <= right) & (py >= 0.0) & (py <= bottom);
                boundary[x] = u8::from(slope[x] > 1.0);
                let trust = soft(disagreement[x]) * soft(0.5 * slope[x]);
                confidence[x] = if inside { trust } else { 0.0 };
            }
        }
    }
}

/// 1 at ratio 0, one half at 1, 0 at 2, with no slope at either end.
#[inline(always)]
fn soft(ratio: f32) -> f32 {
    let share = 1.0 - 0.5 * ratio;
    share * share * (3.0 - 2.0 * share)
}

//! The last step of a painting: raw pixels are normalised, squashed and packed.

use super::instruction_set::Kernel;
use super::patch::Storage;
use super::simd::{Simd, prefetch, sigmoid};
use super::statistics::{Affine, Stored};
use half::f16;

/// Where the painting goes.
#[derive(Clone, Copy)]
pub(crate) enum Painting {
    /// Red, green, blue bytes.
    Bytes(*mut u8),
    /// The same as `f32` in 0..=1.
    Floats(*mut f32),
}

/// Normalises, squashes and packs the raw pixels.
pub(crate) struct FinishPass<'a> {
    /// `[row][raw_width][4]`, `F32` or `F16`.
    pub(crate) raw: *const u8,
    pub(crate) storage: Storage,
    pub(crate) raw_width: usize,
    pub(crate) affine: &'a Affine,
    pub(crate) painting: Painting,
    /// Width of the painting in pixels.
    pub(crate) width: usize,
}
// SAFETY: tasks write disjoint rows of the painting.
unsafe impl Sync for FinishPass<'_> {}

/// One row of a [`FinishPass`].
pub(crate) struct FinishRow<'a> {
    pub(crate) pass: &'a FinishPass<'a>,
    pub(crate) row: usize,
}

/// Pixels that are finished together.
const FINISH_PIXELS: usize = 8;
/// So many pixels ahead is asked for what will be read.
const AHEAD: usize = 24 * FINISH_PIXELS;

impl Kernel for FinishRow<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: as for this function.
        unsafe {
            if S::DOTS && self.pass.storage == Storage::F16 {
                self.finish::<S, f16>();
            } else {
                self.finish::<S, f32>();
            }
        }
    }
}

impl FinishRow<'_> {
    #[inline(always)]
    unsafe fn finish<S: Simd, T: Stored>(self) {
        let pass = self.pass;
        // SAFETY: the row lies inside the raw pixels and the painting; rows are written by one task each.
        unsafe {
            let raw = pass.raw.cast::<T>().add(self.row * pass.raw_width * 4);
            for first in (0..pass.width).step_by(FINISH_PIXELS) {
                let count = (pass.width - first).min(FINISH_PIXELS);
                let mut values = [0.0_f32; 4 * FINISH_PIXELS];
                let mut end = [T::ZERO; 4 * FINISH_PIXELS];
                let mut pixels = raw.add(first * 4);
                prefetch(pixels.wrapping_add(4 * AHEAD));
                if count < FINISH_PIXELS {
                    std::ptr::copy_nonoverlapping(pixels, end.as_mut_ptr(), count * 4);
                    pixels = end.as_ptr();
                }
                let at = (self.row * pass.width + first) * 3;
                // Bytes are written behind those of the last pixel: never into the next row.
                if let Painting::Bytes(bytes) = pass.painting
                    && first + FINISH_PIXELS + 1 < pass.width
                {
                    for part in (0..4 * FINISH_PIXELS).step_by(S::LANES) {
                        let value = finish::<S>(T::get::<S>(pixels, part), pass.affine);
                        let out = bytes.add(at + part / 4 * 3);
                        S::store_rgb(out, S::mul(value, S::splat(255.0)));
                    }
                    continue;
                }
                for part in (0..4 * FINISH_PIXELS).step_by(S::LANES) {
                    let value = finish::<S>(T::get::<S>(pixels, part), pass.affine);
                    S::store(values.as_mut_ptr().add(part), value);
                }
                match pass.painting {
                    Painting::Bytes(bytes) => {
                        let mut quantised = [0_u8; 4 * FINISH_PIXELS];
                        for part in (0..4 * FINISH_PIXELS).step_by(S::LANES) {
                            let value = S::mul(S::load(values.as_ptr().add(part)), S::splat(255.0));
                            S::store_u8(quantised.as_mut_ptr().add(part), value);
                        }
                        pack_pixels(&quantised, bytes.add(at), count);
                    }
                    Painting::Floats(floats) => pack_pixels(&values, floats.add(at), count),
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn finish<S: Simd>(raw: S::F, affine: &Affine) -> S::F {
    // SAFETY: the affine repeats every four lanes.
    unsafe {
        let (scale, shift) = (
            S::load(affine.scale.as_ptr()),
            S::load(affine.shift.as_ptr()),
        );
        sigmoid::<S>(S::fma(raw, scale, shift))
    }
}

/// Leaves out every fourth value.
#[inline(always)]
unsafe fn pack_pixels<T: Copy>(values: &[T; 4 * FINISH_PIXELS], out: *mut T, count: usize) {
    for i in 0..count {
        for channel in 0..3 {
            // SAFETY: the caller has room for three values a pixel.
            unsafe { *out.add(3 * i + channel) = values[4 * i + channel] };
        }
    }
}

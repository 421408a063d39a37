//! A plane made larger: twice for the next level, a power of two for the picture.
//!
//! Bilinear about pixel centres. Because each level is exactly half the one before (rounded up), output pixel `x` of a
//! factor `f` lies at `(x + 0.5) / f - 0.5`: `f` fixed pairs of weights. Eight source pixels at a time give `f` vectors,
//! one per pair of weights, which are then woven into `8 f` consecutive output pixels.

use super::simd::{Kernel, LANES, Vector};
use std::ops::Range;

/// The largest factor.
pub(super) const MOST: usize = 8;

/// A small plane, packed, that is to be enlarged.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) values: &'a [f32],
    pub(super) width: usize,
    pub(super) height: usize,
    /// 1, 2, 4 or 8: how much larger.
    pub(super) factor: usize,
    /// What values are multiplied by: the factor for motion.
    pub(super) scale: f32,
}

impl Source<'_> {
    /// Values that [`Source::row`] needs room for.
    pub(super) fn room(&self) -> usize {
        self.width + 2 * LANES
    }

    /// Fills row `y` of the large plane. Equal to the scalar reference of the tests but for rounding.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn row<V: Vector>(&self, y: usize, room: &mut [f32], output: &mut [f32]) {
        let Self { width, factor, .. } = *self;
        let position = ((y as f32 + 0.5) / factor as f32 - 0.5).max(0.0);
        let upper = (position as usize).min(self.height - 1);
        let lower = (upper + 1).min(self.height - 1);
        let share = position - upper as f32;
        let row = |y: usize| &self.values[y * width..(y + 1) * width];
        for ((value, a), b) in room[1..].iter_mut().zip(row(upper)).zip(row(lower)) {
            *value = (a + (b - a) * share) * self.scale;
        }
        room[0] = room[1];
        room[width + 1] = room[width];
        // SAFETY: as for this function.
        unsafe {
            match factor {
                1 => output.copy_from_slice(&room[1..=output.len()]),
                2 => widen::<V, 2>(room, width, output),
                4 => widen::<V, 4>(room, width, output),
                _ => widen::<V, 8>(room, width, output),
            }
        }
    }
}

/// The first value of each vector, then the second of each, and so on: a perfect shuffle in log2(F) rounds. (A function
/// of its own, not a closure handed to [`widen`]: a closure is compiled without the processor's instructions unless it
/// happens to be inlined.)
#[inline(always)]
fn weave<V: Vector, const F: usize>(mut vectors: [V; F]) -> [V; F] {
    let mut round = 1;
    while round < F {
        let before = vectors;
        for pair in 0..F / 2 {
            let (low, high) = before[pair].interleave(before[pair + F / 2]);
            vectors[2 * pair] = low;
            vectors[2 * pair + 1] = high;
        }
        round *= 2;
    }
    vectors
}

/// Widens a row by `F`; `line` holds the row from its second value on, and a repeated value at each end.
///
/// # Safety
/// The processor has the instructions of `V`; `line` has room for whole vectors.
#[inline(always)]
unsafe fn widen<V: Vector, const F: usize>(line: &[f32], width: usize, output: &mut [f32]) {
    assert!(line.len() >= width + 2 * LANES && output.len() <= width * F);
    let mut last = [0.0; LANES * MOST];
    let mut x = 0;
    while x * F < output.len() {
        // SAFETY: three overlapping vectors from x < width on are inside the line; whole blocks are stored in the
        // output, the last in a block of its own.
        unsafe {
            let before = V::load(line.as_ptr().add(x));
            let here = V::load(line.as_ptr().add(x + 1));
            let after = V::load(line.as_ptr().add(x + 2));
            let (to_before, to_after) = (before - here, after - here);
            let mut vectors = [here; F];
            for (offset, vector) in vectors.iter_mut().enumerate() {
                let step = (2 * offset + 1) as f32 / (2 * F) as f32 - 0.5;
                *vector = if step < 0.0 {
                    to_before.fma(V::splat(-step), here)
                } else {
                    to_after.fma(V::splat(step), here)
                };
            }
            let vectors = weave(vectors);
            let whole = (x + LANES) * F <= output.len();
            let target = if whole {
                output.as_mut_ptr().add(x * F)
            } else {
                last.as_mut_ptr()
            };
            for (index, vector) in vectors.into_iter().enumerate() {
                vector.store(target.add(index * LANES));
            }
            if !whole {
                let rest = &mut output[x * F..];
                rest.copy_from_slice(&last[..rest.len()]);
            }
        }
        x += LANES;
    }
}

/// Some rows of a plane made larger.
pub(super) struct Enlarge<'a> {
    pub(super) source: Source<'a>,
    /// Width of the large plane.
    pub(super) width: usize,
    /// Rows of the large plane to fill.
    pub(super) rows: Range<usize>,
    /// Those rows, packed.
    pub(super) output: &'a mut [f32],
}

impl Kernel for Enlarge<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let mut room = vec![0.0; self.source.room()];
        for (y, output) in self.rows.zip(self.output.chunks_exact_mut(self.width)) {
            // SAFETY: as for this function.
            unsafe { self.source.row::<V>(y, &mut room, output) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::simd::enter, *};
    use crate::kernels::InstructionSet;
    use proptest::prelude::*;

    /// The definition: bilinear about pixel centres, the edge repeated.
    pub(super) fn scalar(source: Source<'_>, x: usize, y: usize) -> f32 {
        let tap = |at: usize, side: usize| {
            let position = ((at as f32 + 0.5) / source.factor as f32 - 0.5).max(0.0);
            let low = (position as usize).min(side - 1);
            (low, (low + 1).min(side - 1), position - low as f32)
        };
        let (left, right, fx) = tap(x, source.width);
        let (top, bottom, fy) = tap(y, source.height);
        let at = |x: usize, y: usize| source.values[y * source.width + x];
        let upper = at(left, top) * (1.0 - fx) + at(right, top) * fx;
        let lower = at(left, bottom) * (1.0 - fx) + at(right, bottom) * fx;
        (upper * (1.0 - fy) + lower * fy) * source.scale
    }

    proptest! {
        #[test]
        fn enlarging_is_bilinear(
            width in 1_usize..40, height in 1_usize..6, power in 0_u32..4, cut in 0_usize..8, seed in 0_u32..1000,
        ) {
            let factor = 1_usize << power;
            let values: Vec<f32> = (0..width * height)
                .map(|i| ((i as u32 * 2_654_435_761_u32.wrapping_add(seed)) >> 16) as f32 / 4096.0)
                .collect();
            let source = Source { values: &values, width, height, factor, scale: factor as f32 };
            let large = width * factor - cut.min(factor - 1);
            for set in InstructionSet::ALL {
                let mut output = vec![f32::NAN; large * height * factor];
                let rows = 0..height * factor;
                enter(set, Enlarge { source, width: large, rows, output: &mut output });
                for (i, value) in output.iter().enumerate() {
                    let expected = scalar(source, i % large, i / large);
                    prop_assert!((value - expected).abs() < 1e-3, "{} {value} {expected}", i);
                }
            }
        }
    }
}

//! Flow made larger: twice for the next level, a power of two for the picture.
//!
//! Bilinear about pixel centres. Because each level is exactly half the one before (rounded up), output pixel `x` of a
//! factor `f` lies at `(x + 0.5) / f - 0.5`: `f` sets of fixed weights, and motion times `f`.

use super::simd::{Kernel, Vector};
use std::ops::Range;

/// Some rows of a plane made `factor` times larger.
pub(super) struct Enlarge<'a> {
    /// The small plane, packed.
    pub(super) source: &'a [f32],
    /// Its width.
    pub(super) source_width: usize,
    /// Its height.
    pub(super) source_height: usize,
    /// 1, 2, 4, 8, 16: how much larger.
    pub(super) factor: usize,
    /// What values are multiplied by: the factor for motion.
    pub(super) scale: f32,
    /// Width of the large plane.
    pub(super) width: usize,
    /// Rows of the large plane to fill.
    pub(super) rows: Range<usize>,
    /// Those rows, packed.
    pub(super) output: &'a mut [f32],
}

/// The source index left of (or above) each output index, and the share of the next.
#[inline(always)]
fn tap(index: usize, factor: usize, side: usize) -> (usize, usize, f32) {
    let position = ((index as f32 + 0.5) / factor as f32 - 0.5).max(0.0);
    let low = (position as usize).min(side - 1);
    (low, (low + 1).min(side - 1), position - low as f32)
}

impl Kernel for Enlarge<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (width, factor) = (self.width, self.factor);
        let mut line = vec![0.0_f32; self.source_width + 2];
        for (y, output) in self.rows.zip(self.output.chunks_exact_mut(width)) {
            let (upper, lower, share) = tap(y, factor, self.source_height);
            let row = |y: usize| &self.source[y * self.source_width..(y + 1) * self.source_width];
            for ((value, a), b) in line[1..].iter_mut().zip(row(upper)).zip(row(lower)) {
                *value = (a + (b - a) * share) * self.scale;
            }
            line[0] = line[1];
            line[self.source_width + 1] = line[self.source_width];
            if factor == 1 {
                output.copy_from_slice(&line[1..=width]);
                continue;
            }
            // Output block k covers factor pixels about source pixel k: the first half leans to k-1, the second to k+1.
            let half = factor / 2;
            for (block, values) in output.chunks_mut(factor).zip(line.windows(3)) {
                for (offset, value) in block.iter_mut().enumerate() {
                    let step = (2 * offset + 1) as f32 / (2 * factor) as f32;
                    *value = if offset < half {
                        values[1] + (values[0] - values[1]) * (0.5 - step)
                    } else {
                        values[1] + (values[2] - values[1]) * (step - 0.5)
                    };
                }
            }
        }
    }
}

//! The weighted sum of 8×8 pixels.

/// Pixels on each side that the history is looked up from.
pub(super) const TAPS: usize = 8;

/// The weighted sum of 8×8 pixels, written once per instruction set.
pub(crate) trait Taps {
    /// Sums the block whose first pixel is `first`, one number a pixel, with `stride` numbers from row to row.
    ///
    /// # Safety
    /// The processor has the instructions of the implementation; eight rows of 8 numbers are readable.
    unsafe fn single(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; TAPS],
    ) -> f32;

    /// Four such sums at once.
    ///
    /// # Safety
    /// As for [`Taps::single`].
    #[inline(always)]
    unsafe fn four(
        first: [*const f32; 4],
        stride: usize,
        rows: [&[f32; TAPS]; 4],
        columns: [&[f32; TAPS]; 4],
    ) -> [f32; 4] {
        // SAFETY: as for this function.
        std::array::from_fn(|i| unsafe { Self::single(first[i], stride, rows[i], columns[i]) })
    }

    /// The same for pixels of two numbers.
    ///
    /// # Safety
    /// The processor has the instructions of the implementation; eight rows of 16 numbers are readable.
    unsafe fn double(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; 2 * TAPS],
    ) -> [f32; 2];

    /// Four such sums at once, a pair after the other.
    ///
    /// # Safety
    /// As for [`Taps::double`].
    #[inline(always)]
    unsafe fn four_pairs(
        first: [*const f32; 4],
        stride: usize,
        rows: [&[f32; TAPS]; 4],
        columns: [&[f32; 2 * TAPS]; 4],
    ) -> [f32; 8] {
        let mut sums = [0.0; 8];
        for (i, pair) in sums.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            // SAFETY: as for this function.
            *pair = unsafe { Self::double(first[i], stride, rows[i], columns[i]) };
        }
        sums
    }
}

/// The definition, for the compiler to make the best of.
pub(crate) struct Plain;

impl Plain {
    /// # Safety
    /// Eight rows of `WIDE` numbers are readable.
    #[inline(always)]
    unsafe fn sum<const LANES: usize, const WIDE: usize>(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; WIDE],
    ) -> [f32; LANES] {
        let mut across = [0.0_f32; WIDE];
        for (i, weight) in rows.iter().enumerate() {
            // SAFETY: the caller's block has eight rows of so many numbers.
            let row = unsafe { &*first.add(i * stride).cast::<[f32; WIDE]>() };
            for (sum, value) in across.iter_mut().zip(row) {
                *sum += weight * value;
            }
        }
        let mut sum = [0.0; LANES];
        for (i, (value, weight)) in across.iter().zip(columns).enumerate() {
            sum[i % LANES] += value * weight;
        }
        sum
    }
}

impl Taps for Plain {
    #[inline(always)]
    unsafe fn single(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; TAPS],
    ) -> f32 {
        // SAFETY: as the trait requires.
        let [sum] = unsafe { Self::sum(first, stride, rows, columns) };
        sum
    }

    #[inline(always)]
    unsafe fn double(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; 2 * TAPS],
    ) -> [f32; 2] {
        // SAFETY: as the trait requires.
        unsafe { Self::sum(first, stride, rows, columns) }
    }
}

//! How fast this processor multiplies and adds when nothing else is asked of it: what kernels are measured against.

use super::instruction_set::{InstructionSet, Kernel};
use super::simd::Simd;

/// Independent sums: enough for two units of four or five cycles' latency, few enough for 16 registers.
const SUMS: usize = 12;
const ROUNDS: usize = 400_000;

struct MultiplyAdd(f32);

impl Kernel for MultiplyAdd {
    /// Operations done, and a value that depends on all of them.
    type Output = (usize, f32);

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> (usize, f32) {
        // SAFETY: arithmetic in registers; the buffer holds any vector.
        unsafe {
            let mut sums = [S::splat(1.0); SUMS];
            let factor = S::splat(self.0);
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = S::fma(*sum, factor, factor);
                }
            }
            let mut total = sums[0];
            for sum in &sums[1..] {
                total = S::add(total, *sum);
            }
            let mut values = [0.0; 16];
            S::store(values.as_mut_ptr(), total);
            (2 * SUMS * ROUNDS * S::LANES, values.iter().sum())
        }
    }
}

/// Does many multiply-adds of `f32` in registers and says how many operations those were (two each); takes some
/// milliseconds.
///
/// # Panics
/// When the processor lacks the set.
#[must_use]
pub fn multiply_adds(set: InstructionSet) -> usize {
    assert!(set.is_available(), "this processor has no {set}");
    // SAFETY: the set is available.
    let (operations, value) = unsafe { set.run(MultiplyAdd(std::hint::black_box(0.5))) };
    std::hint::black_box(value);
    operations
}

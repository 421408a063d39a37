//! One vector vocabulary for every instruction set.
//!
//! A kernel is written once against [`Simd`] and instantiated per instruction set; [`InstructionSet::run`] enters a
//! function compiled with that set's target features, into which the whole kernel is inlined. So every method here
//! and every function of a kernel is `#[inline(always)]`: a function left outside the entry would be compiled without
//! the features, and slowly.
//!
//! [`InstructionSet::run`]: super::InstructionSet::run

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "each block is one instruction, and every method of `Simd` rests on the same promise of its caller"
)]

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;

/// Asks for the cache line at `address`, which may lie anywhere, from the third-level cache: it will be read soon.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and it never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Vectors of `f32` and what the kernels do with them.
///
/// # Safety
/// Every method requires that the processor has the instruction set of the implementation, which holds inside
/// [`InstructionSet::run`](super::InstructionSet::run), and that pointers are valid for [`Simd::LANES`] elements (no
/// alignment is required).
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Values in one vector; divides 16.
    const LANES: usize;
    /// Whether the set has `dot_bf16` and `dot_bytes`.
    const DOTS: bool;
    /// Whether the registers hold tiles of two vectors of output channels.
    const PAIRS: bool;
    /// Pixels of the widest register tile of the direct convolution.
    const TILE_PIXELS: usize;
    /// One vector of `f32`.
    type F: Copy;

    /// Loads [`Simd::LANES`] values.
    unsafe fn load(pointer: *const f32) -> Self::F;
    /// Stores [`Simd::LANES`] values.
    unsafe fn store(pointer: *mut f32, value: Self::F);
    /// Loads 16-bit whole numbers.
    unsafe fn load_i16(pointer: *const i16) -> Self::F;
    /// Rounds to the nearest 16-bit whole numbers, saturating, and stores.
    unsafe fn store_i16(pointer: *mut i16, value: Self::F);
    /// Rounds to bf16 (to nearest, ties to even) and stores.
    unsafe fn store_bf16(pointer: *mut u16, value: Self::F) {
        let mut values = [0.0_f32; 16];
        // SAFETY: 16 values hold any vector; the caller guarantees the room behind `pointer`.
        unsafe {
            Self::store(values.as_mut_ptr(), value);
            for (i, value) in values[..Self::LANES].iter().enumerate() {
                *pointer.add(i) = half::bf16::from_f32(*value).to_bits();
            }
        }
    }
    /// Loads half precision numbers. Only where the set has dot products.
    unsafe fn load_f16(_pointer: *const half::f16) -> Self::F {
        unreachable!("this instruction set keeps no half precision")
    }
    /// Rounds to half precision, saturating, and stores. Only where the set has dot products.
    unsafe fn store_f16(_pointer: *mut half::f16, _value: Self::F) {
        unreachable!("this instruction set keeps no half precision")
    }
    /// Rounds to whole numbers in 0..=255, saturating, and stores all but every fourth; up to four bytes behind them are
    /// overwritten.
    #[inline(always)]
    unsafe fn store_rgb(pointer: *mut u8, value: Self::F) {
        let mut bytes = [0_u8; 16];
        // SAFETY: 16 bytes hold any vector; the caller guarantees the room behind `pointer`.
        unsafe {
            Self::store_u8(bytes.as_mut_ptr(), value);
            for (i, four) in bytes[..Self::LANES].as_chunks::<4>().0.iter().enumerate() {
                pointer.add(3 * i).cast::<[u8; 4]>().write_unaligned(*four);
            }
        }
    }
    /// Rounds to whole numbers in 0..=255, saturating, and stores.
    unsafe fn store_u8(pointer: *mut u8, value: Self::F) {
        let mut values = [0.0_f32; 16];
        // SAFETY: as above.
        unsafe {
            Self::store(values.as_mut_ptr(), Self::round(value));
            for (i, value) in values[..Self::LANES].iter().enumerate() {
                *pointer.add(i) = *value as u8;
            }
        }
    }
    /// Pairs of bf16 numbers, rounded to nearest: in each lane that of `low` in the lower half, that of `high` in the upper one.
    /// Only where the set has `dot_bf16`.
    unsafe fn pair_bf16(_low: Self::F, _high: Self::F) -> Self::F {
        unreachable!("this instruction set has no bf16 products")
    }
    /// Adds the two products of bf16 numbers of each lane. Only where the set has it.
    unsafe fn dot_bf16(_a: Self::F, _b: Self::F, _sums: Self::F) -> Self::F {
        unreachable!("this instruction set has no bf16 products")
    }
    /// Adds the four products of unsigned and signed bytes of each lane to whole numbers. Only where the set has it.
    unsafe fn dot_bytes(_unsigned: Self::F, _signed: Self::F, _sums: Self::F) -> Self::F {
        unreachable!("this instruction set has no byte products")
    }
    /// The `f32` values of lanes that hold 32-bit whole numbers. Only where the set has `dot_bytes`.
    unsafe fn from_whole(_a: Self::F) -> Self::F {
        unreachable!("this instruction set has no byte products")
    }
    /// Transposes [`Simd::LANES`] rows of as many values: `to[j * to_step + i] = from[i * from_step + j]`.
    unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        for i in 0..Self::LANES {
            for j in 0..Self::LANES {
                // SAFETY: the caller's rows are that far apart and that long.
                unsafe { *to.add(j * to_step + i) = *from.add(i * from_step + j) };
            }
        }
    }
    /// The same value in every lane.
    unsafe fn splat(value: f32) -> Self::F;
    /// `a + b`.
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where the processor can.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The larger of each pair.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    /// The smaller of each pair.
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    /// `value` where `by` is positive, zero elsewhere.
    unsafe fn gate(value: Self::F, by: Self::F) -> Self::F;
    /// Rounds to the nearest whole number.
    unsafe fn round(a: Self::F) -> Self::F;
    /// 2 to the power of a whole number in -126..=127.
    unsafe fn pow2(a: Self::F) -> Self::F;
}

/// `1 / (1 + exp(-x))`, within 1e-6.
///
/// exp by 2^(whole) times a polynomial for 2^(fraction) on -0.5..=0.5 (Taylor of degree 6: relative error below 2e-7).
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
pub(crate) unsafe fn sigmoid<S: Simd>(x: S::F) -> S::F {
    // SAFETY: arithmetic only; the caller guarantees the instruction set.
    unsafe {
        let x = S::max(S::min(x, S::splat(60.0)), S::splat(-60.0));
        let power = S::mul(x, S::splat(-std::f32::consts::LOG2_E));
        let whole = S::round(power);
        let fraction = S::sub(power, whole);
        let mut polynomial = S::splat(1.540_353e-4);
        for coefficient in [
            1.333_355_8e-3,
            9.618_129e-3,
            5.550_411e-2,
            0.240_226_5,
            std::f32::consts::LN_2,
            1.0,
        ] {
            polynomial = S::fma(polynomial, fraction, S::splat(coefficient));
        }
        let exponential = S::mul(polynomial, S::pow2(whole));
        S::div(S::splat(1.0), S::add(S::splat(1.0), exponential))
    }
}

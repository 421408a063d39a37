//! NEON: 4 lanes, 32 registers, on every 64-bit Arm processor.

use super::Simd;
use std::arch::aarch64::*;

/// The vectors that belong to AArch64.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

// SAFETY (all methods): the caller guarantees valid pointers, as the trait requires; the instructions always exist.
impl Simd for Neon {
    const LANES: usize = 4;
    const DOTS: bool = false;
    const PAIRS: bool = true;
    // 24 sums, two vectors of weights and six registers for the values that are spread.
    const TILE_PIXELS: usize = 12;
    type F = float32x4_t;

    #[inline(always)]
    unsafe fn load(pointer: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(pointer) }
    }
    #[inline(always)]
    unsafe fn store(pointer: *mut f32, value: float32x4_t) {
        unsafe { vst1q_f32(pointer, value) }
    }
    #[inline(always)]
    unsafe fn load_i16(pointer: *const i16) -> float32x4_t {
        unsafe { vcvtq_f32_s32(vmovl_s16(vld1_s16(pointer))) }
    }
    #[inline(always)]
    unsafe fn store_i16(pointer: *mut i16, value: float32x4_t) {
        unsafe { vst1_s16(pointer, vqmovn_s32(vcvtnq_s32_f32(value))) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        unsafe {
            let rows = [0, 1, 2, 3].map(|row| vld1q_f32(from.add(row * from_step)));
            let pairs = |a, b| {
                let pairs = vtrnq_f32(a, b);
                (
                    vreinterpretq_f64_f32(pairs.0),
                    vreinterpretq_f64_f32(pairs.1),
                )
            };
            let (even, odd) = (pairs(rows[0], rows[1]), pairs(rows[2], rows[3]));
            for (column, value) in [
                vtrn1q_f64(even.0, odd.0),
                vtrn1q_f64(even.1, odd.1),
                vtrn2q_f64(even.0, odd.0),
                vtrn2q_f64(even.1, odd.1),
            ]
            .into_iter()
            .enumerate()
            {
                vst1q_f32(to.add(column * to_step), vreinterpretq_f32_f64(value));
            }
        }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vminq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn gate(value: float32x4_t, by: float32x4_t) -> float32x4_t {
        unsafe {
            let passes = vcgtzq_f32(by);
            vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(value), passes))
        }
    }
    #[inline(always)]
    unsafe fn round(a: float32x4_t) -> float32x4_t {
        unsafe { vrndnq_f32(a) }
    }
    #[inline(always)]
    unsafe fn pow2(a: float32x4_t) -> float32x4_t {
        unsafe {
            let exponent = vaddq_s32(vcvtq_s32_f32(a), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        }
    }
}

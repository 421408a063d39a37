//! AVX-512: 16 lanes, 32 registers.

use super::Simd;
use std::arch::x86_64::*;

/// AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

// SAFETY (all methods): the caller guarantees AVX-512 and valid pointers, as the trait requires.
impl Simd for Avx512 {
    const LANES: usize = 16;
    const TILE_PIXELS: usize = 12;
    type F = __m512;

    #[inline(always)]
    unsafe fn load(pointer: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(pointer) }
    }
    #[inline(always)]
    unsafe fn store(pointer: *mut f32, value: __m512) {
        unsafe { _mm512_storeu_ps(pointer, value) }
    }
    #[inline(always)]
    unsafe fn load_i16(pointer: *const i16) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256(pointer.cast()))) }
    }
    #[inline(always)]
    unsafe fn store_i16(pointer: *mut i16, value: __m512) {
        unsafe {
            _mm256_storeu_si256(
                pointer.cast(),
                _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(value)),
            )
        }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn round(a: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn pow2(a: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), a) }
    }
}

//! AVX2 with FMA and F16C: 8 lanes, 16 registers.

use super::Simd;
use std::arch::x86_64::*;

/// AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

// SAFETY (all methods): the caller guarantees AVX2, FMA and F16C and valid pointers, as the trait requires.
impl Simd for Avx2 {
    const LANES: usize = 8;
    const DOTS: bool = false;
    const PAIRS: bool = true;
    const TILE_PIXELS: usize = 6;
    type F = __m256;

    #[inline(always)]
    unsafe fn load(pointer: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(pointer) }
    }
    #[inline(always)]
    unsafe fn store(pointer: *mut f32, value: __m256) {
        unsafe { _mm256_storeu_ps(pointer, value) }
    }
    #[inline(always)]
    unsafe fn load_i16(pointer: *const i16) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(pointer.cast()))) }
    }
    #[inline(always)]
    unsafe fn store_i16(pointer: *mut i16, value: __m256) {
        unsafe {
            let whole = _mm256_cvtps_epi32(value);
            let low = _mm256_castsi256_si128(whole);
            let high = _mm256_extracti128_si256::<1>(whole);
            _mm_storeu_si128(pointer.cast(), _mm_packs_epi32(low, high));
        }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn gate(value: __m256, by: __m256) -> __m256 {
        unsafe { _mm256_and_ps(value, _mm256_cmp_ps::<_CMP_GT_OQ>(by, _mm256_setzero_ps())) }
    }
    #[inline(always)]
    unsafe fn round(a: __m256) -> __m256 {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn pow2(a: __m256) -> __m256 {
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }
}

//! AVX-512: 16 lanes, 32 registers.

use super::Simd;
use std::arch::x86_64::*;

/// AVX-512 F, BW, DQ and VL; with `DOT` also BF16 and VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const DOT: bool>;

// SAFETY (all methods): the caller guarantees AVX-512 and valid pointers, as the trait requires.
impl<const DOT: bool> Simd for Avx512<DOT> {
    const LANES: usize = 16;
    const DOTS: bool = DOT;
    const PAIRS: bool = true;
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
    unsafe fn store_bf16(pointer: *mut u16, value: __m512) {
        unsafe {
            if DOT {
                let bits = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(value));
                _mm256_storeu_si256(pointer.cast(), bits);
            } else {
                let bits = _mm512_castps_si512(value);
                let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                let rounded =
                    _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff));
                _mm256_storeu_si256(
                    pointer.cast(),
                    _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded)),
                );
            }
        }
    }
    #[inline(always)]
    unsafe fn store_u8(pointer: *mut u8, value: __m512) {
        unsafe {
            let whole = _mm512_max_epi32(_mm512_cvtps_epi32(value), _mm512_setzero_si512());
            _mm_storeu_si128(pointer.cast(), _mm512_cvtusepi32_epi8(whole));
        }
    }
    #[inline(always)]
    unsafe fn dot_bf16(a: __m512, b: __m512, sums: __m512) -> __m512 {
        unsafe {
            let a = std::mem::transmute::<__m512, __m512bh>(a);
            let b = std::mem::transmute::<__m512, __m512bh>(b);
            _mm512_dpbf16_ps(sums, a, b)
        }
    }
    #[inline(always)]
    unsafe fn dot_bytes(unsigned: __m512, signed: __m512, sums: __m512) -> __m512 {
        unsafe {
            let (unsigned, signed) = (_mm512_castps_si512(unsigned), _mm512_castps_si512(signed));
            _mm512_castsi512_ps(_mm512_dpbusd_epi32(
                _mm512_castps_si512(sums),
                unsigned,
                signed,
            ))
        }
    }
    #[inline(always)]
    unsafe fn from_whole(a: __m512) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_castps_si512(a)) }
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

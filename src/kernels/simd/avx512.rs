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
    unsafe fn load_f16(pointer: *const half::f16) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(pointer.cast())) }
    }
    #[inline(always)]
    unsafe fn store_f16(pointer: *mut half::f16, value: __m512) {
        unsafe {
            let most = _mm512_set1_ps(65504.0);
            let least = _mm512_set1_ps(-65504.0);
            let value = _mm512_max_ps(_mm512_min_ps(value, most), least);
            let half = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value);
            _mm256_storeu_si256(pointer.cast(), half);
        }
    }
    #[inline(always)]
    unsafe fn store_rgb(pointer: *mut u8, value: __m512) {
        unsafe {
            let whole = _mm512_max_epi32(_mm512_cvtps_epi32(value), _mm512_setzero_si512());
            let three = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
            let bytes = _mm_shuffle_epi8(_mm512_cvtusepi32_epi8(whole), three);
            _mm_storeu_si128(pointer.cast(), bytes);
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
    unsafe fn pair_bf16(low: __m512, high: __m512) -> __m512 {
        unsafe {
            if DOT {
                let both = _mm512_cvtne2ps_pbh(high, low);
                let both = std::mem::transmute::<__m512bh, __m512i>(both);
                // Of the 32 numbers, the first and the seventeenth, the second and the eighteenth, …
                let order = _mm512_add_epi32(
                    _mm512_set1_epi32(16 << 16),
                    _mm512_mullo_epi32(
                        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                        _mm512_set1_epi32(0x1_0001),
                    ),
                );
                _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, both))
            } else {
                unreachable!("this instruction set has no bf16 products")
            }
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
    unsafe fn gate(value: __m512, by: __m512) -> __m512 {
        unsafe {
            let passes = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(by, _mm512_setzero_ps());
            _mm512_maskz_mov_ps(passes, value)
        }
    }
    #[inline(always)]
    unsafe fn round(a: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    unsafe fn pow2(a: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), a) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        unsafe {
            // Within 128-bit lanes: pairs, then fours; then whole lanes, twice.
            let mut rows = [_mm512_setzero_ps(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_ps(from.add(i * from_step));
            }
            let mut fours = [_mm512_setzero_pd(); 16];
            for i in (0..16).step_by(4) {
                let low = |a, b| _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
                let high = |a, b| _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
                let (a, b) = (low(rows[i], rows[i + 1]), low(rows[i + 2], rows[i + 3]));
                let (c, d) = (high(rows[i], rows[i + 1]), high(rows[i + 2], rows[i + 3]));
                fours[i] = _mm512_unpacklo_pd(a, b);
                fours[i + 1] = _mm512_unpackhi_pd(a, b);
                fours[i + 2] = _mm512_unpacklo_pd(c, d);
                fours[i + 3] = _mm512_unpackhi_pd(c, d);
            }
            for i in 0..4 {
                let [a, b, c, d] = [0, 4, 8, 12].map(|row| _mm512_castpd_ps(fours[i + row]));
                let (ab_even, ab_odd) = (
                    _mm512_shuffle_f32x4::<0x88>(a, b),
                    _mm512_shuffle_f32x4::<0xdd>(a, b),
                );
                let (cd_even, cd_odd) = (
                    _mm512_shuffle_f32x4::<0x88>(c, d),
                    _mm512_shuffle_f32x4::<0xdd>(c, d),
                );
                _mm512_storeu_ps(
                    to.add(i * to_step),
                    _mm512_shuffle_f32x4::<0x88>(ab_even, cd_even),
                );
                _mm512_storeu_ps(
                    to.add((i + 4) * to_step),
                    _mm512_shuffle_f32x4::<0x88>(ab_odd, cd_odd),
                );
                _mm512_storeu_ps(
                    to.add((i + 8) * to_step),
                    _mm512_shuffle_f32x4::<0xdd>(ab_even, cd_even),
                );
                _mm512_storeu_ps(
                    to.add((i + 12) * to_step),
                    _mm512_shuffle_f32x4::<0xdd>(ab_odd, cd_odd),
                );
            }
        }
    }
}

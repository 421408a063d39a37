//! Weighted sums of 8×8 pixels in AVX2 and AVX-512.

use super::taps::{TAPS, Taps};
use std::arch::x86_64::*;

/// AVX2 with FMA.
pub(crate) struct Avx2;

/// AVX-512, which comes with AVX2 and FMA.
pub(crate) struct Avx512;

/// What the two differ in: rows of pixels of two numbers are two vectors of the one, and one of the other.
pub(crate) trait Pairs {
    /// Four pairs, whose sum is that of [`Taps::double`].
    ///
    /// # Safety
    /// As for [`Taps::double`].
    unsafe fn weighted(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; 2 * TAPS],
    ) -> __m256;
}

impl<P: Pairs> Taps for P {
    #[inline(always)]
    unsafe fn single(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; TAPS],
    ) -> f32 {
        // SAFETY: as the trait requires.
        unsafe {
            let four = fold(weighted(first, stride, rows, columns));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn four(
        first: [*const f32; 4],
        stride: usize,
        rows: [&[f32; TAPS]; 4],
        columns: [&[f32; TAPS]; 4],
    ) -> [f32; 4] {
        // SAFETY: as the trait requires.
        unsafe {
            // Written out: a closure would not be compiled for these instructions.
            let a = weighted(first[0], stride, rows[0], columns[0]);
            let b = weighted(first[1], stride, rows[1], columns[1]);
            let c = weighted(first[2], stride, rows[2], columns[2]);
            let d = weighted(first[3], stride, rows[3], columns[3]);
            // Neighbours added twice: each half has a part of all four sums.
            let halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let mut sums = [0.0; 4];
            _mm_storeu_ps(sums.as_mut_ptr(), fold(halves));
            sums
        }
    }

    #[inline(always)]
    unsafe fn double(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; 2 * TAPS],
    ) -> [f32; 2] {
        // SAFETY: as the trait requires.
        unsafe {
            let two = fold(P::weighted(first, stride, rows, columns));
            let one = _mm_add_ps(two, _mm_movehl_ps(two, two));
            [_mm_cvtss_f32(one), _mm_cvtss_f32(_mm_movehdup_ps(one))]
        }
    }

    #[inline(always)]
    unsafe fn four_pairs(
        first: [*const f32; 4],
        stride: usize,
        rows: [&[f32; TAPS]; 4],
        columns: [&[f32; 2 * TAPS]; 4],
    ) -> [f32; 8] {
        // SAFETY: as the trait requires.
        unsafe {
            let a = P::weighted(first[0], stride, rows[0], columns[0]);
            let b = P::weighted(first[1], stride, rows[1], columns[1]);
            let c = P::weighted(first[2], stride, rows[2], columns[2]);
            let d = P::weighted(first[3], stride, rows[3], columns[3]);
            sums_of_pairs([a, b, c, d])
        }
    }
}

impl Pairs for Avx2 {
    #[inline(always)]
    unsafe fn weighted(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; 2 * TAPS],
    ) -> __m256 {
        // SAFETY: as the trait requires.
        unsafe {
            let (mut left, mut right) = (_mm256_setzero_ps(), _mm256_setzero_ps());
            for (i, weight) in rows.iter().enumerate() {
                let (row, weight) = (first.add(i * stride), _mm256_set1_ps(*weight));
                left = _mm256_fmadd_ps(_mm256_loadu_ps(row), weight, left);
                right = _mm256_fmadd_ps(_mm256_loadu_ps(row.add(8)), weight, right);
            }
            let weights = columns.as_ptr();
            _mm256_fmadd_ps(
                right,
                _mm256_loadu_ps(weights.add(8)),
                _mm256_mul_ps(left, _mm256_loadu_ps(weights)),
            )
        }
    }
}

impl Pairs for Avx512 {
    #[inline(always)]
    unsafe fn weighted(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; 2 * TAPS],
    ) -> __m256 {
        // SAFETY: as the trait requires.
        unsafe {
            let mut sums = [_mm512_setzero_ps(); 2];
            for (i, weight) in rows.iter().enumerate() {
                let row = _mm512_loadu_ps(first.add(i * stride));
                sums[i % 2] = _mm512_fmadd_ps(row, _mm512_set1_ps(*weight), sums[i % 2]);
            }
            let across = _mm512_add_ps(sums[0], sums[1]);
            let sum = _mm512_mul_ps(across, _mm512_loadu_ps(columns.as_ptr()));
            _mm256_add_ps(
                _mm512_castps512_ps256(sum),
                _mm512_extractf32x8_ps::<1>(sum),
            )
        }
    }
}

/// The block's columns, summed over its rows and weighted.
///
/// # Safety
/// As for [`Taps::single`], with AVX2 and FMA.
#[inline(always)]
unsafe fn weighted(
    first: *const f32,
    stride: usize,
    rows: &[f32; TAPS],
    columns: &[f32; TAPS],
) -> __m256 {
    // SAFETY: as for this function.
    unsafe {
        // Two sums, or each addition would wait for the one before.
        let mut sums = [_mm256_setzero_ps(); 2];
        for (i, weight) in rows.iter().enumerate() {
            let row = _mm256_loadu_ps(first.add(i * stride));
            sums[i % 2] = _mm256_fmadd_ps(row, _mm256_set1_ps(*weight), sums[i % 2]);
        }
        let across = _mm256_add_ps(sums[0], sums[1]);
        _mm256_mul_ps(across, _mm256_loadu_ps(columns.as_ptr()))
    }
}

/// The sums of four times four pairs.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn sums_of_pairs([a, b, c, d]: [__m256; 4]) -> [f32; 8] {
    // SAFETY: as for this function; the array has room for a vector.
    unsafe {
        let [a, b, c, d] = [
            _mm256_castps_pd(a),
            _mm256_castps_pd(b),
            _mm256_castps_pd(c),
            _mm256_castps_pd(d),
        ];
        // Neighbours added: each half has a part of two sums, then of all four.
        let even = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
        let ab = _mm256_add_ps(even, _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
        let even = _mm256_castpd_ps(_mm256_unpacklo_pd(c, d));
        let cd = _mm256_add_ps(even, _mm256_castpd_ps(_mm256_unpackhi_pd(c, d)));
        let left = _mm256_permute2f128_ps::<0x20>(ab, cd);
        let right = _mm256_permute2f128_ps::<0x31>(ab, cd);
        let mut sums = [0.0; 8];
        _mm256_storeu_ps(sums.as_mut_ptr(), _mm256_add_ps(left, right));
        sums
    }
}

/// The sum of both halves.
///
/// # Safety
/// The processor has AVX.
#[inline(always)]
unsafe fn fold(two: __m256) -> __m128 {
    // SAFETY: as for this function.
    unsafe { _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps::<1>(two)) }
}

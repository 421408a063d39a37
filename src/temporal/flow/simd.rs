//! The vectors that flow computes with, and how its kernels are entered with the processor's instructions on.
//!
//! Flow works on patches of 8×8 pixels, so its vector has eight `f32` lanes whatever the processor: one row of a patch.
//! A vector exists only inside [`enter`], which compiles the kernel once per instruction set; every function of a
//! kernel is `#[inline(always)]`, because one left outside would be compiled without the instructions.

use crate::kernels::InstructionSet;
use std::ops::{Add, Div, Mul, Sub};

/// Lanes of a [`Vector`].
pub(super) const LANES: usize = 8;

/// Eight `f32`.
///
/// # Safety
/// The constructors (`load`, `splat`, `bilinear`, `bicubic`) require the processor to have the instructions of the implementation,
/// which holds inside [`enter`]; pointers are valid for eight values, unaligned.
pub(super) trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// Loads eight values.
    unsafe fn load(pointer: *const f32) -> Self;
    /// The same value in every lane.
    unsafe fn splat(value: f32) -> Self;
    /// Stores eight values.
    unsafe fn store(self, pointer: *mut f32);
    /// `self * b + c`.
    fn fma(self, b: Self, c: Self) -> Self;
    /// The larger of each pair.
    fn max(self, other: Self) -> Self;
    /// The smaller of each pair.
    fn min(self, other: Self) -> Self;
    /// Square roots.
    fn sqrt(self) -> Self;
    /// The sum of the lanes.
    fn sum(self) -> f32;
    /// Of the sixteen values of `self` and `next`, those at even and those at odd places.
    fn deinterleave(self, next: Self) -> (Self, Self);
    /// The inverse of [`Vector::deinterleave`].
    fn interleave(self, odd: Self) -> (Self, Self);
    /// Values of an image between its pixels, at eight positions; `stride` values a row.
    ///
    /// # Safety
    /// Coordinates are not negative, and the pixel right of and below each position is inside the image.
    unsafe fn bilinear(image: *const f32, stride: usize, x: Self, y: Self) -> Self;
    /// The same by Catmull–Rom interpolation, which reads a pixel more on each side.
    ///
    /// # Safety
    /// As for [`Vector::bilinear`], with a pixel left of and above, and two right of and below each position.
    unsafe fn bicubic(image: *const f32, stride: usize, x: Self, y: Self) -> Self;
}

/// Catmull–Rom weights of four consecutive pixels, at the fraction `t` beyond the second.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn cubic<V: Vector>(t: V) -> [V; 4] {
    // SAFETY: as for this function.
    let number = |value: f32| unsafe { V::splat(value) };
    let (half, one) = (number(0.5), number(1.0));
    let square = t * t;
    [
        (number(-0.5) * t + one).fma(t, number(0.0) - half) * t,
        (number(1.5) * t - number(2.5)).fma(square, one),
        (number(-1.5) * t + number(2.0)).fma(t, half) * t,
        (t * half - half) * square,
    ]
}

/// A piece of work written once against [`Vector`]; its `run` must be `#[inline(always)]`.
pub(super) trait Kernel {
    /// What the work returns.
    type Output;
    /// Does the work.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    unsafe fn run<V: Vector>(self) -> Self::Output;
}

/// Runs a kernel with the best instructions of this processor, or with none beyond the compilation target's.
#[inline]
pub(super) fn enter<K: Kernel>(set: InstructionSet, kernel: K) -> K::Output {
    match set.min(InstructionSet::Avx512) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set was found on this processor.
        InstructionSet::Avx512 if set.is_available() => unsafe { x86::run_avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set was found on this processor.
        InstructionSet::Avx2 if set.is_available() => unsafe { x86::run_avx2(kernel) },
        // SAFETY: the portable path needs nothing.
        _ => unsafe { kernel.run::<Portable>() },
    }
}

/// Eight lanes in an array: the compiler makes vectors of it where it can.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| f(self.0[lane], other.0[lane])))
    }
}

macro_rules! portable_operator {
    ($($operator:ident $method:ident $symbol:tt),*) => {$(
        impl $operator for Portable {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.zip(other, |a, b| a $symbol b)
            }
        }
    )*};
}
portable_operator!(Add add +, Sub sub -, Mul mul *, Div div /);

impl Vector for Portable {
    #[inline(always)]
    unsafe fn load(pointer: *const f32) -> Self {
        // SAFETY: the caller's pointer is valid for eight values.
        Self(unsafe { pointer.cast::<[f32; LANES]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
    #[inline(always)]
    unsafe fn store(self, pointer: *mut f32) {
        // SAFETY: the caller's pointer is valid for eight values.
        unsafe { pointer.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        self * b + c
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(f32::sqrt))
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d, e, f, g, h] = self.0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
    #[inline(always)]
    fn deinterleave(self, next: Self) -> (Self, Self) {
        let at = |place: usize| {
            if place < LANES {
                self.0[place]
            } else {
                next.0[place - LANES]
            }
        };
        (
            Self(std::array::from_fn(|lane| at(2 * lane))),
            Self(std::array::from_fn(|lane| at(2 * lane + 1))),
        )
    }
    #[inline(always)]
    fn interleave(self, odd: Self) -> (Self, Self) {
        let at = |place: usize| {
            if place.is_multiple_of(2) {
                self.0[place / 2]
            } else {
                odd.0[place / 2]
            }
        };
        (
            Self(std::array::from_fn(at)),
            Self(std::array::from_fn(|lane| at(lane + LANES))),
        )
    }
    #[inline(always)]
    unsafe fn bilinear(image: *const f32, stride: usize, x: Self, y: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            let (x, y) = (x.0[lane], y.0[lane]);
            let (left, top) = (x as usize, y as usize);
            let (fx, fy) = (x - left as f32, y - top as f32);
            // SAFETY: the caller's positions have a pixel right of and below them inside the image.
            let [a, b, c, d] = unsafe {
                let at = image.add(top * stride + left);
                [*at, *at.add(1), *at.add(stride), *at.add(stride + 1)]
            };
            let (upper, lower) = (a + fx * (b - a), c + fx * (d - c));
            upper + fy * (lower - upper)
        }))
    }
    #[inline(always)]
    unsafe fn bicubic(image: *const f32, stride: usize, x: Self, y: Self) -> Self {
        let (left, top) = (Self(x.0.map(f32::trunc)), Self(y.0.map(f32::trunc)));
        // SAFETY: the portable path needs nothing; the caller's positions have the pixels around them.
        unsafe {
            let (wx, wy) = (cubic(x - left), cubic(y - top));
            let mut sum = Self::splat(0.0);
            for (row, wy) in wy.into_iter().enumerate() {
                let mut line = Self::splat(0.0);
                for (column, wx) in wx.into_iter().enumerate() {
                    let pixels = Self(std::array::from_fn(|lane| {
                        let place = (top.0[lane] as usize + row - 1) * stride;
                        *image.add(place + left.0[lane] as usize + column - 1)
                    }));
                    line = pixels.fma(wx, line);
                }
                sum = line.fma(wy, sum);
            }
            sum
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Kernel, Vector};
    use std::arch::x86_64::*;
    use std::ops::{Add, Div, Mul, Sub};

    /// Eight lanes of AVX; a value is proof that the processor has AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2(__m256);

    #[target_feature(enable = "avx,avx2,fma,f16c")]
    pub(super) fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: this function is entered only where these features exist.
        unsafe { kernel.run::<Avx2>() }
    }

    /// The same vectors with twice the registers.
    #[target_feature(enable = "avx,avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: this function is entered only where these features exist.
        unsafe { kernel.run::<Avx2>() }
    }

    macro_rules! operator {
        ($($operator:ident $method:ident $intrinsic:ident),*) => {$(
            impl $operator for Avx2 {
                type Output = Self;
                #[inline(always)]
                fn $method(self, other: Self) -> Self {
                    // SAFETY: a value is proof of the instructions.
                    Self(unsafe { $intrinsic(self.0, other.0) })
                }
            }
        )*};
    }
    operator!(Add add _mm256_add_ps, Sub sub _mm256_sub_ps, Mul mul _mm256_mul_ps, Div div _mm256_div_ps);

    impl Vector for Avx2 {
        #[inline(always)]
        unsafe fn load(pointer: *const f32) -> Self {
            // SAFETY: as the trait requires.
            Self(unsafe { _mm256_loadu_ps(pointer) })
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: as the trait requires.
            Self(unsafe { _mm256_set1_ps(value) })
        }
        #[inline(always)]
        unsafe fn store(self, pointer: *mut f32) {
            // SAFETY: as the trait requires.
            unsafe { _mm256_storeu_ps(pointer, self.0) }
        }
        #[inline(always)]
        fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: a value is proof of the instructions.
            Self(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: a value is proof of the instructions.
            Self(unsafe { _mm256_max_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn min(self, other: Self) -> Self {
            // SAFETY: a value is proof of the instructions.
            Self(unsafe { _mm256_min_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            // SAFETY: a value is proof of the instructions.
            Self(unsafe { _mm256_sqrt_ps(self.0) })
        }
        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: a value is proof of the instructions.
            unsafe {
                let four = _mm_add_ps(
                    _mm256_castps256_ps128(self.0),
                    _mm256_extractf128_ps::<1>(self.0),
                );
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            }
        }
        #[inline(always)]
        fn deinterleave(self, next: Self) -> (Self, Self) {
            // SAFETY: a value is proof of the instructions.
            unsafe {
                let order = |v| {
                    _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(v)))
                };
                (
                    Self(order(_mm256_shuffle_ps::<0b10_00_10_00>(self.0, next.0))),
                    Self(order(_mm256_shuffle_ps::<0b11_01_11_01>(self.0, next.0))),
                )
            }
        }
        #[inline(always)]
        fn interleave(self, odd: Self) -> (Self, Self) {
            // SAFETY: a value is proof of the instructions.
            unsafe {
                let low = _mm256_unpacklo_ps(self.0, odd.0);
                let high = _mm256_unpackhi_ps(self.0, odd.0);
                (
                    Self(_mm256_permute2f128_ps::<0x20>(low, high)),
                    Self(_mm256_permute2f128_ps::<0x31>(low, high)),
                )
            }
        }
        #[inline(always)]
        unsafe fn bilinear(image: *const f32, stride: usize, x: Self, y: Self) -> Self {
            // SAFETY: as the trait requires; offsets are those of pixels inside the image.
            unsafe {
                let (left, top) = (_mm256_cvttps_epi32(x.0), _mm256_cvttps_epi32(y.0));
                let fx = x - Self(_mm256_cvtepi32_ps(left));
                let fy = y - Self(_mm256_cvtepi32_ps(top));
                let at = _mm256_add_epi32(
                    _mm256_mullo_epi32(top, _mm256_set1_epi32(stride as i32)),
                    left,
                );
                let a = Self(_mm256_i32gather_ps::<4>(image, at));
                let b = Self(_mm256_i32gather_ps::<4>(image.add(1), at));
                let c = Self(_mm256_i32gather_ps::<4>(image.add(stride), at));
                let d = Self(_mm256_i32gather_ps::<4>(image.add(stride + 1), at));
                let (upper, lower) = ((b - a).fma(fx, a), (d - c).fma(fx, c));
                (lower - upper).fma(fy, upper)
            }
        }
        #[inline(always)]
        unsafe fn bicubic(image: *const f32, stride: usize, x: Self, y: Self) -> Self {
            // SAFETY: as the trait requires; offsets are those of pixels inside the image.
            unsafe {
                let (left, top) = (_mm256_cvttps_epi32(x.0), _mm256_cvttps_epi32(y.0));
                let wx = super::cubic(x - Self(_mm256_cvtepi32_ps(left)));
                let wy = super::cubic(y - Self(_mm256_cvtepi32_ps(top)));
                let at = _mm256_add_epi32(
                    _mm256_mullo_epi32(top, _mm256_set1_epi32(stride as i32)),
                    left,
                );
                let first = image.sub(stride + 1);
                let mut sum = Self::splat(0.0);
                for (row, wy) in wy.into_iter().enumerate() {
                    let mut line = Self::splat(0.0);
                    for (column, wx) in wx.into_iter().enumerate() {
                        let pixels = first.add(row * stride + column);
                        line = Self(_mm256_i32gather_ps::<4>(pixels, at)).fma(wx, line);
                    }
                    sum = line.fma(wy, sum);
                }
                sum
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIDE: usize = 16;

    /// Every operation on two vectors and an image, in one line of numbers.
    struct Everything<'a> {
        a: [f32; LANES],
        b: [f32; LANES],
        image: &'a [f32],
    }

    impl Kernel for Everything<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        unsafe fn run<V: Vector>(self) -> Vec<f32> {
            // SAFETY: the arrays have eight values; positions are 1..14 in an image of 16x16.
            unsafe {
                let (a, b) = (V::load(self.a.as_ptr()), V::load(self.b.as_ptr()));
                let (even, odd) = a.deinterleave(b);
                let (first, next) = even.interleave(odd);
                let vectors = [
                    a + b,
                    a - b,
                    a * b,
                    a / b,
                    a.fma(b, a),
                    a.max(b),
                    a.min(b),
                    a.sqrt(),
                    even,
                    odd,
                    first,
                    next,
                    V::bilinear(self.image.as_ptr(), SIDE, a, b),
                    V::bicubic(self.image.as_ptr(), SIDE, a, b),
                ];
                let mut values = vec![a.sum()];
                for vector in vectors {
                    let mut lanes = [0.0; LANES];
                    vector.store(lanes.as_mut_ptr());
                    values.extend(lanes);
                }
                values
            }
        }
    }

    fn expected(a: [f32; LANES], b: [f32; LANES], image: &[f32]) -> Vec<f32> {
        let both = [a, b].concat();
        let cubic = |t: f32| {
            [
                ((-0.5 * t + 1.0) * t - 0.5) * t,
                (1.5 * t - 2.5) * t * t + 1.0,
                ((-1.5 * t + 2.0) * t + 0.5) * t,
                (0.5 * t - 0.5) * t * t,
            ]
        };
        let linear = |t: f32| [0.0, 1.0 - t, t, 0.0];
        let read = |x: f32, y: f32, weights: &dyn Fn(f32) -> [f32; 4]| {
            let (wx, wy) = (weights(x.fract()), weights(y.fract()));
            let mut sum = 0.0;
            for (j, wy) in wy.iter().enumerate() {
                for (i, wx) in wx.iter().enumerate() {
                    sum += wx * wy * image[(y as usize + j - 1) * SIDE + x as usize + i - 1];
                }
            }
            sum
        };
        let each = |f: &dyn Fn(f32, f32) -> f32| a.iter().zip(&b).map(|(&a, &b)| f(a, b)).collect();
        let lists: [Vec<f32>; 15] = [
            vec![a.iter().sum()],
            each(&|a, b| a + b),
            each(&|a, b| a - b),
            each(&|a, b| a * b),
            each(&|a, b| a / b),
            each(&|a, b| a * b + a),
            each(&f32::max),
            each(&f32::min),
            each(&|a, _| a.sqrt()),
            both.iter().copied().step_by(2).collect(),
            both.iter().copied().skip(1).step_by(2).collect(),
            a.to_vec(),
            b.to_vec(),
            each(&|x, y| read(x, y, &linear)),
            each(&|x, y| read(x, y, &cubic)),
        ];
        lists.concat()
    }

    proptest! {
        #[test]
        fn every_operation_is_the_scalar_one(
            a in prop::array::uniform8(1.0_f32..13.9),
            b in prop::array::uniform8(1.0_f32..13.9),
            image in prop::collection::vec(0.0_f32..255.0, SIDE * SIDE),
        ) {
            let expected = expected(a, b, &image);
            for set in InstructionSet::ALL {
                let found = enter(set, Everything { a, b, image: &image });
                for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    prop_assert!((found - expected).abs() < 2e-3, "{set} {index}: {found} {expected}");
                }
            }
        }
    }
}

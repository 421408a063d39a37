//! Looking up a picture between its pixels.
//!
//! A picture that is carried along the motion is resampled once per frame, again and again, so the interpolation
//! decides how fast fine strokes wash out, and which: where some frequencies are lost and others not, what is left is
//! ripples. The history is therefore looked up with Lanczos' kernel of 8×8 pixels (Duchon 1979), whose response is flat
//! up to 0.4 periods per pixel, where a cubic one has lost a third. [`cubic_weights`] are those of Catmull and Rom's
//! spline (Keys' cubic with a = −1/2), for what is looked up once. Positions outside the picture take the value of its
//! edge.

use std::sync::LazyLock;

use crate::frame::Picture;

/// Weights of the pixels at −1, 0, 1 and 2 for a position `f` (0..1) behind pixel 0.
#[inline(always)]
pub(crate) fn cubic_weights(f: f32) -> [f32; 4] {
    let (f2, f3) = (f * f, f * f * f);
    [
        -0.5 * f + f2 - 0.5 * f3,
        1.0 - 2.5 * f2 + 1.5 * f3,
        0.5 * f + 2.0 * f2 - 1.5 * f3,
        -0.5 * f2 + 0.5 * f3,
    ]
}

/// Where a position falls: the pixel before it (clamped so that one further pixel is inside) and the fraction behind it.
#[inline(always)]
pub(crate) fn split(position: f32, size: usize) -> (usize, f32) {
    let inside = position.clamp(0.0, (size - 1) as f32);
    let before = (inside as usize).min(size.saturating_sub(2));
    (before, inside - before as f32)
}

/// Pixels on each side that the history is looked up from.
const TAPS: usize = 8;

/// Positions between two pixels that have weights of their own. Rounding to them moves a stroke by 1/128 of a pixel at
/// most, far less than flow is exact to.
const STEPS: usize = 64;

/// Weights of the pixels at −3 … 4 for every position between pixel 0 and 1: Lanczos' window of four lobes, the sum
/// brought to 1.
struct Weights {
    single: [[f32; TAPS]; STEPS + 1],
    /// Each weight twice, for pixels of two numbers.
    double: [[f32; 2 * TAPS]; STEPS + 1],
}

static WEIGHTS: LazyLock<Box<Weights>> = LazyLock::new(|| {
    let sinc = |x: f64| {
        let x = x * std::f64::consts::PI;
        if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
    };
    let mut weights = Box::new(Weights {
        single: [[0.0; TAPS]; STEPS + 1],
        double: [[0.0; 2 * TAPS]; STEPS + 1],
    });
    for step in 0..=STEPS {
        let fraction = step as f64 / STEPS as f64;
        let lobes = (TAPS / 2) as f64;
        let taps: [f64; TAPS] = std::array::from_fn(|tap| {
            let x = tap as f64 - (lobes - 1.0) - fraction;
            sinc(x) * sinc(x / lobes)
        });
        let sum: f64 = taps.iter().sum();
        weights.single[step] = taps.map(|tap| (tap / sum) as f32);
        weights.double[step] = std::array::from_fn(|i| weights.single[step][i / 2]);
    }
    weights
});

/// The weights of the pixels at −3 … 4 for every 64th of a pixel, from 0 to 64.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn lanczos_weights() -> &'static [[f32; TAPS]] {
    &WEIGHTS.single
}

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

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{TAPS, Taps};
    use std::arch::x86_64::*;

    /// AVX2 with FMA.
    pub(crate) struct Avx2;

    impl Taps for Avx2 {
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
                let (mut left, mut right) = (_mm256_setzero_ps(), _mm256_setzero_ps());
                for (i, weight) in rows.iter().enumerate() {
                    let (row, weight) = (first.add(i * stride), _mm256_set1_ps(*weight));
                    left = _mm256_fmadd_ps(_mm256_loadu_ps(row), weight, left);
                    right = _mm256_fmadd_ps(_mm256_loadu_ps(row.add(8)), weight, right);
                }
                let weights = columns.as_ptr();
                pair(_mm256_fmadd_ps(
                    right,
                    _mm256_loadu_ps(weights.add(8)),
                    _mm256_mul_ps(left, _mm256_loadu_ps(weights)),
                ))
            }
        }
    }

    /// AVX-512.
    pub(crate) struct Avx512;

    impl Taps for Avx512 {
        #[inline(always)]
        unsafe fn single(
            first: *const f32,
            stride: usize,
            rows: &[f32; TAPS],
            columns: &[f32; TAPS],
        ) -> f32 {
            // SAFETY: AVX-512 comes with AVX2 and FMA; the rest is as the trait requires.
            unsafe { Avx2::single(first, stride, rows, columns) }
        }

        #[inline(always)]
        unsafe fn four(
            first: [*const f32; 4],
            stride: usize,
            rows: [&[f32; TAPS]; 4],
            columns: [&[f32; TAPS]; 4],
        ) -> [f32; 4] {
            // SAFETY: AVX-512 comes with AVX2 and FMA; the rest is as the trait requires.
            unsafe { Avx2::four(first, stride, rows, columns) }
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
                let mut sums = [_mm512_setzero_ps(); 2];
                for (i, weight) in rows.iter().enumerate() {
                    let row = _mm512_loadu_ps(first.add(i * stride));
                    sums[i % 2] = _mm512_fmadd_ps(row, _mm512_set1_ps(*weight), sums[i % 2]);
                }
                let across = _mm512_add_ps(sums[0], sums[1]);
                let sum = _mm512_mul_ps(across, _mm512_loadu_ps(columns.as_ptr()));
                pair(_mm256_add_ps(
                    _mm512_castps512_ps256(sum),
                    _mm512_extractf32x8_ps::<1>(sum),
                ))
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

    /// The sum of both halves.
    ///
    /// # Safety
    /// The processor has AVX.
    #[inline(always)]
    unsafe fn fold(two: __m256) -> __m128 {
        // SAFETY: as for this function.
        unsafe { _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps::<1>(two)) }
    }

    /// The sum of four pairs.
    ///
    /// # Safety
    /// The processor has AVX.
    #[inline(always)]
    unsafe fn pair(four: __m256) -> [f32; 2] {
        // SAFETY: as for this function.
        unsafe {
            let two = fold(four);
            let one = _mm_add_ps(two, _mm_movehl_ps(two, two));
            [_mm_cvtss_f32(one), _mm_cvtss_f32(_mm_movehdup_ps(one))]
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// Where the 8×8 pixels around a position are, found for many positions at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    /// Index of the first pixel, or [`Place::EDGE`] or [`Place::NONE`].
    first: u32,
    /// Weights of columns, and 256 times those of rows.
    steps: u32,
}

impl Place {
    /// The block reaches beyond the picture.
    const EDGE: u32 = u32::MAX - 1;
    /// There is nothing to look up.
    pub(crate) const NONE: Self = Self {
        first: u32::MAX,
        steps: 0,
    };

    #[inline(always)]
    fn inside(self) -> bool {
        self.first < Self::EDGE
    }
}

/// A picture of `LANES` (1 or 2) numbers a pixel, 2 pixels or more on each side.
#[derive(Clone, Copy)]
pub(crate) struct Sampler<'a, const LANES: usize> {
    pixels: &'a [f32],
    width: usize,
    height: usize,
    weights: &'static Weights,
}

impl<'a, const LANES: usize> Sampler<'a, LANES> {
    /// A picture of `width` by `height` pixels, rows packed.
    #[inline(always)]
    pub(crate) fn new(pixels: &'a [f32], width: usize, height: usize) -> Self {
        const { assert!(LANES == 1 || LANES == 2) };
        assert!(pixels.len() == LANES * width * height && width > 1 && height > 1);
        assert!(width * height < Place::EDGE as usize);
        Self {
            pixels,
            width,
            height,
            weights: &WEIGHTS,
        }
    }

    /// Finds the pixels around (`x`, `y`), in pixels from the centre of the first.
    #[inline(always)]
    pub(crate) fn place(&self, x: f32, y: f32) -> Place {
        const BEFORE: i32 = TAPS as i32 / 2 - 1;
        let along = |position: f32, size: usize| {
            let inside = position.max(0.0).min((size - 1) as f32);
            // SAFETY: between 0 and the size, and no NaN, which `max` has replaced. (The checked conversion does not
            // become vector instructions.)
            let before = unsafe { inside.to_int_unchecked::<i32>() }.min(size as i32 - 2);
            let behind = (inside - before as f32) * STEPS as f32 + 0.5;
            // SAFETY: as above: `behind` is between 0 and STEPS + 0.5.
            let step = unsafe { behind.to_int_unchecked::<i32>() };
            let first = before - BEFORE;
            let fits = (first >= 0) & (first <= size as i32 - TAPS as i32);
            (first, step, fits)
        };
        let (column, across, fits_across) = along(x, self.width);
        let (row, down, fits_down) = along(y, self.height);
        let first = row * self.width as i32 + column;
        Place {
            first: if fits_across & fits_down {
                first as u32
            } else {
                Place::EDGE
            },
            steps: (across | down << 8) as u32,
        }
    }

    /// The value at (`x`, `y`), whose `place` is given; nothing where there is nothing to look up.
    ///
    /// # Safety
    /// The processor has the instructions of `T`, and `place` is one of this picture.
    #[inline(always)]
    pub(crate) unsafe fn at<T: Taps>(&self, place: Place, x: f32, y: f32) -> Option<[f32; LANES]> {
        if !place.inside() {
            return (place.first == Place::EDGE).then(|| self.at_the_edge(x, y));
        }
        let stride = LANES * self.width;
        let mut value = [0.0; LANES];
        // SAFETY: the block is inside the picture; instructions as promised.
        unsafe {
            let (first, rows, steps) = self.block(place);
            if LANES == 1 {
                value[0] = T::single(first, stride, rows, &self.weights.single[steps]);
            } else {
                let pair = T::double(first, stride, rows, &self.weights.double[steps]);
                value.copy_from_slice(&pair);
            }
        }
        Some(value)
    }

    /// First number, weights of rows, index of the weights of columns.
    ///
    /// # Safety
    /// `place` is inside this picture.
    #[inline(always)]
    unsafe fn block(&self, place: Place) -> (*const f32, &'static [f32; TAPS], usize) {
        // SAFETY: `place` found the first pixel inside, and its steps are at most STEPS.
        unsafe {
            let first = self.pixels.as_ptr().add(LANES * place.first as usize);
            let rows = self
                .weights
                .single
                .get_unchecked((place.steps >> 8) as usize);
            (first, rows, (place.steps & 255) as usize)
        }
    }

    /// As [`Sampler::at`], where the block reaches beyond the picture: its edge is repeated.
    #[cold]
    #[inline(never)]
    fn at_the_edge(&self, x: f32, y: f32) -> [f32; LANES] {
        let (x, fx) = split(x, self.width);
        let (y, fy) = split(y, self.height);
        let nearest = |fraction: f32| ((fraction * STEPS as f32 + 0.5) as usize).min(STEPS);
        let inside = |at: usize, tap: usize, size: usize| {
            (at + tap).saturating_sub(TAPS / 2 - 1).min(size - 1)
        };
        let columns: [usize; TAPS] = std::array::from_fn(|tap| LANES * inside(x, tap, self.width));
        let whole = columns[TAPS - 1] - columns[0] == LANES * (TAPS - 1);
        let mut across = [[0.0; LANES]; TAPS];
        for (i, wy) in self.weights.single[nearest(fy)].iter().enumerate() {
            let row = &self.pixels[LANES * inside(y, i, self.height) * self.width..];
            let row = if whole { &row[columns[0]..] } else { row };
            let pixels = row.as_chunks::<LANES>().0.first_chunk::<TAPS>();
            let pixels = match pixels.filter(|_| whole) {
                Some(pixels) => *pixels,
                None => columns.map(|at| std::array::from_fn(|lane| row[at + lane])),
            };
            for (sum, pixel) in across.iter_mut().zip(pixels) {
                for (sum, value) in sum.iter_mut().zip(pixel) {
                    *sum += wy * value;
                }
            }
        }
        let mut sum = [0.0; LANES];
        for (across, wx) in across.iter().zip(&self.weights.single[nearest(fx)]) {
            for (sum, value) in sum.iter_mut().zip(across) {
                *sum += wx * value;
            }
        }
        sum
    }
}

impl Sampler<'_, 1> {
    /// Four values at once, if all their blocks are inside the picture.
    ///
    /// # Safety
    /// As for [`Sampler::at`].
    #[inline(always)]
    pub(crate) unsafe fn four<T: Taps>(&self, places: &[Place; 4]) -> Option<[f32; 4]> {
        let [a, b, c, d] = places;
        if !(a.inside() & b.inside() & c.inside() & d.inside()) {
            return None;
        }
        // SAFETY: the blocks are inside the picture; instructions as promised.
        unsafe {
            let (a, b) = (self.block(places[0]), self.block(places[1]));
            let (c, d) = (self.block(places[2]), self.block(places[3]));
            let (first, rows) = ([a.0, b.0, c.0, d.0], [a.1, b.1, c.1, d.1]);
            let weights = &self.weights.single;
            let columns = [
                weights.get_unchecked(a.2),
                weights.get_unchecked(b.2),
                weights.get_unchecked(c.2),
                weights.get_unchecked(d.2),
            ];
            Some(T::four(first, self.width, rows, columns))
        }
    }
}

/// The Catmull–Rom value of a picture of bytes at (`x`, `y`), in pixels from the centre of the first: R, G, B, 0..255.
pub(crate) fn cubic_rgb(picture: &Picture, x: f32, y: f32) -> [f32; 3] {
    let (width, height) = (picture.width(), picture.height());
    let (x0, fx) = split(x, width);
    let (y0, fy) = split(y, height);
    let (wx, wy) = (cubic_weights(fx), cubic_weights(fy));
    let mut value = [0.0; 3];
    if x0 > 0 && x0 + 2 < width && y0 > 0 && y0 + 2 < height {
        // Four pixels of a row side by side: the rows are added as whole vectors.
        let mut across = [0.0_f32; 12];
        for (i, wy) in wy.into_iter().enumerate() {
            let at = 3 * ((y0 + i - 1) * width + x0 - 1);
            if let Some(row) = picture.rgb()[at..].first_chunk::<12>() {
                for (sum, &byte) in across.iter_mut().zip(row) {
                    *sum += wy * f32::from(byte);
                }
            }
        }
        for (pixel, wx) in across.as_chunks::<3>().0.iter().zip(wx) {
            for (value, sum) in value.iter_mut().zip(pixel) {
                *value += wx * sum;
            }
        }
        return value;
    }
    for (i, &wy) in wy.iter().enumerate() {
        let row = (y0 + i).saturating_sub(1).min(height - 1) * width;
        for (j, &wx) in wx.iter().enumerate() {
            let at = 3 * (row + (x0 + j).saturating_sub(1).min(width - 1));
            for (value, &byte) in value.iter_mut().zip(&picture.rgb()[at..at + 3]) {
                *value += wx * wy * f32::from(byte);
            }
        }
    }
    value
}

#[cfg(test)]
mod tests;

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

/// A pixel of a working picture: R, G, B and BT.709 luma, 0..255. Four lanes fill a vector register, and luma is what
/// the octaves' energy is measured with.
pub(crate) type Rgby = [f32; 4];

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
    /// Of rows.
    rows: [[f32; TAPS]; STEPS + 1],
    /// Of columns, each weight once for every lane of its pixel.
    columns: [[f32; 4 * TAPS]; STEPS + 1],
}

static WEIGHTS: LazyLock<Box<Weights>> = LazyLock::new(|| {
    let sinc = |x: f64| {
        let x = x * std::f64::consts::PI;
        if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
    };
    let mut weights = Box::new(Weights {
        rows: [[0.0; TAPS]; STEPS + 1],
        columns: [[0.0; 4 * TAPS]; STEPS + 1],
    });
    for step in 0..=STEPS {
        let fraction = step as f64 / STEPS as f64;
        let lobes = (TAPS / 2) as f64;
        let taps: [f64; TAPS] = std::array::from_fn(|tap| {
            let x = tap as f64 - (lobes - 1.0) - fraction;
            sinc(x) * sinc(x / lobes)
        });
        let sum: f64 = taps.iter().sum();
        weights.rows[step] = taps.map(|tap| (tap / sum) as f32);
        weights.columns[step] = std::array::from_fn(|i| weights.rows[step][i / 4]);
    }
    weights
});

/// The weighted sum of 8×8 pixels, written once per instruction set.
pub(crate) trait Taps {
    /// Sums the block whose first pixel is `first`, with `stride` numbers from row to row.
    ///
    /// # Safety
    /// The processor has the instructions of the implementation; eight rows of 32 numbers are readable.
    unsafe fn sum(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; 4 * TAPS],
    ) -> Rgby;
}

/// The definition, for the compiler to make the best of.
pub(crate) struct Plain;

impl Taps for Plain {
    #[inline(always)]
    unsafe fn sum(
        first: *const f32,
        stride: usize,
        rows: &[f32; TAPS],
        columns: &[f32; 4 * TAPS],
    ) -> Rgby {
        let mut across = [0.0_f32; 4 * TAPS];
        for (i, weight) in rows.iter().enumerate() {
            // SAFETY: the caller's block has eight rows of 32 numbers.
            let row = unsafe { &*first.add(i * stride).cast::<[f32; 4 * TAPS]>() };
            for (sum, value) in across.iter_mut().zip(row) {
                *sum += weight * value;
            }
        }
        let mut sum = [0.0; 4];
        for (i, (value, weight)) in across.iter().zip(columns).enumerate() {
            sum[i % 4] += value * weight;
        }
        sum
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Rgby, TAPS, Taps};
    use std::arch::x86_64::*;

    /// AVX2 with FMA: two pixels a vector.
    pub(crate) struct Avx2;

    impl Taps for Avx2 {
        #[inline(always)]
        unsafe fn sum(
            first: *const f32,
            stride: usize,
            rows: &[f32; TAPS],
            columns: &[f32; 4 * TAPS],
        ) -> Rgby {
            // SAFETY: as the trait requires.
            unsafe {
                let mut across = [_mm256_setzero_ps(); 4];
                for (i, weight) in rows.iter().enumerate() {
                    let (row, weight) = (first.add(i * stride), _mm256_set1_ps(*weight));
                    for (j, sum) in across.iter_mut().enumerate() {
                        *sum = _mm256_fmadd_ps(_mm256_loadu_ps(row.add(8 * j)), weight, *sum);
                    }
                }
                let mut sum = _mm256_setzero_ps();
                for (j, across) in across.into_iter().enumerate() {
                    let weights = _mm256_loadu_ps(columns.as_ptr().add(8 * j));
                    sum = _mm256_fmadd_ps(across, weights, sum);
                }
                fold(sum)
            }
        }
    }

    /// AVX-512: four pixels a vector.
    pub(crate) struct Avx512;

    impl Taps for Avx512 {
        #[inline(always)]
        unsafe fn sum(
            first: *const f32,
            stride: usize,
            rows: &[f32; TAPS],
            columns: &[f32; 4 * TAPS],
        ) -> Rgby {
            // SAFETY: as the trait requires.
            unsafe {
                let (mut left, mut right) = (_mm512_setzero_ps(), _mm512_setzero_ps());
                for (i, weight) in rows.iter().enumerate() {
                    let (row, weight) = (first.add(i * stride), _mm512_set1_ps(*weight));
                    left = _mm512_fmadd_ps(_mm512_loadu_ps(row), weight, left);
                    right = _mm512_fmadd_ps(_mm512_loadu_ps(row.add(16)), weight, right);
                }
                let weights = columns.as_ptr();
                let sum = _mm512_fmadd_ps(
                    right,
                    _mm512_loadu_ps(weights.add(16)),
                    _mm512_mul_ps(left, _mm512_loadu_ps(weights)),
                );
                fold(_mm256_add_ps(
                    _mm512_castps512_ps256(sum),
                    _mm512_extractf32x8_ps::<1>(sum),
                ))
            }
        }
    }

    /// The sum of two pixels.
    ///
    /// # Safety
    /// The processor has AVX.
    #[inline(always)]
    unsafe fn fold(two: __m256) -> Rgby {
        // SAFETY: as for this function.
        unsafe {
            let sum = _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps::<1>(two));
            let mut pixel = [0.0; 4];
            _mm_storeu_ps(pixel.as_mut_ptr(), sum);
            pixel
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// A picture of [`Rgby`] pixels, 2 pixels or more on each side.
#[derive(Clone, Copy)]
pub(crate) struct Sampler<'a> {
    pixels: &'a [Rgby],
    width: usize,
    height: usize,
    weights: &'static Weights,
}

impl<'a> Sampler<'a> {
    /// A picture of `width` by `height` pixels, rows packed.
    #[inline(always)]
    pub(crate) fn new(pixels: &'a [Rgby], width: usize, height: usize) -> Self {
        assert!(pixels.len() == width * height && width > 1 && height > 1);
        Self {
            pixels,
            width,
            height,
            weights: &WEIGHTS,
        }
    }

    /// The value at (`x`, `y`), in pixels from the centre of the first.
    ///
    /// # Safety
    /// The processor has the instructions of `T`.
    #[inline(always)]
    pub(crate) unsafe fn at<T: Taps>(&self, x: f32, y: f32) -> Rgby {
        let (x, fx) = split(x, self.width);
        let (y, fy) = split(y, self.height);
        let nearest = |fraction: f32| (fraction * STEPS as f32 + 0.5) as usize;
        let rows = &self.weights.rows[nearest(fy).min(STEPS)];
        let columns = &self.weights.columns[nearest(fx).min(STEPS)];
        const BEFORE: usize = TAPS / 2 - 1;
        const BEHIND: usize = TAPS / 2;
        if x >= BEFORE && x + BEHIND < self.width && y >= BEFORE && y + BEHIND < self.height {
            let first = (y - BEFORE) * self.width + x - BEFORE;
            // SAFETY: the block around (x, y) is inside the picture, as was just seen; instructions as promised.
            return unsafe {
                let first = self.pixels.as_ptr().add(first).cast();
                T::sum(first, 4 * self.width, rows, columns)
            };
        }
        self.at_the_edge(x, y, rows, columns)
    }

    /// As [`Sampler::at`], where the block reaches beyond the picture: its edge is repeated.
    #[cold]
    #[inline(never)]
    fn at_the_edge(
        &self,
        x: usize,
        y: usize,
        rows: &[f32; TAPS],
        columns: &[f32; 4 * TAPS],
    ) -> Rgby {
        let inside = |at: usize, tap: usize, size: usize| {
            (at + tap).saturating_sub(TAPS / 2 - 1).min(size - 1)
        };
        let mut sum = [0.0; 4];
        for (i, wy) in rows.iter().enumerate() {
            let row = inside(y, i, self.height) * self.width;
            for (j, wx) in columns.iter().step_by(4).enumerate() {
                let pixel = self.pixels[row + inside(x, j, self.width)];
                for lane in 0..4 {
                    sum[lane] += wy * wx * pixel[lane];
                }
            }
        }
        sum
    }
}

/// The Catmull–Rom value of a picture of bytes at (`x`, `y`), in pixels from the centre of the first: R, G, B, 0..255.
pub(crate) fn cubic_rgb(picture: &Picture, x: f32, y: f32) -> [f32; 3] {
    let (width, height) = (picture.width(), picture.height());
    let (x0, fx) = split(x, width);
    let (y0, fy) = split(y, height);
    let (wx, wy) = (cubic_weights(fx), cubic_weights(fy));
    let mut value = [0.0; 3];
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
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, value: impl Fn(f32, f32) -> f32) -> Vec<Rgby> {
        (0..width * height)
            .map(|i| {
                let value = value((i % width) as f32, (i / width) as f32);
                [value, 2.0 * value, -value, value + 1.0]
            })
            .collect()
    }

    /// The value at a position by every implementation that this processor has.
    fn by_all(sampler: &Sampler<'_>, x: f32, y: f32) -> Vec<Rgby> {
        // SAFETY: each is asked only where its instructions are.
        unsafe {
            let mut values = vec![sampler.at::<Plain>(x, y)];
            #[cfg(target_arch = "x86_64")]
            {
                use crate::kernels::InstructionSet;
                if InstructionSet::Avx2.is_available() {
                    values.push(sampler.at::<Avx2>(x, y));
                }
                if InstructionSet::Avx512.is_available() {
                    values.push(sampler.at::<Avx512>(x, y));
                }
            }
            values
        }
    }

    #[test]
    fn waves_of_up_to_three_pixels_are_kept() {
        for frequency in [0.05_f32, 0.2, 0.33] {
            let value = |x: f32, y: f32| {
                100.0 + 50.0 * (std::f32::consts::TAU * frequency * (x + 0.3 * y)).sin()
            };
            let pixels = picture(40, 30, value);
            let sampler = Sampler::new(&pixels, 40, 30);
            for (x, y) in [(13.0, 14.0), (13.25, 14.75), (17.5, 12.5), (20.125, 9.0)] {
                for [r, g, b, luma] in by_all(&sampler, x, y) {
                    let wanted = value(x, y);
                    assert!(
                        (r - wanted).abs() < 2.5,
                        "{frequency} ({x}, {y}): {r} for {wanted}"
                    );
                    assert!((g - 2.0 * r).abs() < 1e-2 && (b + r).abs() < 1e-2);
                    assert!((luma - r - 1.0).abs() < 1e-2);
                }
            }
        }
    }

    #[test]
    fn whole_positions_return_the_pixel_and_outside_the_edge() {
        for (width, height) in [(6, 5), (16, 12)] {
            let pixels = picture(width, height, |x, y| x * 10.0 + y);
            let sampler = Sampler::new(&pixels, width, height);
            let last = (10 * (width - 1) + height - 1) as f32;
            for y in 0..height {
                for x in 0..width {
                    for got in by_all(&sampler, x as f32, y as f32) {
                        assert!((got[0] - (x * 10 + y) as f32).abs() < 1e-2, "({x}, {y})");
                    }
                }
            }
            for got in by_all(&sampler, -30.0, -2.0) {
                assert!(got[0].abs() < 1e-3);
            }
            for got in by_all(&sampler, 99.0, 99.0) {
                assert!((got[0] - last).abs() < 1e-2);
            }
            assert!(
                by_all(&sampler, f32::NAN, 1.0)
                    .iter()
                    .flatten()
                    .all(|lane| lane.is_finite())
            );
        }
    }
}

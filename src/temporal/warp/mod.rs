//! Looking up a picture between its pixels.
//!
//! A picture that is carried along the motion is resampled once per frame, again and again, so the interpolation
//! decides how fast fine strokes wash out, and which: where some frequencies are lost and others not, what is left is
//! ripples. The history is therefore looked up with Lanczos' kernel of 8×8 pixels (Duchon 1979), whose response is flat
//! up to 0.4 periods per pixel, where a cubic one has lost a third. [`cubic_weights`] are those of Catmull and Rom's
//! spline (Keys' cubic with a = −1/2), for what is looked up once. Positions outside the picture take the value of its
//! edge.

mod taps;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::LazyLock;

use crate::frame::Picture;
use taps::TAPS;
pub(crate) use taps::{Plain, Taps};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

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

impl<const LANES: usize> Sampler<'_, LANES> {
    /// Looks up what is at `places`, one after the other, into `values`, which keep what `otherwise` has where there is nothing
    /// to look up; `at` is where a place is.
    ///
    /// # Safety
    /// The processor has the instructions of `T`, and the places are of this picture.
    #[inline(always)]
    pub(crate) unsafe fn look_up<T: Taps>(
        &self,
        places: &[Place],
        at: impl Fn(usize) -> (f32, f32),
        otherwise: &[f32],
        values: &mut [f32],
    ) {
        let (fours, rest) = places.as_chunks::<4>();
        let chunks = fours.iter().map(|four| &four[..]).chain([rest]);
        for (i, (values, places)) in values.chunks_mut(4 * LANES).zip(chunks).enumerate() {
            // SAFETY: as for this function.
            unsafe {
                if let Ok(four) = <&[Place; 4]>::try_from(places)
                    && self.four::<T>(four, values)
                {
                    continue;
                }
                let values = values.as_chunks_mut::<LANES>().0.iter_mut();
                for (j, (value, &place)) in values.zip(places).enumerate() {
                    let number = 4 * i + j;
                    let (x, y) = at(number);
                    match self.at::<T>(place, x, y) {
                        Some(found) => *value = found,
                        None => value.copy_from_slice(&otherwise[LANES * number..][..LANES]),
                    }
                }
            }
        }
    }

    /// Four values at once, if all their blocks are inside the picture; says whether they are.
    ///
    /// # Safety
    /// As for [`Sampler::at`].
    #[inline(always)]
    unsafe fn four<T: Taps>(&self, places: &[Place; 4], values: &mut [f32]) -> bool {
        let [a, b, c, d] = *places;
        if !(a.inside() & b.inside() & c.inside() & d.inside()) {
            return false;
        }
        // SAFETY: all are inside; instructions as promised.
        unsafe {
            let [a, b, c, d] = [self.block(a), self.block(b), self.block(c), self.block(d)];
            let (first, rows) = ([a.0, b.0, c.0, d.0], [a.1, b.1, c.1, d.1]);
            let (stride, steps) = (LANES * self.width, [a.2, b.2, c.2, d.2]);
            if LANES == 1 {
                let columns = columns(&self.weights.single, steps);
                values.copy_from_slice(&T::four(first, stride, rows, columns));
            } else {
                let columns = columns(&self.weights.double, steps);
                values.copy_from_slice(&T::four_pairs(first, stride, rows, columns));
            }
        }
        true
    }
}

/// The weights of four columns.
///
/// # Safety
/// The steps are at most STEPS.
#[inline(always)]
unsafe fn columns<W>(weights: &'static [W; STEPS + 1], steps: [usize; 4]) -> [&'static W; 4] {
    // SAFETY: as for this function. (Written out: a closure would not be compiled for the caller's instructions.)
    unsafe {
        [
            weights.get_unchecked(steps[0]),
            weights.get_unchecked(steps[1]),
            weights.get_unchecked(steps[2]),
            weights.get_unchecked(steps[3]),
        ]
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

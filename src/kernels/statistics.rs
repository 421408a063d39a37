//! Mean and variance of each channel, gathered tile by tile.
//!
//! A tile sums its values and their squares in `f32`, one sum per vector lane and after taking away the lane's first
//! value, so that a mean far from zero costs no digits; lanes and tiles are then merged in `f64` by the pairwise rule
//! of Chan, Golub and LeVeque (1979), always in the same order: a painting does not depend on the number of threads.

use super::simd::Simd;
use half::f16;
use std::ops::Range;

/// Lanes that are summed side by side; every channel count of the network divides it.
pub(crate) const STATISTIC_LANES: usize = 32;

/// Count, mean and sum of squared deviations of some values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) count: f64,
    pub(crate) mean: f64,
    pub(crate) squares: f64,
}

impl Moments {
    /// The moments of both sets of values together.
    pub(crate) fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        if other.count == 0.0 || count == 0.0 {
            return self;
        }
        let difference = other.mean - self.mean;
        let share = other.count / count;
        Self {
            count,
            mean: self.mean + difference * share,
            squares: self.squares + other.squares + difference * difference * self.count * share,
        }
    }

    /// Mean squared deviation (biased, as instance normalisation takes it).
    pub(crate) fn variance(self) -> f64 {
        if self.count > 0.0 {
            (self.squares / self.count).max(0.0)
        } else {
            0.0
        }
    }
}

/// Running sums of one tile.
#[repr(C, align(64))]
pub(crate) struct LaneSums {
    shift: [f32; STATISTIC_LANES],
    sum: [f32; STATISTIC_LANES],
    square: [f32; STATISTIC_LANES],
    count: [u32; STATISTIC_LANES],
    started: bool,
}

impl LaneSums {
    pub(crate) fn new() -> Self {
        Self {
            shift: [0.0; 32],
            sum: [0.0; 32],
            square: [0.0; 32],
            count: [0; 32],
            started: false,
        }
    }

    /// Adds `count` values; value `i` belongs to lane `i % 32`. On the way they are stored to `out` in format `O`.
    ///
    /// # Safety
    /// `row` holds `count` values, `out` has room for them, and the processor has the instruction set.
    #[inline(always)]
    pub(crate) unsafe fn add_row<S: Simd, O: Output>(
        &mut self,
        row: *const f32,
        count: usize,
        out: *mut O,
    ) {
        // SAFETY: as for this function.
        unsafe {
            self.start(row, count);
            self.add_blocks::<S, O>(row, 0..count / STATISTIC_LANES, out);
            self.add_rest::<O>(row, count, out);
        }
    }

    /// Takes the first values of the tile's first row, of `count`, as what is taken away.
    ///
    /// # Safety
    /// `row` holds `count` values, at least one.
    #[inline(always)]
    pub(crate) unsafe fn start(&mut self, row: *const f32, count: usize) {
        if !self.started {
            self.started = true;
            for lane in 0..STATISTIC_LANES {
                // SAFETY: the index is below `count`.
                self.shift[lane] = unsafe { *row.add(if lane < count { lane } else { 0 }) };
            }
        }
    }

    /// A part of [`LaneSums::add_row`], behind [`LaneSums::start`]: so many blocks of 32 values of the row.
    ///
    /// # Safety
    /// As for that.
    #[inline(always)]
    pub(crate) unsafe fn add_blocks<S: Simd, O: Output>(
        &mut self,
        row: *const f32,
        blocks: Range<usize>,
        out: *mut O,
    ) {
        for part in (0..STATISTIC_LANES).step_by(2 * S::LANES) {
            // SAFETY: as for this function.
            unsafe { self.add_columns::<S, O>(row, blocks.clone(), part, out) };
        }
        for lane in 0..STATISTIC_LANES {
            self.count[lane] += blocks.len() as u32;
        }
    }

    /// What is left of a row of `count` values behind its last whole block.
    ///
    /// # Safety
    /// As for [`LaneSums::add_row`].
    #[inline(always)]
    pub(crate) unsafe fn add_rest<O: Output>(
        &mut self,
        row: *const f32,
        count: usize,
        out: *mut O,
    ) {
        let first = count / STATISTIC_LANES * STATISTIC_LANES;
        for lane in 0..count - first {
            // SAFETY: indices stay below `count`.
            let value = unsafe { *row.add(first + lane) };
            // SAFETY: as above.
            unsafe { O::put_one(out, first + lane, value) };
            let value = value - self.shift[lane];
            self.sum[lane] += value;
            self.square[lane] += value * value;
            self.count[lane] += 1;
        }
    }

    /// Two vectors of lanes, starting at lane `part`, over `blocks`.
    #[inline(always)]
    unsafe fn add_columns<S: Simd, O: Output>(
        &mut self,
        row: *const f32,
        blocks: Range<usize>,
        part: usize,
        out: *mut O,
    ) {
        // SAFETY: `part + 2 * LANES` is at most 32, and the row holds 32 values per block.
        unsafe {
            let (low, high) = (part, part + S::LANES);
            let shifts = (
                S::load(self.shift.as_ptr().add(low)),
                S::load(self.shift.as_ptr().add(high)),
            );
            let mut sums = (
                S::load(self.sum.as_ptr().add(low)),
                S::load(self.sum.as_ptr().add(high)),
            );
            let mut squares = (
                S::load(self.square.as_ptr().add(low)),
                S::load(self.square.as_ptr().add(high)),
            );
            for block in blocks {
                let at = block * STATISTIC_LANES;
                let (first, second) = (S::load(row.add(at + low)), S::load(row.add(at + high)));
                O::put::<S>(out, at + low, first);
                O::put::<S>(out, at + high, second);
                let (first, second) = (S::sub(first, shifts.0), S::sub(second, shifts.1));
                sums = (S::add(sums.0, first), S::add(sums.1, second));
                squares = (
                    S::fma(first, first, squares.0),
                    S::fma(second, second, squares.1),
                );
            }
            S::store(self.sum.as_mut_ptr().add(low), sums.0);
            S::store(self.sum.as_mut_ptr().add(high), sums.1);
            S::store(self.square.as_mut_ptr().add(low), squares.0);
            S::store(self.square.as_mut_ptr().add(high), squares.1);
        }
    }

    /// The moments of each channel, where lane `i` belongs to channel `i % channels.len()`.
    pub(crate) fn fold(&self, channels: &mut [Moments]) {
        channels.fill(Moments::default());
        for lane in 0..STATISTIC_LANES {
            let count = f64::from(self.count[lane]);
            if count == 0.0 {
                continue;
            }
            let (sum, square) = (f64::from(self.sum[lane]), f64::from(self.square[lane]));
            let moments = Moments {
                count,
                mean: f64::from(self.shift[lane]) + sum / count,
                squares: (square - sum * sum / count).max(0.0),
            };
            let channel = &mut channels[lane % channels.len()];
            *channel = channel.merge(moments);
        }
    }
}

/// Numbers that raw outputs are stored in; `()` stores nothing.
///
/// # Safety
/// The methods require the instruction set of `S` and room for what they write, as [`Simd`] does.
pub(crate) trait Output: Copy {
    /// Stores [`Simd::LANES`] values from `index` on.
    unsafe fn put<S: Simd>(out: *mut Self, index: usize, value: S::F);
    /// Stores one value.
    unsafe fn put_one(out: *mut Self, index: usize, value: f32);
}

impl Output for () {
    #[inline(always)]
    unsafe fn put<S: Simd>(_out: *mut Self, _index: usize, _value: S::F) {}
    #[inline(always)]
    unsafe fn put_one(_out: *mut Self, _index: usize, _value: f32) {}
}

impl Output for f32 {
    #[inline(always)]
    unsafe fn put<S: Simd>(out: *mut Self, index: usize, value: S::F) {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { S::store(out.add(index), value) }
    }
    #[inline(always)]
    unsafe fn put_one(out: *mut Self, index: usize, value: f32) {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { *out.add(index) = value }
    }
}

impl Output for f16 {
    #[inline(always)]
    unsafe fn put<S: Simd>(out: *mut Self, index: usize, value: S::F) {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { S::store_f16(out.add(index), value) }
    }
    #[inline(always)]
    unsafe fn put_one(out: *mut Self, index: usize, value: f32) {
        let value = value.clamp(Self::MIN.to_f32(), Self::MAX.to_f32());
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { *out.add(index) = Self::from_f32(value) }
    }
}

impl Output for i16 {
    #[inline(always)]
    unsafe fn put<S: Simd>(out: *mut Self, index: usize, value: S::F) {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { S::store_i16(out.add(index), value) }
    }
    #[inline(always)]
    unsafe fn put_one(out: *mut Self, index: usize, value: f32) {
        // `as` saturates.
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { *out.add(index) = value.round_ties_even() as Self }
    }
}

/// Numbers that raw outputs are read from.
///
/// # Safety
/// The method requires the instruction set of `S` and that many values, as [`Simd`] does.
pub(crate) trait Stored: Output {
    /// Zero.
    const ZERO: Self;
    /// Loads [`Simd::LANES`] values from `index` on.
    unsafe fn get<S: Simd>(data: *const Self, index: usize) -> S::F;
}

impl Stored for f32 {
    const ZERO: Self = 0.0;
    #[inline(always)]
    unsafe fn get<S: Simd>(data: *const Self, index: usize) -> S::F {
        // SAFETY: as the caller guarantees.
        unsafe { S::load(data.add(index)) }
    }
}

impl Stored for f16 {
    const ZERO: Self = Self::ZERO;
    #[inline(always)]
    unsafe fn get<S: Simd>(data: *const Self, index: usize) -> S::F {
        // SAFETY: as the caller guarantees.
        unsafe { S::load_f16(data.add(index)) }
    }
}

impl Stored for i16 {
    const ZERO: Self = 0;
    #[inline(always)]
    unsafe fn get<S: Simd>(data: *const Self, index: usize) -> S::F {
        // SAFETY: as the caller guarantees.
        unsafe { S::load_i16(data.add(index)) }
    }
}

/// What a layer's reader does to each value: `value * scale + shift`, repeated to 32 lanes.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Affine {
    pub(crate) scale: [f32; STATISTIC_LANES],
    pub(crate) shift: [f32; STATISTIC_LANES],
}

impl Affine {
    /// Leaves values as they are.
    pub(crate) const IDENTITY: Self = Self {
        scale: [1.0; 32],
        shift: [0.0; 32],
    };

    /// Instance normalisation with these statistics, then the style's `scale` and `shift` (one per channel; channels beyond theirs become
    /// zero).
    ///
    /// `units` says how many times too large each channel's values are (1 if empty), which matters to `epsilon` alone.
    pub(crate) fn normalising(
        channels: &[Moments],
        units: &[f32],
        epsilon: f64,
        scale: &[f32],
        shift: &[f32],
    ) -> Self {
        let mut affine = Self::IDENTITY;
        for lane in 0..STATISTIC_LANES {
            let channel = lane % channels.len();
            let moments = channels[channel];
            let unit = units.get(channel).map_or(1.0, |unit| f64::from(*unit));
            let gain = f64::from(scale.get(channel).copied().unwrap_or(0.0))
                / (moments.variance() + epsilon * unit * unit).sqrt();
            affine.scale[lane] = gain as f32;
            affine.shift[lane] = (f64::from(shift.get(channel).copied().unwrap_or(0.0))
                - moments.mean * gain) as f32;
        }
        affine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::instruction_set::{InstructionSet, Kernel};

    struct Add<'a>(&'a mut LaneSums, &'a [f32]);
    impl Kernel for Add<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            // SAFETY: the slice holds its length.
            unsafe {
                self.0
                    .add_row::<S, ()>(self.1.as_ptr(), self.1.len(), std::ptr::null_mut())
            }
        }
    }

    struct Halves<'a>(&'a [f32], &'a mut [f16]);
    impl Kernel for Halves<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            if S::DOTS {
                let (row, out) = (self.0.as_ptr(), self.1.as_mut_ptr());
                // SAFETY: both slices have that length.
                unsafe { LaneSums::new().add_row::<S, f16>(row, self.0.len(), out) }
            }
        }
    }

    #[test]
    fn half_precision_is_nearest_and_saturates() {
        let set = InstructionSet::Avx512Dot;
        if !set.is_available() {
            return;
        }
        let values: Vec<f32> = (0..77).map(|i| (i as f32 - 38.0).powi(3) * 1.7).collect();
        let mut halves = vec![f16::ZERO; values.len()];
        // SAFETY: the set is available.
        unsafe { set.run(Halves(&values, &mut halves)) };
        for (value, half) in values.iter().zip(halves) {
            assert_eq!(half, f16::from_f32(value.clamp(-65504.0, 65504.0)));
        }
    }

    #[test]
    fn moments_agree_with_two_passes_in_f64_also_far_from_zero() {
        for set in InstructionSet::ALL
            .into_iter()
            .filter(|set| set.is_available())
        {
            for (length, channels) in [(32, 4), (96 + 16, 8), (320, 32), (77, 1)] {
                let values: Vec<f32> = (0..length)
                    .map(|i| 1000.0 + ((i * 7919) % 101) as f32 * 0.01)
                    .collect();
                let mut sums = LaneSums::new();
                let (first, rest) = values.split_at(if length > 64 { 64 } else { length });
                for part in [first, rest] {
                    // SAFETY: the set is available.
                    unsafe { set.run(Add(&mut sums, part)) };
                }
                let mut folded = vec![Moments::default(); channels];
                sums.fold(&mut folded);
                for (channel, moments) in folded.iter().enumerate() {
                    let own: Vec<f64> = values
                        .iter()
                        .skip(channel)
                        .step_by(channels)
                        .map(|v| f64::from(*v))
                        .collect();
                    let mean = own.iter().sum::<f64>() / own.len() as f64;
                    let variance =
                        own.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / own.len() as f64;
                    assert_eq!(moments.count, own.len() as f64);
                    assert!(
                        (moments.mean - mean).abs() < 1e-5,
                        "{set} {moments:?} {mean}"
                    );
                    assert!(
                        (moments.variance() - variance).abs() < 1e-4,
                        "{set} {moments:?} {variance}"
                    );
                }
            }
        }
    }
}

//! In which numbers a patch holds its values, and what one step of a convolution multiplies.
//!
//! Every format fills 32-bit words: one `f32`, two `bf16` or four bytes. A step of the direct convolution broadcasts one
//! such word of the input against a vector of words of weights and adds the products to 32-bit sums, so the three
//! precisions share one loop.

use super::simd::Simd;

/// A number format of patches.
///
/// # Safety
/// The methods require the instruction set of `S` and room for what they write, as [`Simd`] does.
pub(crate) trait Format: Copy + Send + Sync + 'static {
    /// Bytes of one value.
    const BYTES: usize;
    /// Whether values are mapped to 0..=255 by the reader's quantiser.
    const QUANTISED: bool;

    /// Writes [`Simd::LANES`] values from `index` on.
    unsafe fn put<S: Simd>(patch: *mut u8, index: usize, value: S::F);
    /// Writes one value.
    unsafe fn put_one(patch: *mut u8, index: usize, value: f32);
    /// Writes one byte of a picture, 128 taken away (which instance normalisation does not see) unless the format is
    /// unsigned: whole numbers that every format holds exactly.
    unsafe fn put_byte(patch: *mut u8, index: usize, byte: u8);
    /// Writes a few neighbouring ones.
    #[inline(always)]
    unsafe fn put_bytes<const COUNT: usize>(patch: *mut u8, index: usize, bytes: &[u8; COUNT]) {
        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: as the caller guarantees.
            unsafe { Self::put_byte(patch, index + i, *byte) };
        }
    }
    /// Adds the products of two vectors of words to the sums.
    unsafe fn dot<S: Simd>(input: S::F, weights: S::F, sums: S::F) -> S::F;
    /// A weight in this format: its bytes, the first [`Format::BYTES`] of which count.
    fn weight(value: f32) -> [u8; 4];
}

/// 32-bit floating point.
#[derive(Clone, Copy)]
pub(crate) struct F32;

/// The upper half of an `f32`: 8 bits of mantissa, the sign of which is separate.
#[derive(Clone, Copy)]
pub(crate) struct Bf16;

/// Bytes: unsigned activations, signed weights.
#[derive(Clone, Copy)]
pub(crate) struct Int8;

impl Format for F32 {
    const BYTES: usize = 4;
    const QUANTISED: bool = false;

    #[inline(always)]
    unsafe fn put<S: Simd>(patch: *mut u8, index: usize, value: S::F) {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { S::store(patch.cast::<f32>().add(index), value) }
    }
    #[inline(always)]
    unsafe fn put_one(patch: *mut u8, index: usize, value: f32) {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { *patch.cast::<f32>().add(index) = value }
    }
    #[inline(always)]
    unsafe fn put_byte(patch: *mut u8, index: usize, byte: u8) {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { *patch.cast::<f32>().add(index) = f32::from(byte) - 128.0 }
    }
    #[inline(always)]
    unsafe fn put_bytes<const COUNT: usize>(patch: *mut u8, index: usize, bytes: &[u8; COUNT]) {
        // All read before any is written, which lets the compiler take them at once.
        let values = bytes.map(|byte| f32::from(byte) - 128.0);
        // SAFETY: the caller guarantees the room.
        unsafe {
            let to = patch.cast::<f32>().add(index).cast::<[f32; COUNT]>();
            to.write_unaligned(values);
        }
    }
    #[inline(always)]
    unsafe fn dot<S: Simd>(input: S::F, weights: S::F, sums: S::F) -> S::F {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { S::fma(input, weights, sums) }
    }
    fn weight(value: f32) -> [u8; 4] {
        value.to_le_bytes()
    }
}

impl Format for Bf16 {
    const BYTES: usize = 2;
    const QUANTISED: bool = false;

    #[inline(always)]
    unsafe fn put<S: Simd>(patch: *mut u8, index: usize, value: S::F) {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { S::store_bf16(patch.cast::<u16>().add(index), value) }
    }
    #[inline(always)]
    unsafe fn put_one(patch: *mut u8, index: usize, value: f32) {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { *patch.cast::<u16>().add(index) = half::bf16::from_f32(value).to_bits() }
    }
    #[inline(always)]
    unsafe fn put_byte(patch: *mut u8, index: usize, byte: u8) {
        // Exact: eight bits fit.
        let bits = ((f32::from(byte) - 128.0).to_bits() >> 16) as u16;
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { *patch.cast::<u16>().add(index) = bits }
    }
    #[inline(always)]
    unsafe fn put_bytes<const COUNT: usize>(patch: *mut u8, index: usize, bytes: &[u8; COUNT]) {
        // All read before any is written, as above.
        let values = bytes.map(|byte| ((f32::from(byte) - 128.0).to_bits() >> 16) as u16);
        // SAFETY: the caller guarantees the room.
        unsafe {
            let to = patch.cast::<u16>().add(index).cast::<[u16; COUNT]>();
            to.write_unaligned(values);
        }
    }
    #[inline(always)]
    unsafe fn dot<S: Simd>(input: S::F, weights: S::F, sums: S::F) -> S::F {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { S::dot_bf16(input, weights, sums) }
    }
    fn weight(value: f32) -> [u8; 4] {
        let [low, high] = half::bf16::from_f32(value).to_le_bytes();
        [low, high, 0, 0]
    }
}

impl Format for Int8 {
    const BYTES: usize = 1;
    const QUANTISED: bool = true;

    #[inline(always)]
    unsafe fn put<S: Simd>(patch: *mut u8, index: usize, value: S::F) {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { S::store_u8(patch.add(index), value) }
    }
    #[inline(always)]
    unsafe fn put_one(patch: *mut u8, index: usize, value: f32) {
        // `as` saturates.
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { *patch.add(index) = value.round_ties_even() as u8 }
    }
    #[inline(always)]
    unsafe fn put_byte(patch: *mut u8, index: usize, byte: u8) {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { *patch.add(index) = byte }
    }
    #[inline(always)]
    unsafe fn dot<S: Simd>(input: S::F, weights: S::F, sums: S::F) -> S::F {
        // SAFETY: the caller guarantees the instruction set and the room.
        unsafe { S::dot_bytes(input, weights, sums) }
    }
    fn weight(value: f32) -> [u8; 4] {
        [(value.round() as i8).to_le_bytes()[0], 0, 0, 0]
    }
}

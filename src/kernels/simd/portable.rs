//! Plain Rust over arrays of eight: what the compiler makes of it (SSE2 on any x86-64).

use super::Simd;

/// No instruction set beyond the target's own.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn map(a: [f32; 8], b: [f32; 8], function: impl Fn(f32, f32) -> f32) -> [f32; 8] {
    std::array::from_fn(|i| function(a[i], b[i]))
}

// SAFETY (all methods): the caller guarantees valid pointers, as the trait requires.
impl Simd for Portable {
    const LANES: usize = 8;
    const DOTS: bool = false;
    const PAIRS: bool = false;
    const TILE_PIXELS: usize = 4;
    type F = [f32; 8];

    #[inline(always)]
    unsafe fn load(pointer: *const f32) -> [f32; 8] {
        unsafe { pointer.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(pointer: *mut f32, value: [f32; 8]) {
        unsafe { pointer.cast::<[f32; 8]>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn load_i16(pointer: *const i16) -> [f32; 8] {
        unsafe { pointer.cast::<[i16; 8]>().read_unaligned() }.map(f32::from)
    }
    #[inline(always)]
    unsafe fn store_i16(pointer: *mut i16, value: [f32; 8]) {
        // SAFETY: as the trait requires; `round` needs no pointer.
        unsafe {
            let whole = Self::round(value).map(|v| v as i16);
            pointer.cast::<[i16; 8]>().write_unaligned(whole);
        }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; 8] {
        [value; 8]
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        // Not `mul_add`: without the instruction that is a library call.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn max(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn gate(value: [f32; 8], by: [f32; 8]) -> [f32; 8] {
        map(value, by, |value, by| if by > 0.0 { value } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn round(a: [f32; 8]) -> [f32; 8] {
        // Adding and taking away 1.5 * 2^23 leaves the nearest whole number (for |a| < 2^22) without a library call.
        const MAGIC: f32 = 12_582_912.0;
        a.map(|v| (v + MAGIC) - MAGIC)
    }
    #[inline(always)]
    unsafe fn pow2(a: [f32; 8]) -> [f32; 8] {
        a.map(|v| f32::from_bits(((v as i32 + 127) << 23) as u32))
    }
}

//! The convolution and both its gradients in the matrix unit (AMX): bf16 products, `f32` sums.
//!
//! All three are one loop: a product of up to two tiles of 16 rows with up to two of 16 output channels, 32 values deep,
//! whose sums stay in tile registers. Forward (and with turned weights for the gradient of the input) a row is a pixel and
//! the depth are the three taps of a kernel row with their channels, which lie side by side in a padded plane. In the
//! gradient of the weights a row is an input channel and the depth are pixels.
//!
//! A bf16 number has 8 bits: each product is off by up to 0.4 %, with either sign, of sums over hundreds of values forward
//! and thousands in the gradients. Weights and what the optimizer keeps stay `f32`.

use super::half::{HalfPlane, RUN, pitch, turned_step};
use super::{CHANNEL_STEP, TAPS};
use crate::kernels::aligned::AlignedBuffer;
use crate::kernels::amx;
use crate::kernels::instruction_set::InstructionSet;

/// Rows of a tile, and its columns of sums.
const SIDE: usize = 16;
/// Bytes of one tile register.
const TILE_BYTES: usize = 1024;
/// Bytes of a tile's row.
const ROW_BYTES: usize = 64;

/// Whether the processor has the unit and lets this process use it.
#[must_use]
pub fn has_tiles() -> bool {
    InstructionSet::Amx.is_available()
}

/// Weights of one convolution as tiles.
#[derive(Default)]
pub struct TileWeights {
    channels: (usize, usize),
    /// `[kernel row][step][block of 16 outputs][pair of values][output][2]`, a kernel row's `[tap][input]` filled up by zeros.
    packed: AlignedBuffer,
}

impl TileWeights {
    /// Takes over `weights`, `[9 taps][in_channels][out_channels]`, where `channels` is (input, output), multiples of 16.
    ///
    /// # Panics
    /// When a number does not fit.
    pub fn pack(&mut self, weights: &[f32], (in_channels, out_channels): (usize, usize)) {
        assert_eq!(weights.len(), TAPS * in_channels * out_channels);
        assert_eq!(
            (in_channels % CHANNEL_STEP, out_channels % CHANNEL_STEP),
            (0, 0)
        );
        self.channels = (in_channels, out_channels);
        let (steps, blocks) = (self.steps(), out_channels / SIDE);
        self.packed.reserve(3 * steps * blocks * TILE_BYTES);
        // SAFETY: the buffer has room for all tiles, and all bit patterns are numbers.
        let tiles = unsafe {
            std::slice::from_raw_parts_mut(
                self.packed.as_mut_ptr::<u32>(),
                3 * steps * blocks * TILE_BYTES / 4,
            )
        };
        let line = 3 * in_channels;
        for (n, words) in tiles.chunks_exact_mut(SIDE).enumerate() {
            let (tile, pair) = (n / SIDE, n % SIDE);
            let (row, step, block) = (tile / blocks / steps, tile / blocks % steps, tile % blocks);
            let first = step * 2 * SIDE + 2 * pair;
            if first >= line {
                words.fill(0);
                continue;
            }
            let from = &weights[(row * line + first) * out_channels + block * SIDE..];
            let pairs = from[..SIDE].iter().zip(&from[out_channels..][..SIDE]);
            for (word, (low, high)) in words.iter_mut().zip(pairs) {
                let bits = |value: &f32| u32::from(half::bf16::from_f32(*value).to_bits());
                *word = bits(low) | bits(high) << 16;
            }
        }
    }

    /// Products that a kernel row takes.
    fn steps(&self) -> usize {
        (3 * self.channels.0).div_ceil(2 * SIDE)
    }
}

/// Convolves `input`, padded, with `weights` to `output`, `[rows][columns][out_channels]`.
///
/// # Panics
/// Without [`has_tiles`], or when a length does not fit.
pub fn convolve_in_tiles(
    weights: &TileWeights,
    input: &HalfPlane,
    (rows, columns): (usize, usize),
    output: &mut [f32],
) {
    let (in_channels, out_channels) = weights.channels;
    assert!(has_tiles());
    assert_eq!(input.len(), (rows + 2) * (columns + 2) * in_channels);
    assert_eq!(output.len(), rows * columns * out_channels);
    // SAFETY: the unit is there, and the lengths were checked.
    unsafe {
        amx::configure();
        for block in (0..out_channels / SIDE).step_by(2) {
            let two = block + 1 < out_channels / SIDE;
            for row in (0..rows).step_by(2) {
                match (row + 1 < rows, two) {
                    (true, true) => rows_of::<2, 2>(weights, input, (row, columns), block, output),
                    (true, false) => rows_of::<2, 1>(weights, input, (row, columns), block, output),
                    (false, true) => rows_of::<1, 2>(weights, input, (row, columns), block, output),
                    (false, false) => {
                        rows_of::<1, 1>(weights, input, (row, columns), block, output);
                    }
                }
            }
        }
        amx::release();
    }
}

/// `M` rows of `N` blocks of 16 output channels.
///
/// # Safety
/// Tile registers are configured, and the rows and blocks lie inside the planes.
unsafe fn rows_of<const M: usize, const N: usize>(
    weights: &TileWeights,
    input: &HalfPlane,
    (row, columns): (usize, usize),
    block: usize,
    output: &mut [f32],
) {
    let (in_channels, out_channels) = weights.channels;
    let (steps, pixel) = (weights.steps(), in_channels * 2);
    let (line, out_line) = ((columns + 2) * pixel, columns * out_channels);
    let step_bytes = out_channels / SIDE * TILE_BYTES;
    let mut part = [0.0_f32; 2 * SIDE * 2 * SIDE];
    for column in (0..columns).step_by(SIDE) {
        // SAFETY: beyond a plane's last pixel lies slack for 15 more. Of fewer than 16 pixels the sums go by way of `part`.
        unsafe {
            zero();
            let mut packed = weights.packed.as_ptr::<u8>().add(block * TILE_BYTES);
            for kernel_row in 0..3 {
                let first = (row + kernel_row) * line + column * pixel;
                for step in 0..steps {
                    let values = input.as_ptr().add(first + step * ROW_BYTES);
                    product::<M, N>((values, pixel, line), (packed, ROW_BYTES, TILE_BYTES));
                    packed = packed.add(step_bytes);
                }
            }
            let at = row * out_line + column * out_channels + block * SIDE;
            let left = columns - column;
            if left >= SIDE {
                store::<M, N>(output.as_mut_ptr().add(at), out_channels * 4, out_line * 4);
                continue;
            }
            store::<M, N>(part.as_mut_ptr(), N * ROW_BYTES, SIDE * N * ROW_BYTES);
            for (m, pixel) in (0..M).flat_map(|m| (0..left).map(move |pixel| (m, pixel))) {
                let sums = &part[(m * SIDE + pixel) * N * SIDE..][..N * SIDE];
                output[at + m * out_line + pixel * out_channels..][..N * SIDE]
                    .copy_from_slice(sums);
            }
        }
    }
}

/// Adds to `sums`, `[9 taps][in_channels][out_channels]`, the gradient of the weights: from the padded input as
/// [`HalfPlane::turn`] left it and the gradient of the output as [`HalfPlane::pair_up`] did.
///
/// # Panics
/// Without [`has_tiles`], or when a length does not fit.
pub fn add_weight_gradient_in_tiles(
    input: &HalfPlane,
    gradient: &HalfPlane,
    (in_channels, out_channels): (usize, usize),
    (rows, columns): (usize, usize),
    sums: &mut [f32],
) {
    let runs = (rows * pitch(columns)).div_ceil(RUN);
    assert!(has_tiles());
    assert_eq!(
        (in_channels % CHANNEL_STEP, out_channels % CHANNEL_STEP),
        (0, 0)
    );
    assert_eq!(input.len(), in_channels * turned_step(rows, columns));
    assert_eq!(gradient.len(), runs * RUN * out_channels);
    assert_eq!(sums.len(), TAPS * in_channels * out_channels);
    let (ins, outs) = (in_channels / SIDE, out_channels / SIDE);
    // SAFETY: the unit is there, and the lengths were checked.
    unsafe {
        amx::configure();
        for tap in 0..TAPS {
            let shift = tap / 3 * pitch(columns) + tap % 3;
            for (i, o) in (0..ins)
                .step_by(2)
                .flat_map(|i| (0..outs).step_by(2).map(move |o| (i, o)))
            {
                let step = turned_step(rows, columns) * 2;
                let task = Sum {
                    input: input.as_ptr().add(i * SIDE * step + shift * 2),
                    input_step: step,
                    gradient: gradient.as_ptr().add(o * ROW_BYTES),
                    out_channels,
                    runs,
                    sums: sums
                        .as_mut_ptr()
                        .add((tap * in_channels + i * SIDE) * out_channels + o * SIDE),
                };
                match (i + 1 < ins, o + 1 < outs) {
                    (true, true) => task.add::<2, 2>(),
                    (true, false) => task.add::<2, 1>(),
                    (false, true) => task.add::<1, 2>(),
                    (false, false) => task.add::<1, 1>(),
                }
            }
        }
        amx::release();
    }
}

/// Up to 32 × 32 weights of a tap.
struct Sum {
    input: *const u8,
    /// Bytes from one channel to the next.
    input_step: usize,
    gradient: *const u8,
    out_channels: usize,
    runs: usize,
    sums: *mut f32,
}

impl Sum {
    /// # Safety
    /// Tile registers are configured, and `M` × `N` blocks of 16 channels lie inside.
    unsafe fn add<const M: usize, const N: usize>(self) {
        let pair = self.out_channels * 4;
        // SAFETY: as the caller guarantees, for each run of pixels.
        unsafe {
            let second = SIDE * pair;
            load_sums::<M, N>(self.sums, pair, second);
            for run in 0..self.runs {
                let input = self.input.add(run * ROW_BYTES);
                let gradient = self.gradient.add(run * RUN / 2 * pair);
                product::<M, N>(
                    (input, self.input_step, SIDE * self.input_step),
                    (gradient, pair, ROW_BYTES),
                );
            }
            store::<M, N>(self.sums, pair, second);
        }
    }
}

/// Adds to the sums in tiles 0 to 3 the product of `M` tiles of rows and `N` of columns: of each the first byte, and how far
/// it is to the next row and to the second tile.
#[inline(always)]
unsafe fn product<const M: usize, const N: usize>(
    (a, a_row, a_second): (*const u8, usize, usize),
    (b, b_row, b_second): (*const u8, usize, usize),
) {
    // SAFETY: the caller guarantees tiles and planes.
    unsafe {
        load::<4>(a, a_row);
        load::<6>(b, b_row);
        multiply::<0, 4, 6>();
        if N == 2 {
            load::<7>(b.add(b_second), b_row);
            multiply::<1, 4, 7>();
        }
        if M == 2 {
            load::<5>(a.add(a_second), a_row);
            multiply::<2, 5, 6>();
            if N == 2 {
                multiply::<3, 5, 7>();
            }
        }
    }
}

/// Writes the sums: `row` bytes from one row to the next, `second` to the second tile of rows.
#[inline(always)]
unsafe fn store<const M: usize, const N: usize>(to: *mut f32, row: usize, second: usize) {
    let to = to.cast::<u8>();
    // SAFETY: the caller guarantees tiles and room.
    unsafe {
        store_one::<0>(to, row);
        if N == 2 {
            store_one::<1>(to.add(ROW_BYTES), row);
        }
        if M == 2 {
            store_one::<2>(to.add(second), row);
            if N == 2 {
                store_one::<3>(to.add(second + ROW_BYTES), row);
            }
        }
    }
}

/// The reverse of [`store`].
#[inline(always)]
unsafe fn load_sums<const M: usize, const N: usize>(from: *const f32, row: usize, second: usize) {
    let from = from.cast::<u8>();
    // SAFETY: the caller guarantees tiles and values.
    unsafe {
        load::<0>(from, row);
        if N == 2 {
            load::<1>(from.add(ROW_BYTES), row);
        }
        if M == 2 {
            load::<2>(from.add(second), row);
            if N == 2 {
                load::<3>(from.add(second + ROW_BYTES), row);
            }
        }
    }
}

/// The four instructions, and what stands for them where they do not exist (and is never reached). The compiler leaves tile
/// registers alone and keeps these in order, so what one leaves in a register the next one finds there.
#[cfg(target_arch = "x86_64")]
mod instructions {
    use std::arch::asm;

    #[inline(always)]
    pub(super) unsafe fn zero() {
        // SAFETY: all of them are configured.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nomem, nostack)
            );
        }
    }

    #[inline(always)]
    pub(super) unsafe fn load<const TILE: usize>(from: *const u8, row: usize) {
        // SAFETY: the caller's 16 rows can be read.
        unsafe {
            asm!(
                "tileloadd tmm{tile}, [{from} + {row}]",
                tile = const TILE,
                from = in(reg) from,
                row = in(reg) row,
                options(nostack, readonly, preserves_flags)
            );
        }
    }

    #[inline(always)]
    pub(super) unsafe fn multiply<const SUM: usize, const A: usize, const B: usize>() {
        // SAFETY: all of them are configured.
        unsafe {
            asm!(
                "tdpbf16ps tmm{sum}, tmm{a}, tmm{b}",
                sum = const SUM,
                a = const A,
                b = const B,
                options(nomem, nostack, preserves_flags)
            );
        }
    }

    #[inline(always)]
    pub(super) unsafe fn store_one<const TILE: usize>(to: *mut u8, row: usize) {
        // SAFETY: the caller's 16 rows can be written.
        unsafe {
            asm!(
                "tilestored [{to} + {row}], tmm{tile}",
                tile = const TILE,
                to = in(reg) to,
                row = in(reg) row,
                options(nostack, preserves_flags)
            );
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod instructions {
    pub(super) unsafe fn zero() {
        unreachable!("not available on this architecture")
    }

    pub(super) unsafe fn load<const TILE: usize>(_from: *const u8, _row: usize) {
        unreachable!("not available on this architecture")
    }

    pub(super) unsafe fn multiply<const SUM: usize, const A: usize, const B: usize>() {
        unreachable!("not available on this architecture")
    }

    pub(super) unsafe fn store_one<const TILE: usize>(_to: *mut u8, _row: usize) {
        unreachable!("not available on this architecture")
    }
}

use instructions::{load, multiply, store_one, zero};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::noise;
    use crate::kernels::turn_weights;
    use proptest::prelude::*;

    /// Sums of products whose factors were rounded to bf16: bounded by 2⁻⁸ of the sum of the products' magnitudes, and
    /// in fact some way below.
    fn check(what: &str, actual: &[f32], expected: &[[f64; 2]]) -> Result<(), TestCaseError> {
        for (at, (a, [sum, magnitude])) in actual.iter().zip(expected).enumerate() {
            let difference = (f64::from(*a) - sum).abs();
            prop_assert!(
                difference < magnitude / 256.0 + 1e-6,
                "{what} {at}: {a} {sum}"
            );
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(16), failure_persistence: None, ..ProptestConfig::default() })]
        /// <g, conv(x)> differentiated by x and by the weights, written as sums with explicit indices.
        #[test]
        fn tiles_agree_with_the_sums(
            in_steps in 1_usize..4,
            out_steps in 1_usize..5,
            missing in 0_usize..9,
            rows in 2_usize..7,
            columns in 2_usize..40,
        ) {
            if !has_tiles() {
                return Ok(());
            }
            let (ins, outs) = (in_steps * CHANNEL_STEP, out_steps * CHANNEL_STEP);
            let weights = noise(1, TAPS * ins * outs);
            let channels = ins - missing;
            let plane = noise(2, rows * columns * channels);
            let values = noise(3, rows * columns * outs);
            let mirrored = |at: usize, size: usize| match at {
                0 => 1,
                at if at > size => size - 2,
                at => at - 1,
            };
            let mut output = vec![[0.0_f64; 2]; rows * columns * outs];
            let mut back = vec![[0.0_f64; 2]; (rows + 2) * (columns + 2) * ins];
            let mut table = vec![[1.0_f64; 2]; weights.len()];
            for (row, column, tap) in (0..rows * columns * TAPS).map(|n| (n / TAPS / columns, n / TAPS % columns, n % TAPS)) {
                let (y, x) = (row + tap / 3, column + tap % 3);
                let from = (mirrored(y, rows) * columns + mirrored(x, columns)) * channels;
                for (i, o) in (0..ins * outs).map(|n| (n / outs, n % outs)) {
                    let (to, weight) = ((row * columns + column) * outs + o, (tap * ins + i) * outs + o);
                    let value = if i < channels { plane[from + i] } else { 0.0 };
                    let (x_, w, g) = (f64::from(value), f64::from(weights[weight]), f64::from(values[to]));
                    let add = |sum: &mut [f64; 2], value: f64| *sum = [sum[0] + value, sum[1] + value.abs()];
                    add(&mut output[to], x_ * w);
                    add(&mut back[(y * (columns + 2) + x) * ins + i], g * w);
                    add(&mut table[weight], g * x_);
                }
            }
            let (mut tiles, mut input) = (TileWeights::default(), HalfPlane::default());
            let (mut turned, mut gradient) = (HalfPlane::default(), HalfPlane::default());
            // What a plane held before is of no account.
            for plane in [&mut input, &mut turned, &mut gradient] {
                plane.place(&noise(4, 48 * 48 * 64), (48, 48), 64);
            }
            input.pad(&plane, (rows, columns), (channels, ins));
            tiles.pack(&weights, (ins, outs));
            let mut actual = vec![0.0; output.len()];
            convolve_in_tiles(&tiles, &input, (rows, columns), &mut actual);
            check("forward", &actual, &output)?;

            let mut other_weights = vec![0.0; weights.len()];
            turn_weights(&weights, (ins, outs), &mut other_weights);
            tiles.pack(&other_weights, (outs, ins));
            gradient.place(&values, (rows, columns), outs);
            let mut actual = vec![0.0; back.len()];
            convolve_in_tiles(&tiles, &gradient, (rows + 2, columns + 2), &mut actual);
            check("backward", &actual, &back)?;

            // What was there before is added to.
            let mut actual = vec![1.0; table.len()];
            turned.turn(&input, (rows, columns), ins);
            gradient.pair_up(&values, (rows, columns), outs);
            add_weight_gradient_in_tiles(&turned, &gradient, (ins, outs), (rows, columns), &mut actual);
            check("weights", &actual, &table)?;
        }
    }
}

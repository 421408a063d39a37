//! Convolution in the matrix unit (AMX, Intel servers since 2023): bf16 products, `f32` sums.
//!
//! One instruction multiplies 16 rows of 32 bf16 values with a 32×16 block of weights. A row is one output pixel's
//! share of the input: 32 channels of a 3×3 layer's tap, or a whole kernel row of 9×9×3 (27 values; the five behind
//! them meet zero weights). Tile loads take any distance between rows, so the patch is read as it lies: the distance
//! is one pixel, and no input is ever rearranged. Two tiles of pixels times two of output channels are held at a time, or four
//! of pixels where there are 16 outputs; a layer of 64 takes them in two turns. A layer of at most 16 outputs may make several neighbouring pixels at
//! once, whose kernels lie beside one another in the zeros of a wider one: so many that all four products are used where
//! that multiplies no more zeros. Outputs that are blocks of 2×2 pixels are made as two rows, each of which lies in memory
//! as it will in the tensor.
//!
//! Intrinsics for this unit are not stable, so this is the one module with assembly. The compiler never touches tile
//! registers; they are configured before and released after each tile of the picture.

use super::aligned::AlignedBuffer;
use super::network::ConvolutionWeights;
use super::simd::Simd;
use super::tiled::Beside;

/// Output pixels of one tile register.
const TILE_PIXELS: usize = 16;
/// Values of one tile row.
const TILE_VALUES: usize = 32;
/// Bytes of one tile register.
const TILE_BYTES: usize = 1024;
/// Most steps of any layer: 9 rows of three blocks.
const STEPS: usize = 27;

/// Whether the processor has the unit and the operating system lets this process use it.
#[cfg(target_arch = "x86_64")]
pub(crate) fn is_available() -> bool {
    static AVAILABLE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        // CPUID leaf 7: bit 22 bf16 tiles, bit 24 tiles.
        let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
        let has_unit = std::arch::x86_64::__cpuid(0).eax >= 7
            && features >> 22 & 1 == 1
            && features >> 24 & 1 == 1;
        has_unit && request_permission()
    })
}

/// Asks Linux for the tile registers' state (`ARCH_REQ_XCOMP_PERM` of `XTILE_DATA`); other systems are not supported.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn request_permission() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XTILE_DATA: i64 = 18;
    let status: i64;
    // SAFETY: a system call that only sets a permission bit of this process.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => status,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    status == 0
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn request_permission() -> bool {
    false
}

/// The layout of all tile registers, as `ldtilecfg` reads it.
#[cfg(target_arch = "x86_64")]
#[repr(C, align(64))]
struct TileConfiguration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

#[cfg(target_arch = "x86_64")]
static CONFIGURATION: TileConfiguration = TileConfiguration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Lays out all eight tile registers as 16 rows of 64 bytes.
///
/// # Safety
/// The unit is available ([`is_available`]).
#[inline(always)]
pub(super) unsafe fn configure() {
    // SAFETY: the unit is available; the configuration is static.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("ldtilecfg [{0}]", in(reg) &raw const CONFIGURATION, options(nostack));
    }
}

/// Gives back what [`configure`] took, so that the operating system need not save it.
///
/// # Safety
/// The unit is available ([`is_available`]).
#[inline(always)]
pub(super) unsafe fn release() {
    // SAFETY: the unit is available.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("tilerelease", options(nostack));
    }
}

/// Neighbouring pixels that a layer of so many stored `channels` makes at once: 16 or 32 outputs, whichever multiplies less
/// (32 where both do the same), and at least 32 if they are blocks.
fn pixels_at_once(
    channels: usize,
    weights: &ConvolutionWeights,
    stride: usize,
    blocks_of_pixels: bool,
) -> usize {
    let (kernel, inputs) = (weights.kernel_size, weights.in_channels);
    let blocks = |pixels: usize| ((kernel + (pixels - 1) * stride) * inputs).div_ceil(TILE_VALUES);
    let (few, many) = ((16 / channels).max(1), (32 / channels).max(1));
    // Products of 16 outputs for as many pixels: one for each block of few, two of many.
    let fewer = blocks(many) * 2 <= blocks(few) * many / few;
    if blocks_of_pixels || many == few || fewer && kernel * blocks(many) <= STEPS {
        many
    } else {
        few
    }
}

/// Weights of one convolution as tiles.
pub(crate) struct TileConvolution {
    out_channels: usize,
    pixels_at_once: usize,
    /// Whether outputs are blocks of 2×2 pixels, whose rows are written apart.
    blocks: bool,
    /// Bytes from one output pixel's input to the next one's.
    step: usize,
    /// Kernel row and byte offset in it of each step.
    steps: Vec<(usize, usize)>,
    /// `[turn][step][block of 16 output channels][pair of values][output channel][2]`.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(
            dead_code,
            reason = "the type is known everywhere, its arithmetic on x86-64"
        )
    )]
    packed: AlignedBuffer,
}

impl TileConvolution {
    /// Packs `weights`, of 3, 4, 8, 16, 32 or 64 output channels; three are stored as four, the last of them zero. Whether
    /// they are `blocks` of 2×2 pixels (of 16 channels on) is for the order in memory.
    pub(crate) fn new(weights: &ConvolutionWeights, stride: usize, blocks: bool) -> Self {
        let ConvolutionWeights {
            out_channels: own,
            in_channels,
            kernel_size: kernel,
            ref weight,
        } = *weights;
        let channels = own.next_power_of_two();
        let pixels_at_once = pixels_at_once(channels, weights, stride, blocks);
        // Pixels further right see the same run, as much later as they are apart.
        let reach = kernel + (pixels_at_once - 1) * stride;
        let convolution = Self::from_rows(
            channels * pixels_at_once,
            kernel,
            reach * in_channels,
            pixels_at_once * stride * in_channels,
            |o, y, value| {
                let (pixel, o) = if blocks {
                    // `[row in the block][pixel][column in the block][channel]`.
                    let half = channels / 2;
                    let (row, inside) = (o / (half * pixels_at_once), o % (half * pixels_at_once));
                    (inside / half, row * half + inside % half)
                } else {
                    (o / channels, o % channels)
                };
                let (x, i) = (value / in_channels, value % in_channels);
                match x.checked_sub(pixel * stride) {
                    Some(x) if x < kernel && o < own => {
                        weight[((o * in_channels + i) * kernel + y) * kernel + x]
                    }
                    _ => 0.0,
                }
            },
        );
        Self {
            pixels_at_once,
            blocks,
            ..convolution
        }
    }

    /// Packs rows of weights: output `o` is the sum over kernel rows `y` and the `run` values from its input on of
    /// `weight(o, y, value)`; one output's input lies `step` values behind the last one's.
    pub(crate) fn from_rows(
        out_channels: usize,
        kernel: usize,
        run: usize,
        step: usize,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        debug_assert!(matches!(out_channels, 16 | 32 | 64));
        // Output channels of a turn.
        let turn = out_channels.min(32);
        let blocks = run.div_ceil(TILE_VALUES);
        let steps: Vec<_> = (0..kernel * blocks)
            .map(|s| (s / blocks, s % blocks * TILE_VALUES * 2))
            .collect();
        debug_assert!(steps.len() <= STEPS);
        let mut packed = vec![0_u8; steps.len() * (out_channels / 16) * TILE_BYTES];
        for y in 0..kernel {
            for value in 0..run {
                for o in 0..out_channels {
                    let (block, inside) = (value / TILE_VALUES, value % TILE_VALUES);
                    let step = o / turn * steps.len() + y * blocks + block;
                    let tile = step * (turn / 16) + o % turn / 16;
                    let at = tile * TILE_BYTES + ((inside / 2 * 16 + o % 16) * 2 + inside % 2) * 2;
                    packed[at..at + 2]
                        .copy_from_slice(&half::bf16::from_f32(weight(o, y, value)).to_le_bytes());
                }
            }
        }
        Self {
            out_channels,
            pixels_at_once: 1,
            blocks: false,
            step: step * 2,
            steps,
            packed: AlignedBuffer::from_bytes(&packed),
        }
    }

    /// Outputs of all pixels that are made at once.
    pub(crate) fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// Neighbouring pixels that count as one, whose channels follow one another in the outputs.
    pub(crate) fn pixels_at_once(&self) -> usize {
        self.pixels_at_once
    }

    /// Pixels that are made at once.
    pub(crate) fn columns_at_once(&self) -> usize {
        self.units_at_once() * self.pixels_at_once
    }

    /// The unit's four sums are of twice 16 units and twice 16 outputs, or of four times 16 units.
    fn units_at_once(&self) -> usize {
        if self.out_channels >= 32 {
            2 * TILE_PIXELS
        } else {
            4 * TILE_PIXELS
        }
    }

    /// Pieces of other work that are done beside a row of so many units.
    pub(crate) fn pieces(&self, units: usize) -> usize {
        units.div_ceil(self.units_at_once()) * self.out_channels.div_ceil(32) * self.steps.len()
    }

    /// Takes the unit, before a worker's first row of a tile.
    ///
    /// # Safety
    /// The unit is available.
    #[inline(always)]
    pub(crate) unsafe fn begin(&self) {
        // SAFETY: as for this function.
        unsafe { configure() };
    }

    /// Gives it back.
    ///
    /// # Safety
    /// The unit is available.
    #[inline(always)]
    pub(crate) unsafe fn end(&self) {
        // SAFETY: as for this function.
        unsafe { release() };
    }

    /// A row of raw outputs, `[units][out_channels]`, to `out`; outputs that are blocks of 2×2 pixels as two rows,
    /// `half` values apart. Up to [`OVERRUN`](super::convolution::OVERRUN) values are written behind each of two rows,
    /// twice as many behind a whole one. A piece of the work `beside` is done at each step.
    ///
    /// `input` is the patch row where the kernel's first row lies, `row_values` the length of a patch row.
    ///
    /// # Safety
    /// The patch holds `kernel` rows of the units' pixels with what the kernel reaches and, like `out`, has room for as
    /// many units as are made at once; all of it is finite, also what is yet to be filled; the unit is taken
    /// ([`TileConvolution::begin`]); what is done beside touches neither; `S` is available.
    #[inline(always)]
    pub(crate) unsafe fn row<S: Simd>(
        &self,
        input: *const u8,
        row_values: usize,
        units: usize,
        (out, half): (*mut f32, usize),
        beside: &mut impl Beside,
    ) {
        let mut offsets = [0; STEPS];
        for (offset, (row, inside)) in offsets.iter_mut().zip(&self.steps) {
            *offset = row * row_values * 2 + inside;
        }
        let turns = self.out_channels.div_ceil(32);
        // Values of one output pixel in a row, from a turn to the next, and from 16 channels to the other 16.
        let (outputs, next_turn, second_block) = match (self.blocks, turns) {
            (false, _) => (self.out_channels, 32, 16),
            (true, 1) => (self.out_channels / 2, 0, half),
            (true, _) => (self.out_channels / 2, half, 16),
        };
        for first in (0..units).step_by(self.units_at_once()) {
            for turn in 0..turns {
                // SAFETY: up to 63 units too many are read and written behind the row, or 31 behind both rows.
                unsafe {
                    let out = out.add(first * outputs + turn * next_turn);
                    self.pair::<S>(
                        input.add(first * self.step),
                        &offsets,
                        turn,
                        (out, outputs * 4, second_block * 4),
                        beside,
                    )
                };
            }
        }
    }

    /// 64 units (of one pixel, or several at once) of 16 outputs, or 32 of those 32 outputs that `turn` counts: `out_row` bytes
    /// from one unit's to the next one's, `second_block` from 16 outputs to the other 16.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn pair<S: Simd>(
        &self,
        input: *const u8,
        offsets: &[usize; STEPS],
        turn: usize,
        (out, out_row, second_block): (*mut f32, usize, usize),
        beside: &mut impl Beside,
    ) {
        use std::arch::asm;

        let steps = self.steps.len();
        let second_input = TILE_PIXELS * self.step;
        // SAFETY: the tile registers are configured; every step's rows lie inside the patch and its slack, the weights
        // hold 1024 bytes per step and block, and `out` has room for the units.
        unsafe {
            let out = out.cast::<u8>();
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem, preserves_flags)
            );
            let wide = self.out_channels >= 32;
            for (step, &offset) in offsets[..steps].iter().enumerate() {
                let input = input.add(offset);
                let tile = (turn * steps + step) * if wide { 2 } else { 1 };
                let weights = self.packed.as_ptr::<u8>().add(tile * TILE_BYTES);
                if wide {
                    asm!(
                        "tileloadd tmm4, [{a} + {step}]",
                        "tileloadd tmm6, [{weights} + {line}]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm7, [{weights} + {line} + 1024]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tileloadd tmm5, [{b} + {step}]",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                        a = in(reg) input,
                        b = in(reg) input.add(second_input),
                        weights = in(reg) weights,
                        step = in(reg) self.step,
                        line = in(reg) 64_usize,
                        options(nostack, readonly, preserves_flags)
                    );
                } else {
                    asm!(
                        "tileloadd tmm4, [{weights} + {line}]",
                        "tileloadd tmm5, [{a} + {step}]",
                        "tdpbf16ps tmm0, tmm5, tmm4",
                        "tileloadd tmm6, [{b} + {step}]",
                        "tdpbf16ps tmm1, tmm6, tmm4",
                        "tileloadd tmm7, [{c} + {step}]",
                        "tdpbf16ps tmm2, tmm7, tmm4",
                        "tileloadd tmm5, [{d} + {step}]",
                        "tdpbf16ps tmm3, tmm5, tmm4",
                        a = in(reg) input,
                        b = in(reg) input.add(second_input),
                        c = in(reg) input.add(2 * second_input),
                        d = in(reg) input.add(3 * second_input),
                        weights = in(reg) weights,
                        step = in(reg) self.step,
                        line = in(reg) 64_usize,
                        options(nostack, readonly, preserves_flags)
                    );
                }
                beside.piece::<S>();
            }
            let second_out = TILE_PIXELS * out_row;
            let [b, c, d] = match wide {
                true => [second_block, second_out, second_out + second_block],
                false => [second_out, 2 * second_out, 3 * second_out],
            };
            asm!(
                "tilestored [{a} + {out_row}], tmm0",
                "tilestored [{b} + {out_row}], tmm1",
                "tilestored [{c} + {out_row}], tmm2",
                "tilestored [{d} + {out_row}], tmm3",
                a = in(reg) out,
                b = in(reg) out.add(b),
                c = in(reg) out.add(c),
                d = in(reg) out.add(d),
                out_row = in(reg) out_row,
                options(nostack, preserves_flags)
            );
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    unsafe fn pair<S: Simd>(
        &self,
        _input: *const u8,
        _offsets: &[usize; STEPS],
        _turn: usize,
        _out: (*mut f32, usize, usize),
        _beside: &mut impl Beside,
    ) {
        unreachable!("not available on this architecture")
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

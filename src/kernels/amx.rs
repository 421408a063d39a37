//! Convolution in the matrix unit (AMX, Intel servers since 2023): bf16 products, `f32` sums.
//!
//! One instruction multiplies 16 rows of 32 bf16 values with a 32×16 block of weights. A row is one output pixel's
//! share of the input: 32 channels of a 3×3 layer's tap, or a whole kernel row of 9×9×3 (27 values; the five behind
//! them meet zero weights). Tile loads take any distance between rows, so the patch is read as it lies: the distance
//! is one pixel, and no input is ever rearranged. Two tiles of pixels times two of output channels are held at a time;
//! a layer of 64 outputs takes them in two turns. A layer of at most 16 outputs may make several neighbouring pixels at
//! once, whose kernels lie beside one another in the zeros of a wider one: so many that all four products are used where
//! that multiplies no more zeros. Outputs that are blocks of 2×2 pixels are made as two rows, each of which lies in memory
//! as it will in the tensor.
//!
//! Intrinsics for this unit are not stable, so this is the one module with assembly. The compiler never touches tile
//! registers; they are configured before and released after each tile of the picture.

use super::aligned::AlignedBuffer;
use super::convolution::RowConvolution;
use super::format::Bf16;
use super::network::ConvolutionWeights;
use super::simd::Simd;

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

    /// 32 units (of one pixel, or several at once) of 16 outputs, or of those 32 that `turn` counts: `out_row` bytes from one
    /// unit's to the next one's, `second_block` from 16 outputs to the other 16.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn pair(
        &self,
        input: *const u8,
        offsets: &[usize; STEPS],
        turn: usize,
        (out, out_row, second_block): (*mut f32, usize, usize),
    ) {
        let second_input = TILE_PIXELS * self.step;
        let second_out = TILE_PIXELS * out_row;
        // SAFETY: the tile registers are configured; every step's rows lie inside the patch and its slack, the weights
        // hold 1024 bytes per step and block, and `out` has room for 32 units.
        unsafe {
            let weights = self.packed.as_ptr::<u8>();
            let weights = weights.add(turn * self.steps.len() * 2 * TILE_BYTES);
            if self.out_channels >= 32 {
                std::arch::asm!(
                    "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                    "2:",
                    "mov {a}, [{offsets}]",
                    "add {a}, {input}",
                    "tileloadd tmm4, [{a} + {step}]",
                    "add {a}, {second_input}",
                    "tileloadd tmm6, [{weights} + {line}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{weights} + {line} + 1024]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{a} + {step}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {weights}, 2048",
                    "add {offsets}, 8",
                    "cmp {offsets}, {end}",
                    "jne 2b",
                    "tilestored [{out} + {out_row}], tmm0",
                    "lea {a}, [{out} + {second_block}]",
                    "tilestored [{a} + {out_row}], tmm1",
                    "add {out}, {second_out}",
                    "tilestored [{out} + {out_row}], tmm2",
                    "lea {a}, [{out} + {second_block}]",
                    "tilestored [{a} + {out_row}], tmm3",
                    a = out(reg) _,
                    offsets = inout(reg) offsets.as_ptr() => _,
                    end = in(reg) offsets.as_ptr().add(self.steps.len()),
                    input = in(reg) input,
                    step = in(reg) self.step,
                    second_input = in(reg) second_input,
                    weights = inout(reg) weights => _,
                    line = in(reg) 64_usize,
                    out = inout(reg) out => _,
                    out_row = in(reg) out_row,
                    second_block = in(reg) second_block,
                    second_out = in(reg) second_out,
                    options(nostack),
                );
            } else {
                std::arch::asm!(
                    "tilezero tmm0", "tilezero tmm2",
                    "2:",
                    "mov {a}, [{offsets}]",
                    "add {a}, {input}",
                    "tileloadd tmm4, [{a} + {step}]",
                    "add {a}, {second_input}",
                    "tileloadd tmm6, [{weights} + {line}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{a} + {step}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "add {weights}, 1024",
                    "add {offsets}, 8",
                    "cmp {offsets}, {end}",
                    "jne 2b",
                    "tilestored [{out} + {out_row}], tmm0",
                    "add {out}, {second_out}",
                    "tilestored [{out} + {out_row}], tmm2",
                    a = out(reg) _,
                    offsets = inout(reg) offsets.as_ptr() => _,
                    end = in(reg) offsets.as_ptr().add(self.steps.len()),
                    input = in(reg) input,
                    step = in(reg) self.step,
                    second_input = in(reg) second_input,
                    weights = inout(reg) weights => _,
                    line = in(reg) 64_usize,
                    out = inout(reg) out => _,
                    out_row = in(reg) out_row,
                    second_out = in(reg) second_out,
                    options(nostack),
                );
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    unsafe fn pair(
        &self,
        _input: *const u8,
        _offsets: &[usize; STEPS],
        _turn: usize,
        _out: (*mut f32, usize, usize),
    ) {
        unreachable!("not available on this architecture")
    }
}

impl RowConvolution for TileConvolution {
    type Format = Bf16;
    const OVERRUNS: bool = true;
    const ROWS: usize = 1;
    const BLOCK_ROWS: bool = true;

    fn out_channels(&self) -> usize {
        self.out_channels
    }

    #[inline(always)]
    fn pixels_at_once(&self) -> usize {
        self.pixels_at_once
    }

    #[inline(always)]
    unsafe fn begin(&self) {
        // SAFETY: whoever made this had the unit.
        unsafe { configure() };
    }

    #[inline(always)]
    unsafe fn end(&self) {
        // SAFETY: as above.
        unsafe { release() };
    }

    #[inline(always)]
    unsafe fn row<S: Simd>(
        &self,
        input: *const u8,
        row_values: usize,
        pixels: usize,
        out: *mut f32,
        out_stride: usize,
        _work: *mut f32,
    ) {
        let mut offsets = [0; STEPS];
        for (offset, (row, inside)) in offsets.iter_mut().zip(&self.steps) {
            *offset = row * row_values * 2 + inside;
        }
        let turns = self.out_channels.div_ceil(32);
        // Values of one output pixel in a row, from a turn to the next, and from 16 channels to the other 16.
        let (outputs, next_turn, second_block) = match (self.blocks, turns) {
            (false, _) => (self.out_channels, 32, 16),
            (true, 1) => (self.out_channels / 2, 0, out_stride),
            (true, _) => (self.out_channels / 2, out_stride, 16),
        };
        for first in (0..pixels).step_by(2 * TILE_PIXELS) {
            for turn in 0..turns {
                // SAFETY: up to 31 units too many are read from the slack and written behind the row or both rows.
                unsafe {
                    let out = out.add(first * outputs + turn * next_turn);
                    self.pair(
                        input.add(first * self.step),
                        &offsets,
                        turn,
                        (out, outputs * 4, second_block * 4),
                    )
                };
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

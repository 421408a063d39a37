//! What a pass asks of a convolution, and the choice of one for a layer.

use super::amx::TileConvolution;
use super::direct::DirectConvolution;
use super::format::{Bf16, F32, Format, Int8};
use super::instruction_set::InstructionSet;
use super::network::ConvolutionWeights;
use super::simd::Simd;
use super::winograd::WinogradConvolution;
use super::winograd_nine::WinogradNine;
use super::winograd_rows::WinogradRows;

/// A convolution over patch rows.
pub(crate) trait RowConvolution: Sync {
    /// Numbers of the patch.
    type Format: Format;
    /// Whether [`RowConvolution::row`] writes behind the row.
    const OVERRUNS: bool;
    /// Rows that are made at once.
    const ROWS: usize;
    /// Whether a patch holds what [`RowConvolution::transform`] makes of its rows.
    const TRANSFORMS: bool = false;

    /// Output channels.
    fn out_channels(&self) -> usize;

    /// Neighbouring pixels that count as one, whose channels follow one another in the outputs.
    #[inline(always)]
    fn pixels_at_once(&self) -> usize {
        1
    }

    /// Values of a patch row that [`RowConvolution::transform`] makes, for so many outputs.
    fn row_values(&self, _pixels: usize) -> usize {
        unreachable!("its patches are not transformed")
    }

    /// How many plain rows [`RowConvolution::transform`] is to be called with for so many rows of outputs, and how many rows the
    /// patch then has; those of a kernel of three rows unless said otherwise.
    fn patch_rows(&self, rows: usize) -> (usize, usize) {
        (rows + 2, rows + 2)
    }

    /// Takes row `row` of plain `f32` values, `[columns][in_channels]`, for so many outputs, and makes what rows of the patch
    /// it can. Rows come in order; the memory behind the plain one is kept in between.
    ///
    /// # Safety
    /// `plain` has room for [`WORK`] values, `patch` for its rows of [`RowConvolution::row_values`] values; `S` is what the
    /// weights were packed for.
    #[inline(always)]
    unsafe fn transform<S: Simd>(
        &self,
        _plain: *mut f32,
        _row: usize,
        _pixels: usize,
        _patch: *mut u8,
    ) {
        unreachable!("its patches are not transformed")
    }

    /// [`RowConvolution::ROWS`] rows of raw outputs, `[pixels][out_channels]` each, to `out`, `out_stride` values apart.
    ///
    /// `input` is the patch row where the kernel's first row lies, `row_values` the length of a patch row.
    ///
    /// # Safety
    /// The patch is what [`RowConvolution::transform`] makes, or holds `kernel` rows (and those for the further rows made at once) of
    /// `(pixels - 1) * stride + kernel` columns from `input` on and [`SLACK`] values behind its end; `out` has room for
    /// the pixels and [`SLACK`] values; `work` for [`WORK`] values; `S` is what the weights were packed for.
    unsafe fn row<S: Simd>(
        &self,
        input: *const u8,
        row_values: usize,
        pixels: usize,
        out: *mut f32,
        out_stride: usize,
        work: *mut f32,
    );
}

/// Values of the work memory that a convolution, and what fills its patch, may use.
pub(crate) const WORK: usize = WinogradConvolution::WORK;

/// Values that a convolution may read behind a patch (the first 1024 bytes of them finite) and write behind a row of
/// outputs.
pub(crate) const SLACK: usize = 32 * 64 * 2;

/// Values that the matrix unit may write behind each of two rows of 2×2 blocks: 31 times 32.
pub(crate) const OVERRUN: usize = 1024;

/// How a layer is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    F32,
    Bf16,
    Int8,
    /// bf16 in the matrix unit.
    Tiles,
}

/// The packed weights of a layer.
pub(crate) enum Convolution {
    F32(DirectConvolution<F32>),
    Winograd(WinogradConvolution),
    Bf16(DirectConvolution<Bf16>),
    /// 3×3 in bf16.
    Rows(WinogradRows),
    /// 9×9.
    Nine(WinogradNine<F32>),
    /// 9×9 in bf16.
    HalfNine(WinogradNine<Bf16>),
    Int8(DirectConvolution<Int8>),
    Tiles(TileConvolution),
}

impl Convolution {
    /// Packs `weights`, whose outputs may be `blocks` of 2×2 pixels; channels are a multiple of 16 but for
    /// [`Method::Tiles`]. For [`Method::Int8`] see [`quantise`](super::quantise).
    pub(crate) fn new(
        weights: &ConvolutionWeights,
        (stride, blocks): (usize, bool),
        method: Method,
        set: InstructionSet,
    ) -> Self {
        match method {
            Method::F32 if WinogradConvolution::suits(weights, stride) => {
                Self::Winograd(WinogradConvolution::new(weights))
            }
            Method::F32 if WinogradNine::<F32>::suits(weights, stride) => {
                Self::Nine(WinogradNine::new(weights, set))
            }
            Method::F32 => Self::F32(DirectConvolution::new(weights, stride, set)),
            Method::Bf16 if WinogradRows::suits(weights, stride) => {
                Self::Rows(WinogradRows::new(weights, set))
            }
            Method::Bf16 if WinogradNine::<Bf16>::suits(weights, stride) => {
                Self::HalfNine(WinogradNine::new(weights, set))
            }
            Method::Bf16 => Self::Bf16(DirectConvolution::new(weights, stride, set)),
            Method::Int8 => Self::Int8(DirectConvolution::new(weights, stride, set)),
            Method::Tiles => Self::Tiles(TileConvolution::new(weights, stride, blocks)),
        }
    }
}

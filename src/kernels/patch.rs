//! The input of one tile, normalised and padded once, in memory that stays in the second-level cache.
//!
//! A 3×3 convolution reads each value nine times. Normalisation, ReLU, residual sum and reflection are therefore paid
//! here, once per value of the patch, and the convolution runs over plain rows without a single special case.

use super::format::Format;
use super::simd::Simd;
use super::statistics::{Affine, Output, STATISTIC_LANES, Stored};
use half::f16;
use std::ops::Range;

/// How a coordinate outside the picture is brought back in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Mirrored without repeating the border pixel.
    Reflect,
    /// The border pixel; what reflection becomes once nearest ×2 upsampling is folded into a 3×3 convolution.
    Clamp,
}

impl Edge {
    /// The coordinate in `0..length` that stands for `position`.
    #[inline(always)]
    pub(crate) fn inside(self, position: isize, length: usize) -> usize {
        let last = length as isize - 1;
        match self {
            Self::Clamp => position.clamp(0, last) as usize,
            Self::Reflect => {
                let positive = position.abs();
                (if positive > last {
                    2 * last - positive
                } else {
                    positive
                }) as usize
            }
        }
    }
}

/// Rows and columns of the output that one task makes, and the part of the input that they need.
#[derive(Debug, Clone)]
pub(crate) struct Tile {
    /// Output rows.
    pub(crate) rows: Range<usize>,
    /// Output columns.
    pub(crate) columns: Range<usize>,
    /// First input row of the patch (may lie outside).
    pub(crate) top: isize,
    /// First input column of the patch (may lie outside).
    pub(crate) left: isize,
    /// Patch rows.
    pub(crate) patch_rows: usize,
    /// Patch columns.
    pub(crate) patch_columns: usize,
}

/// How a layer's output plane is cut into tiles. The cut depends on the layer alone, never on the threads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    /// Output height in pixels.
    pub(crate) height: usize,
    /// Output width in pixels.
    pub(crate) width: usize,
    /// Rows of a tile.
    pub(crate) tile_rows: usize,
    /// Columns of a tile.
    pub(crate) tile_columns: usize,
    /// Kernel size.
    pub(crate) kernel: usize,
    /// Stride.
    pub(crate) stride: usize,
}

impl Tiling {
    /// Tiles of about `pixels` patch pixels, at least 12 of them where the plane is large enough, columns a multiple
    /// of `quantum`.
    pub(crate) fn new(
        (height, width): (usize, usize),
        kernel: usize,
        stride: usize,
        pixels: usize,
        quantum: usize,
    ) -> Self {
        // Whole pieces of four rows suit every convolution; a large kernel's patch has many more rows than its tile.
        let most = if kernel > 5 { 32 } else { 16 };
        let rows = height.div_ceil(12).clamp(4, most).next_multiple_of(4);
        let patch_rows = (rows - 1) * stride + kernel;
        let columns = (pixels / patch_rows).saturating_sub(kernel) / stride + 1;
        let parts = width.div_ceil(columns.max(quantum));
        let columns = width
            .div_ceil(parts)
            .next_multiple_of(quantum)
            .min(width.next_multiple_of(quantum));
        Self {
            height,
            width,
            tile_rows: rows,
            tile_columns: columns,
            kernel,
            stride,
        }
    }

    fn across(&self) -> usize {
        self.width.div_ceil(self.tile_columns)
    }

    /// Number of tiles.
    pub(crate) fn count(&self) -> usize {
        self.across() * self.height.div_ceil(self.tile_rows)
    }

    /// Pixels of the largest patch.
    pub(crate) fn patch_pixels(&self) -> usize {
        let side = |length: usize| (length - 1) * self.stride + self.kernel;
        side(self.tile_rows) * side(self.tile_columns)
    }

    /// One tile, row by row.
    #[inline(always)]
    pub(crate) fn tile(&self, index: usize) -> Tile {
        let (row, column) = (index / self.across(), index % self.across());
        let rows = row * self.tile_rows..((row + 1) * self.tile_rows).min(self.height);
        let columns =
            column * self.tile_columns..((column + 1) * self.tile_columns).min(self.width);
        let padding = (self.kernel / 2) as isize;
        Tile {
            top: (rows.start * self.stride) as isize - padding,
            left: (columns.start * self.stride) as isize - padding,
            patch_rows: (rows.len() - 1) * self.stride + self.kernel,
            patch_columns: (columns.len() - 1) * self.stride + self.kernel,
            rows,
            columns,
        }
    }
}

/// In which numbers a tensor rests between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// 32-bit floating point.
    F32,
    /// Half precision: half the memory traffic, and its 11 bits hide behind the 8 of a bf16 product.
    F16,
    /// 16-bit whole numbers, for outputs that are bounded.
    I16,
}

impl Storage {
    /// Bytes of one value.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::I16 => 2,
        }
    }

    /// The value at `index`.
    ///
    /// # Safety
    /// `data` holds such numbers, and so many.
    #[inline(always)]
    pub(crate) unsafe fn value(self, data: *const u8, index: usize) -> f32 {
        // SAFETY: as the caller guarantees.
        unsafe {
            match self {
                Self::F32 => *data.cast::<f32>().add(index),
                Self::F16 => (*data.cast::<f16>().add(index)).to_f32(),
                Self::I16 => f32::from(*data.cast::<i16>().add(index)),
            }
        }
    }
}

/// What a convolution reads.
#[derive(Clone, Copy)]
pub(crate) struct TensorSource {
    /// Raw outputs of the layer before, `[height][width][channels]`.
    pub(crate) data: *const u8,
    /// Numbers of `data`.
    pub(crate) storage: Storage,
    /// Height, width and channels (a divisor of 32).
    pub(crate) shape: (usize, usize, usize),
    /// Normalisation and style of the layer before.
    pub(crate) affine: Affine,
    /// What maps values to 0..=255, for formats that need it.
    pub(crate) quantiser: Affine,
    /// Whether negative values become zero.
    pub(crate) relu: bool,
    /// The residual trunk that is added (same shape and numbers), or null.
    pub(crate) trunk: *const u8,
    /// Where the sum is kept as the next trunk, or null.
    pub(crate) keep: *mut u8,
    /// What lies outside.
    pub(crate) edge: Edge,
}

impl TensorSource {
    /// Writes the patch of `tile`, `[patch_rows][patch_columns][channels]` in format `P`, to `patch`.
    ///
    /// # Safety
    /// `patch` has room; the source holds its shape; no other task keeps (`keep`) this tile's own pixels; the
    /// processor has the instruction set.
    #[inline(always)]
    pub(crate) unsafe fn fill<S: Simd, P: Format>(&self, tile: &Tile, patch: *mut u8) {
        let (height, width, channels) = self.shape;
        let right = tile.left + tile.patch_columns as isize;
        let inner = tile.left.max(0)..right.min(width as isize);
        for patch_row in 0..tile.patch_rows {
            let y = tile.top + patch_row as isize;
            let source_row = self.edge.inside(y, height) * width;
            let own = y >= tile.rows.start as isize && y < tile.rows.end as isize;
            // The part of the row that this tile keeps, if any.
            let kept = if own && !self.keep.is_null() {
                tile.columns.start as isize..tile.columns.end as isize
            } else {
                inner.end..inner.end
            };
            let at =
                |x: isize| (patch_row * tile.patch_columns + (x - tile.left) as usize) * channels;
            // SAFETY: columns are brought inside the picture, and the patch has room for its own columns.
            unsafe {
                for x in (tile.left..inner.start).chain(inner.end..right) {
                    let pixel = source_row + self.edge.inside(x, width);
                    self.run::<S, P>(pixel, channels, patch, at(x), false);
                }
                for (x, end, keep) in [
                    (inner.start, kept.start, false),
                    (kept.start, kept.end, true),
                    (kept.end, inner.end, false),
                ] {
                    if x < end {
                        let values = (end - x) as usize * channels;
                        self.run::<S, P>(source_row + x as usize, values, patch, at(x), keep);
                    }
                }
            }
        }
    }

    /// Writes `count` values from `pixel` on, contiguous in the source and, from `index` on, in the patch.
    #[inline(always)]
    unsafe fn run<S: Simd, P: Format>(
        &self,
        pixel: usize,
        count: usize,
        patch: *mut u8,
        index: usize,
        keep: bool,
    ) {
        let first = pixel * self.shape.2;
        let blocks = count / STATISTIC_LANES;
        let (relu, trunk) = (self.relu, !self.trunk.is_null());
        // SAFETY: the caller hands a range inside the source and the patch.
        unsafe {
            // Each combination that occurs gets a loop of its own.
            macro_rules! blocks {
                ($relu:literal, $trunk:literal, $keep:literal) => {
                    if S::DOTS && self.storage == Storage::F16 {
                        self.blocks::<S, P, f16, $relu, $trunk, $keep>(first, blocks, patch, index);
                    } else {
                        self.blocks::<S, P, f32, $relu, $trunk, $keep>(first, blocks, patch, index);
                    }
                };
            }
            if self.storage == Storage::I16 {
                self.blocks::<S, P, i16, true, false, false>(first, blocks, patch, index);
            } else if relu && keep {
                blocks!(true, false, true);
            } else if relu {
                blocks!(true, false, false);
            } else if trunk && keep {
                blocks!(false, true, true);
            } else {
                blocks!(false, true, false);
            }
            for i in blocks * STATISTIC_LANES..count {
                P::put_one(
                    patch,
                    index + i,
                    self.one::<P>(first + i, i % STATISTIC_LANES, keep),
                );
            }
        }
    }

    #[inline(always)]
    unsafe fn blocks<
        S: Simd,
        P: Format,
        T: Stored,
        const RELU: bool,
        const TRUNK: bool,
        const KEEP: bool,
    >(
        &self,
        first: usize,
        blocks: usize,
        patch: *mut u8,
        index: usize,
    ) {
        // What the next row reads is on its way from the third-level cache meanwhile.
        let row = self.shape.1 * self.shape.2;
        // SAFETY: as for `run`.
        unsafe {
            for part in (0..STATISTIC_LANES).step_by(S::LANES) {
                let scale = S::load(self.affine.scale.as_ptr().add(part));
                let shift = S::load(self.affine.shift.as_ptr().add(part));
                let quantiser = (
                    S::load(self.quantiser.scale.as_ptr().add(part)),
                    S::load(self.quantiser.shift.as_ptr().add(part)),
                );
                for block in 0..blocks {
                    let at = block * STATISTIC_LANES + part;
                    if part == 0 {
                        let ahead = first + at + row;
                        S::prefetch(self.data.cast::<T>().wrapping_add(ahead).cast());
                        if TRUNK {
                            S::prefetch(self.trunk.cast::<T>().wrapping_add(ahead).cast());
                        }
                    }
                    let raw = T::get::<S>(self.data.cast(), first + at);
                    let mut value = S::fma(raw, scale, shift);
                    if RELU {
                        value = S::max(value, S::splat(0.0));
                    }
                    if TRUNK {
                        value = S::add(value, T::get::<S>(self.trunk.cast(), first + at));
                    }
                    if KEEP {
                        T::put::<S>(self.keep.cast(), first + at, value);
                    }
                    if P::QUANTISED {
                        value = S::fma(value, quantiser.0, quantiser.1);
                    }
                    P::put::<S>(patch, index + at, value);
                }
            }
        }
    }

    /// One value of lane `lane`, `index` in the tensor.
    #[inline(always)]
    unsafe fn one<P: Format>(&self, index: usize, lane: usize, keep: bool) -> f32 {
        // SAFETY: the caller's index is inside the tensor, whose shape trunk and keep share.
        unsafe {
            let at = |data| self.storage.value(data, index);
            let raw = at(self.data);
            let mut value = raw * self.affine.scale[lane] + self.affine.shift[lane];
            if self.relu {
                value = value.max(0.0);
            }
            if !self.trunk.is_null() {
                value += at(self.trunk);
            }
            if keep {
                match self.storage {
                    Storage::F16 => f16::put_one(self.keep.cast(), index, value),
                    _ => f32::put_one(self.keep.cast(), index, value),
                }
            }
            if P::QUANTISED {
                value * self.quantiser.scale[lane] + self.quantiser.shift[lane]
            } else {
                value
            }
        }
    }
}

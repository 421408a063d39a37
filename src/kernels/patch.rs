//! The input of one tile, normalised and padded once, in memory that stays in the second-level cache.
//!
//! A 3×3 convolution reads each value nine times. Normalisation, ReLU, residual sum and reflection are therefore paid
//! here, once per value of the patch, and the convolution runs over plain rows without a single special case.

use super::format::Format;
use super::simd::{Simd, prefetch};
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

impl Tile {
    /// The same tile as far as one row of its patch goes.
    #[inline(always)]
    pub(crate) fn patch_row(&self, row: usize) -> Self {
        Self {
            top: self.top + row as isize,
            patch_rows: 1,
            ..self.clone()
        }
    }

    /// Columns of the patch that lie inside an input of this width.
    #[inline(always)]
    fn inside(&self, width: usize) -> Range<usize> {
        let right = self.left + self.patch_columns as isize;
        self.left.max(0) as usize..right.min(width as isize) as usize
    }
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
        // Whole pieces of four rows suit almost every convolution (the one in pieces of three makes up to two rows too many); a large kernel's patch has many more rows than its tile.
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

/// Values that are contiguous in the source and in the patch, in blocks of [`STATISTIC_LANES`].
#[derive(Clone, Copy)]
pub(crate) struct PatchRun {
    first: usize,
    index: usize,
    values: usize,
    /// Whole blocks.
    pub(crate) blocks: usize,
    keep: bool,
}

impl PatchRun {
    /// No values.
    pub(crate) const NONE: Self = Self {
        first: 0,
        index: 0,
        values: 0,
        blocks: 0,
        keep: false,
    };
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
    /// A source that holds nothing.
    pub(crate) const NONE: Self = Self {
        data: std::ptr::null(),
        storage: Storage::F16,
        shape: (0, 0, 0),
        affine: Affine::IDENTITY,
        quantiser: Affine::IDENTITY,
        relu: false,
        trunk: std::ptr::null(),
        keep: std::ptr::null_mut(),
        edge: Edge::Reflect,
    };

    /// Writes so many rows of the patch of `tile`, `[patch_rows][patch_columns][channels]` in format `P`, to `patch`.
    ///
    /// # Safety
    /// `patch` has room; the source holds its shape; no other task keeps (`keep`) this tile's own pixels; the
    /// processor has the instruction set.
    #[inline(always)]
    pub(crate) unsafe fn fill_rows<S: Simd, P: Format>(
        &self,
        tile: &Tile,
        rows: Range<usize>,
        patch: *mut u8,
    ) {
        for row in rows {
            // SAFETY: as for this function.
            unsafe {
                let run = self.begin_row::<S, P>(tile, row, patch);
                self.put::<S, P>(&run, 0..run.blocks, patch);
                self.end_row::<P>(tile, row, patch);
            }
        }
    }

    /// Writes one row of the patch but for the whole blocks of the run that is returned, which are left to
    /// [`TensorSource::put`], and for what lies outside of the picture, which is [`TensorSource::end_row`]'s.
    ///
    /// # Safety
    /// As for [`TensorSource::fill_rows`].
    #[inline(always)]
    pub(crate) unsafe fn begin_row<S: Simd, P: Format>(
        &self,
        tile: &Tile,
        patch_row: usize,
        patch: *mut u8,
    ) -> PatchRun {
        let (height, width, channels) = self.shape;
        let inner = tile.inside(width);
        let y = tile.top + patch_row as isize;
        let source_row = self.edge.inside(y, height) * width;
        let own = y >= tile.rows.start as isize && y < tile.rows.end as isize;
        // The part of the row that this tile keeps, if any; else all of it is one run.
        let keep = own && !self.keep.is_null();
        let middle = if keep {
            tile.columns.clone()
        } else {
            inner.clone()
        };
        let run = |columns: Range<usize>, keep| {
            let column = (columns.start as isize - tile.left) as usize;
            PatchRun {
                first: (source_row + columns.start) * channels,
                index: (patch_row * tile.patch_columns + column) * channels,
                values: columns.len() * channels,
                blocks: columns.len() * channels / STATISTIC_LANES,
                keep,
            }
        };
        // SAFETY: columns are inside the picture, and the patch has room for its own columns.
        unsafe {
            for columns in [inner.start..middle.start, middle.end..inner.end] {
                if !columns.is_empty() {
                    let run = run(columns, false);
                    self.put::<S, P>(&run, 0..run.blocks, patch);
                    self.put_rest::<S, P>(&run, patch);
                }
            }
            let run = run(middle, keep);
            self.put_rest::<S, P>(&run, patch);
            run
        }
    }

    /// Writes what lies outside of the picture, once the rest of the row is there: it is in the patch already.
    ///
    /// # Safety
    /// As for [`TensorSource::fill_rows`].
    #[inline(always)]
    pub(crate) unsafe fn end_row<P: Format>(&self, tile: &Tile, patch_row: usize, patch: *mut u8) {
        let (_, width, channels) = self.shape;
        let inner = tile.inside(width);
        let right = tile.left + tile.patch_columns as isize;
        let bytes = channels * P::BYTES;
        let row = patch_row * tile.patch_columns;
        for x in (tile.left..inner.start as isize).chain(inner.end as isize..right) {
            let from = self.edge.inside(x, width) as isize - tile.left;
            // SAFETY: a tile has at least one column of the picture, and the reach of the kernel on both sides of it,
            // among which the mirror image of what lies outside is.
            unsafe {
                let from = patch.add((row + from as usize) * bytes);
                let to = patch.add((row + (x - tile.left) as usize) * bytes);
                std::ptr::copy_nonoverlapping(from, to, bytes);
            }
        }
    }

    /// Writes blocks of a run.
    ///
    /// # Safety
    /// As for [`TensorSource::fill_rows`]; the run is of the same patch, and the blocks are its own.
    #[inline(always)]
    pub(crate) unsafe fn put<S: Simd, P: Format>(
        &self,
        run: &PatchRun,
        blocks: Range<usize>,
        patch: *mut u8,
    ) {
        let first = run.first + blocks.start * STATISTIC_LANES;
        let index = run.index + blocks.start * STATISTIC_LANES;
        let count = blocks.len();
        let (relu, keep) = (self.relu, run.keep);
        // SAFETY: the caller hands a range inside the source and the patch.
        unsafe {
            // Each combination that occurs gets a loop of its own.
            macro_rules! blocks {
                ($relu:literal, $trunk:literal, $keep:literal) => {
                    if S::DOTS && self.storage == Storage::F16 {
                        self.blocks::<S, P, f16, $relu, $trunk, $keep>(first, count, patch, index);
                    } else {
                        self.blocks::<S, P, f32, $relu, $trunk, $keep>(first, count, patch, index);
                    }
                };
            }
            if self.storage == Storage::I16 {
                self.blocks::<S, P, i16, true, false, false>(first, count, patch, index);
            } else if relu && keep {
                blocks!(true, false, true);
            } else if relu {
                blocks!(true, false, false);
            } else if keep {
                blocks!(false, true, true);
            } else {
                blocks!(false, true, false);
            }
        }
    }

    /// Writes the values of a run behind its last whole block.
    #[inline(always)]
    unsafe fn put_rest<S: Simd, P: Format>(&self, run: &PatchRun, patch: *mut u8) {
        let rest = run.values - run.blocks * STATISTIC_LANES;
        // SAFETY: the caller hands a run inside the source and the patch.
        unsafe {
            if rest > 0 && run.blocks > 0 {
                // The last block of them, some of whose values others write too: a lane's channel is the same.
                let before = run.values - STATISTIC_LANES;
                let last = PatchRun {
                    first: run.first + before,
                    index: run.index + before,
                    ..*run
                };
                return self.put::<S, P>(&last, 0..1, patch);
            }
            for i in 0..rest {
                let value = self.one::<P>(run.first + i, i, run.keep);
                P::put_one(patch, run.index + i, value);
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
        // SAFETY: as for [`TensorSource::put`].
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
                        prefetch(self.data.cast::<T>().wrapping_add(ahead));
                        if TRUNK {
                            prefetch(self.trunk.cast::<T>().wrapping_add(ahead));
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

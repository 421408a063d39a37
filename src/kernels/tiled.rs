//! One layer over one tile by the matrix unit, with the vector unit at work beside it.
//!
//! The matrix unit multiplies for 16 cycles at an instruction and needs the rest of the core for nothing but a few loads.
//! So while it makes a row of outputs, the vector unit stores the row before it and gathers its statistics, and fills the
//! rows of the patch that the row behind it will read first: a few values between any two steps of the product, close
//! enough for the processor to do both at once.

use super::amx::TileConvolution;
use super::convolution::OVERRUN;
use super::format::Bf16;
use super::pass::{ConvolutionTile, Source, Target};
use super::patch::{PatchRun, Storage, TensorSource};
use super::picture::BlockSource;
use super::simd::Simd;
use super::statistics::{LaneSums, STATISTIC_LANES, Stored};
use half::f16;
use std::ops::Range;

/// Work that is done in pieces between the steps of a product.
pub(crate) trait Beside {
    /// Does the next piece.
    ///
    /// # Safety
    /// The processor has the instruction set of `S`.
    unsafe fn piece<S: Simd>(&mut self);
}

impl Beside for () {
    #[inline(always)]
    unsafe fn piece<S: Simd>(&mut self) {}
}

/// Blocks of [`STATISTIC_LANES`] values that are done in pieces.
struct Pieces {
    left: Range<usize>,
    each: usize,
}

impl Pieces {
    const NONE: Self = Self {
        left: 0..0,
        each: 0,
    };

    fn new(blocks: usize, pieces: usize) -> Self {
        Self {
            left: 0..blocks,
            each: blocks.div_ceil(pieces.max(1)),
        }
    }

    #[inline(always)]
    fn next(&mut self) -> Range<usize> {
        let start = self.left.start;
        self.left.start = (start + self.each).min(self.left.end);
        start..self.left.start
    }

    #[inline(always)]
    fn rest(&mut self) -> Range<usize> {
        let rest = self.left.clone();
        self.left.start = rest.end;
        rest
    }
}

/// A finished row of `values` raw outputs, on its way into the tensor.
struct Finished<T> {
    row: *mut f32,
    out: *mut T,
    values: usize,
    pieces: Pieces,
}

impl<T: Stored> Finished<T> {
    const NONE: Self = Self {
        row: std::ptr::null_mut(),
        out: std::ptr::null_mut(),
        values: 0,
        pieces: Pieces::NONE,
    };

    #[inline(always)]
    unsafe fn take<S: Simd>(&mut self, blocks: Range<usize>, sums: &mut LaneSums) {
        // SAFETY: whoever made this gave room for the values.
        unsafe { sums.add_blocks::<S, T>(self.row, blocks, self.out) };
    }
}

/// What is done beside one row of outputs.
struct Turn<'a, T> {
    sums: &'a mut LaneSums,
    /// The row before it, or both rows of its blocks.
    finished: [Finished<T>; 2],
    tensor: &'a TensorSource,
    patch: *mut u8,
    /// The rows of the patch that the row behind it needs in addition.
    filled: [(PatchRun, Pieces); 2],
}

impl<T: Stored> Beside for Turn<'_, T> {
    #[inline(always)]
    unsafe fn piece<S: Simd>(&mut self) {
        // SAFETY: runs lie inside the source and the patch; as for the caller.
        unsafe {
            for (run, pieces) in &mut self.filled {
                let blocks = pieces.next();
                if !blocks.is_empty() {
                    self.tensor.put::<S, Bf16>(run, blocks, self.patch);
                }
            }
            for finished in &mut self.finished {
                let blocks = finished.pieces.next();
                if !blocks.is_empty() {
                    finished.take::<S>(blocks, self.sums);
                }
            }
        }
    }
}

impl<T: Stored> Turn<'_, T> {
    /// What is left of it.
    #[inline(always)]
    unsafe fn rest<S: Simd>(&mut self) {
        // SAFETY: as for pieces.
        unsafe {
            for (run, pieces) in &mut self.filled {
                self.tensor.put::<S, Bf16>(run, pieces.rest(), self.patch);
            }
            for finished in &mut self.finished {
                let blocks = finished.pieces.rest();
                finished.take::<S>(blocks, self.sums);
                self.sums
                    .add_rest::<T>(finished.row, finished.values, finished.out);
            }
        }
    }
}

impl ConvolutionTile<'_> {
    /// Makes the tile.
    ///
    /// # Safety
    /// The processor has the matrix unit and the instruction set of `S`, and what [`ConvolutionTile`] asks for.
    #[inline(always)]
    pub(super) unsafe fn multiply<S: Simd>(self, convolution: &TileConvolution) {
        // SAFETY: as for this function.
        unsafe {
            match self.pass.target {
                Target::Plain {
                    storage: Storage::I16,
                    ..
                } => self.multiply_into::<S, i16>(convolution),
                Target::Plain {
                    storage: Storage::F32,
                    ..
                } => unreachable!("the matrix unit's tensors are in half precision"),
                _ => self.multiply_into::<S, f16>(convolution),
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply_into<S: Simd, T: Stored>(self, convolution: &TileConvolution) {
        let pass = self.pass;
        let tile = pass.tiling.tile(self.tile);
        let stride = pass.tiling.stride;
        debug_assert!(stride <= 2);
        debug_assert_eq!(pass.tiling.tile_columns % convolution.columns_at_once(), 0);
        // SAFETY: the engine sized the scratch for the tiling and the buffers for the planes; workers have their own
        // scratch, tiles their own outputs and partials.
        unsafe {
            let scratch = &mut *pass.scratch.add(self.worker);
            let patch = scratch.patch.as_mut_ptr::<u8>();
            let rows = scratch.row.as_mut_ptr::<f32>();
            let (in_channels, tensor) = match &pass.source {
                Source::Picture(picture) => {
                    picture.fill_rows::<Bf16>(&tile, 0..tile.patch_rows, patch);
                    (3, None)
                }
                Source::Blocks(picture) => {
                    picture.fill_rows::<Bf16>(&tile, 0..tile.patch_rows, patch);
                    (BlockSource::CHANNELS, None)
                }
                Source::Tensor(tensor) => (tensor.shape.2, Some(tensor)),
            };
            // Rows of the patch that the first row of outputs reads.
            let mut filled = pass.tiling.kernel.min(tile.patch_rows);
            if let Some(tensor) = tensor {
                tensor.fill_rows::<S, Bf16>(&tile, 0..filled, patch);
            }
            let row_values = tile.patch_columns * in_channels;
            // What is read behind a row meets zero weights, but only if it is finite: what an earlier tile left in the rows
            // that are not filled yet is, as tensors saturate and weights and styles are; so is what lies behind the patch.
            patch
                .add(tile.patch_rows * row_values * 2)
                .write_bytes(0, 1024);

            let (x, pixels) = (tile.columns.start, tile.columns.len());
            let outputs = convolution.out_channels() / convolution.pixels_at_once();
            let units = pixels.div_ceil(convolution.pixels_at_once());
            let values = pixels * outputs;
            // From one row of blocks to the other, and from one row of outputs to the next.
            let half = (values / 2).next_multiple_of(16) + OVERRUN;
            let next = values.next_multiple_of(16) + 2 * OVERRUN;
            let pieces = convolution.pieces(units);

            let mut sums = LaneSums::new();
            let mut finished = [Finished::<T>::NONE; 2];
            let unused = TensorSource::NONE;
            convolution.begin();
            for y in tile.rows.clone() {
                let patch_row = (y - tile.rows.start) * stride;
                let input = patch.add(patch_row * row_values * 2);
                let row = rows.add((y - tile.rows.start) % 2 * next);
                let mut turn = Turn {
                    sums: &mut sums,
                    finished,
                    tensor: tensor.unwrap_or(&unused),
                    patch,
                    filled: [const { (PatchRun::NONE, Pieces::NONE) }; 2],
                };
                let filling = filled..(filled + stride).min(tile.patch_rows);
                if let Some(tensor) = tensor {
                    for (row, to_fill) in filling.clone().zip(&mut turn.filled) {
                        let run = tensor.begin_row::<S, Bf16>(&tile, row, patch);
                        *to_fill = (run, Pieces::new(run.blocks, pieces));
                    }
                }
                convolution.row::<S>(input, row_values, units, (row, half), &mut turn);
                turn.rest::<S>();
                if let Some(tensor) = tensor {
                    for row in filling.clone() {
                        tensor.end_row::<Bf16>(&tile, row, patch);
                    }
                }
                filled = filling.end;
                let ready = |row: *mut f32, out, values| Finished {
                    row,
                    out,
                    values,
                    pieces: Pieces::new(values / STATISTIC_LANES, pieces),
                };
                finished = match pass.target {
                    Target::Plain { data, width, .. } => {
                        let out = data.cast::<T>().add((y * width + x) * outputs);
                        [ready(row, out, values), Finished::NONE]
                    }
                    Target::Blocks {
                        data,
                        width,
                        channels,
                        ..
                    } => {
                        let out = |below| {
                            let at = ((2 * y + below) * width + x) * 2 * channels;
                            data.cast::<T>().add(at)
                        };
                        [
                            ready(row, out(0), values / 2),
                            ready(row.add(half), out(1), values / 2),
                        ]
                    }
                };
                sums.start(finished[0].row, finished[0].values);
            }
            for finished in &mut finished {
                finished.take::<S>(0..finished.values / STATISTIC_LANES, &mut sums);
                sums.add_rest::<T>(finished.row, finished.values, finished.out);
            }
            convolution.end();
            let partials = pass.partials.add(self.tile * pass.channels);
            sums.fold(std::slice::from_raw_parts_mut(partials, pass.channels));
        }
    }
}

//! One layer over one tile: fill the patch, convolve row by row, gather statistics, store.

use super::aligned::AlignedBuffer;
use super::convolution::{Convolution, RowConvolution};
use super::format::{F32, Format};
use super::instruction_set::Kernel;
use super::last::LastConvolution;
use super::patch::{Storage, TensorSource, Tile, Tiling};
use super::picture::{BlockSource, PictureSource};
use super::simd::Simd;
use super::statistics::{LaneSums, Moments, Stored};
use half::f16;
use std::ops::Range;

/// What one worker needs beside the tensors.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The tile's input.
    pub(crate) patch: AlignedBuffer,
    /// Rows of raw outputs.
    pub(crate) row: AlignedBuffer,
    /// What a convolution keeps between its steps.
    pub(crate) work: AlignedBuffer,
}

/// What a layer reads.
#[derive(Clone, Copy)]
#[expect(
    clippy::large_enum_variant,
    reason = "one per layer, on the stack; a box would allocate per frame"
)]
pub(crate) enum Source<'a> {
    Picture(PictureSource<'a>),
    Blocks(BlockSource<'a>),
    Tensor(TensorSource),
}

impl Source<'_> {
    /// Values of a pixel.
    pub(crate) fn channels(&self) -> usize {
        match self {
            Self::Picture(_) => 3,
            Self::Blocks(_) => BlockSource::CHANNELS,
            Self::Tensor(tensor) => tensor.shape.2,
        }
    }

    /// Writes so many rows of the patch of `tile`, `[patch_rows][patch_columns][channels]` in format `P`, to `patch`.
    ///
    /// # Safety
    /// As for the sources' own.
    #[inline(always)]
    unsafe fn fill_rows<S: Simd, P: Format>(
        &self,
        tile: &Tile,
        rows: Range<usize>,
        patch: *mut u8,
    ) {
        // SAFETY: as for this function.
        unsafe {
            match self {
                Self::Picture(picture) => picture.fill_rows::<P>(tile, rows, patch),
                Self::Blocks(picture) => picture.fill_rows::<P>(tile, rows, patch),
                Self::Tensor(tensor) => tensor.fill_rows::<S, P>(tile, rows, patch),
            }
        }
    }
}

/// Where a layer's raw outputs go; `width` is that of the layer's own plane (of the source plane for `Blocks`).
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// `[row][column][channel]`.
    Plain {
        data: *mut u8,
        storage: Storage,
        width: usize,
    },
    /// Each output pixel is a 2×2 block of a plane twice as large, of `channels` each; `F32` or `F16`.
    Blocks {
        data: *mut u8,
        storage: Storage,
        width: usize,
        channels: usize,
    },
}

/// A convolution over all tiles of a layer.
pub(crate) struct ConvolutionPass<'a> {
    pub(crate) convolution: &'a Convolution,
    pub(crate) source: Source<'a>,
    pub(crate) target: Target,
    pub(crate) tiling: &'a Tiling,
    /// Channels that statistics are gathered for: divides the convolution's outputs.
    pub(crate) channels: usize,
    /// `[tile][channel]`.
    pub(crate) partials: *mut Moments,
    /// One per worker.
    pub(crate) scratch: *mut Scratch,
}
// SAFETY: tasks write disjoint tiles of the target, their own partials and their own worker's scratch.
unsafe impl Sync for ConvolutionPass<'_> {}

/// One tile of a [`ConvolutionPass`].
pub(crate) struct ConvolutionTile<'a> {
    pub(crate) pass: &'a ConvolutionPass<'a>,
    pub(crate) worker: usize,
    pub(crate) tile: usize,
}

impl Kernel for ConvolutionTile<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the engine packed the weights for the instruction set that it enters.
        unsafe {
            // Each vector type compiles only the precisions that it is entered for.
            match self.pass.convolution {
                Convolution::F32(convolution) => {
                    if !S::DOTS {
                        self.run_with::<S, _>(convolution);
                    }
                }
                Convolution::Winograd(convolution) => {
                    if !S::DOTS {
                        self.run_with::<S, _>(convolution);
                    }
                }
                Convolution::Bf16(convolution) => {
                    if S::DOTS {
                        self.run_with::<S, _>(convolution);
                    }
                }
                Convolution::Rows(convolution) => {
                    if S::DOTS {
                        self.run_with::<S, _>(convolution);
                    }
                }
                Convolution::HalfNine(convolution) => {
                    if S::DOTS {
                        self.run_with::<S, _>(convolution);
                    }
                }
                Convolution::Nine(convolution) => {
                    if !S::DOTS {
                        self.run_with::<S, _>(convolution);
                    }
                }
                Convolution::Int8(convolution) => {
                    if S::DOTS {
                        self.run_with::<S, _>(convolution);
                    }
                }
                Convolution::Tiles(convolution) => {
                    if S::DOTS {
                        self.multiply::<S>(convolution);
                    }
                }
            }
        }
    }
}

impl ConvolutionTile<'_> {
    #[inline(always)]
    unsafe fn run_with<S: Simd, C: RowConvolution>(self, convolution: &C) {
        let pass = self.pass;
        let tile = pass.tiling.tile(self.tile);
        // SAFETY: the engine sized the scratch for the tiling and the buffers for the planes; workers have their own
        // scratch, tiles their own outputs and partials.
        unsafe {
            let scratch = &mut *pass.scratch.add(self.worker);
            let patch = scratch.patch.as_mut_ptr::<u8>();
            let row = scratch.row.as_mut_ptr::<f32>();
            let work = scratch.work.as_mut_ptr::<f32>();
            let (rows, row_values) = self.fill::<S, C>(convolution, &tile, patch, work);
            // What a convolution reads behind the patch does not count, but only if it is finite.
            let further = if C::TRANSFORMS { 0 } else { C::ROWS - 1 };
            patch
                .add(rows * row_values * C::Format::BYTES)
                .write_bytes(0, 1024 + further * row_values * C::Format::BYTES);
            let (x, pixels) = (tile.columns.start, tile.columns.len());
            let outputs = convolution.out_channels() / convolution.pixels_at_once();
            let units = pixels.div_ceil(convolution.pixels_at_once());
            let mut sums = LaneSums::new();
            let values = pixels * outputs;
            let row_stride = pixels.next_multiple_of(12) * outputs;
            for y in tile.rows.clone() {
                let patch_row = match y - tile.rows.start {
                    row if C::TRANSFORMS => row / C::ROWS,
                    row => row * pass.tiling.stride,
                };
                let input = patch.add(patch_row * row_values * C::Format::BYTES);
                // Rows that are made at once rest behind one another.
                let turn = (y - tile.rows.start) % C::ROWS;
                let row = row.add(turn * row_stride);
                // Straight into the tensor where the row fits exactly.
                let direct = match pass.target {
                    Target::Plain {
                        data,
                        storage: Storage::F32,
                        width,
                    } if !C::OVERRUNS => data.cast::<f32>().add((y * width + x) * outputs),
                    _ => row,
                };
                if turn == 0 {
                    convolution.row::<S>(input, row_values, units, direct, row_stride, work);
                }
                match pass.target {
                    Target::Plain {
                        data,
                        storage,
                        width,
                    } => {
                        let at = (y * width + x) * outputs;
                        match storage {
                            Storage::F32 if !C::OVERRUNS => {
                                sums.add_row::<S, ()>(direct, values, std::ptr::null_mut());
                            }
                            Storage::F32 => {
                                sums.add_row::<S, f32>(row, values, data.cast::<f32>().add(at));
                            }
                            Storage::F16 if !S::DOTS => unreachable!("its sets have bf16"),
                            Storage::F16 => {
                                sums.add_row::<S, f16>(row, values, data.cast::<f16>().add(at));
                            }
                            Storage::I16 => {
                                sums.add_row::<S, i16>(row, values, data.cast::<i16>().add(at));
                            }
                        }
                    }
                    Target::Blocks {
                        data,
                        storage,
                        width,
                        channels,
                    } => {
                        let at = [0, 1].map(|below| ((2 * y + below) * width + x) * 2 * channels);
                        if S::DOTS && storage == Storage::F16 {
                            let halves = work.cast::<f16>();
                            sums.add_row::<S, f16>(row, values, halves);
                            copy_rows_of_blocks(halves, data.cast(), at, channels, pixels);
                        } else {
                            sums.add_row::<S, ()>(row, values, std::ptr::null_mut());
                            copy_rows_of_blocks(row, data.cast(), at, channels, pixels);
                        }
                    }
                }
            }
            let partials = pass.partials.add(self.tile * pass.channels);
            sums.fold(std::slice::from_raw_parts_mut(partials, pass.channels));
        }
    }

    /// Fills the patch as the convolution wants it; returns its rows and their length in values.
    #[inline(always)]
    unsafe fn fill<S: Simd, C: RowConvolution>(
        &self,
        convolution: &C,
        tile: &Tile,
        patch: *mut u8,
        work: *mut f32,
    ) -> (usize, usize) {
        let source = &self.pass.source;
        let row_values = tile.patch_columns * source.channels();
        // SAFETY: as for the caller's tile; a row of the patch, as `f32`, fits the work memory.
        unsafe {
            if !C::TRANSFORMS {
                source.fill_rows::<S, C::Format>(tile, 0..tile.patch_rows, patch);
                return (tile.patch_rows, row_values);
            }
            let pixels = tile.columns.len();
            let (plain_rows, rows) = convolution.patch_rows(tile.rows.len());
            for row in 0..plain_rows {
                if row < tile.patch_rows {
                    source.fill_rows::<S, F32>(&tile.patch_row(row), 0..1, work.cast());
                } else {
                    work.write_bytes(0, row_values);
                }
                convolution.transform::<S>(work, row, pixels, patch);
            }
            (rows, convolution.row_values(pixels))
        }
    }
}

/// Both rows of `pixels` blocks of 2×2 pixels, to the places `at` of `out`.
#[inline(always)]
unsafe fn copy_rows_of_blocks<T: Stored>(
    row: *const T,
    out: *mut T,
    at: [usize; 2],
    channels: usize,
    pixels: usize,
) {
    for (below, at) in at.into_iter().enumerate() {
        // SAFETY: the caller's rows hold four and two times `channels` values per pixel.
        unsafe {
            let (row, out) = (row.add(below * 2 * channels), out.add(at));
            match channels {
                16 => copy_blocks::<T, 32>(row, out, pixels),
                8 => copy_blocks::<T, 16>(row, out, pixels),
                4 => copy_blocks::<T, 8>(row, out, pixels),
                _ => unreachable!("no layer has this block"),
            }
        }
    }
}

/// Every other run of `HALF` values, packed.
#[inline(always)]
unsafe fn copy_blocks<T: Stored, const HALF: usize>(row: *const T, out: *mut T, pixels: usize) {
    for pixel in 0..pixels {
        // SAFETY: the caller's rows hold `2 * HALF` and `HALF` values per pixel.
        unsafe {
            let block = row
                .add(2 * HALF * pixel)
                .cast::<[T; HALF]>()
                .read_unaligned();
            out.add(HALF * pixel)
                .cast::<[T; HALF]>()
                .write_unaligned(block);
        }
    }
}

/// The last convolution in lanes over all tiles; writes `[row][column][4]`, the fourth channel zero.
pub(crate) struct LastPass<'a, D> {
    pub(crate) convolution: &'a LastConvolution<D>,
    pub(crate) source: TensorSource,
    /// In the source's numbers.
    pub(crate) target: *mut u8,
    pub(crate) tiling: &'a Tiling,
    /// `[tile][4]`.
    pub(crate) partials: *mut Moments,
    pub(crate) scratch: *mut Scratch,
}
// SAFETY: as for `ConvolutionPass`.
unsafe impl<D: Sync> Sync for LastPass<'_, D> {}

/// One tile of a [`LastPass`].
pub(crate) struct LastTile<'a, D> {
    pub(crate) pass: &'a LastPass<'a, D>,
    pub(crate) worker: usize,
    pub(crate) tile: usize,
}

impl<D: Format> Kernel for LastTile<'_, D> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: as for this function; what holds bf16 is entered for sets with its products alone.
        unsafe {
            if D::BYTES == F32::BYTES {
                self.convolve::<S, f32>();
            } else if S::DOTS {
                self.convolve::<S, f16>();
            }
        }
    }
}

impl<D: Format> LastTile<'_, D> {
    #[inline(always)]
    unsafe fn convolve<S: Simd, T: Stored>(self) {
        let pass = self.pass;
        let tile = pass.tiling.tile(self.tile);
        // SAFETY: as for `ConvolutionTile`.
        unsafe {
            let scratch = &mut *pass.scratch.add(self.worker);
            let patch = scratch.patch.as_mut_ptr::<f32>();
            let row = scratch.row.as_mut_ptr::<f32>();
            let work = scratch.work.as_mut_ptr::<f32>();
            pass.convolution.fill::<S>(&pass.source, &tile, patch, work);
            let (_, width, _) = pass.source.shape;
            let pixels = tile.columns.len();
            let row_words = pass.convolution.room(pixels).row_words;
            let mut sums = LaneSums::new();
            for y in tile.rows.clone() {
                let input = patch.add((y - tile.rows.start) * row_words);
                let painted = pass
                    .convolution
                    .row::<S>(input, tile.patch_rows, pixels, row);
                let out = pass.target.cast::<T>();
                let out = out.add((y * width + tile.columns.start) * 4);
                sums.add_row::<S, T>(painted, pixels * 4, out);
            }
            sums.fold(std::slice::from_raw_parts_mut(
                pass.partials.add(self.tile * 4),
                4,
            ));
        }
    }
}

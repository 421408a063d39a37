//! One layer over one tile: fill the patch, convolve row by row, gather statistics, store.

use super::aligned::{AlignedBuffer, Shared};
use super::direct::DirectConvolution;
use super::instruction_set::Kernel;
use super::last::LastConvolution;
use super::patch::{PictureSource, TensorSource, Tiling};
use super::simd::{Simd, sigmoid};
use super::statistics::{Affine, LaneSums, Moments};

/// What one worker needs beside the tensors.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The tile's input.
    pub(crate) patch: AlignedBuffer,
    /// One row of raw outputs.
    pub(crate) row: AlignedBuffer,
}

/// What a layer reads.
#[derive(Clone, Copy)]
#[expect(
    clippy::large_enum_variant,
    reason = "one per layer, on the stack; a box would allocate per frame"
)]
pub(crate) enum Source<'a> {
    Picture(PictureSource<'a>),
    Tensor(TensorSource),
}

/// Where a layer's raw outputs go; `width` is that of the layer's own plane (of the source plane for `Blocks`).
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// [row][column][channel] `f32`.
    Plain { data: *mut f32, width: usize },
    /// The same, rounded to 16-bit whole numbers.
    Packed { data: *mut i16, width: usize },
    /// Each output pixel is a 2×2 block of a plane twice as large, of `channels` each.
    Blocks {
        data: *mut f32,
        width: usize,
        channels: usize,
    },
}

/// A convolution over all tiles of a layer.
pub(crate) struct ConvolutionPass<'a> {
    pub(crate) convolution: &'a DirectConvolution,
    pub(crate) source: Source<'a>,
    pub(crate) target: Target,
    pub(crate) tiling: &'a Tiling,
    /// Channels that are normalised: divides the convolution's outputs.
    pub(crate) channels: usize,
    /// [tile][channel].
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
        let pass = self.pass;
        let tile = pass.tiling.tile(self.tile);
        // SAFETY: the engine sized the scratch for the tiling and the buffers for the planes; workers have their own
        // scratch, tiles their own outputs and partials.
        unsafe {
            let scratch = &mut *pass.scratch.add(self.worker);
            let patch = scratch.patch.as_mut_ptr::<f32>();
            let row_buffer = scratch.row.as_mut_ptr::<f32>();
            let in_channels = match &pass.source {
                Source::Picture(picture) => {
                    picture.fill::<S>(&tile, patch);
                    3
                }
                Source::Tensor(tensor) => {
                    tensor.fill::<S>(&tile, patch);
                    tensor.shape.2
                }
            };
            let outputs = pass.convolution.out_channels();
            let row_values = tile.patch_columns * in_channels;
            let pixels = tile.columns.len();
            let mut sums = LaneSums::new();
            for y in tile.rows.clone() {
                let input = patch.add((y - tile.rows.start) * pass.tiling.stride * row_values);
                let out = match pass.target {
                    Target::Plain { data, width } => {
                        data.add((y * width + tile.columns.start) * outputs)
                    }
                    _ => row_buffer,
                };
                pass.convolution.row::<S>(input, row_values, pixels, out);
                sums.add_row::<S>(out, pixels * outputs);
                pass.target
                    .store_row::<S>(out, y, tile.columns.start, pixels, outputs);
            }
            sums.fold(std::slice::from_raw_parts_mut(
                pass.partials.add(self.tile * pass.channels),
                pass.channels,
            ));
        }
    }
}

impl Target {
    /// Stores a row of raw outputs, [pixels][outputs].
    #[inline(always)]
    unsafe fn store_row<S: Simd>(
        &self,
        row: *const f32,
        y: usize,
        x: usize,
        pixels: usize,
        outputs: usize,
    ) {
        // SAFETY: the caller's tile lies inside the target's plane.
        unsafe {
            match *self {
                Self::Plain { .. } => {}
                Self::Packed { data, width } => {
                    let out = data.add((y * width + x) * outputs);
                    for i in (0..pixels * outputs).step_by(S::LANES) {
                        S::store_i16(out.add(i), S::load(row.add(i)));
                    }
                }
                Self::Blocks {
                    data,
                    width,
                    channels,
                } => {
                    let half = 2 * channels;
                    for block_row in 0..2 {
                        let out = data.add(((2 * y + block_row) * width + x) * half);
                        let row = row.add(block_row * half);
                        match half {
                            16 => copy_blocks::<16>(row, out, pixels),
                            8 => copy_blocks::<8>(row, out, pixels),
                            _ => unreachable!("no layer has this block"),
                        }
                    }
                }
            }
        }
    }
}

/// Every other run of `HALF` values, packed.
#[inline(always)]
unsafe fn copy_blocks<const HALF: usize>(row: *const f32, out: *mut f32, pixels: usize) {
    for pixel in 0..pixels {
        // SAFETY: the caller's rows hold `2 * HALF` and `HALF` values per pixel.
        unsafe {
            let block = row
                .add(2 * HALF * pixel)
                .cast::<[f32; HALF]>()
                .read_unaligned();
            out.add(HALF * pixel)
                .cast::<[f32; HALF]>()
                .write_unaligned(block);
        }
    }
}

/// The last convolution over all tiles; writes three raw planes.
pub(crate) struct LastPass<'a> {
    pub(crate) convolution: &'a LastConvolution,
    pub(crate) source: TensorSource,
    /// [channel][row][column].
    pub(crate) target: *mut f32,
    pub(crate) tiling: &'a Tiling,
    /// [tile][3].
    pub(crate) partials: *mut Moments,
    pub(crate) scratch: *mut Scratch,
}
// SAFETY: as for `ConvolutionPass`.
unsafe impl Sync for LastPass<'_> {}

/// One tile of a [`LastPass`].
pub(crate) struct LastTile<'a> {
    pub(crate) pass: &'a LastPass<'a>,
    pub(crate) worker: usize,
    pub(crate) tile: usize,
}

impl Kernel for LastTile<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let pass = self.pass;
        let tile = pass.tiling.tile(self.tile);
        // SAFETY: as for `ConvolutionTile`.
        unsafe {
            let scratch = &mut *pass.scratch.add(self.worker);
            let patch = scratch.patch.as_mut_ptr::<f32>();
            let row = scratch.row.as_mut_ptr::<f32>();
            LastConvolution::fill(&pass.source, &tile, patch);
            let (height, width, _) = pass.source.shape;
            let row_values = LastConvolution::row_values(tile.patch_columns);
            let pixels = tile.columns.len();
            let row_stride = pixels + LastConvolution::SLACK;
            let mut sums = [LaneSums::new(), LaneSums::new(), LaneSums::new()];
            for y in tile.rows.clone() {
                let input = patch.add((y - tile.rows.start) * row_values);
                pass.convolution.row::<S>(
                    input,
                    (tile.patch_rows, row_values),
                    pixels,
                    row,
                    row_stride,
                );
                for (channel, sums) in sums.iter_mut().enumerate() {
                    let row = row.add(channel * row_stride);
                    sums.add_row::<S>(row, pixels);
                    let out = pass
                        .target
                        .add((channel * height + y) * width + tile.columns.start);
                    std::ptr::copy_nonoverlapping(row, out, pixels);
                }
            }
            for (channel, sums) in sums.iter().enumerate() {
                let partial = pass.partials.add(self.tile * 3 + channel);
                sums.fold(std::slice::from_raw_parts_mut(partial, 1));
            }
        }
    }
}

/// Where the painting goes.
#[derive(Clone, Copy)]
pub(crate) enum Painting {
    /// Red, green, blue bytes.
    Bytes(Shared<u8>),
    /// The same as `f32` in 0..=1.
    Floats(Shared<f32>),
}

/// Normalises, squashes and interleaves one row of the raw planes.
pub(crate) struct FinishRow<'a> {
    /// [3][plane_height][plane_width].
    pub(crate) planes: Shared<f32>,
    pub(crate) plane: (usize, usize),
    pub(crate) affine: &'a Affine,
    pub(crate) painting: Painting,
    /// Width of the painting in pixels.
    pub(crate) width: usize,
    pub(crate) row: usize,
}

impl Kernel for FinishRow<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (plane_height, plane_width) = self.plane;
        // SAFETY: the row lies inside the planes and the painting; rows are written by one task each. The vector loop
        // stops before the end of the plane's row; the rest is read through a copy.
        unsafe {
            for first in (0..self.width).step_by(16) {
                let count = (self.width - first).min(16);
                let mut values = [[0.0_f32; 16]; 3];
                for (channel, values) in values.iter_mut().enumerate() {
                    let plane = self
                        .planes
                        .get()
                        .add((channel * plane_height + self.row) * plane_width + first);
                    std::ptr::copy_nonoverlapping(plane, values.as_mut_ptr(), count);
                    let scale = S::splat(self.affine.scale[channel]);
                    let shift = S::splat(self.affine.shift[channel]);
                    for part in (0..16).step_by(S::LANES) {
                        let pointer = values.as_mut_ptr().add(part);
                        S::store(
                            pointer,
                            sigmoid::<S>(S::fma(S::load(pointer), scale, shift)),
                        );
                    }
                }
                let at = (self.row * self.width + first) * 3;
                match self.painting {
                    Painting::Bytes(bytes) => {
                        let out = std::slice::from_raw_parts_mut(bytes.get().add(at), count * 3);
                        for (i, pixel) in out.chunks_exact_mut(3).enumerate() {
                            for (channel, byte) in pixel.iter_mut().enumerate() {
                                *byte = (values[channel][i] * 255.0 + 0.5) as u8;
                            }
                        }
                    }
                    Painting::Floats(floats) => {
                        let out = std::slice::from_raw_parts_mut(floats.get().add(at), count * 3);
                        for (i, pixel) in out.chunks_exact_mut(3).enumerate() {
                            for (channel, value) in pixel.iter_mut().enumerate() {
                                *value = values[channel][i];
                            }
                        }
                    }
                }
            }
        }
    }
}

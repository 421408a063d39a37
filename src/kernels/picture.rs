//! How the first layer reads an RGB8 picture: pixel by pixel, or in blocks of 4×4.

use super::format::Format;
use super::patch::{Edge, Tile};
use std::ops::Range;

/// An RGB8 picture, read through index maps that hold both paddings: to a multiple of four, and for the kernel.
#[derive(Clone, Copy)]
pub(crate) struct PictureSource<'a> {
    /// Red, green, blue bytes, row by row.
    pub(crate) rgb: &'a [u8],
    /// Width in pixels.
    pub(crate) width: usize,
    /// Picture row of each padded row, from `-padding` on.
    pub(crate) row_map: &'a [u32],
    /// Picture column of each padded column, from `-padding` on.
    pub(crate) column_map: &'a [u32],
    /// Padding of the kernel in pixels.
    pub(crate) padding: usize,
}

impl PictureSource<'_> {
    /// The index map of a side: reflected to a multiple of four, then by `padding` on both ends.
    pub(crate) fn map(length: usize, padding: usize) -> Vec<u32> {
        let padded = length.next_multiple_of(4);
        let padding = padding as isize;
        let map = (-padding..padded as isize + padding).map(|position| {
            let inside = Edge::Reflect.inside(position, padded);
            Edge::Reflect.inside(inside as isize, length) as u32
        });
        map.collect()
    }

    /// Writes so many rows of the patch of `tile`, `[patch_rows][patch_columns][3]` in format `P`, to `patch`: bytes, less 128 in formats
    /// that are signed (instance normalisation does not see the difference).
    ///
    /// # Safety
    /// `patch` has room and the maps cover the tile.
    #[inline(always)]
    pub(crate) unsafe fn fill_rows<P: Format>(
        &self,
        tile: &Tile,
        rows: Range<usize>,
        patch: *mut u8,
    ) {
        let padding = self.padding as isize;
        let first = (tile.left + padding) as usize;
        let columns = &self.column_map[first..first + tile.patch_columns];
        // Where neighbours in the patch are neighbours in the picture.
        let plain_start = (-tile.left).max(0) as usize;
        let plain_end = (self.width as isize - tile.left).max(0) as usize;
        let plain_end = tile.patch_columns.min(plain_end).max(plain_start);
        for patch_row in rows {
            let y = self.row_map[(tile.top + patch_row as isize + padding) as usize] as usize;
            let source = &self.rgb[y * self.width * 3..(y + 1) * self.width * 3];
            let row = patch_row * tile.patch_columns * 3;
            // SAFETY: the caller's patch has room for patch_rows * patch_columns * 3 values.
            unsafe {
                for i in (0..plain_start).chain(plain_end..tile.patch_columns) {
                    for channel in 0..3 {
                        P::put_byte(
                            patch,
                            row + i * 3 + channel,
                            source[columns[i] as usize * 3 + channel],
                        );
                    }
                }
                if plain_end > plain_start {
                    let from = columns[plain_start] as usize * 3;
                    let plain = &source[from..from + (plain_end - plain_start) * 3];
                    for (i, byte) in plain.iter().enumerate() {
                        P::put_byte(patch, row + plain_start * 3 + i, *byte);
                    }
                }
            }
        }
    }
}

/// Pixels along a side of a block.
const BLOCK: usize = 4;
/// Values of one row of a block.
const ROW: usize = 3 * BLOCK;

/// An RGB8 picture whose blocks of 4×4 pixels are pixels of 48 channels, `[row in the block][column in the block]
/// [colour]`, with one such pixel of padding, read through index maps as [`PictureSource`] has them.
#[derive(Clone, Copy)]
pub(crate) struct BlockSource<'a> {
    /// Red, green, blue bytes, row by row.
    pub(crate) rgb: &'a [u8],
    /// Width in pixels.
    pub(crate) width: usize,
    /// Picture row of each row of each padded block, from block -1 on.
    pub(crate) row_map: &'a [u32],
    /// Picture column of each column of each padded block, from block -1 on.
    pub(crate) column_map: &'a [u32],
}

impl BlockSource<'_> {
    /// Values of a block.
    pub(crate) const CHANNELS: usize = ROW * BLOCK;

    /// The index map of a side: blocks reflected by one, their pixels reflected to a multiple of four.
    pub(crate) fn map(length: usize) -> Vec<u32> {
        let blocks = length.div_ceil(BLOCK);
        let pixels = (-1..=blocks as isize).flat_map(|block| {
            let first = Edge::Reflect.inside(block, blocks) * BLOCK;
            (first..first + BLOCK).map(|pixel| Edge::Reflect.inside(pixel as isize, length) as u32)
        });
        pixels.collect()
    }

    /// Writes so many rows of the patch of `tile`, `[patch_rows][patch_columns][48]` in format `P`, to `patch`: bytes, less 128 in formats
    /// that are signed (instance normalisation does not see the difference).
    ///
    /// # Safety
    /// `patch` has room and the maps cover the tile.
    #[inline(always)]
    pub(crate) unsafe fn fill_rows<P: Format>(
        &self,
        tile: &Tile,
        rows: Range<usize>,
        patch: *mut u8,
    ) {
        let first = (tile.left + 1) as usize * BLOCK;
        let columns = &self.column_map[first..first + tile.patch_columns * BLOCK];
        // Blocks whose pixels are neighbours in the picture.
        let plain_start = usize::from(tile.left < 0);
        let plain_end = (self.width / BLOCK) as isize - tile.left;
        let plain_end = tile
            .patch_columns
            .min(plain_end.max(0) as usize)
            .max(plain_start);
        for patch_row in rows {
            let row = patch_row * tile.patch_columns * Self::CHANNELS;
            let first = ((tile.top + 1) as usize + patch_row) * BLOCK;
            for (block_row, y) in self.row_map[first..first + BLOCK].iter().enumerate() {
                let source = &self.rgb[*y as usize * self.width * 3..][..self.width * 3];
                let at = |block: usize| row + block * Self::CHANNELS + block_row * ROW;
                // SAFETY: the caller's patch has room for patch_rows * patch_columns * 48 values.
                unsafe {
                    for block in (0..plain_start).chain(plain_end..tile.patch_columns) {
                        for i in 0..ROW {
                            let x = columns[block * BLOCK + i / 3] as usize;
                            P::put_byte(patch, at(block) + i, source[x * 3 + i % 3]);
                        }
                    }
                    if plain_end > plain_start {
                        let from = columns[plain_start * BLOCK] as usize * 3;
                        let plain = &source[from..from + (plain_end - plain_start) * ROW];
                        for (block, bytes) in plain.as_chunks::<ROW>().0.iter().enumerate() {
                            P::put_bytes(patch, at(plain_start + block), bytes);
                        }
                    }
                }
            }
        }
    }
}

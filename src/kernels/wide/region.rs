//! A region of a plane on its way from and to planar tensors.

use crate::kernels::simd::Simd;

/// Input channels of a block.
pub(super) const BLOCK: usize = 64;
/// Output channels that are summed together.
pub(super) const GROUP: usize = 32;

/// Output rows and columns that one task makes.
#[derive(Clone, Copy)]
pub(super) struct Region {
    /// Height and width of the plane.
    pub(super) size: (usize, usize),
    /// First row.
    pub(super) top: usize,
    /// First column.
    pub(super) left: usize,
    /// Rows, some of which may lie below the plane.
    pub(super) rows: usize,
    /// Columns, some of which may lie right of the plane.
    pub(super) columns: usize,
}

impl Region {
    /// Copies `channels` (64 at most) planes of input with one pixel around the region, zero outside the plane, to
    /// `patch`, `[row][column][64]`. Where there is a `gate`, another tensor of the input's shape, values pass where
    /// that is positive and are zero elsewhere: the gradient of ReLU, given its output.
    ///
    /// # Safety
    /// `input` and `gate` (or null) are the first of that many planes, and `patch` has room.
    #[inline(always)]
    pub(super) unsafe fn fill<S: Simd>(
        &self,
        input: *const f32,
        gate: *const f32,
        channels: usize,
        patch: *mut f32,
    ) {
        let (height, width) = self.size;
        let (plane, patch_columns) = (height * width, self.columns + 2);
        // Patch columns that lie inside the plane.
        let inner = usize::from(self.left == 0)..patch_columns.min(width + 1 - self.left);
        for row in 0..self.rows + 2 {
            // SAFETY: rows and columns are those inside the plane; the patch has room for all.
            unsafe {
                let out = patch.add(row * patch_columns * BLOCK);
                if !(1..=height).contains(&(self.top + row)) {
                    (0..patch_columns)
                        .for_each(|column| out.add(column * BLOCK).write_bytes(0, channels));
                    continue;
                }
                for column in (0..inner.start).chain(inner.end..patch_columns) {
                    out.add(column * BLOCK).write_bytes(0, channels);
                }
                let start = (self.top + row - 1) * width + self.left + inner.start - 1;
                let out = out.add(inner.start * BLOCK);
                for first in (0..channels).step_by(S::LANES) {
                    let some = (channels - first).min(S::LANES);
                    let offset = first * plane + start;
                    let out = out.add(first);
                    let mut done = 0;
                    while some == S::LANES && inner.len() - done >= S::LANES {
                        let at = offset + done;
                        if gate.is_null() {
                            S::transpose(input.add(at), plane, out.add(done * BLOCK), BLOCK);
                        } else {
                            let mut passed = [0.0_f32; 256];
                            for lane in 0..S::LANES {
                                let at = at + lane * plane;
                                let value = S::gate(S::load(input.add(at)), S::load(gate.add(at)));
                                S::store(passed.as_mut_ptr().add(lane * S::LANES), value);
                            }
                            let out = out.add(done * BLOCK);
                            S::transpose(passed.as_ptr(), S::LANES, out, BLOCK);
                        }
                        done += S::LANES;
                    }
                    for channel in 0..some {
                        for column in done..inner.len() {
                            let at = offset + channel * plane + column;
                            let passes = gate.is_null() || *gate.add(at) > 0.0;
                            *out.add(column * BLOCK + channel) =
                                if passes { *input.add(at) } else { 0.0 };
                        }
                    }
                }
            }
        }
    }

    /// Copies rows from `row` (of the region) on, `[row][column][32]`, to `channels` (32 at most) planes of output.
    ///
    /// # Safety
    /// `output` is the first of that many planes, and `rows` holds whole rows of the region.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd>(
        &self,
        row: usize,
        count: usize,
        rows: *const f32,
        channels: usize,
        output: *mut f32,
    ) {
        let (height, width) = self.size;
        let plane = height * width;
        let columns = self.columns.min(width - self.left);
        for inside in 0..count.min(height.saturating_sub(self.top + row)) {
            for first in (0..channels).step_by(S::LANES) {
                let some = (channels - first).min(S::LANES);
                // SAFETY: only rows and columns inside the plane are written.
                unsafe {
                    let rows = rows.add(inside * self.columns * GROUP + first);
                    let start = first * plane + (self.top + row + inside) * width + self.left;
                    let out = output.add(start);
                    let mut done = 0;
                    while some == S::LANES && columns - done >= S::LANES {
                        S::transpose(rows.add(done * GROUP), GROUP, out.add(done), plane);
                        done += S::LANES;
                    }
                    for channel in 0..some {
                        for column in done..columns {
                            *out.add(channel * plane + column) =
                                *rows.add(column * GROUP + channel);
                        }
                    }
                }
            }
        }
    }
}

//! A picture at ever coarser sizes, with gradients, so that a large motion is a small one at some level.
//!
//! Each level is half the one before (rounded up: a last odd row or column is averaged with itself), so that positions
//! of two levels differ by exactly two and flow needs no odd factors. Values stay `f32`: rounding a level to 8 bits
//! costs accuracy in the next. Every plane has a border that repeats its edge, so that a patch half outside is read
//! like any other.

use super::{
    Luma,
    simd::{Kernel, LANES, Vector, enter},
    threads::{Rows, STRIPE, Threads, stripe},
};
use crate::kernels::InstructionSet;

/// Pixels that each plane is extended by on every side: a patch, what interpolation reads beyond it, and one vector.
pub(super) const BORDER: usize = 24;

/// One size of a picture.
#[derive(Default)]
pub(super) struct Level {
    /// Width in pixels of this level, without border.
    pub(super) width: usize,
    /// Height in pixels of this level, without border.
    pub(super) height: usize,
    /// Values from one row to the next.
    pub(super) stride: usize,
    /// Brightness, 0..255.
    pub(super) image: Vec<f32>,
    /// The same blurred by 1 2 1 both ways, which is what patches are compared in: read between its pixels by bilinear
    /// interpolation it stays the same, where the sharp picture is blurred by just that and pulls patches towards half
    /// pixels.
    pub(super) smooth: Vec<f32>,
    /// Derivative of `smooth` to the right, per pixel.
    pub(super) gx: Vec<f32>,
    /// Derivative of `smooth` downwards, per pixel.
    pub(super) gy: Vec<f32>,
}

impl Level {
    fn resize(&mut self, width: usize, height: usize) {
        if (self.width, self.height) == (width, height) {
            return;
        }
        self.width = width;
        self.height = height;
        self.stride = (width + 2 * BORDER).next_multiple_of(LANES);
        for plane in [
            &mut self.image,
            &mut self.smooth,
            &mut self.gx,
            &mut self.gy,
        ] {
            *plane = vec![0.0; self.stride * (height + 2 * BORDER)];
        }
    }

    /// Place of a pixel in the planes.
    #[inline(always)]
    pub(super) fn at(&self, x: usize, y: usize) -> usize {
        (y + BORDER) * self.stride + x + BORDER
    }
}

/// The levels of one picture that flow needs, the finest first.
#[derive(Default)]
pub(super) struct Pyramid {
    /// The levels; the first is `halvings` halvings below the picture.
    pub(super) levels: Vec<Level>,
}

impl Pyramid {
    /// Fills the pyramid with `levels` sizes of a picture, the first of them `halvings` halvings below it.
    pub(super) fn build(
        &mut self,
        luma: &Luma,
        halvings: usize,
        levels: usize,
        set: InstructionSet,
        threads: &mut Threads,
    ) {
        self.levels.resize_with(levels, Level::default);
        let (mut width, mut height) = (luma.width, luma.height);
        for _ in 0..halvings {
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
        }
        for level in &mut self.levels {
            level.resize(width, height);
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
        }
        for index in 0..levels {
            let (finer, rest) = self.levels.split_at_mut(index);
            let level = &mut rest[0];
            let (width, height, stride) = (level.width, level.height, level.stride);
            let image = Rows::of(&mut level.image);
            let finer = finer.last();
            each_stripe(threads, height, |rows| {
                for y in rows {
                    // SAFETY: this row belongs to this stripe alone and lies inside the plane.
                    let row = unsafe {
                        std::slice::from_raw_parts_mut(
                            image.get().add((y + BORDER) * stride),
                            stride,
                        )
                    };
                    match finer {
                        Some(finer) => enter(
                            set,
                            Halve {
                                finer,
                                y,
                                row,
                                width,
                            },
                        ),
                        None => enter(
                            set,
                            Shrink {
                                luma,
                                halvings,
                                y,
                                row: &mut row[BORDER..BORDER + width],
                            },
                        ),
                    }
                    let (first, last) = (row[BORDER], row[BORDER + width - 1]);
                    row[..BORDER].fill(first);
                    row[BORDER + width..].fill(last);
                }
            });
            for y in 0..BORDER {
                level
                    .image
                    .copy_within(BORDER * stride..(BORDER + 1) * stride, y * stride);
                let last = (BORDER + height - 1) * stride;
                level
                    .image
                    .copy_within(last..last + stride, (BORDER + height + y) * stride);
            }
            let smooth = Rows::of(&mut level.smooth);
            let image = &level.image;
            each_stripe(threads, height + 2 * BORDER - 2, |rows| {
                for y in rows {
                    // SAFETY: this row belongs to this stripe alone and lies inside the plane.
                    let row = unsafe {
                        std::slice::from_raw_parts_mut(smooth.get().add((y + 1) * stride), stride)
                    };
                    enter(
                        set,
                        Smooth {
                            rows: &image[y * stride..(y + 3) * stride],
                            row,
                        },
                    );
                }
            });
            let (gx, gy) = (Rows::of(&mut level.gx), Rows::of(&mut level.gy));
            let image = &level.smooth;
            each_stripe(threads, height, |rows| {
                for y in rows {
                    enter(
                        set,
                        Gradient {
                            image,
                            stride,
                            width,
                            at: (y + BORDER) * stride + BORDER,
                            gx: gx.get(),
                            gy: gy.get(),
                        },
                    );
                }
            });
        }
    }
}

/// Does `task(rows)` for stripes of rows.
pub(super) fn each_stripe(
    threads: &mut Threads,
    height: usize,
    task: impl Fn(std::ops::Range<usize>) + Sync,
) {
    threads.run(height.div_ceil(STRIPE), |tile| task(stripe(tile, height)));
}

/// One row of the finest level from the 8-bit picture: means of squares.
struct Shrink<'a> {
    luma: &'a Luma,
    halvings: usize,
    y: usize,
    row: &'a mut [f32],
}

impl Kernel for Shrink<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let width = self.luma.width;
        let side = 1 << self.halvings;
        let source = |y: usize| {
            let y = y.min(self.luma.height - 1);
            &self.luma.pixels[y * width..(y + 1) * width]
        };
        let scale = 1.0 / (side * side) as f32;
        let top = self.y * side;
        match self.halvings {
            0 => {
                for (value, &pixel) in self.row.iter_mut().zip(source(top)) {
                    *value = f32::from(pixel);
                }
                return;
            }
            1 => {
                for (value, (upper, lower)) in self.row.iter_mut().zip(
                    source(top)
                        .chunks_exact(2)
                        .zip(source(top + 1).chunks_exact(2)),
                ) {
                    let sum = u32::from(upper[0])
                        + u32::from(upper[1])
                        + u32::from(lower[0])
                        + u32::from(lower[1]);
                    *value = sum as f32 * scale;
                }
            }
            2 => {
                let [a, b, c, d] = std::array::from_fn(|row| source(top + row).chunks_exact(4));
                for (value, (((a, b), c), d)) in self.row.iter_mut().zip(a.zip(b).zip(c).zip(d)) {
                    let column = |x: usize| {
                        u32::from(a[x]) + u32::from(b[x]) + u32::from(c[x]) + u32::from(d[x])
                    };
                    *value = (column(0) + column(1) + column(2) + column(3)) as f32 * scale;
                }
            }
            _ => {
                self.row[..width / side].fill(0.0);
                for row in 0..side {
                    for (value, block) in self
                        .row
                        .iter_mut()
                        .zip(source(top + row).chunks_exact(side))
                    {
                        let sum: u32 = block.iter().map(|&pixel| u32::from(pixel)).sum();
                        *value += sum as f32 * scale;
                    }
                }
            }
        }
        for x in width / side..self.row.len() {
            let mut sum = 0;
            for row in 0..side {
                for column in 0..side {
                    sum += u32::from(source(top + row)[(x * side + column).min(width - 1)]);
                }
            }
            self.row[x] = sum as f32 * scale;
        }
    }
}

/// One row of a level from the level twice its size.
struct Halve<'a> {
    finer: &'a Level,
    y: usize,
    row: &'a mut [f32],
    width: usize,
}

impl Kernel for Halve<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let finer = self.finer;
        let upper = finer.at(0, 2 * self.y);
        // The border repeats the last row and column, so an odd size needs nothing special.
        let lower = upper + finer.stride;
        let mut x = 0;
        while x < self.width {
            // SAFETY: 16 values from pixel 2x are inside the row and its border (24), 8 from x likewise.
            unsafe {
                let quarter = V::splat(0.25);
                let sum = |at: usize| {
                    V::load(finer.image.as_ptr().add(upper + at))
                        + V::load(finer.image.as_ptr().add(lower + at))
                };
                let (even, odd) = sum(2 * x).deinterleave(sum(2 * x + LANES));
                ((even + odd) * quarter).store(self.row.as_mut_ptr().add(BORDER + x));
            }
            x += LANES;
        }
    }
}

/// One row blurred by 1 2 1 both ways; its first and last value, which nothing reads, are left alone.
struct Smooth<'a> {
    /// The row above, the row, and the row below.
    rows: &'a [f32],
    row: &'a mut [f32],
}

impl Kernel for Smooth<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let stride = self.row.len();
        let (above, rest) = self.rows.split_at(stride);
        let (here, below) = rest.split_at(stride);
        let mut x = 1;
        while x < stride - 1 {
            // The last vector overlaps the one before it.
            x = x.min(stride - 1 - LANES);
            // SAFETY: eight values from x, and one on each side, are inside the rows.
            unsafe {
                let column = |at: usize| {
                    let middle = V::load(here.as_ptr().add(at));
                    let outer = V::load(above.as_ptr().add(at)) + V::load(below.as_ptr().add(at));
                    outer + (middle + middle)
                };
                let middle = column(x);
                let sum = (column(x - 1) + column(x + 1)) + (middle + middle);
                (sum * V::splat(1.0 / 16.0)).store(self.row.as_mut_ptr().add(x));
            }
            x += LANES;
        }
    }
}

/// One row of gradients: central differences.
struct Gradient<'a> {
    image: &'a [f32],
    stride: usize,
    width: usize,
    /// Place of the row's first pixel.
    at: usize,
    gx: *mut f32,
    gy: *mut f32,
}

impl Kernel for Gradient<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let mut at = self.at;
        while at < self.at + self.width {
            // SAFETY: all reads are of the row, its neighbours and its border; the row of `gx` and `gy` (with the border
            // right of it, which nothing reads) belongs to this call alone.
            unsafe {
                let load = |at: usize| V::load(self.image.as_ptr().add(at));
                let half = V::splat(0.5);
                ((load(at + 1) - load(at - 1)) * half).store(self.gx.add(at));
                ((load(at + self.stride) - load(at - self.stride)) * half).store(self.gy.add(at));
            }
            at += LANES;
        }
    }
}

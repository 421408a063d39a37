//! Planes of bf16 numbers as the matrix unit reads them.
//!
//! Three layouts of the same pixels. A *padded* plane is `[row][column][channel]`: sixteen neighbouring pixels are a tile
//! whose rows are one pixel apart. For the gradient of the weights, which sums over pixels, the input is turned to
//! `[channel][pixel]`, so that a tile's row is 32 pixels of one channel (and a kernel's tap nothing but another first byte),
//! and the gradient to `[pair of pixels][channel][2]`. There rows follow each other without a gap: pixels are counted
//! through, and the two columns by which a padded row is longer meet zeros in the gradient.

use crate::kernels::aligned::AlignedBuffer;
use crate::kernels::instruction_set::{InstructionSet, Kernel};
use crate::kernels::simd::Simd;

/// Bytes behind a plane that may be read beyond its end: a tile's or a block's last 31 pixels of 64 channels and a cache line.
const SLACK: usize = 31 * 128 + 64;
/// Pixels that one product of tiles sums over.
pub(super) const RUN: usize = 32;

/// Numbers of a plane; in which layout is its owner's affair.
#[derive(Default)]
pub struct HalfPlane {
    buffer: AlignedBuffer,
    length: usize,
}

impl HalfPlane {
    /// Makes room for that many numbers; those that are there stay or become others, all finite.
    fn resize(&mut self, length: usize) {
        self.buffer.reserve(2 * length + SLACK);
        self.length = length;
    }

    /// How many numbers it holds.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        self.buffer.as_ptr()
    }

    fn values(&mut self) -> &mut [u16] {
        // SAFETY: the buffer has room for the numbers, and all bit patterns are numbers.
        unsafe { std::slice::from_raw_parts_mut(self.buffer.as_mut_ptr(), self.length) }
    }

    /// Takes over `plane`, `[rows][columns][channels]`, with one more pixel on each side, mirrored about the edge pixel, and
    /// with its channels filled up to `stored` by zeros; at least two rows and columns.
    ///
    /// # Panics
    /// When the length does not fit.
    pub fn pad(
        &mut self,
        plane: &[f32],
        (rows, columns): (usize, usize),
        (channels, stored): (usize, usize),
    ) {
        assert_eq!(plane.len(), rows * columns * channels);
        assert!(rows > 1 && columns > 1 && channels <= stored);
        self.resize((rows + 2) * (columns + 2) * stored);
        run(Pad {
            plane,
            size: (rows, columns),
            channels: (channels, stored),
            to: self.values(),
        });
    }

    /// Takes over `plane`, `[rows][columns][channels]`, with two more pixels of zeros on each side.
    ///
    /// # Panics
    /// When the length does not fit.
    pub fn place(&mut self, plane: &[f32], (rows, columns): (usize, usize), channels: usize) {
        assert_eq!(plane.len(), rows * columns * channels);
        self.resize((rows + 4) * (columns + 4) * channels);
        run(Place {
            plane,
            size: (rows, columns),
            channels,
            to: self.values(),
        });
    }

    /// Takes over `plane`, `[rows][columns][channels]`, as `[pair of pixels][channel][2]`.
    ///
    /// # Panics
    /// When the length does not fit.
    pub fn pair_up(&mut self, plane: &[f32], (rows, columns): (usize, usize), channels: usize) {
        assert_eq!(plane.len(), rows * columns * channels);
        self.resize((rows * pitch(columns)).next_multiple_of(RUN) * channels);
        run(PairUp {
            plane,
            columns,
            channels,
            to: self.values(),
        });
    }

    /// Takes over `padded`, which [`HalfPlane::pad`] made, as `[channel][pixel]`.
    ///
    /// # Panics
    /// When the length does not fit.
    pub fn turn(&mut self, padded: &Self, (rows, columns): (usize, usize), channels: usize) {
        assert_eq!(padded.len(), (rows + 2) * (columns + 2) * channels);
        assert_eq!(channels % 16, 0);
        self.resize(channels * turned_step(rows, columns));
        run(Turn {
            from: padded.as_ptr(),
            size: (rows, columns),
            channels,
            to: self.buffer.as_mut_ptr(),
        });
    }
}

/// Pixels from one row to the next where they are counted through: a padded row, made even.
pub(super) fn pitch(columns: usize) -> usize {
    (columns + 2).next_multiple_of(2)
}

/// Pixels from one channel to the next of a turned plane: those of the padded plane and those that the last run of the last
/// tap reads beyond, in an odd number of cache lines, so that channels do not fall on each other in the cache.
pub(super) fn turned_step(rows: usize, columns: usize) -> usize {
    let pixels = (rows * pitch(columns)).next_multiple_of(RUN) + 2 * pitch(columns) + 2;
    // Written in blocks of 32 pixels.
    ((pixels + 32).div_ceil(32) | 1) * 32
}

fn run<K: Kernel<Output = ()>>(kernel: K) {
    // SAFETY: the best set is available.
    unsafe { InstructionSet::best().run(kernel) }
}

/// Rounds to bf16.
#[inline(always)]
unsafe fn narrow<S: Simd>(from: &[f32], to: &mut [u16]) {
    let to = &mut to[..from.len()];
    let whole = from.len() / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: the caller has the set; both slices are that long.
        unsafe { S::store_bf16(to.as_mut_ptr().add(at), S::load(from.as_ptr().add(at))) };
    }
    for (to, from) in to[whole..].iter_mut().zip(&from[whole..]) {
        *to = half::bf16::from_f32(*from).to_bits();
    }
}

struct Pad<'a> {
    plane: &'a [f32],
    size: (usize, usize),
    channels: (usize, usize),
    to: &'a mut [u16],
}

impl Kernel for Pad<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let ((rows, columns), (channels, stored)) = (self.size, self.channels);
        let (from, line) = (columns * channels, (columns + 2) * stored);
        for row in 0..rows {
            let padded = &mut self.to[(row + 1) * line..(row + 2) * line];
            let values = &self.plane[row * from..(row + 1) * from];
            let inner = &mut padded[stored..line - stored];
            if channels == stored {
                // SAFETY: the caller has the set.
                unsafe { narrow::<S>(values, inner) };
            } else {
                let pixels = inner.chunks_exact_mut(stored);
                for (pixel, values) in pixels.zip(values.chunks_exact(channels)) {
                    // SAFETY: as above.
                    unsafe { narrow::<S>(values, &mut pixel[..channels]) };
                    pixel[channels..].fill(0);
                }
            }
            padded.copy_within(2 * stored..3 * stored, 0);
            padded.copy_within(line - 3 * stored..line - 2 * stored, line - stored);
        }
        self.to.copy_within(2 * line..3 * line, 0);
        let last = (rows + 1) * line;
        self.to.copy_within(last - 2 * line..last - line, last);
    }
}

struct Place<'a> {
    plane: &'a [f32],
    size: (usize, usize),
    channels: usize,
    to: &'a mut [u16],
}

impl Kernel for Place<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (rows, columns) = self.size;
        let (line, side) = ((columns + 4) * self.channels, 2 * self.channels);
        self.to[..2 * line].fill(0);
        self.to[(rows + 2) * line..].fill(0);
        let lines = self.to[2 * line..].chunks_exact_mut(line);
        for (to, values) in lines.zip(self.plane.chunks_exact(columns * self.channels)) {
            to[..side].fill(0);
            // SAFETY: the caller has the set.
            unsafe { narrow::<S>(values, &mut to[side..line - side]) };
            to[line - side..].fill(0);
        }
    }
}

struct PairUp<'a> {
    plane: &'a [f32],
    columns: usize,
    channels: usize,
    to: &'a mut [u16],
}

impl Kernel for PairUp<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (channels, line) = (self.channels, self.columns * self.channels);
        let to_line = pitch(self.columns) * channels;
        let rows = self.plane.len() / line;
        for (values, to) in self
            .plane
            .chunks_exact(line)
            .zip(self.to.chunks_exact_mut(to_line))
        {
            let pairs = values.chunks_exact(2 * channels);
            let rest = pairs.remainder();
            let (to, beyond) = to.split_at_mut(line - rest.len());
            for (pair, to) in pairs.zip(to.chunks_exact_mut(2 * channels)) {
                let (first, second) = pair.split_at(channels);
                for ((to, first), second) in to.chunks_exact_mut(2).zip(first).zip(second) {
                    to[0] = rounded(*first);
                    to[1] = rounded(*second);
                }
            }
            beyond.fill(0);
            for (to, value) in beyond.chunks_exact_mut(2).zip(rest) {
                to[0] = rounded(*value);
            }
        }
        self.to[rows * to_line..].fill(0);
    }
}

/// The bits of a finite number's bf16: to nearest, ties to even.
#[inline(always)]
fn rounded(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

struct Turn {
    from: *const u8,
    size: (usize, usize),
    channels: usize,
    to: *mut u16,
}

impl Kernel for Turn {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let ((rows, columns), channels) = (self.size, self.channels);
        let (words, step) = (channels / 2, turned_step(rows, columns));
        // `[word][pixel]`.
        let mut block = [0_u32; 16 * 32];
        for row in 0..rows + 2 {
            for column in (0..columns + 2).step_by(32) {
                let pixel = row * (columns + 2) + column;
                for first in (0..words).step_by(16) {
                    // Two channels are one word. Words beyond a pixel's are turned too, and left.
                    // SAFETY: up to 31 pixels and half a line are read beyond the plane, from its slack.
                    unsafe {
                        let from = self.from.add((pixel * words + first) * 4).cast::<f32>();
                        for i in (0..32).step_by(S::LANES) {
                            for j in (0..16).step_by(S::LANES) {
                                let to = block.as_mut_ptr().cast::<f32>().add(j * 32 + i);
                                S::transpose(from.add(i * words + j), words, to, 32);
                            }
                        }
                    }
                    let pairs = block.as_chunks::<32>().0.iter().enumerate();
                    for (word, values) in pairs.take(words - first) {
                        let at = 2 * (first + word) * step + row * pitch(columns) + column;
                        // SAFETY: a channel has room for 32 more pixels than there are. What is written beyond a row is
                        // the next one's and overwritten by it, as rows go upwards.
                        let (even, odd) = unsafe {
                            let to = self.to.add(at);
                            (
                                &mut *to.cast::<[u16; 32]>(),
                                &mut *to.add(step).cast::<[u16; 32]>(),
                            )
                        };
                        for i in 0..32 {
                            even[i] = values[i] as u16;
                            odd[i] = (values[i] >> 16) as u16;
                        }
                    }
                }
            }
        }
    }
}

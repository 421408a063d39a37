//! 2×2 pooling with stride 2 after a ReLU, forward and backward.
//!
//! Forward leaves four bits per pooled pixel: to which of the four pixels its gradient goes through pooling *and* the ReLU
//! before it. The largest pixel, if it is above zero, or for averaging every pixel above zero. With them the pixels
//! themselves need not be kept.

use rayon::prelude::*;

/// How four pixels become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// The largest, as VGG was trained.
    Max,
    /// The mean, with which Gatys et al. (2016) found paintings smoother.
    #[default]
    Average,
}

impl Pooling {
    /// Pools planes of `height` × `width` that passed a ReLU; an odd last row or column is left out.
    pub(super) fn forward(
        self,
        input: &[f32],
        (height, width): (usize, usize),
        output: &mut [f32],
        routes: &mut [u8],
    ) {
        let (rows, columns) = (height / 2, width / 2);
        let planes = input.len() / (height * width);
        output[..planes * rows * columns]
            .par_chunks_exact_mut(rows * columns)
            .zip(routes.par_chunks_exact_mut(rows * columns))
            .zip(input.par_chunks_exact(height * width))
            .for_each(|((output, routes), input)| {
                for row in 0..rows {
                    let above = &input[2 * row * width..][..2 * columns];
                    let below = &input[(2 * row + 1) * width..][..2 * columns];
                    let output = &mut output[row * columns..][..columns];
                    let routes = &mut routes[row * columns..][..columns];
                    match self {
                        Self::Max => max_row(above, below, output, routes),
                        Self::Average => average_row(above, below, output, routes),
                    }
                }
            });
    }

    /// Brings the gradient of the pooled pixels (`input`) to the pixels that were pooled, before their ReLU; planes of
    /// `height` × `width`.
    pub(super) fn backward(
        self,
        input: &[f32],
        routes: &[u8],
        (height, width): (usize, usize),
        output: &mut [f32],
    ) {
        let (rows, columns) = (height / 2, width / 2);
        let scale = match self {
            Self::Max => 1.0,
            Self::Average => 0.25,
        };
        output
            .par_chunks_exact_mut(height * width)
            .zip(input.par_chunks_exact(rows * columns))
            .zip(routes.par_chunks_exact(rows * columns))
            .for_each(|((output, input), routes)| {
                for row in 0..rows {
                    let (above, below) = output[2 * row * width..][..2 * width].split_at_mut(width);
                    let input = &input[row * columns..][..columns];
                    let routes = &routes[row * columns..][..columns];
                    let above = above.chunks_exact_mut(2);
                    let pairs = above.zip(below.chunks_exact_mut(2));
                    for ((&gradient, &route), (above, below)) in input.iter().zip(routes).zip(pairs)
                    {
                        let gradient = gradient * scale;
                        let to = |bit: u8| if route & bit != 0 { gradient } else { 0.0 };
                        above[0] = to(1);
                        above[1] = to(2);
                        below[0] = to(4);
                        below[1] = to(8);
                    }
                    if width > 2 * columns {
                        above_last(output, row, width);
                    }
                }
                output[2 * rows * width..].fill(0.0);
            });
    }
}

/// The odd last column, which no pooled pixel saw.
fn above_last(output: &mut [f32], row: usize, width: usize) {
    output[(2 * row + 1) * width - 1] = 0.0;
    output[(2 * row + 2) * width - 1] = 0.0;
}

#[inline(always)]
fn max_row(above: &[f32], below: &[f32], output: &mut [f32], routes: &mut [u8]) {
    let pairs = above.chunks_exact(2).zip(below.chunks_exact(2));
    for (((above, below), output), route) in pairs.zip(output).zip(routes) {
        let [a, b, c, d] = [above[0], above[1], below[0], below[1]];
        let (top, bottom) = (a.max(b), c.max(d));
        let largest = top.max(bottom);
        let in_top = if a >= b { 1 } else { 2 };
        let in_bottom = if c >= d { 4 } else { 8 };
        let place = if top >= bottom { in_top } else { in_bottom };
        *output = largest;
        *route = if largest > 0.0 { place } else { 0 };
    }
}

#[inline(always)]
fn average_row(above: &[f32], below: &[f32], output: &mut [f32], routes: &mut [u8]) {
    let pairs = above.chunks_exact(2).zip(below.chunks_exact(2));
    for (((above, below), output), route) in pairs.zip(output).zip(routes) {
        let [a, b, c, d] = [above[0], above[1], below[0], below[1]];
        *output = 0.25 * ((a + b) + (c + d));
        *route = u8::from(a > 0.0)
            | u8::from(b > 0.0) << 1
            | u8::from(c > 0.0) << 2
            | u8::from(d > 0.0) << 3;
    }
}

//! The painting joined with what was painted before, carried along the motion.

use super::octaves::{CELL, Scratch, double_luma};
use crate::{
    kernels::vectorised,
    temporal::warp::{Rgby, Sampler},
};

/// BT.709 luma weights.
const LUMA: [f32; 3] = [0.2126, 0.7152, 0.0722];

/// An RGB pixel with its luma.
#[inline(always)]
fn rgby(rgb: &[u8]) -> Rgby {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(f32::from);
    [r, g, b, LUMA[0] * r + LUMA[1] * g + LUMA[2] * b]
}

/// The rows before, and how to get there: what a blend looks at beside the painting.
#[derive(Clone, Copy)]
pub(super) struct Past<'a> {
    /// The last steady picture.
    pub(super) history: &'a [Rgby],
    /// Motion to the right and downwards, from the current picture into the last, in pixels.
    pub(super) flow: [&'a [f32]; 2],
    /// Trust in the history at half size, 0..1.
    pub(super) trust: &'a [f32],
    /// Width of the pictures, in pixels.
    pub(super) width: usize,
    /// Height of the pictures, in pixels.
    pub(super) height: usize,
    /// Share of the history where it is fully trusted, 0..1.
    pub(super) share: f32,
}

vectorised! {
    /// Takes over rows of a painting as they are.
    pub(super) fn take(painting: &[u8], history: &mut [Rgby]) {
        for (pixel, rgb) in history.iter_mut().zip(painting.chunks_exact(3)) {
            *pixel = rgby(rgb);
        }
    }

    /// Blends rows of the painting, from row `first`, with the past. `lost` receives per cell the mean of painting less
    /// blend.
    pub(super) fn blend(painting: &[u8], first: usize, past: Past<'_>, blend: &mut [Rgby], blend_luma: &mut [f32], painting_luma: &mut [f32], lost: &mut [Rgby], scratch: &mut Scratch) {
        let width = past.width;
        let sampler = Sampler::new(past.history, width, past.height);
        lost.fill([0.0; 4]);
        let rows = painting.len() / (3 * width);
        for i in 0..rows {
            let y = first + i;
            let trust = double_luma(past.trust, width.div_ceil(2), past.height.div_ceil(2), y, width, &mut scratch.numbers);
            let [u, v] = past.flow.map(|flow| &flow[y * width..][..width]);
            let row = i * width..(i + 1) * width;
            let painting = &painting[3 * row.start..3 * row.end];
            let blend = &mut blend[row.clone()];
            for (x, ((((pixel, rgb), &trust), &u), &v)) in blend.iter_mut().zip(painting.chunks_exact(3)).zip(trust).zip(u).zip(v).enumerate() {
                let new = rgby(rgb);
                *pixel = new;
                // Newly uncovered: there is nothing to look up.
                if trust > 0.0 {
                    let old = sampler.cubic(x as f32 + u, y as f32 + v);
                    let share = past.share * trust;
                    for lane in 0..4 {
                        pixel[lane] += share * (old[lane] - new[lane]);
                    }
                }
            }
            let (blend_luma, painting_luma) = (&mut blend_luma[row.clone()], &mut painting_luma[row]);
            for (((blend_luma, painting_luma), pixel), rgb) in blend_luma.iter_mut().zip(painting_luma.iter_mut()).zip(blend.iter()).zip(painting.chunks_exact(3)) {
                *blend_luma = pixel[3];
                *painting_luma = rgby(rgb)[3];
            }
            for ((lost, blend), painting) in lost.iter_mut().zip(blend.chunks(CELL)).zip(painting.chunks(3 * CELL)) {
                for (pixel, rgb) in blend.iter().zip(painting.chunks_exact(3)) {
                    let new = rgby(rgb);
                    for lane in 0..4 {
                        lost[lane] += new[lane] - pixel[lane];
                    }
                }
            }
        }
        for (x, lost) in lost.iter_mut().enumerate() {
            let pixels = (rows * CELL.min(width - x * CELL)) as f32;
            for lane in lost {
                *lane /= pixels;
            }
        }
    }
}

//! The painting joined with what was painted before, carried along the motion.

use super::octaves::{CELL, Grid, Scratch, double_luma};
#[cfg(target_arch = "x86_64")]
use crate::temporal::warp::{Avx2, Avx512};
use crate::{
    kernels::{InstructionSet, vectorised},
    temporal::warp::{Plain, Rgby, Sampler, Taps},
};

/// BT.709 luma weights.
const LUMA: [f32; 3] = [0.2126, 0.7152, 0.0722];

/// Difference of luma (0..255) between history and painting at which they count as half the same stroke and half another.
const OTHER: f32 = 16.0;

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
    /// Share of the painting where the history is fully trusted and shows the same, 0..1.
    pub(super) mix: f32,
    /// How much of that share is withheld where the history shows other strokes, 0..1.
    pub(super) firmness: f32,
    /// Per cell, the share of the painting where strokes are being replaced, 0..1.
    pub(super) renewal: &'a Grid,
}

vectorised! {
    /// Takes over rows of a painting as they are.
    pub(super) fn take(painting: &[u8], history: &mut [Rgby]) {
        for (pixel, rgb) in history.iter_mut().zip(painting.chunks_exact(3)) {
            *pixel = rgby(rgb);
        }
    }
}

/// What rows of a blend are written to, all from the same first row.
pub(super) struct Blended<'a> {
    pub(super) pixels: &'a mut [Rgby],
    pub(super) luma: &'a mut [f32],
    pub(super) painting_luma: &'a mut [f32],
    /// Per cell the mean of painting less blend.
    pub(super) lost: &'a mut [Rgby],
}

/// Blends rows of the painting, from row `first`, with the past.
pub(super) fn blend(
    painting: &[u8],
    first: usize,
    past: Past<'_>,
    out: Blended<'_>,
    scratch: &mut Scratch,
) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512(
            painting: &[u8],
            first: usize,
            past: Past<'_>,
            out: Blended<'_>,
            scratch: &mut Scratch,
        ) {
            // SAFETY: entered only where the instructions are.
            unsafe { rows::<Avx512>(painting, first, past, out, scratch) }
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2(
            painting: &[u8],
            first: usize,
            past: Past<'_>,
            out: Blended<'_>,
            scratch: &mut Scratch,
        ) {
            // SAFETY: entered only where the instructions are.
            unsafe { rows::<Avx2>(painting, first, past, out, scratch) }
        }
        if InstructionSet::Avx512.is_available() {
            // SAFETY: the processor has the instructions.
            return unsafe { avx512(painting, first, past, out, scratch) };
        }
        if InstructionSet::Avx2.is_available() {
            // SAFETY: the processor has the instructions.
            return unsafe { avx2(painting, first, past, out, scratch) };
        }
    }
    // SAFETY: plain code needs no instructions.
    unsafe { rows::<Plain>(painting, first, past, out, scratch) }
}

/// See [`blend`].
///
/// # Safety
/// The processor has the instructions of `T`.
#[inline(always)]
unsafe fn rows<T: Taps>(
    painting: &[u8],
    first: usize,
    past: Past<'_>,
    out: Blended<'_>,
    scratch: &mut Scratch,
) {
    let Blended {
        pixels,
        luma,
        painting_luma,
        lost,
    } = out;
    let width = past.width;
    let sampler = Sampler::new(past.history, width, past.height);
    let (right_edge, bottom_edge) = ((width - 1) as f32, (past.height - 1) as f32);
    lost.fill([0.0; 4]);
    let rows = painting.len() / (3 * width);
    for i in 0..rows {
        let y = first + i;
        let (trusts, renewals) = scratch.numbers.split_at_mut(2 * width);
        let renewals = &mut renewals[..width];
        let trust = double_luma(
            past.trust,
            width.div_ceil(2),
            past.height.div_ceil(2),
            y,
            width,
            trusts,
        );
        past.renewal.row(y, CELL, renewals);
        let [u, v] = past.flow.map(|flow| &flow[y * width..][..width]);
        let row = i * width..(i + 1) * width;
        let painting = &painting[3 * row.start..3 * row.end];
        let (pixels, luma, painting_luma) = (
            &mut pixels[row.clone()],
            &mut luma[row.clone()],
            &mut painting_luma[row],
        );
        for (column, (((((pixel, rgb), &trust), &renewal), &u), &v)) in pixels
            .iter_mut()
            .zip(painting.chunks_exact(3))
            .zip(trust)
            .zip(renewals.iter())
            .zip(u)
            .zip(v)
            .enumerate()
        {
            let new = rgby(rgb);
            *pixel = new;
            let mut gone = [0.0; 4];
            let (x, y) = (column as f32 + u, y as f32 + v);
            let inside = (x >= 0.0) & (x <= right_edge) & (y >= 0.0) & (y <= bottom_edge);
            // Newly uncovered, or from outside: there is nothing to look up.
            if inside & (trust > 0.0) {
                // SAFETY: as for this function.
                let old = unsafe { sampler.at::<T>(x, y) };
                let apart = new[3] - old[3];
                let square = apart * apart;
                let other = past.firmness * square / (square + OTHER * OTHER);
                let mix = (past.mix * (1.0 - other)).max(renewal);
                let share = (1.0 - mix) * trust;
                for lane in 0..4 {
                    gone[lane] = share * (new[lane] - old[lane]);
                    pixel[lane] = new[lane] - gone[lane];
                }
            }
            luma[column] = pixel[3];
            painting_luma[column] = new[3];
            let cell = &mut lost[column / CELL];
            for lane in 0..4 {
                cell[lane] += gone[lane];
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

//! The painting joined with what was painted before, carried along the motion.

use super::{
    colour,
    grid::{CELL, Grid},
    pyramid::double,
};
#[cfg(target_arch = "x86_64")]
use crate::temporal::warp::{Avx2, Avx512};
use crate::{
    kernels::InstructionSet,
    temporal::warp::{Plain, Sampler, Taps},
};

/// Difference of luma (0..255) between history and painting at which they count as half the same stroke and half another.
const OTHER: f32 = 16.0;

/// The frame before, and how to get there: what a blend looks at beside the painting.
#[derive(Clone, Copy)]
pub(super) struct Past<'a> {
    /// Luma of the last steady picture.
    pub(super) luma: &'a [f32],
    /// Its colour, at half size.
    pub(super) colour: &'a [f32],
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

/// What rows of the painting and its blend are written to, all from the same first row.
pub(super) struct Rows<'a> {
    pub(super) painting: &'a mut [f32],
    pub(super) painting_colour: &'a mut [f32],
    pub(super) blend: &'a mut [f32],
    pub(super) blend_colour: &'a mut [f32],
    /// Per cell the mean of painting less blend: luma and colour.
    pub(super) lost: &'a mut [[f32; 3]],
}

/// Rows that one thread works with.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Trust, at full width.
    trust: Vec<f32>,
    vertical: Vec<f32>,
    renewal: Vec<f32>,
    /// Share of the history in two rows.
    kept: Vec<f32>,
    /// Painting less blend.
    gone: Vec<f32>,
}

impl Scratch {
    /// Takes the width of the pictures.
    pub(super) fn fit(&mut self, width: usize) {
        for row in [&mut self.trust, &mut self.renewal, &mut self.gone] {
            row.resize(width, 0.0);
        }
        self.vertical.resize(width.div_ceil(2), 0.0);
        self.kept.resize(2 * width, 0.0);
    }
}

/// Takes rows of the painting (RGB) apart and blends them with the past; `first`, the index of the first, is even.
pub(super) fn blend(
    picture: &[u8],
    first: usize,
    past: Past<'_>,
    rows: Rows<'_>,
    scratch: &mut Scratch,
) {
    colour::take(picture, past.width, rows.painting, rows.painting_colour);
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512(first: usize, past: Past<'_>, rows: Rows<'_>, scratch: &mut Scratch) {
            // SAFETY: entered only where the instructions are.
            unsafe { join::<Avx512>(first, past, rows, scratch) }
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2(first: usize, past: Past<'_>, rows: Rows<'_>, scratch: &mut Scratch) {
            // SAFETY: entered only where the instructions are.
            unsafe { join::<Avx2>(first, past, rows, scratch) }
        }
        if InstructionSet::Avx512.is_available() {
            // SAFETY: the processor has the instructions.
            return unsafe { avx512(first, past, rows, scratch) };
        }
        if InstructionSet::Avx2.is_available() {
            // SAFETY: the processor has the instructions.
            return unsafe { avx2(first, past, rows, scratch) };
        }
    }
    // SAFETY: plain code needs no instructions.
    unsafe { join::<Plain>(first, past, rows, scratch) }
}

/// See [`blend`].
///
/// # Safety
/// The processor has the instructions of `T`.
#[inline(always)]
unsafe fn join<T: Taps>(first: usize, past: Past<'_>, rows: Rows<'_>, scratch: &mut Scratch) {
    let Rows {
        painting,
        painting_colour,
        blend,
        blend_colour,
        lost,
    } = rows;
    let width = past.width;
    let narrow = width.div_ceil(2);
    lost.fill([0.0; 3]);
    let height = painting.len() / width;
    for i in 0..height {
        let row = i * width..(i + 1) * width;
        let (painting, blend) = (&painting[row.clone()], &mut blend[row]);
        // SAFETY: as for this function.
        unsafe { join_luma::<T>(first + i, past, painting, blend, lost, scratch) };
        if i % 2 == 0 && i + 1 < height {
            continue;
        }
        if i % 2 == 0 {
            scratch.kept.copy_within(..width, width);
        }
        let half = i / 2 * 2 * narrow;
        let painting = &painting_colour[half..][..2 * narrow];
        let blend = &mut blend_colour[half..][..2 * narrow];
        // SAFETY: as for this function.
        unsafe { join_colour::<T>((first + i) / 2, past, painting, blend, lost, &scratch.kept) };
    }
    let low = height.div_ceil(2);
    for (x, [luma, blue, red]) in lost.iter_mut().enumerate() {
        *luma /= (height * CELL.min(width - x * CELL)) as f32;
        let pixels = (low * (CELL / 2).min(narrow - x * CELL / 2)) as f32;
        *blue /= pixels;
        *red /= pixels;
    }
}

/// Joins row `y` of luma; adds to `lost`, leaves the share of the history in `scratch`.
///
/// # Safety
/// The processor has the instructions of `T`.
#[inline(always)]
unsafe fn join_luma<T: Taps>(
    y: usize,
    past: Past<'_>,
    painting: &[f32],
    blend: &mut [f32],
    lost: &mut [[f32; 3]],
    scratch: &mut Scratch,
) {
    let (width, low) = (past.width, past.height.div_ceil(2));
    let Scratch {
        trust,
        vertical,
        renewal,
        kept,
        gone,
    } = scratch;
    double::<1, 2>(past.trust, width.div_ceil(2), low, y, vertical, trust);
    past.renewal.row(y, CELL, renewal);
    let sampler = Sampler::<1>::new(past.luma, width, past.height);
    let (right_edge, bottom_edge) = ((width - 1) as f32, (past.height - 1) as f32);
    let [u, v] = past.flow.map(|flow| &flow[y * width..][..width]);
    let looked_up = blend.iter_mut().zip(trust.iter_mut()).zip(painting);
    for (column, (((old, trust), &new), (&u, &v))) in looked_up.zip(u.iter().zip(v)).enumerate() {
        let (x, y) = (column as f32 + u, y as f32 + v);
        let inside = (x >= 0.0) & (x <= right_edge) & (y >= 0.0) & (y <= bottom_edge);
        // Newly uncovered, or from outside: there is nothing to look up.
        if inside & (*trust > 0.0) {
            // SAFETY: as for this function.
            [*old] = unsafe { sampler.at::<T>(x, y) };
        } else {
            (*old, *trust) = (new, 0.0);
        }
    }
    let kept = &mut kept[y % 2 * width..][..width];
    let shares = kept.iter_mut().zip(trust.iter()).zip(renewal.iter());
    let values = blend.iter_mut().zip(painting).zip(gone.iter_mut());
    for (((blend, &new), gone), ((kept, &trust), &renewal)) in values.zip(shares) {
        let apart = new - *blend;
        let square = apart * apart;
        let other = past.firmness * square / (square + OTHER * OTHER);
        let mix = (past.mix * (1.0 - other)).max(renewal);
        *kept = (1.0 - mix) * trust;
        *gone = *kept * apart;
        *blend = new - *gone;
    }
    for (cell, gone) in lost.iter_mut().zip(gone.chunks(CELL)) {
        cell[0] += gone.iter().sum::<f32>();
    }
}

/// Joins row `y` of colour, as `kept`, the share of the history in the two rows of luma, says; adds to `lost`.
///
/// # Safety
/// The processor has the instructions of `T`.
#[inline(always)]
unsafe fn join_colour<T: Taps>(
    y: usize,
    past: Past<'_>,
    painting: &[f32],
    blend: &mut [f32],
    lost: &mut [[f32; 3]],
    kept: &[f32],
) {
    let width = past.width;
    let sampler = Sampler::<2>::new(past.colour, width.div_ceil(2), past.height.div_ceil(2));
    let rows = [2 * y, (2 * y + 1).min(past.height - 1)];
    let flow = past
        .flow
        .map(|flow| rows.map(|y| &flow[y * width..][..width]));
    let kept = [&kept[..width], &kept[width..][..width]];
    let pixels = blend.as_chunks_mut::<2>().0.iter_mut();
    for (column, (blend, &new)) in pixels.zip(painting.as_chunks::<2>().0).enumerate() {
        let (left, right) = (2 * column, (2 * column + 1).min(width - 1));
        let sum = |rows: [&[f32]; 2]| rows.iter().map(|row| row[left] + row[right]).sum::<f32>();
        let share = 0.25 * sum(kept);
        *blend = new;
        if share > 0.0 {
            // Half the mean motion: pixels are twice as large here.
            let [u, v] = flow.map(|rows| 0.125 * sum(rows));
            // SAFETY: as for this function.
            let old = unsafe { sampler.at::<T>(column as f32 + u, y as f32 + v) };
            let cell = &mut lost[2 * column / CELL];
            for lane in 0..2 {
                let gone = share * (new[lane] - old[lane]);
                cell[1 + lane] += gone;
                blend[lane] -= gone;
            }
        }
    }
}

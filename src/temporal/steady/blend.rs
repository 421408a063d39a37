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
    temporal::warp::{Place, Plain, Sampler, Taps},
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
    /// The same of luma, summed over the rows of a cell.
    lost: Vec<f32>,
    /// The same of colour.
    lost_colour: Vec<f32>,
    /// Where the history of each pixel is.
    places: Vec<Place>,
}

impl Scratch {
    /// Takes the width of the pictures.
    pub(super) fn fit(&mut self, width: usize) {
        for row in [&mut self.trust, &mut self.renewal, &mut self.lost] {
            row.resize(width, 0.0);
        }
        self.vertical.resize(width.div_ceil(2), 0.0);
        for row in [&mut self.gone, &mut self.lost_colour] {
            row.resize(2 * width.div_ceil(2), 0.0);
        }
        self.kept.resize(2 * width, 0.0);
        self.places.resize(width, Place::NONE);
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
    scratch.lost.fill(0.0);
    scratch.lost_colour.fill(0.0);
    let height = painting.len() / width;
    for i in 0..height {
        let row = i * width..(i + 1) * width;
        let (painting, blend) = (&painting[row.clone()], &mut blend[row]);
        // SAFETY: as for this function.
        unsafe { join_luma::<T>(first + i, past, painting, blend, scratch) };
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
        unsafe { join_colour::<T>((first + i) / 2, past, painting, blend, scratch) };
    }
    let low = height.div_ceil(2);
    // As many pixels of colour are half a cell.
    let colours = scratch.lost_colour.chunks(CELL);
    let sums = scratch.lost.chunks(CELL).zip(colours);
    for (lost, (luma, colour)) in lost.iter_mut().zip(sums) {
        let (colour, _) = colour.as_chunks::<2>();
        let mean = |lane: usize| {
            colour.iter().map(|pair| pair[lane]).sum::<f32>() / (low * colour.len()) as f32
        };
        let luma = luma.iter().sum::<f32>() / (height * luma.len()) as f32;
        *lost = [luma, mean(0), mean(1)];
    }
}

/// Joins row `y` of luma; leaves the share of the history, and what is lost, in `scratch`.
///
/// # Safety
/// The processor has the instructions of `T`.
#[inline(always)]
unsafe fn join_luma<T: Taps>(
    y: usize,
    past: Past<'_>,
    painting: &[f32],
    blend: &mut [f32],
    scratch: &mut Scratch,
) {
    let (width, low) = (past.width, past.height.div_ceil(2));
    let Scratch {
        trust,
        vertical,
        renewal,
        kept,
        lost,
        places,
        ..
    } = scratch;
    double::<1, 2>(past.trust, width.div_ceil(2), low, y, vertical, trust);
    past.renewal.row(y, CELL, renewal);
    let sampler = Sampler::<1>::new(past.luma, width, past.height);
    let (right_edge, bottom_edge) = ((width - 1) as f32, (past.height - 1) as f32);
    let [u, v] = past.flow.map(|flow| &flow[y * width..][..width]);
    let at = |column: usize| (column as f32 + u[column], y as f32 + v[column]);
    for (column, (place, trust)) in places.iter_mut().zip(trust.iter_mut()).enumerate() {
        let (x, y) = at(column);
        let inside = (x >= 0.0) & (x <= right_edge) & (y >= 0.0) & (y <= bottom_edge);
        // Newly uncovered, or from outside: there is nothing to look up.
        let seen = inside & (*trust > 0.0);
        *trust = if seen { *trust } else { 0.0 };
        *place = if seen {
            sampler.place(x, y)
        } else {
            Place::NONE
        };
    }
    // SAFETY: the places are the sampler's; as for this function.
    unsafe { sampler.look_up::<T>(places, at, painting, blend) };
    let kept = &mut kept[y % 2 * width..][..width];
    let shares = kept.iter_mut().zip(trust.iter()).zip(renewal.iter());
    let values = blend.iter_mut().zip(painting).zip(lost.iter_mut());
    for (((blend, &new), lost), ((kept, &trust), &renewal)) in values.zip(shares) {
        let apart = new - *blend;
        let square = apart * apart;
        let other = past.firmness * square / (square + OTHER * OTHER);
        let mix = (past.mix * (1.0 - other)).max(renewal);
        *kept = (1.0 - mix) * trust;
        let gone = *kept * apart;
        *lost += gone;
        *blend = new - gone;
    }
}

/// Sums of 2×2 numbers of two rows; of an odd row the last number counts twice.
#[inline(always)]
pub(super) fn sum_pairs(rows: [&[f32]; 2], factor: f32, sums: &mut [f32]) {
    let [a, b] = rows.map(<[f32]>::as_chunks::<2>);
    for (sum, (a, b)) in sums.iter_mut().zip(a.0.iter().zip(b.0)) {
        *sum = factor * (a[0] + a[1] + b[0] + b[1]);
    }
    if let (Some(last), [a], [b]) = (sums.last_mut(), a.1, b.1) {
        *last = factor * 2.0 * (a + b);
    }
}

/// Joins row `y` of colour, as the share of the history in the two rows of luma says; leaves what is lost in `scratch`.
///
/// # Safety
/// The processor has the instructions of `T`.
#[inline(always)]
unsafe fn join_colour<T: Taps>(
    y: usize,
    past: Past<'_>,
    painting: &[f32],
    blend: &mut [f32],
    scratch: &mut Scratch,
) {
    let width = past.width;
    let narrow = width.div_ceil(2);
    let sampler = Sampler::<2>::new(past.colour, narrow, past.height.div_ceil(2));
    let rows = [2 * y, (2 * y + 1).min(past.height - 1)];
    let [u, v] = past
        .flow
        .map(|flow| rows.map(|y| &flow[y * width..][..width]));
    let (above, below) = scratch.kept.split_at(width);
    let shares = &mut scratch.vertical[..narrow];
    sum_pairs([above, below], 0.25, shares);
    // Half the mean motion: pixels are twice as large here.
    let (x, row) = scratch.gone.split_at_mut(narrow);
    sum_pairs(u, 0.125, x);
    sum_pairs(v, 0.125, row);
    for (column, (x, v)) in x.iter_mut().zip(row.iter_mut()).enumerate() {
        *x += column as f32;
        *v += y as f32;
    }
    let places = &mut scratch.places[..narrow];
    let found = x.iter().zip(row.iter()).zip(shares.iter());
    for (place, ((&x, &y), &share)) in places.iter_mut().zip(found) {
        *place = if share > 0.0 {
            sampler.place(x, y)
        } else {
            Place::NONE
        };
    }
    let at = |column: usize| (x[column], row[column]);
    // SAFETY: the places are the sampler's; as for this function.
    unsafe { sampler.look_up::<T>(places, at, painting, blend) };
    let pixels = blend.as_chunks_mut::<2>().0.iter_mut();
    let pixels = pixels.zip(painting.as_chunks::<2>().0).zip(shares.iter());
    let lost = scratch.lost_colour.as_chunks_mut::<2>().0;
    for (((blend, new), &share), lost) in pixels.zip(lost) {
        for lane in 0..2 {
            let gone = share * (new[lane] - blend[lane]);
            lost[lane] += gone;
            blend[lane] = new[lane] - gone;
        }
    }
}

//! Paintings of pictures that were not painted.
//!
//! Where the motion is understood a painting says what the next one should look like: steadying takes only a thirtieth of it. So
//! not every picture has to be painted. [`super::LeavingOut`] says which need not be, and [`Between`] makes theirs of the
//! steady paintings before and behind, each looked up once, along motion that is joined from picture to picture. One gives way to
//! the other from picture to picture, so that nothing jumps; what only one of them has seen comes from that one.

use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};

use super::{
    SteadyError, blend::sum_pairs, colour, grid::CELL, octaves::Planes, pyramid::double,
    trust::Trust,
};
#[cfg(target_arch = "x86_64")]
use crate::temporal::warp::{Avx2, Avx512};
use crate::{
    frame::Picture,
    kernels::{InstructionSet, vectorised},
    temporal::{
        flow::{FlowEstimator, FlowSettings, Found, Luma, Motion},
        warp::{Place, Plain, Sampler, Taps},
    },
};

/// Trust in the painting before and in the one behind where there is none in either, so that both count.
const LEAST: f32 = 0.01;

pub(super) fn pool(threads: usize) -> Result<ThreadPool, SteadyError> {
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(|i| format!("between-{i}"));
    Ok(pool.build()?)
}

/// A picture without a painting.
pub struct Unpainted<'a> {
    /// Its luma.
    pub luma: &'a Luma,
    /// Motion between the picture before and this one.
    pub found: &'a Found,
    /// Becomes the painting; of its size.
    pub picture: &'a mut Picture,
}

/// Makes paintings of those before and behind.
pub struct Between {
    pool: ThreadPool,
    flow: FlowEstimator,
    trust: [Trust; 2],
    size: (usize, usize),
    /// Luma of the last painting's picture.
    last: Option<Luma>,
    /// The paintings before and behind.
    paintings: [Planes; 2],
    result: Planes,
    scratch: Vec<Scratch>,
}

impl Between {
    /// Motion comes from an estimator of the settings `flow`.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(flow: FlowSettings) -> Result<Self, SteadyError> {
        Ok(Self {
            pool: pool(flow.threads)?,
            flow: FlowEstimator::new(flow).backward_only(),
            trust: Default::default(),
            size: (0, 0),
            last: None,
            paintings: Default::default(),
            result: Planes::default(),
            scratch: Vec::new(),
        })
    }

    /// The motion that was found between two pictures.
    pub fn motion(&mut self, found: &Found) -> Motion {
        self.flow.again(found, false)
    }

    /// Takes back the memory of a motion.
    pub fn recycle(&mut self, motion: Motion) {
        self.flow.recycle(motion);
    }

    /// Takes a painting of the picture with this luma, `found` being the motion between the last picture that waits and this one, and
    /// paints those that wait for it. To be called for every painting of a scene.
    ///
    /// # Panics
    /// When pictures wait between paintings of different size, or before the first one.
    pub fn painted(
        &mut self,
        painting: &Picture,
        luma: Luma,
        waiting: &mut [Unpainted<'_>],
        found: Option<&Found>,
    ) {
        let size = (painting.width(), painting.height());
        assert!(
            waiting.is_empty() || (self.size == size && self.last.is_some()),
            "nothing is painted before these pictures"
        );
        self.fit(size);
        self.paintings.swap(0, 1);
        self.take(painting);
        if let (Some(last), Some(found)) = (self.last.take(), found) {
            self.fill([&last, &luma], waiting, found);
        }
        self.last = Some(luma);
    }

    fn fill(&mut self, ends: [&Luma; 2], waiting: &mut [Unpainted<'_>], found: &Found) {
        // From each picture to the painting behind.
        let mut behind = Vec::with_capacity(waiting.len());
        let onwards = waiting.iter().skip(1).map(|unpainted| unpainted.found);
        for found in onwards.chain([found]).rev() {
            let joined = behind.last().map(|rest| found.join(rest));
            behind.push(joined.unwrap_or_else(|| found.clone()));
        }
        let mut ahead: Option<Found> = None;
        for (i, (unpainted, onwards)) in waiting.iter_mut().zip(behind.iter().rev()).enumerate() {
            let joined = ahead.map(|ahead| ahead.join(unpainted.found));
            let here = joined.unwrap_or_else(|| unpainted.found.clone());
            let motions = [(&here, false), (onwards, true)];
            let motions = motions.map(|(found, reversed)| self.flow.again(found, reversed));
            for ((trust, end), motion) in self.trust.iter_mut().zip(ends).zip(&motions) {
                self.pool.install(|| {
                    trust.see(end);
                    trust.see(unpainted.luma);
                    trust.forget();
                    trust.judge(motion, 1.0);
                });
            }
            let time = (i + 1) as f32 / (behind.len() + 1) as f32;
            self.mix(&motions, time, unpainted.picture);
            motions
                .into_iter()
                .for_each(|motion| self.flow.recycle(motion));
            ahead = Some(here);
        }
    }

    /// What comes next follows on nothing.
    pub fn reset(&mut self) {
        self.last = None;
    }

    fn fit(&mut self, size @ (width, height): (usize, usize)) {
        if self.size == size {
            return;
        }
        self.size = size;
        self.last = None;
        self.trust
            .iter_mut()
            .for_each(|trust| trust.fit(width, height));
        let half = width.div_ceil(2) * height.div_ceil(2);
        for planes in self.paintings.iter_mut().chain([&mut self.result]) {
            planes.luma.resize(width * height, 0.0);
            planes.colour.resize(2 * half, 0.0);
        }
        self.scratch
            .resize_with(height.div_ceil(CELL), Default::default);
        self.scratch.iter_mut().for_each(|row| row.fit(width));
    }

    /// Takes the painting behind apart.
    fn take(&mut self, painting: &Picture) {
        let width = painting.width();
        let Planes { luma, colour } = &mut self.paintings[1];
        let strips = (
            painting.rgb().par_chunks(3 * CELL * width),
            luma.par_chunks_mut(CELL * width),
            colour.par_chunks_mut(CELL * width.div_ceil(2)),
        );
        self.pool.install(|| {
            strips
                .into_par_iter()
                .for_each(|(rgb, luma, colour)| colour::take(rgb, width, luma, colour));
        });
    }

    fn mix(&mut self, motions: &[Motion; 2], time: f32, picture: &mut Picture) {
        let (width, height) = self.size;
        let narrow = width.div_ceil(2);
        let Self {
            pool,
            paintings,
            trust,
            result,
            scratch,
            ..
        } = self;
        let sides = [0, 1].map(|side| Side {
            planes: &paintings[side],
            flow: [&motions[side].backward.u, &motions[side].backward.v],
            trust: trust[side].map(),
            time,
        });
        pool.install(|| {
            (
                result.luma.par_chunks_mut(CELL * width),
                result.colour.par_chunks_mut(CELL * narrow),
                scratch.par_iter_mut(),
            )
                .into_par_iter()
                .enumerate()
                .for_each(|(i, (luma, colour, scratch))| {
                    mix(sides, (width, height), i * CELL, [luma, colour], scratch);
                });
            (
                picture.rgb_mut().par_chunks_mut(3 * CELL * width),
                result.luma.par_chunks(CELL * width),
                scratch.par_iter_mut(),
            )
                .into_par_iter()
                .enumerate()
                .for_each(|(i, (rgb, luma, scratch))| {
                    let Scratch { vertical, wide, .. } = scratch;
                    put(
                        luma,
                        &result.colour,
                        (width, height),
                        i * CELL,
                        rgb,
                        vertical,
                        wide,
                    );
                });
        });
    }
}

vectorised! {
    /// Writes the pixels of rows of `luma`, from row `first`, and of `colour` at half size.
    fn put(luma: &[f32], colour: &[f32], size: (usize, usize), first: usize, rgb: &mut [u8], vertical: &mut [f32], doubled: &mut [f32]) {
        let (width, height) = size;
        for (i, (luma, rgb)) in luma.chunks_exact(width).zip(rgb.chunks_exact_mut(3 * width)).enumerate() {
            double::<2, 4>(colour, width.div_ceil(2), height.div_ceil(2), first + i, vertical, doubled);
            colour::put(luma, doubled, rgb);
        }
    }
}

/// Rows that one thread works with.
#[derive(Debug, Default)]
struct Scratch {
    /// Trust in both paintings, at full width.
    trust: [Vec<f32>; 2],
    /// Share of the painting before, of two rows.
    share: Vec<f32>,
    vertical: Vec<f32>,
    /// Places at half size.
    half: [Vec<f32>; 2],
    places: Vec<Place>,
    /// A row of the painting before.
    looked: Vec<f32>,
    /// A row of two numbers a pixel.
    wide: Vec<f32>,
}

impl Scratch {
    fn fit(&mut self, width: usize) {
        let narrow = width.div_ceil(2);
        self.trust = [(); 2].map(|()| vec![0.0; width]);
        self.half = [(); 2].map(|()| vec![0.0; narrow]);
        self.places = vec![Place::NONE; width];
        for row in [&mut self.share, &mut self.wide] {
            *row = vec![0.0; 2 * width];
        }
        for row in [&mut self.vertical, &mut self.looked] {
            *row = vec![0.0; 2 * narrow];
        }
    }
}

/// A painting and the way there.
#[derive(Clone, Copy)]
struct Side<'a> {
    planes: &'a Planes,
    /// To the right and downwards, in pixels.
    flow: [&'a [f32]; 2],
    /// That it leads to what is here, 0..1, at half size.
    trust: &'a [f32],
    /// How far it is from the painting before to the one behind.
    time: f32,
}

/// Fills rows of luma, and of colour at half size, from row `first`, which is even.
fn mix(
    sides: [Side<'_>; 2],
    size: (usize, usize),
    first: usize,
    rows: [&mut [f32]; 2],
    scratch: &mut Scratch,
) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512(
            sides: [Side<'_>; 2],
            size: (usize, usize),
            first: usize,
            rows: [&mut [f32]; 2],
            scratch: &mut Scratch,
        ) {
            // SAFETY: entered only where the instructions are.
            unsafe { mix_rows::<Avx512>(sides, size, first, rows, scratch) }
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2(
            sides: [Side<'_>; 2],
            size: (usize, usize),
            first: usize,
            rows: [&mut [f32]; 2],
            scratch: &mut Scratch,
        ) {
            // SAFETY: entered only where the instructions are.
            unsafe { mix_rows::<Avx2>(sides, size, first, rows, scratch) }
        }
        if InstructionSet::Avx512.is_available() {
            // SAFETY: the processor has the instructions.
            return unsafe { avx512(sides, size, first, rows, scratch) };
        }
        if InstructionSet::Avx2.is_available() {
            // SAFETY: the processor has the instructions.
            return unsafe { avx2(sides, size, first, rows, scratch) };
        }
    }
    // SAFETY: plain code needs no instructions.
    unsafe { mix_rows::<Plain>(sides, size, first, rows, scratch) }
}

/// See [`mix`].
///
/// # Safety
/// The processor has the instructions of `T`.
#[inline(always)]
unsafe fn mix_rows<T: Taps>(
    sides: [Side<'_>; 2],
    (width, height): (usize, usize),
    first: usize,
    [luma, colour]: [&mut [f32]; 2],
    scratch: &mut Scratch,
) {
    let (narrow, low) = (width.div_ceil(2), height.div_ceil(2));
    let Scratch {
        trust,
        share,
        vertical,
        half,
        places,
        looked,
        ..
    } = scratch;
    for (i, luma) in luma.chunks_exact_mut(width).enumerate() {
        let y = first + i;
        for (trust, side) in trust.iter_mut().zip(sides) {
            double::<1, 2>(side.trust, narrow, low, y, vertical, trust);
        }
        let shares = &mut share[y % 2 * width..][..width];
        for ((share, &a), &b) in shares.iter_mut().zip(&trust[0]).zip(&trust[1]) {
            let time = sides[0].time;
            let (a, b) = ((a + LEAST) * (1.0 - time), (b + LEAST) * time);
            *share = a / (a + b);
        }
        for (which, side) in sides.into_iter().enumerate() {
            let sampler = Sampler::<1>::new(&side.planes.luma, width, height);
            let [u, v] = side.flow.map(|flow| &flow[y * width..][..width]);
            let at = |column: usize| (column as f32 + u[column], y as f32 + v[column]);
            for (column, place) in places.iter_mut().enumerate() {
                let (x, y) = at(column);
                *place = sampler.place(x, y);
            }
            let row = if which == 0 {
                &mut looked[..width]
            } else {
                &mut *luma
            };
            // Every place is looked up, so nothing stands in for one.
            // SAFETY: the places are the sampler's; as for this function.
            unsafe { sampler.look_up::<T>(places, at, &[], row) };
        }
        for ((luma, &before), &share) in luma.iter_mut().zip(&*looked).zip(&*shares) {
            *luma += share * (before - *luma);
        }
        if y.is_multiple_of(2) && y + 1 < height {
            continue;
        }
        if y.is_multiple_of(2) {
            share.copy_within(..width, width);
        }
        let colour = &mut colour[i / 2 * 2 * narrow..][..2 * narrow];
        let shares = &mut vertical[..narrow];
        let (above, below) = share.split_at(width);
        sum_pairs([above, below], 0.25, shares);
        for (which, side) in sides.into_iter().enumerate() {
            let sampler = Sampler::<2>::new(&side.planes.colour, narrow, low);
            let rows = [y / 2 * 2, y];
            for ((half, flow), origin) in half.iter_mut().zip(side.flow).zip([None, Some(y / 2)]) {
                // Half the mean motion: pixels are twice as large here.
                sum_pairs(rows.map(|y| &flow[y * width..][..width]), 0.125, half);
                for (column, place) in half.iter_mut().enumerate() {
                    *place += origin.unwrap_or(column) as f32;
                }
            }
            let [xs, ys] = &*half;
            let at = |column: usize| (xs[column], ys[column]);
            let places = &mut places[..narrow];
            for (column, place) in places.iter_mut().enumerate() {
                let (x, y) = at(column);
                *place = sampler.place(x, y);
            }
            let row = if which == 0 {
                &mut *looked
            } else {
                &mut *colour
            };
            // Every place is looked up, so nothing stands in for one.
            // SAFETY: the places are the sampler's; as for this function.
            unsafe { sampler.look_up::<T>(places, at, &[], row) };
        }
        let pixels = colour.as_chunks_mut::<2>().0.iter_mut();
        for ((pixel, before), &share) in pixels.zip(looked.as_chunks::<2>().0).zip(&*shares) {
            for lane in 0..2 {
                pixel[lane] += share * (before[lane] - pixel[lane]);
            }
        }
    }
}

#[cfg(test)]
mod tests;

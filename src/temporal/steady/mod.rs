//! Steady paintings: strokes that stay on what they paint.
//!
//! A network that paints frame by frame answers noise and the smallest motion with other strokes: the film shimmers.
//! Here each painting is blended with the steady picture before it, carried along the input's motion:
//!
//! 1. [`trust`] says where that history is worth anything, seen in the input alone.
//! 2. [`blend`] looks the history up between its pixels and mixes it with the painting, 97 to 3 where it is trusted and
//!    shows much the same: what flickers is averaged. Where it shows another stroke, averaging would make a smear of both:
//!    there the old stroke stays until its cell's turn to be renewed, about every three seconds. Where the scene is newly
//!    uncovered the painting stands alone.
//! 3. The average has lost texture. [`octaves`] compares it octave by octave with the painting and pays back what is
//!    missing: a little by amplifying the average, the rest in strokes of the painting. The repaired picture is the next
//!    frame's history, so the loss never adds up.
//! 4. Where the light of the scene changes, or the network paints a place in another colour for good, the coarsest
//!    octave is taken from the painting: neither brightness nor colour lags.
//!
//! All of it works on [`colour`] at half size, as video codecs store it.
//!
//! Nothing is looked up further back than one frame and nothing ahead: it works live. Films in files may be gone over
//! again ([`FurtherPasses`]).

mod between;
mod blend;
mod colour;
mod further;
mod grid;
mod leaving_out;
mod octaves;
mod pyramid;
mod renewal;
#[cfg(test)]
pub(crate) mod tests;
mod trust;

use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};

pub use between::{Between, Unpainted};
pub use further::{FurtherPasses, MOST_PASSES, Pass, PassOnProcessor, given_out};
pub use leaving_out::{LeavingOut, MOST_BETWEEN};

use super::flow::{Luma, Motion};
use crate::frame::Picture;
use blend::{Past, Rows};
use grid::CELL;
use octaves::{Along, Level, Planes, Repair};
use renewal::Renewal;
use trust::Trust;

#[cfg(any(test, feature = "cuda"))]
pub(crate) use renewal::first_age;

/// Share of the history at full strength. The flicker that is left falls with the root of the share of the painting,
/// and so does the speed at which a wrong stroke is forgotten: 0.97 forgets one half in 23 frames.
const LARGEST_SHARE: f32 = 0.97;

/// Octaves whose texture is paid back; 16 pixels of the picture make one of the octave beyond.
const OCTAVES: usize = 4;

/// How much of each octave is paid back, finest first. Averaging paintings that differ makes strokes fade by the share
/// of the history with every frame; the gain keeps those alive that are there, and beyond its bound the painting's own
/// strokes take their place, which flickers. Least where the average has more texture than the painting. Of what
/// flickers a few percent are let go; what does not flicker keeps all its texture.
const REPAIR: [Repair; OCTAVES] = [
    repair(1.08, 0.97),
    repair(1.04, 0.95),
    repair(1.02, 0.97),
    repair(1.0, 1.0),
];

const fn repair(most: f32, enough: f32) -> Repair {
    Repair {
        gain: [0.8, most],
        enough,
    }
}

/// Mean square of an octave (of 0..255) that is no texture yet: flat areas stay flat.
const NO_TEXTURE: f32 = 1.0;

/// Difference of painting and blend, averaged over a cell (0..255), of which one half is taken over at once: flicker of
/// whole cells stays below it, a colour that the network has changed its mind about does not lag behind for a second.
const STALE: f32 = 25.0;

/// How much of the strength is given up half way from one style to another.
const LET_GO: f32 = 0.7;

/// The smallest side that is steadied, in pixels; smaller pictures pass as they are.
pub(crate) const MIN_SIDE: usize = 32;

/// How to steady.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SteadySettings {
    /// 0 leaves the paintings as they are, 1 steadies them most.
    strength: f32,
    /// Threads that work.
    threads: usize,
    /// Pictures from one painting to the next.
    pictures: u8,
}

/// Why steadying cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SteadyError {
    /// A strength outside of 0..1.
    #[error(
        "steadiness {0} is out of range: --steady takes 0 (as painted) to 1 (steadiest), or off"
    )]
    InvalidStrength(f32),
    /// The system gave no threads.
    #[error("the system gives no threads to steady the pictures with")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The device that steadies failed.
    #[error("the pictures cannot be steadied on this device")]
    Device(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SteadySettings {
    /// `strength` is 0 (as painted) to 1 (steadiest).
    ///
    /// # Errors
    /// [`SteadyError::InvalidStrength`] outside of 0..1.
    pub fn new(strength: f32, threads: usize) -> Result<Self, SteadyError> {
        if !(0.0..=1.0).contains(&strength) {
            return Err(SteadyError::InvalidStrength(strength));
        }
        Ok(Self {
            strength,
            threads: threads.max(1),
            pictures: 1,
        })
    }

    /// The same for a painting that comes so many `pictures` after the one before, those between having none.
    #[must_use]
    pub fn over(self, pictures: usize) -> Self {
        Self {
            pictures: pictures.clamp(1, 1 + MOST_BETWEEN) as u8,
            ..self
        }
    }

    /// The same for a painting whose style is `change` (0..1) of the way to another. Strokes of the style that goes must not stay
    /// until their turn, and those of the one that comes need not be steady yet; least in the middle, for a film whose strokes
    /// were all let go at once would be seen to jump.
    #[must_use]
    pub fn while_changing(self, change: f32) -> Self {
        let held = 1.0 - 4.0 * LET_GO * change * (1.0 - change);
        Self {
            strength: self.strength * held,
            ..self
        }
    }

    /// The share of the history where it is fully trusted. Most of the flicker goes with the first half of the share, as
    /// texture is paid back; the exponent makes equal steps of strength about equal steps of flicker.
    pub(crate) fn share(&self) -> f32 {
        self.share_of_each().powi(self.pictures.into())
    }

    fn share_of_each(&self) -> f32 {
        LARGEST_SHARE * self.strength.powf(1.5)
    }

    /// How much of the painting's own share is withheld where the history shows other strokes.
    pub(crate) fn firmness(&self) -> f32 {
        self.share_of_each() / LARGEST_SHARE
    }
}

/// Steadies paintings, one after the other.
pub struct Steady {
    settings: SteadySettings,
    pool: ThreadPool,
    work: Work,
}

/// Everything but the threads.
#[derive(Default)]
struct Work {
    size: Option<(usize, usize)>,
    /// The last steady picture, if there is one, before rounding (0..255).
    history: Planes,
    continued: bool,
    /// Per cell, painting less blend: luma and colour.
    lost: Vec<[f32; 3]>,
    levels: Vec<Level>,
    renewal: Renewal,
    /// One per strip, and so one per task.
    blending: Vec<blend::Scratch>,
    scratch: Vec<octaves::Scratch>,
    trust: Trust,
}

impl Steady {
    /// A steadier without history.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(settings: SteadySettings) -> Result<Self, SteadyError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(settings.threads)
            .thread_name(|i| format!("steady-{i}"))
            .build()?;
        Ok(Self {
            settings,
            pool,
            work: Work::default(),
        })
    }

    /// The steady version of a painting of `input`, `motion` being that from the input of the call before to this one;
    /// without motion (the first picture, a cut) the painting comes back as it is and history starts with it.
    pub fn push(
        &mut self,
        mut painting: Picture,
        input: &Luma,
        motion: Option<&Motion>,
    ) -> Picture {
        let size = (painting.width(), painting.height());
        if size.0.min(size.1) < MIN_SIDE || (input.width, input.height) != size {
            self.reset();
            return painting;
        }
        let (work, settings) = (&mut self.work, self.settings);
        let motion =
            motion.filter(|motion| (motion.backward.width, motion.backward.height) == size);
        self.pool.install(|| {
            work.fit(size);
            work.trust.see(input);
            match motion {
                // Without strength nothing is changed, colour included.
                Some(motion) if work.continued && settings.strength > 0.0 => {
                    work.steady(&mut painting, motion, settings)
                }
                _ => work.start(&painting),
            }
        });
        painting
    }

    /// Changes how much the pictures that follow are steadied; the history stays.
    pub fn set(&mut self, settings: SteadySettings) {
        self.settings = settings;
    }

    /// Forgets the history: the next painting comes back as it is.
    pub fn reset(&mut self) {
        self.work.continued = false;
    }

    /// Luma and colour of the last steady picture, before rounding; empty before the first.
    #[cfg(test)]
    fn history(&self) -> [&[f32]; 2] {
        [&self.work.history.luma, &self.work.history.colour]
    }
}

impl Work {
    fn fit(&mut self, size: (usize, usize)) {
        if self.size == Some(size) {
            return;
        }
        self.size = Some(size);
        self.continued = false;
        let (mut width, mut height) = size;
        self.trust.fit(width, height);
        self.renewal.fit(width, height);
        let strips = height.div_ceil(CELL);
        self.blending.resize_with(strips, Default::default);
        self.blending.iter_mut().for_each(|row| row.fit(width));
        self.scratch.resize_with(strips, Default::default);
        self.scratch.iter_mut().for_each(|row| row.fit(width));
        self.levels.resize_with(OCTAVES + 1, Level::default);
        for (octave, level) in self.levels.iter_mut().enumerate() {
            level.fit(width, height, octave == 0);
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
        }
        self.lost
            .resize(self.levels[OCTAVES].blend.luma.len(), [0.0; 3]);
        self.history
            .luma
            .resize(self.levels[0].blend.luma.len(), 0.0);
        self.history
            .colour
            .resize(self.levels[1].blend.colour.len(), 0.0);
    }

    /// Strips of full height and half height, in numbers.
    fn strips(&self) -> [usize; 2] {
        [self.levels[0].width * CELL, self.levels[1].width * CELL]
    }

    fn start(&mut self, painting: &Picture) {
        let [full, half] = self.strips();
        (
            painting.rgb().par_chunks(3 * full),
            self.history.luma.par_chunks_mut(full),
            self.history.colour.par_chunks_mut(half),
        )
            .into_par_iter()
            .for_each(|(rgb, luma, colour)| colour::take(rgb, painting.width(), luma, colour));
        self.levels.iter_mut().for_each(Level::forget);
        self.trust.forget();
        self.continued = true;
    }

    fn steady(&mut self, painting: &mut Picture, motion: &Motion, settings: SteadySettings) {
        self.mix(painting, motion, settings);
        self.halve();
        self.measure(motion);
        self.correct(painting);
    }

    /// Blends painting and history.
    fn mix(&mut self, painting: &Picture, motion: &Motion, settings: SteadySettings) {
        let pictures = settings.pictures.into();
        self.renewal.next(&motion.backward, &self.lost, pictures);
        let (width, height) = (painting.width(), painting.height());
        let [full_strip, half_strip] = self.strips();
        let past = Past {
            luma: &self.history.luma,
            colour: &self.history.colour,
            flow: [&motion.backward.u, &motion.backward.v],
            trust: self.trust.judge(motion, pictures),
            width,
            height,
            mix: 1.0 - settings.share(),
            firmness: settings.firmness(),
            renewal: &self.renewal.grid,
        };
        let [full, half, ..] = &mut self.levels[..] else {
            return;
        };
        (
            painting.rgb().par_chunks(3 * full_strip),
            full.painting.luma.par_chunks_mut(full_strip),
            half.painting.colour.par_chunks_mut(half_strip),
            full.blend.luma.par_chunks_mut(full_strip),
            half.blend.colour.par_chunks_mut(half_strip),
            self.lost.par_chunks_mut(width.div_ceil(CELL)),
            self.blending.par_iter_mut(),
        )
            .into_par_iter()
            .enumerate()
            .for_each(
                |(i, (rgb, painting, painting_colour, blend, blend_colour, lost, scratch))| {
                    let rows = Rows {
                        painting,
                        painting_colour,
                        blend,
                        blend_colour,
                        lost,
                    };
                    blend::blend(rgb, i * CELL, past, rows, scratch);
                },
            );
    }

    /// Fills the smaller sizes.
    fn halve(&mut self) {
        for octave in 0..OCTAVES {
            let (finer, coarser) = self.levels.split_at_mut(octave + 1);
            let (fine, coarse) = (&finer[octave], &mut coarser[0]);
            let (width, height) = (fine.width, fine.height);
            let strip = coarse.width * CELL;
            for (source, target) in [
                (&fine.blend, &mut coarse.blend),
                (&fine.painting, &mut coarse.painting),
            ] {
                (
                    target.luma.par_chunks_mut(strip),
                    self.scratch.par_iter_mut(),
                )
                    .into_par_iter()
                    .enumerate()
                    .for_each(|(i, (rows, scratch))| {
                        let sums = &mut scratch.doubled;
                        pyramid::halve_luma(&source.luma, width, height, i * CELL, rows, sums);
                    });
                // Colour begins at half size.
                if octave == 0 {
                    continue;
                }
                (
                    target.colour.par_chunks_mut(2 * strip),
                    self.scratch.par_iter_mut(),
                )
                    .into_par_iter()
                    .enumerate()
                    .for_each(|(i, (rows, scratch))| {
                        let sums = &mut scratch.doubled;
                        pyramid::halve_colour(&source.colour, width, height, i * CELL, rows, sums);
                    });
            }
        }
    }

    /// Finds out of every octave how much stays and how much of the painting comes.
    fn measure(&mut self, motion: &Motion) {
        let along = Along {
            flow: [&motion.backward.u, &motion.backward.v],
            trust: self.trust.map(),
            size: (motion.backward.width, motion.backward.height),
        };
        for (octave, &repair) in REPAIR.iter().enumerate() {
            let (finer, coarser) = self.levels.split_at_mut(octave + 1);
            let (fine, coarse) = (&mut finer[octave], &coarser[0]);
            let width = fine.width;
            let strip = width * CELL;
            let cells = fine.gain.width;
            (
                fine.blend.luma.par_chunks(strip),
                fine.painting.luma.par_chunks(strip),
                fine.gain.cells.par_chunks_mut(cells),
                fine.share.cells.par_chunks_mut(cells),
                fine.common.cells.par_chunks_mut(cells),
                self.scratch.par_iter_mut(),
            )
                .into_par_iter()
                .enumerate()
                .for_each(|(i, (blend, painting, has, wanted, common, scratch))| {
                    let cells = [has, wanted, common];
                    octaves::energies([blend, painting], width, i * CELL, coarse, cells, scratch);
                });
            fine.pay_back(NO_TEXTURE, repair, along, CELL << octave);
        }
    }

    /// Pays back from coarse to fine; at full size the result goes to `painting` and becomes the history.
    fn correct(&mut self, painting: &mut Picture) {
        self.carry_base();
        for octave in (1..OCTAVES).rev() {
            let (finer, coarser) = self.levels.split_at_mut(octave + 1);
            let (finest, fine) = finer.split_at_mut(octave);
            let (finest, fine, coarse) = (&finest[octave - 1], &mut fine[0], &coarser[0]);
            let size = (fine.width, fine.height);
            let strip = fine.width * CELL;
            let (here, finer) = ([&fine.gain, &fine.share], [&finest.gain, &finest.share]);
            (
                fine.blend.luma.par_chunks(strip),
                fine.painting.luma.par_chunks(strip),
                fine.carry.luma.par_chunks_mut(strip),
                fine.blend.colour.par_chunks(2 * strip),
                fine.painting.colour.par_chunks(2 * strip),
                fine.carry.colour.par_chunks_mut(2 * strip),
                self.scratch.par_iter_mut(),
            )
                .into_par_iter()
                .enumerate()
                .for_each(
                    |(i, (luma, painted, carry, colour, painted_colour, carry_colour, scratch))| {
                        let (first, finer) = (i * CELL, Some(finer));
                        let luma = [luma, painted];
                        octaves::carry_luma(luma, first, here, finer, coarse, carry, size, scratch);
                        // Of colour, half size is the finest there is.
                        let finer = finer.filter(|_| octave > 1);
                        let (colour, carry) = ([colour, painted_colour], carry_colour);
                        octaves::carry_colour(
                            colour, first, here, finer, coarse, carry, size, scratch,
                        );
                    },
                );
        }
        let size = (painting.width(), painting.height());
        let strip = size.0 * CELL;
        let [full, half, ..] = &mut self.levels[..] else {
            return;
        };
        let repair = [&full.gain, &full.share];
        (
            full.blend.luma.par_chunks_mut(strip),
            full.painting.luma.par_chunks(strip),
            painting.rgb_mut().par_chunks_mut(3 * strip),
            self.scratch.par_iter_mut(),
        )
            .into_par_iter()
            .enumerate()
            .for_each(|(i, (blend, painting, rgb, scratch))| {
                octaves::finish(blend, painting, size, i * CELL, repair, half, rgb, scratch);
            });
        std::mem::swap(&mut full.blend.luma, &mut self.history.luma);
        std::mem::swap(&mut half.carry.colour, &mut self.history.colour);
    }

    /// What the coarsest picture carries; a pixel of it is a cell of the full size.
    fn carry_base(&mut self) {
        let (finer, base) = self.levels.split_at_mut(OCTAVES);
        let (finest, base) = (&finer[OCTAVES - 1], &mut base[0]);
        let octaves::Scratch { gains, shares, .. } = &mut self.scratch[0];
        for (at, (lost, follow)) in self.lost.iter().zip(self.trust.follow()).enumerate() {
            let x = at % base.width;
            if x == 0 {
                let y = at / base.width;
                finest.gain.row(y, CELL / 2, &mut gains[..base.width]);
                finest.share.row(y, CELL / 2, &mut shares[..base.width]);
            }
            let square = colour::mean_square(*lost);
            let stale = square / (square + STALE * STALE);
            let take = follow.max(stale);
            let carry = |blend: f32, painting: f32, lost: f32| {
                (1.0 - gains[x]) * blend - shares[x] * painting + take * lost
            };
            let (blend, painting) = (&base.blend, &base.painting);
            base.carry.luma[at] = carry(blend.luma[at], painting.luma[at], lost[0]);
            for lane in 0..2 {
                let pixel = 2 * at + lane;
                base.carry.colour[pixel] =
                    carry(blend.colour[pixel], painting.colour[pixel], lost[1 + lane]);
            }
        }
    }
}

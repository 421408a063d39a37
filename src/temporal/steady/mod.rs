//! Steady paintings: strokes that stay on what they paint.
//!
//! A network that paints frame by frame answers noise and the smallest motion with other strokes: the film shimmers.
//! Here each painting is blended with the steady picture before it, carried along the input's motion:
//!
//! 1. [`trust`] says where that history is worth anything, seen in the input alone.
//! 2. [`blend`] looks the history up between its pixels and mixes it with the painting, 97 to 3 where it is trusted and
//!    shows much the same: what flickers is averaged. Where it shows another stroke, averaging would make a smear of both:
//!    there the old stroke stays until its cell's turn to be renewed, about every two seconds. Where the scene is newly
//!    uncovered the painting stands alone.
//! 3. The average has lost texture. [`octaves`] compares it octave by octave with the painting and pays back what is
//!    missing: a little by amplifying the average, the rest in strokes of the painting. The repaired picture is the next
//!    frame's history, so the loss never adds up.
//! 4. Where the light of the scene changes, or the network paints a place in another colour for good, the coarsest
//!    octave is taken from the painting: neither brightness nor colour lags.
//!
//! Nothing is looked up further back than one frame and nothing ahead: it works live.

mod blend;
mod grid;
mod octaves;
#[cfg(test)]
mod tests;
mod trust;

use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};

use super::{
    flow::{Luma, Motion},
    warp::Rgby,
};
use crate::frame::Picture;
use blend::{Blended, Past};
use grid::{CELL, Grid};
use octaves::{Along, Level, Repair, Scratch};
use trust::Trust;

/// Share of the history at full strength. The flicker that is left falls with the root of the share of the painting,
/// and so does the speed at which a wrong stroke is forgotten: 0.97 forgets one half in 23 frames.
const LARGEST_SHARE: f32 = 0.97;

/// Moving frames after which the strokes of a cell are replaced, and how many frames it takes. Averaging different strokes
/// gives neither, so where history and painting differ the average waits, and the strokes are replaced at once: cell by
/// cell, each in its turn. Where nothing moves strokes cannot be in the wrong place, and replacing them would only twinkle.
const RENEWAL: u32 = 48;
const FADE: u32 = 4;

/// Speeds between which a cell counts from not moving to moving, in pixels a frame: the noise of the flow stays below.
const STILL: f32 = 0.15;
const MOVING: f32 = 0.5;

/// Difference of painting and blend, averaged over a cell (0..255), beyond which it is renewed four times as often.
const DRIFTED: f32 = 12.0;

/// Octaves whose texture is paid back; 16 pixels of the picture make one of the octave beyond.
const OCTAVES: usize = 4;

/// How much of each octave is paid back, finest first. Averaging paintings that differ makes strokes fade by the share
/// of the history with every frame; the gain keeps those alive that are there, and beyond its bound the painting's own
/// strokes take their place, which flickers. Least where the average has more texture than the painting. Of what
/// flickers a few percent are let go; what does not flicker keeps all its texture.
const REPAIR: [Repair; OCTAVES] = [
    repair(1.08, 0.96),
    repair(1.04, 0.97),
    repair(1.02, 0.98),
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

/// The smallest side that is steadied, in pixels; smaller pictures pass as they are.
const MIN_SIDE: usize = 32;

/// How to steady.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SteadySettings {
    /// 0 leaves the paintings as they are, 1 steadies them most.
    strength: f32,
    /// Threads that work.
    threads: usize,
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
        })
    }

    /// The share of the history where it is fully trusted: equal steps of strength multiply the painting's own share.
    fn share(&self) -> f32 {
        1.0 - (1.0 - LARGEST_SHARE).powf(self.strength)
    }
}

/// Steadies paintings, one after the other.
pub struct Steady {
    share: f32,
    pool: ThreadPool,
    work: Work,
}

/// When the strokes of a cell are replaced.
#[derive(Clone, Copy)]
struct Turn {
    /// Moving frames since the last time.
    age: f32,
    /// Frames that are left of being replaced.
    fading: u32,
    /// How fast it ages, 0..1: as what has moved there since the last time.
    restless: f32,
}

/// Turns that look like chance: neighbours are not replaced together.
fn turns(columns: usize, rows: usize) -> Vec<Turn> {
    let turn = |at: usize| {
        let (x, y) = ((at % columns) as u32, (at / columns) as u32);
        let mut turn =
            (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77)).wrapping_mul(0xc2b2_ae3d);
        turn ^= turn >> 15;
        Turn {
            age: (turn % RENEWAL) as f32,
            fading: 0,
            restless: 0.0,
        }
    };
    (0..columns * rows).map(turn).collect()
}

/// Everything but the threads.
#[derive(Default)]
struct Work {
    size: Option<(usize, usize)>,
    /// The last steady picture, if there is one.
    history: Vec<Rgby>,
    continued: bool,
    blend: Vec<Rgby>,
    painting: Vec<Rgby>,
    /// Per cell, painting less blend.
    lost: Vec<Rgby>,
    levels: Vec<Level>,
    /// Per cell, how far its strokes are being replaced.
    renewal: Grid,
    turns: Vec<Turn>,
    scratch: Vec<Scratch>,
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
            share: settings.share(),
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
        let (work, share) = (&mut self.work, self.share);
        let motion =
            motion.filter(|motion| (motion.backward.width, motion.backward.height) == size);
        self.pool.install(|| {
            work.fit(size);
            work.trust.see(input);
            match motion {
                Some(motion) if work.continued => work.steady(&mut painting, motion, share),
                _ => work.start(&painting),
            }
        });
        painting
    }

    /// Changes how much the pictures that follow are steadied; the history stays.
    pub fn set(&mut self, settings: SteadySettings) {
        self.share = settings.share();
    }

    /// Forgets the history: the next painting comes back as it is.
    pub fn reset(&mut self) {
        self.work.continued = false;
    }

    /// The last steady picture, in 0..255, before rounding; empty before the first.
    #[cfg(test)]
    fn history(&self) -> &[Rgby] {
        &self.work.history
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
        self.history.resize(width * height, [0.0; 4]);
        self.blend.resize(width * height, [0.0; 4]);
        self.painting.resize(width * height, [0.0; 4]);
        self.trust.fit(width, height);
        self.renewal.fit(width, height);
        self.turns = turns(self.renewal.width, self.renewal.height);
        self.scratch
            .resize_with(height.div_ceil(CELL), Scratch::default);
        self.scratch
            .iter_mut()
            .for_each(|scratch| scratch.fit(width));
        self.levels.resize_with(OCTAVES + 1, Level::default);
        for (octave, level) in self.levels.iter_mut().enumerate() {
            level.fit(width, height, octave > 0);
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
        }
        self.lost.resize(self.levels[OCTAVES].blend.len(), [0.0; 4]);
    }

    fn start(&mut self, painting: &Picture) {
        read(painting, &mut self.history);
        self.levels.iter_mut().for_each(Level::forget);
        self.continued = true;
    }

    fn steady(&mut self, painting: &mut Picture, motion: &Motion, share: f32) {
        read(painting, &mut self.painting);
        self.mix(painting, motion, share);
        self.halve();
        self.measure(motion);
        self.correct(painting);
    }

    /// Blends painting and history at full size.
    fn mix(&mut self, painting: &Picture, motion: &Motion, share: f32) {
        self.renew(motion);
        let (width, height) = (painting.width(), painting.height());
        let strip = width * CELL;
        let past = Past {
            history: &self.history,
            flow: [&motion.backward.u, &motion.backward.v],
            trust: self.trust.judge(motion),
            width,
            height,
            mix: 1.0 - share,
            firmness: share / LARGEST_SHARE,
            renewal: &self.renewal,
        };
        let full = &mut self.levels[0];
        (
            self.blend.par_chunks_mut(strip),
            full.blend_luma.par_chunks_mut(strip),
            full.painting_luma.par_chunks_mut(strip),
            painting.rgb().par_chunks(3 * strip),
            self.lost.par_chunks_mut(width.div_ceil(CELL)),
            self.scratch.par_iter_mut(),
        )
            .into_par_iter()
            .enumerate()
            .for_each(
                |(i, (blend, blend_luma, painting_luma, rgb, lost, scratch))| {
                    let out = Blended {
                        pixels: blend,
                        luma: blend_luma,
                        painting_luma,
                        lost,
                    };
                    blend::blend(rgb, i * CELL, past, out, scratch);
                },
            );
    }

    /// Chooses the cells whose strokes are replaced.
    fn renew(&mut self, motion: &Motion) {
        let (flow, columns) = (&motion.backward, self.renewal.width);
        for (at, (turn, cell)) in self
            .turns
            .iter_mut()
            .zip(&mut self.renewal.cells)
            .enumerate()
        {
            if turn.fading > 0 {
                *cell = 1.0 / turn.fading as f32;
                turn.fading -= 1;
                continue;
            }
            *cell = 0.0;
            let x = (at % columns * CELL + CELL / 2).min(flow.width - 1);
            let y = (at / columns * CELL + CELL / 2).min(flow.height - 1);
            let speed = flow.u[y * flow.width + x].hypot(flow.v[y * flow.width + x]);
            let moves = ((speed - STILL) / (MOVING - STILL)).clamp(0.0, 1.0);
            // Strokes that have drifted far from what is painted there go sooner, even where nothing moves.
            let lost = self.lost[at];
            let square = (lost[0] * lost[0] + lost[1] * lost[1] + lost[2] * lost[2]) / 3.0;
            // What has come to rest is replaced once more, or what passed would leave its trace.
            turn.restless = turn.restless.max(moves);
            turn.age += if square > DRIFTED * DRIFTED {
                4.0
            } else {
                turn.restless
            };
            if turn.age >= RENEWAL as f32 {
                turn.age -= RENEWAL as f32;
                (turn.fading, turn.restless) = (FADE, 0.0);
            }
        }
    }

    /// Fills the smaller sizes.
    fn halve(&mut self) {
        for octave in 0..OCTAVES {
            let (finer, coarser) = self.levels.split_at_mut(octave + 1);
            let (fine, coarse) = (&finer[octave], &mut coarser[0]);
            let (blends, paintings) = if octave == 0 {
                (&self.blend, &self.painting)
            } else {
                (&fine.blend, &fine.painting)
            };
            let (width, height) = (fine.width, fine.height);
            let strip = coarse.width * CELL;
            (
                coarse.blend.par_chunks_mut(strip),
                coarse.blend_luma.par_chunks_mut(strip),
                coarse.painting.par_chunks_mut(strip),
                coarse.painting_luma.par_chunks_mut(strip),
                self.scratch.par_iter_mut(),
            )
                .into_par_iter()
                .enumerate()
                .for_each(
                    |(i, (blend, blend_luma, painting, painting_luma, scratch))| {
                        let (first, sums) = (i * CELL, &mut scratch.pixels);
                        octaves::halve(blends, width, height, first, blend, blend_luma, sums);
                        octaves::halve(
                            paintings,
                            width,
                            height,
                            first,
                            painting,
                            painting_luma,
                            sums,
                        );
                    },
                );
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
                fine.blend_luma.par_chunks(strip),
                fine.painting_luma.par_chunks(strip),
                fine.gain.cells.par_chunks_mut(cells),
                fine.share.cells.par_chunks_mut(cells),
                fine.common.cells.par_chunks_mut(cells),
                self.scratch.par_iter_mut(),
            )
                .into_par_iter()
                .enumerate()
                .for_each(|(i, (blend, painting, has, wanted, common, scratch))| {
                    octaves::energies(
                        [blend, painting],
                        width,
                        i * CELL,
                        coarse,
                        [has, wanted, common],
                        &mut scratch.numbers,
                    );
                });
            fine.pay_back(NO_TEXTURE, repair, along, CELL << octave);
        }
    }

    /// Pays back from coarse to fine; at full size the result goes to `painting` and becomes the history.
    fn correct(&mut self, painting: &mut Picture) {
        let (finer, base) = self.levels.split_at_mut(OCTAVES);
        let (finest, base) = (&finer[OCTAVES - 1], &mut base[0]);
        let width = base.width;
        let (gains, shares) = self.scratch[0].numbers.split_at_mut(width);
        for (at, (lost, follow)) in self.lost.iter().zip(self.trust.follow()).enumerate() {
            let x = at % width;
            if x == 0 {
                finest.gain.row(at / width, CELL / 2, gains);
                finest.share.row(at / width, CELL / 2, &mut shares[..width]);
            }
            let square = (lost[0] * lost[0] + lost[1] * lost[1] + lost[2] * lost[2]) / 3.0;
            let stale = square / (square + STALE * STALE);
            let take = follow.max(stale);
            let (blend, painting) = (base.blend[at], base.painting[at]);
            base.carry[at] = std::array::from_fn(|lane| {
                (1.0 - gains[x]) * blend[lane] - shares[x] * painting[lane] + take * lost[lane]
            });
        }
        for octave in (1..OCTAVES).rev() {
            let (finer, coarser) = self.levels.split_at_mut(octave + 1);
            let (finest, fine) = finer.split_at_mut(octave);
            let (finest, fine, coarse) = (&finest[octave - 1], &mut fine[0], &coarser[0]);
            let width = fine.width;
            let strip = width * CELL;
            let repair = [[&fine.gain, &fine.share], [&finest.gain, &finest.share]];
            (
                fine.blend.par_chunks(strip),
                fine.painting.par_chunks(strip),
                fine.carry.par_chunks_mut(strip),
                self.scratch.par_iter_mut(),
            )
                .into_par_iter()
                .enumerate()
                .for_each(|(i, (blend, painting, carry, scratch))| {
                    octaves::carry(
                        blend,
                        painting,
                        width,
                        i * CELL,
                        repair,
                        coarse,
                        carry,
                        scratch,
                    );
                });
        }
        let width = painting.width();
        let strip = width * CELL;
        let (fine, coarse) = (&self.levels[0], &self.levels[1]);
        let repair = [&fine.gain, &fine.share];
        (
            self.blend.par_chunks_mut(strip),
            self.painting.par_chunks(strip),
            painting.rgb_mut().par_chunks_mut(3 * strip),
            self.scratch.par_iter_mut(),
        )
            .into_par_iter()
            .enumerate()
            .for_each(|(i, (blend, painting, rgb, scratch))| {
                octaves::finish(
                    blend,
                    painting,
                    width,
                    i * CELL,
                    repair,
                    coarse,
                    rgb,
                    scratch,
                );
            });
        std::mem::swap(&mut self.blend, &mut self.history);
    }
}

/// The pixels of `painting` as working pixels.
fn read(painting: &Picture, pixels: &mut [Rgby]) {
    let strip = painting.width() * CELL;
    (
        pixels.par_chunks_mut(strip),
        painting.rgb().par_chunks(3 * strip),
    )
        .into_par_iter()
        .for_each(|(pixels, rgb)| blend::take(rgb, pixels));
}

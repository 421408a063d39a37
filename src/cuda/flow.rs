//! Motion on a card, so that a film that is painted there needs nothing of the processor but its pictures.
//!
//! The same flow as [`FlowEstimator`](crate::temporal::flow::FlowEstimator) finds, with the same levels, patches, order of
//! the search and refinement (see `kernels/flow.cu` and `kernels/refine.cu`), but for rounding: the compiler joins other
//! products with sums than the processor's instructions do, and a matcher that stops a step sooner or later for it ends within
//! hundredths of a pixel. Of what a [`Motion`](crate::temporal::flow::Motion) can hold the card makes what steadying looks at:
//! the motion to the picture before and where it is consistent, which stay there. The processor gets the share of
//! consistent pixels (for the cuts between scenes) and a few thousand of the places they lead to (for measuring), and, where
//! a film is gone over again, both directions at the size at which they were found.
//!
//! Films whose paintings the processor steadies (broader brushes, two styles at once, `--engine optimize`) have their motion found
//! there, too.

#[cfg(test)]
mod tests;

use std::cell::Cell;

use super::{
    Card, CardError, Fetch, FrameOnCard, Launch, bytes_of,
    frames::{Frames, Known},
    parameters::{FLOW_LEVELS, Flow, FlowLevel},
};
use crate::temporal::{
    self,
    flow::{FlowPlan, FlowSettings, Found, Luma, Motion, grid},
    measure::Tracks,
};

/// Threads of a block, and the tile that most of them make.
const THREADS: usize = 256;
const TILE: (usize, usize) = (32, 8);
/// Pixels that a block relaxes: `RELAX_WIDTH` and `RELAX_HEIGHT` of the kernels, and those of its region.
const RELAX_TILE: (usize, usize) = (32, 16);
const REGION: usize = 52 * 36;
/// Pixels of a block of the linearisation with what their derivatives reach.
const LINEAR_AREA: usize = 36 * 12;
/// Stripes of the grid of patches, and threads of a patch.
const STRIPES: usize = 8;
const PATCH: usize = 8;
/// Half sweeps of the relaxation in one launch.
const HALF_SWEEPS: usize = 10;

/// Finds the motion from picture to picture of a film, on a card.
pub struct FlowOnCard<C: Card> {
    card: C,
    plan: FlowPlan,
    frames: Frames<C>,
    room: Option<Room<C>>,
    /// Whether there is a picture before the next one.
    continued: bool,
    /// Whether the last picture had a motion.
    moved: bool,
    /// Whether what is behind the motion has been asked for, and then that of the last picture, on its way.
    asked: Cell<bool>,
    coming: Cell<Option<C::Fetch>>,
    /// The launches of the last picture.
    launches: Vec<Launch>,
}

/// What pictures of one size are worked on with.
struct Room<C: Card> {
    size: (usize, usize),
    /// Addresses; what is now and what was before change places in it.
    own: Flow,
    levels: usize,
    /// Two fields of both directions, of which the first holds what was made last.
    fields: [C::Memory; 2],
    /// What the processor wants to know: places of samples, and counts of consistent pixels.
    report: C::Memory,
    report_bytes: usize,
    _memory: Vec<C::Memory>,
}

impl<C: Card + Clone> FlowOnCard<C> {
    /// An estimator that has seen no picture yet.
    #[must_use]
    pub fn new(settings: FlowSettings, card: C) -> Self {
        Self {
            plan: FlowPlan::new(settings),
            frames: Frames::new(card.clone()),
            card,
            room: None,
            continued: false,
            moved: false,
            asked: Cell::new(false),
            coming: Cell::new(None),
            launches: Vec::new(),
        }
    }
}

impl<C: Card> FlowOnCard<C> {
    /// Forgets the picture before: the next one begins a new scene.
    pub fn reset(&mut self) {
        self.continued = false;
    }

    /// The launches of the last picture.
    pub fn launches(&self) -> &[Launch] {
        &self.launches
    }

    /// Takes the next picture, RGB, and waits until the motion from the one before is known; there is none where there was
    /// none before, or one of another size, or where the picture is smaller than a patch.
    ///
    /// # Errors
    /// When the card has no room for pictures of this size, or fails.
    ///
    /// # Panics
    /// When the slice does not have the length that the size says.
    pub fn push(&mut self, rgb: &[u8], size: (usize, usize)) -> Result<FrameOnCard<C>, CardError> {
        let mut frame = self.frames.bring(rgb, size, None)?;
        self.launches.clear();
        self.moved = false;
        self.coming.set(None);
        if self.plan.levels(size).1 == 0 {
            self.continued = false;
            return Ok(frame);
        }
        let mut room = self.fit(size)?;
        room.give(&self.card, &frame);
        room.own.now = 1 - room.own.now;
        room.see(&mut self.launches);
        let follows = std::mem::replace(&mut self.continued, true);
        if follows {
            room.estimate(&self.card, self.plan, &mut self.launches);
        }
        self.start()?;
        if follows {
            if self.asked.get() {
                let bytes = room.fields_bytes();
                self.coming
                    .set(Some(self.card.fetch(&room.fields[0], bytes)?));
            }
            frame.set_motion(Some(room.known(&self.card)?));
            self.moved = true;
        }
        self.room = Some(room);
        Ok(frame)
    }

    /// The luma of a picture on the card with the motion that was kept of it, or `reversed` that of the same two pictures in a
    /// film played in reverse (see [`FlowEstimator::again`](crate::temporal::flow::FlowEstimator::again)). Forgets the picture
    /// before.
    ///
    /// # Errors
    /// As [`FlowOnCard::push`].
    ///
    /// # Panics
    /// When the motion is of other pictures, or was found with other settings.
    pub(super) fn again(
        &mut self,
        luma: &Luma,
        found: Option<&Found>,
        reversed: bool,
    ) -> Result<FrameOnCard<C>, CardError> {
        let mut frame = self.frames.bring_luma(luma)?;
        (self.continued, self.moved) = (false, false);
        self.coming.set(None);
        self.launches.clear();
        let Some(found) = found else {
            return Ok(frame);
        };
        let size = frame.size();
        let mut room = self.fit(size)?;
        let level = &room.own.levels[0];
        let (width, height) = (level.width as usize, level.height as usize);
        let fields = found.pairs(size, (width, height), reversed);
        self.card.upload(bytes_of(&fields), &mut room.fields[0])?;
        room.give(&self.card, &frame);
        room.address(&self.card);
        self.launches.push(room.launch("flow_disagreement"));
        self.launches.push(room.launch("flow_hand_out"));
        self.start()?;
        frame.set_motion(None);
        self.room = Some(room);
        Ok(frame)
    }

    /// The room for pictures of a size, the one there is if it fits.
    fn fit(&mut self, size: (usize, usize)) -> Result<Room<C>, CardError> {
        match self.room.take() {
            Some(room) if room.size == size => Ok(room),
            _ => {
                self.continued = false;
                Room::new(&self.card, self.plan, size)
            }
        }
    }

    /// Starts the launches, which work on a room and a frame that the caller holds.
    fn start(&self) -> Result<(), CardError> {
        for launch in &self.launches {
            // SAFETY: the addresses are those of the room and of the frame, which the caller holds and keeps or gives back behind
            // these launches.
            unsafe { self.card.launch(launch) }?;
        }
        Ok(())
    }

    /// The motion of a frame, as [`FlowEstimator::backward_only`](crate::temporal::flow::FlowEstimator::backward_only) gives it.
    ///
    /// # Errors
    /// When the card fails.
    pub(super) fn download(&self, frame: &FrameOnCard<C>) -> Result<Motion, CardError> {
        let (width, height) = frame.size();
        let room = frame.room();
        let plane = |memory: &C::Memory| {
            let mut bytes = vec![0; 4 * width * height];
            self.card.download(memory, &mut bytes)?;
            Ok::<_, CardError>(floats(&bytes))
        };
        let mut consistent = vec![0; width * height];
        self.card.download(&room.consistent, &mut consistent)?;
        Ok(Motion {
            backward: temporal::flow::Flow {
                width,
                height,
                u: plane(&room.u)?,
                v: plane(&room.v)?,
            },
            consistent,
            ..Motion::default()
        })
    }

    /// Both directions of the motion that was found last, at the size at which they were found; `None` when there was none.
    ///
    /// # Errors
    /// When the card fails.
    pub fn found(&self) -> Result<Option<Found>, CardError> {
        let Some(room) = self.room.as_ref().filter(|_| self.moved) else {
            return Ok(None);
        };
        self.asked.set(true);
        let level = &room.own.levels[0];
        let level = (level.width as usize, level.height as usize);
        let mut fields = vec![0; room.fields_bytes()];
        let coming = match self.coming.take() {
            Some(coming) => coming,
            None => self.card.fetch(&room.fields[0], fields.len())?,
        };
        coming.take(&mut fields)?;
        Ok(Some(Found::from_pairs(room.size, level, floats(&fields))))
    }
}

/// Numbers that came from a card.
fn floats(bytes: &[u8]) -> Vec<f32> {
    let numbers = bytes.as_chunks::<4>().0.iter();
    numbers.map(|bytes| f32::from_ne_bytes(*bytes)).collect()
}

impl<C: Card> Room<C> {
    /// Bytes of both directions at the size at which they are found.
    fn fields_bytes(&self) -> usize {
        let level = &self.own.levels[0];
        2 * 8 * (level.width * level.height) as usize
    }

    fn new(card: &C, plan: FlowPlan, size: (usize, usize)) -> Result<Self, CardError> {
        let (halvings, levels) = plan.levels(size);
        assert!(levels <= FLOW_LEVELS, "no picture is that large");
        let mut memory = Vec::new();
        let mut floats = |count: usize| {
            let own = card.reserve(4 * count)?;
            let address = card.address(&own);
            memory.push(own);
            Ok::<_, CardError>(address)
        };
        let factor = 1 << halvings;
        let (mut width, mut height) = (size.0.div_ceil(factor), size.1.div_ceil(factor));
        let area = width * height;
        let patches = grid((width, height), plan.spacing);
        let weights = plan.effort(0).weights;
        let sample_step = Tracks::step(size);
        let mut own = Flow {
            patches: floats(2 * 2 * patches.0 * patches.1)?,
            terms: floats(2 * 8 * area)?,
            disagreement: floats(area)?,
            width: size.0 as i32,
            height: size.1 as i32,
            factor: factor as i32,
            spacing: plan.spacing as i32,
            steps: plan.steps as i32,
            sample_step: sample_step as i32,
            brightness: 0.5 * weights.brightness,
            gradient: 0.5 * weights.gradient,
            smoothness: 0.5 * weights.smoothness,
            ..Flow::default()
        };
        for level in &mut own.levels[..levels] {
            let (area, around) = (width * height, (width + 2) * (height + 2));
            *level = FlowLevel {
                image: [floats(area)?, floats(area)?],
                smooth: [floats(around)?, floats(around)?],
                width: width as i32,
                height: height as i32,
            };
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
        }
        let samples = Tracks::count(size, sample_step);
        let blocks = size.0.div_ceil(TILE.0) * size.1.div_ceil(TILE.1);
        let report_bytes = 8 * samples + 4 * blocks;
        let report = card.reserve(report_bytes)?;
        own.samples = card.address(&report);
        own.counts = own.samples + 8 * samples as u64;
        Ok(Self {
            size,
            own,
            levels,
            fields: [card.reserve(2 * 8 * area)?, card.reserve(2 * 8 * area)?],
            report,
            report_bytes,
            _memory: memory,
        })
    }

    /// What is made goes to a frame.
    fn give(&mut self, card: &C, frame: &FrameOnCard<C>) {
        let to = frame.room();
        self.own.picture = card.address(&to.picture);
        self.own.u = card.address(&to.u);
        self.own.v = card.address(&to.v);
        self.own.consistent = card.address(&to.consistent);
    }

    /// The launches that make the pyramid of the present picture.
    fn see(&mut self, launches: &mut Vec<Launch>) {
        self.own.level = 0;
        launches.push(self.launch("flow_shrink"));
        for level in 1..self.levels {
            self.own.level = level as i32;
            launches.push(self.launch("flow_halve"));
        }
        launches.push(self.launch("flow_smooth"));
    }

    /// The launches that find the motion, both directions in each.
    fn estimate(&mut self, card: &C, plan: FlowPlan, launches: &mut Vec<Launch>) {
        for level in (0..self.levels).rev() {
            self.own.level = level as i32;
            self.own.coarser = i32::from(level + 1 < self.levels);
            let own = &self.own.levels[level];
            let patches = grid((own.width as usize, own.height as usize), plan.spacing);
            (self.own.columns, self.own.rows) = (patches.0 as i32, patches.1 as i32);
            self.address(card);
            launches.push(self.launch("flow_search"));
            launches.push(self.launch("flow_densify"));
            self.turn(card);
            let effort = plan.effort(level);
            debug_assert_eq!(2 * effort.sweeps, HALF_SWEEPS);
            for _ in 0..effort.warps {
                launches.push(self.launch("flow_linearise"));
                for _ in 0..effort.outer {
                    launches.push(self.launch("flow_relax"));
                    self.turn(card);
                }
            }
        }
        launches.push(self.launch("flow_disagreement"));
        launches.push(self.launch("flow_hand_out"));
    }

    /// What was made is what is read from now on.
    fn turn(&mut self, card: &C) {
        self.fields.swap(0, 1);
        self.address(card);
    }

    fn address(&mut self, card: &C) {
        [self.own.from, self.own.to] = self.fields.each_ref().map(|field| card.address(field));
    }

    /// Waits for what the processor wants to know.
    fn known(&self, card: &C) -> Result<Known, CardError> {
        let mut bytes = vec![0; self.report_bytes];
        card.fetch(&self.report, bytes.len())?.take(&mut bytes)?;
        let step = self.own.sample_step as usize;
        let samples = Tracks::count(self.size, step);
        let numbers = floats(&bytes);
        let (places, counts) = numbers.split_at(2 * samples);
        let places = places.as_chunks::<2>().0.iter().copied();
        let consistent: f64 = counts.iter().copied().map(f64::from).sum();
        Ok(Known {
            consistency: (consistent / (self.size.0 * self.size.1) as f64) as f32,
            tracks: Tracks::at(self.size, step, places),
        })
    }

    /// A launch with the addresses as they are now.
    fn launch(&self, kernel: &'static str) -> Launch {
        let level = |index: usize| {
            let level = &self.own.levels[index];
            (level.width as usize, level.height as usize)
        };
        let number = self.own.level as usize;
        let (finest, own) = (level(0), level(number));
        let tiles = |(width, height): (usize, usize), tile: (usize, usize), layers: usize| {
            [width.div_ceil(tile.0), height.div_ceil(tile.1), layers]
        };
        let area = |(width, height): (usize, usize)| width * height;
        let patches = self.own.columns as usize * self.own.rows as usize;
        let mut threads = THREADS;
        // Of what is read more than once by neighbours, each byte counts once.
        let (grid, shared, bytes) = match kernel {
            "flow_shrink" => (
                tiles(finest, TILE, 1),
                0,
                3 * area(self.size) + 4 * area(finest),
            ),
            "flow_halve" => (
                tiles(own, TILE, 1),
                0,
                4 * (area(level(number - 1)) + area(own)),
            ),
            "flow_smooth" => {
                let around = (finest.0 + 2, finest.1 + 2);
                (
                    tiles(around, TILE, self.levels),
                    0,
                    8 * area(around) * 4 / 3,
                )
            }
            "flow_search" => {
                let rows = (self.own.rows as usize).div_ceil(STRIPES);
                threads = (PATCH * rows).next_multiple_of(32).min(THREADS);
                let coarser = 16 * area(own) / 4;
                (
                    [STRIPES, 1, 2],
                    2 * 8 * rows,
                    8 * area(own) + coarser + 16 * patches,
                )
            }
            "flow_densify" => (tiles(own, TILE, 2), 0, 24 * area(own) + 16 * patches),
            "flow_linearise" => {
                let read = 8 * area(own) + 16 * area(own);
                (
                    tiles(own, TILE, 2),
                    2 * 4 * LINEAR_AREA,
                    read + 64 * area(own),
                )
            }
            "flow_relax" => (
                tiles(own, RELAX_TILE, 2),
                3 * 4 * REGION,
                (64 + 32) * area(own),
            ),
            "flow_disagreement" => (tiles(finest, TILE, 1), 0, 20 * area(finest)),
            _ => {
                let sums = 4 * THREADS / 32;
                let made = 9 * area(self.size) + self.report_bytes;
                (tiles(self.size, TILE, 1), sums, 12 * area(finest) + made)
            }
        };
        Launch {
            name: match kernel {
                "flow_shrink" | "flow_smooth" | "flow_disagreement" | "flow_hand_out" => {
                    kernel.into()
                }
                _ => format!("{kernel} {number}"),
            },
            kernel,
            grid: grid.map(|blocks| blocks as u32),
            threads: threads as u32,
            shared: shared as u32,
            parameters: self.own.into(),
            multiply_adds: 0,
            bytes: bytes as u64,
        }
    }
}

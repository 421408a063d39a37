//! Runs the stages of the flow, coarse to fine, both directions in lockstep.

mod found;

pub use found::Found;

use super::{
    Flow, FlowSettings, Luma, Motion,
    densify::Densify,
    mask::{Further, Masks, Ratios},
    plan::FlowPlan,
    pyramid::{Pyramid, each_stripe},
    refine::{Field, Refiner, refine},
    resample::{Enlarge, MOST, Source},
    search::{Grid, Patch, STRIPES, Search},
    simd::enter,
    threads::{Rows, STRIPE, Threads, slice_rows, stripe},
};
use crate::kernels::InstructionSet;
use std::sync::{Arc, Mutex, PoisonError};

/// One direction of flow: its field at the present level, and room to find it in.
#[derive(Default)]
struct Direction {
    patches: Vec<Patch>,
    u: Vec<f32>,
    v: Vec<f32>,
    /// The field of the coarser level, brought to this one.
    start_u: Vec<f32>,
    start_v: Vec<f32>,
    /// Size of the field in `u` and `v`.
    width: usize,
    height: usize,
    weights: Vec<f32>,
    /// One per level, so that none changes its shape from level to level.
    refiners: Vec<Refiner>,
}

/// Finds the motion from picture to picture of a film.
pub struct FlowEstimator {
    plan: FlowPlan,
    set: InstructionSet,
    threads: Threads,
    /// Pyramids of the current and the previous picture.
    current: Pyramid,
    previous: Pyramid,
    /// Size of the previous picture, if there is one.
    size: Option<(usize, usize)>,
    /// Current → previous, and previous → current.
    directions: [Direction; 2],
    /// Whether only the backward flow and its consistency are handed out.
    backward_only: bool,
    spare: SpareMotions,
}

/// Motions that are no longer needed, whose memory the next ones use: the system takes longer to hand out fresh pages than
/// flow takes to fill them. Clones share what they hold, so that a thread further on can give back what it was sent.
#[derive(Debug, Clone, Default)]
pub struct SpareMotions(Arc<Mutex<Vec<Motion>>>);

impl SpareMotions {
    /// Gives a motion back; more than a few are not kept.
    pub fn give(&self, motion: Motion) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < 4 {
            kept.push(motion);
        }
    }

    fn take(&self) -> Option<Motion> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl FlowEstimator {
    /// An estimator that has seen no picture yet. Threads that cannot be started are done without.
    #[must_use]
    pub fn new(settings: FlowSettings) -> Self {
        Self::with_instruction_set(settings, InstructionSet::best())
    }

    /// As [`FlowEstimator::new`], with the instructions of one family; those of a missing family are not used.
    #[must_use]
    pub fn with_instruction_set(settings: FlowSettings, set: InstructionSet) -> Self {
        Self {
            plan: FlowPlan::new(settings),
            set,
            threads: Threads::new(settings.threads),
            current: Pyramid::default(),
            previous: Pyramid::default(),
            size: None,
            directions: Default::default(),
            backward_only: false,
            spare: SpareMotions::default(),
        }
    }

    /// Hands out the backward flow and where it is consistent alone, 9 of 22 bytes a pixel, for who only carries pictures
    /// along: the rest of each [`Motion`] stays empty.
    #[must_use]
    pub fn backward_only(self) -> Self {
        Self {
            backward_only: true,
            ..self
        }
    }

    /// Where motions can be given back from another thread.
    #[must_use]
    pub fn spare(&self) -> SpareMotions {
        self.spare.clone()
    }

    /// Takes the next picture; the motion between it and the one before, or `None` when there is none before, or one of
    /// another size.
    pub fn push(&mut self, luma: &Luma) -> Option<Motion> {
        let size = (luma.width, luma.height);
        let follows = self.size.replace(size) == Some(size);
        std::mem::swap(&mut self.current, &mut self.previous);
        let (halvings, levels) = self.plan.levels(size);
        self.current
            .build(luma, halvings, levels, self.set, &mut self.threads);
        follows.then(|| {
            let mut motion = self.spare.take().unwrap_or_default();
            if levels == 0 {
                motion.stand_still(size);
                return motion;
            }
            self.estimate(2);
            self.complete(size, &mut motion);
            motion
        })
    }

    /// Fills a motion from the finest level's fields.
    fn complete(&mut self, size: (usize, usize), motion: &mut Motion) {
        let mut flows = [&mut motion.backward, &mut motion.forward];
        let wanted = if self.backward_only { 1 } else { 2 };
        self.hand_out(size, &mut flows[..wanted]);
        self.mask(motion);
    }

    /// Forgets the previous picture: the next one begins a new scene.
    pub fn reset(&mut self) {
        self.size = None;
    }

    /// Gives a motion that is no longer needed back, so that the next can use its memory.
    pub fn recycle(&mut self, motion: Motion) {
        self.spare.give(motion);
    }

    /// Flow between any two pictures of one size, in one direction: `target(x + flow(x)) ~ template(x)`. Forgets what
    /// was pushed before. `None` when the sizes differ.
    pub fn between(&mut self, template: &Luma, target: &Luma) -> Option<Flow> {
        let size = (template.width, template.height);
        if size != (target.width, target.height) {
            return None;
        }
        self.reset();
        let (halvings, levels) = self.plan.levels(size);
        let (set, threads) = (self.set, &mut self.threads);
        self.current.build(template, halvings, levels, set, threads);
        self.previous.build(target, halvings, levels, set, threads);
        let mut flow = Flow::default();
        if levels == 0 {
            flow.stand_still(size);
            return Some(flow);
        }
        self.estimate(1);
        self.hand_out(size, &mut [&mut flow]);
        Some(flow)
    }

    /// Finds the field of the first `count` directions at the finest level.
    fn estimate(&mut self, count: usize) {
        let levels = self.current.levels.len();
        for direction in &mut self.directions[..count] {
            (direction.width, direction.height) = (0, 0);
        }
        for level in (0..levels).rev() {
            self.enlarge_start(level, count);
            self.search(level, count);
            self.densify(level, count);
            self.refine(level, count);
        }
    }

    /// Brings the field of the coarser level to this one.
    fn enlarge_start(&mut self, level: usize, count: usize) {
        let size = {
            let level = &self.current.levels[level];
            (level.width, level.height)
        };
        let mut jobs = Vec::with_capacity(2 * count);
        for direction in &mut self.directions[..count] {
            let Direction {
                start_u, start_v, ..
            } = direction;
            start_u.resize(size.0 * size.1, 0.0);
            start_v.resize(size.0 * size.1, 0.0);
            if direction.width == 0 {
                start_u.fill(0.0);
                start_v.fill(0.0);
                continue;
            }
            for (values, output) in [(&direction.u, start_u), (&direction.v, start_v)] {
                let source = Source {
                    values,
                    width: direction.width,
                    height: direction.height,
                    factor: 2,
                    scale: 2.0,
                };
                jobs.push((source, Rows::of(output)));
            }
        }
        enlarge(&mut self.threads, self.set, &jobs, size);
        for direction in &mut self.directions[..count] {
            (direction.width, direction.height) = size;
        }
    }

    fn search(&mut self, level: usize, count: usize) {
        let pair = [&self.current.levels[level], &self.previous.levels[level]];
        let grid = Grid::new(pair[0].width, pair[0].height, self.plan.spacing);
        let (set, steps) = (self.set, self.plan.steps);
        for direction in &mut self.directions[..count] {
            direction
                .patches
                .resize(grid.columns * grid.rows, Patch::default());
        }
        let outputs = self
            .directions
            .each_mut()
            .map(|direction| Rows::of(&mut direction.patches));
        let directions = &self.directions;
        self.threads.run(count * STRIPES, |tile| {
            let (direction, stripe) = (tile / STRIPES, tile % STRIPES);
            let rows = grid.stripe(stripe);
            // SAFETY: these rows of the grid belong to this tile alone.
            let patches = unsafe { slice_rows(outputs[direction], grid.columns, &rows) };
            let start = &directions[direction];
            enter(
                set,
                Search {
                    template: pair[direction],
                    target: pair[1 - direction],
                    start: Some((&start.start_u, &start.start_v)),
                    grid,
                    rows,
                    patches,
                    steps,
                },
            );
        });
    }

    fn densify(&mut self, level: usize, count: usize) {
        let pair = [&self.current.levels[level], &self.previous.levels[level]];
        let (width, height) = (pair[0].width, pair[0].height);
        let grid = Grid::new(width, height, self.plan.spacing);
        let set = self.set;
        let outputs = self.directions.each_mut().map(|direction| {
            [&mut direction.u, &mut direction.v, &mut direction.weights].map(|plane| {
                plane.resize(width * height, 0.0);
                Rows::of(plane)
            })
        });
        let directions = &self.directions;
        let stripes = height.div_ceil(STRIPE);
        self.threads.run(count * stripes, |tile| {
            let direction = tile / stripes;
            let rows = stripe(tile % stripes, height);
            // SAFETY: these rows belong to this tile alone.
            let [u, v, weights] =
                outputs[direction].map(|plane| unsafe { slice_rows(plane, width, &rows) });
            enter(
                set,
                Densify {
                    template: pair[direction],
                    target: pair[1 - direction],
                    grid,
                    patches: &directions[direction].patches,
                    rows,
                    u,
                    v,
                    weights,
                },
            );
        });
    }

    fn refine(&mut self, level: usize, count: usize) {
        let pair = [&self.current.levels[level], &self.previous.levels[level]];
        let effort = self.plan.effort(level);
        let [first, second] = &mut self.directions;
        let mut fields = [first, second].map(|direction| {
            if direction.refiners.len() <= level {
                direction.refiners.resize_with(level + 1, Refiner::default);
            }
            Field {
                u: &mut direction.u,
                v: &mut direction.v,
                refiner: &mut direction.refiners[level],
            }
        });
        refine(
            &mut self.threads,
            self.set,
            effort,
            pair,
            &mut fields[..count],
        );
    }

    /// Brings the finest level's fields to the size of the picture.
    fn hand_out(&mut self, size: (usize, usize), flows: &mut [&mut Flow]) {
        let factor = 1 << self.plan.levels(size).0;
        let mut jobs = Vec::with_capacity(2 * flows.len());
        for (flow, direction) in flows.iter_mut().zip(&self.directions) {
            (flow.width, flow.height) = size;
            for (values, output) in [(&direction.u, &mut flow.u), (&direction.v, &mut flow.v)] {
                make_room(output, size);
                let source = Source {
                    values,
                    width: direction.width,
                    height: direction.height,
                    factor,
                    scale: factor as f32,
                };
                jobs.push((source, Rows::of(output)));
            }
        }
        enlarge(&mut self.threads, self.set, &jobs, size);
    }

    /// Fills the masks of a motion from its flow and the finest level's fields.
    fn mask(&mut self, motion: &mut Motion) {
        let size = (motion.backward.width, motion.backward.height);
        let factor = 1 << self.plan.levels(size).0;
        let [first, second] = &mut self.directions;
        let (width, height) = (first.width, first.height);
        let flows = [&first.u[..], &first.v, &second.u, &second.v];
        // The fields of the coarser level have served.
        let ratios = [&mut first.start_u, &mut first.start_v].map(|plane| Rows::of(plane));
        let set = self.set;
        each_stripe(&mut self.threads, height, |rows| {
            // SAFETY: these rows belong to this tile alone.
            let [disagreement, slope] =
                ratios.map(|plane| unsafe { slice_rows(plane, width, &rows) });
            enter(
                set,
                Ratios {
                    flows,
                    width,
                    height,
                    factor,
                    rows,
                    disagreement,
                    slope,
                },
            );
        });
        let source = |values| Source {
            values,
            width,
            height,
            factor,
            scale: 1.0,
        };
        let [disagreement, slope] = [source(&first.start_u[..]), source(&first.start_v[..])];
        let Motion {
            backward,
            consistent,
            boundary,
            confidence,
            ..
        } = motion;
        make_room(consistent, size);
        let consistent = Rows::of(consistent);
        let further = (!self.backward_only).then(|| {
            make_room(boundary, size);
            make_room(confidence, size);
            (Rows::of(boundary), Rows::of(confidence))
        });
        each_stripe(&mut self.threads, size.1, |rows| {
            let packed = rows.start * size.0..rows.end * size.0;
            // SAFETY: these rows belong to this tile alone.
            let masks = unsafe {
                Masks {
                    disagreement,
                    size,
                    u: &backward.u[packed.clone()],
                    v: &backward.v[packed],
                    consistent: slice_rows(consistent, size.0, &rows),
                    further: further.map(|(boundary, confidence)| Further {
                        slope,
                        boundary: slice_rows(boundary, size.0, &rows),
                        confidence: slice_rows(confidence, size.0, &rows),
                    }),
                    rows,
                }
            };
            enter(set, masks);
        });
    }
}

/// Enlarges several planes to one size.
fn enlarge(
    threads: &mut Threads,
    set: InstructionSet,
    jobs: &[(Source<'_>, Rows<f32>)],
    (width, height): (usize, usize),
) {
    const { assert!(MOST == 8, "the coarsest preset at half scale is 3 halvings") };
    let stripes = height.div_ceil(STRIPE);
    threads.run(jobs.len() * stripes, |tile| {
        let (source, output) = jobs[tile / stripes];
        let rows = stripe(tile % stripes, height);
        // SAFETY: these rows belong to this tile alone.
        let output = unsafe { slice_rows(output, width, &rows) };
        enter(
            set,
            Enlarge {
                source,
                width,
                rows,
                output,
            },
        );
    });
}

/// Gives a plane its size. A new one comes zeroed from the system, so that its pages are first touched by the threads
/// that fill it.
fn make_room<T: Clone + Default>(plane: &mut Vec<T>, (width, height): (usize, usize)) {
    if plane.len() != width * height {
        *plane = vec![T::default(); width * height];
    }
}

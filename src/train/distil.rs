//! The student's training: what one step sees, and what it makes of it.

mod strokes;
mod unit;

use super::adam::{State, limit};
use super::checkpoint::student;
use super::loss::{OCTAVES, Terms, Weights, compare_pair};
use super::network::{Convolutions, Shape};
use super::overlap::overlap;
use super::photos::Photos;
use super::plan::Plan;
use super::random::Random;
use super::start::{Start, inherit, random_weights};
use crate::kernels::{KernelError, StyleParameters, TransformEngine, TransformWeights};
use crate::nn::vgg::VggWeights;
use rayon::prelude::*;
use serde_json::Value;
use std::time::Duration;
use strokes::Eye;
use unit::{CONFIG, Unit};

/// The network that is learned from.
#[derive(Clone, Debug)]
pub struct Teacher {
    /// Its convolutions.
    pub network: TransformWeights,
    /// What its styles are called.
    pub names: Vec<String>,
    /// Its styles, in the order of the student's.
    pub styles: Vec<StyleParameters>,
}

/// What a training does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Of all random numbers.
    pub seed: u64,
    /// Pieces of photos per step.
    pub batch: usize,
    /// Sides of a piece in pixels, a multiple of 8 from 64 on.
    pub crop: usize,
    /// Largest learning rate.
    pub rate: f32,
    /// How much the difference of two views' paintings counts.
    pub steadiness: f32,
    /// How much each other difference counts.
    pub weights: Weights,
    /// How much the distance of Gram matrices from those of the teacher's painting counts, where paintings are looked at by
    /// the loss network.
    pub style: f32,
    /// Where the weights come from.
    pub start: Start,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            batch: 4,
            crop: 192,
            rate: 2e-3,
            steadiness: 10.0,
            weights: Weights {
                colors: 1.0,
                octaves: [0.6, 0.4, 0.3],
                amount: [0.06; OCTAVES],
                rest: 0.0,
            },
            style: 0.0,
            start: Start::Random,
        }
    }
}

impl Settings {
    /// For a student that goes on with what its paintings look like ([`Start::Student`]).
    #[must_use]
    pub fn of_strokes() -> Self {
        Self {
            batch: 2,
            rate: 1.5e-3,
            steadiness: 80.0,
            weights: Weights {
                colors: 0.0,
                octaves: [0.0; OCTAVES],
                amount: [0.17; OCTAVES],
                rest: 2.0,
            },
            style: 30.0,
            start: Start::Student,
            ..Self::default()
        }
    }
}

/// Steps in which the learning rate rises.
const WARM_UP: u64 = 100;
/// How often two styles are blended.
const BLENDS: f32 = 0.15;
/// How much of a training sees each piece once; then each is seen as two frames of a film would show it, which takes twice
/// the time and teaches steadiness.
const PAIRS_FROM: f32 = 0.6;
/// How much of a training that begins with the teacher's layers only those in front of them learn.
const ENTRY_UNTIL: f32 = 0.2;
/// Learning rate of a style's numbers as a part of the weights', which every step changes and not only its own styles'.
const STYLE_RATE: f32 = 5.0;
/// Learning rate, from then on, of what came from the teacher, as a part of the others'.
const INHERITED_RATE: f32 = 0.5;

/// What one step found, before it changed the weights; means over its batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Difference from the teacher.
    pub terms: Terms,
    /// Root of the mean square by which the paintings of two views differ.
    pub flicker: f32,
    /// Learning rate.
    pub rate: f32,
    /// Mean square error of the trunk in parts of its variance, where that is learned.
    pub hint: f32,
    /// Distance of Gram matrices from those of the teacher's painting, in parts of their norms, where that is learned.
    pub style: f32,
}

/// How good the averaged weights are on photos that are not trained with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judgement {
    /// Mean difference of the colours from the teacher's, 0..1.
    pub difference: f32,
    /// Detail per octave as a part of the teacher's, finest first.
    pub detail: [f32; OCTAVES],
    /// Root of the mean square by which two views' paintings differ, as a part of the teacher's.
    pub flicker: f32,
}

/// A training on its way.
pub struct Distillation {
    shape: Shape,
    settings: Settings,
    teacher: Teacher,
    photos: Photos,
    state: State,
    units: Vec<Unit>,
    /// What looks at paintings, where they are learned from a student on.
    eye: Option<Eye>,
    convolutions: Convolutions,
    /// Each parameter's learning rate as a part of the step's.
    shares: Vec<f32>,
}

impl Distillation {
    /// Starts from `state`, or as the settings say.
    ///
    /// # Errors
    /// When the teacher's weights do not fit together.
    ///
    /// # Panics
    /// When the state is of another shape, there are no photos, or a training that begins with a student has no state.
    pub fn new(
        shape: Shape,
        settings: Settings,
        teacher: Teacher,
        photos: Photos,
        state: Option<State>,
    ) -> Result<Self, KernelError> {
        assert_eq!(shape.styles, teacher.styles.len());
        assert!(!photos.is_empty());
        let units = (0..settings.batch).map(|_| Unit::new(&teacher, &shape));
        let units = units.collect::<Result<_, KernelError>>()?;
        let mut weights = random_weights(&shape, settings.seed);
        let inherited = match settings.start {
            Start::Random | Start::Student => vec![false; weights.len()],
            Start::Teacher => inherit(&shape, &teacher, &mut weights),
        };
        assert!(settings.start != Start::Student || state.is_some());
        let state = state.unwrap_or_else(|| State::new(weights));
        assert_eq!(state.parameters.len(), shape.layers().1);
        Ok(Self {
            shape,
            settings,
            teacher,
            photos,
            state,
            units,
            eye: None,
            convolutions: Convolutions::default(),
            shares: shares(&shape, &inherited),
        })
    }

    /// Looks at paintings by this loss network, which a training that begins with a student needs.
    ///
    /// # Errors
    /// A sentence, when a layer of the teacher's end is not normalised by the style.
    pub fn look_by(&mut self, network: &VggWeights) -> Result<(), String> {
        self.eye = Some(Eye::new(&self.teacher, network, self.settings.style)?);
        Ok(())
    }

    /// The weights and what the optimizer remembers.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the student looks like.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The network that is learned from.
    pub fn teacher(&self) -> &Teacher {
        &self.teacher
    }

    /// What the training does.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Counts time that was spent, for a plan that is a time.
    pub fn spend(&mut self, time: Duration) {
        self.state.seconds += time.as_secs_f64();
    }

    /// How much of `plan` is done, 0..=1.
    pub fn done(&self, plan: Plan) -> f32 {
        plan.done(&self.state)
    }

    /// Makes one step of `plan`.
    ///
    /// # Errors
    /// When the teacher cannot paint.
    ///
    /// # Panics
    /// When the training begins with a student and has no loss network ([`Distillation::look_by`]).
    pub fn step(&mut self, plan: Plan) -> Result<Report, KernelError> {
        let (settings, steps) = (self.settings, self.state.steps);
        // Early on the cheapest detail is a pattern; later it is what the teacher paints.
        let mut settings = settings;
        let late = match settings.start {
            Start::Student => 1.0,
            _ => self.done(plan).powi(2),
        };
        settings
            .weights
            .amount
            .iter_mut()
            .for_each(|weight| *weight *= late);
        let rate = settings.rate * plan.rate(&self.state, WARM_UP);
        let hints = (settings.start == Start::Teacher).then(|| {
            if self.done(plan) < ENTRY_UNTIL {
                0
            } else {
                self.shape.config.blocks
            }
        });
        let pairs = self.done(plan) >= PAIRS_FROM && settings.steadiness > 0.0;
        self.convolutions
            .update(&self.shape, &self.state.parameters);
        let (length, convolutions) = (self.state.parameters.len(), &self.convolutions);
        let (photos, teacher, eye) = (&self.photos, &self.teacher, self.eye.as_ref());
        assert!(settings.start != Start::Student || eye.is_some());
        let pairs = pairs || eye.is_some();
        self.units
            .par_iter_mut()
            .enumerate()
            .try_for_each(|(index, unit)| {
                let mut random = Random::new(settings.seed, [steps, index as u64 + 1]);
                let turn = steps * settings.batch as u64 + index as u64;
                let style = choose_style(&mut random, settings.seed, turn, teacher.styles.len());
                let views = photos.views(&mut random, settings.crop, pairs);
                unit.gradient.clear();
                unit.gradient.resize(length, 0.0);
                if let Some(eye) = eye {
                    return unit.learn_strokes(
                        teacher,
                        eye,
                        convolutions,
                        &style,
                        &views,
                        &settings,
                    );
                }
                if let Some(blocks) = hints {
                    return unit.learn_trunk(
                        teacher,
                        convolutions,
                        &style,
                        &views,
                        settings.crop,
                        blocks,
                    );
                }
                unit.paint(teacher, &style, &views, settings.crop)?;
                unit.learn(convolutions, &style, &views, pairs, &settings);
                Ok::<_, KernelError>(())
            })?;
        let share = 1.0 / self.units.len() as f32;
        let mut report = Report {
            rate,
            ..Report::default()
        };
        let (first, others) = self.units.split_at_mut(1);
        let gradient = &mut first[0].gradient;
        report.add(&first[0].report, share);
        for unit in others {
            report.add(&unit.report, share);
            gradient
                .iter_mut()
                .zip(&unit.gradient)
                .for_each(|(sum, value)| *sum += value);
        }
        gradient.iter_mut().for_each(|value| *value *= share);
        if eye.is_some() {
            limit(gradient, &self.state.square, steps);
        }
        self.state.step(gradient, &self.shares, rate);
        report.flicker = report.flicker.sqrt();
        Ok(report)
    }

    /// Judges the averaged weights on a piece of each of `photos` in every style.
    ///
    /// # Errors
    /// When the teacher cannot paint.
    pub fn judge(&mut self, photos: &Photos) -> Result<Judgement, KernelError> {
        let (settings, styles) = (self.settings, self.teacher.styles.len());
        let (network, numbers) = self.student();
        let teacher = &self.teacher;
        let size = (settings.crop, settings.crop);
        let share = self.units.len();
        let sums = self.units.par_iter_mut().enumerate().map(|(index, unit)| {
            let mut sum = [0.0_f32; 3 + OCTAVES];
            let mut engine = TransformEngine::new(&network, CONFIG)?;
            let mut own = [(); 2].map(|()| vec![0.0; 3 * size.0 * size.1]);
            for style in (index..styles).step_by(share) {
                let mut random = Random::new(0, [style as u64, 0]);
                let views = photos.views(&mut random, settings.crop, true);
                let style = [(style, 1.0)];
                let mut gradient = vec![0.0; 3 * size.0 * size.1];
                unit.paint_rgb(teacher, &style, &bytes(&views.seen[1]), settings.crop)?;
                let moved = std::mem::take(&mut unit.painted);
                unit.paint(teacher, &style, &views, settings.crop)?;
                engine.set_style(&numbers[style[0].0])?;
                for (painted, view) in own.iter_mut().zip(&views.seen) {
                    engine.paint_f32(&bytes(view), size.1, size.0, painted)?;
                }
                let terms = unit.comparison.compare(
                    &own[0],
                    &unit.painted,
                    size,
                    &settings.weights,
                    &mut gradient,
                );
                let differ = |a: &[f32], b: &[f32]| {
                    let [a, b] = overlap(a, b, views.moved, settings.crop);
                    compare_pair((&a, &mut a.clone()), (&b, &mut b.clone()), 0.0)
                };
                let own = differ(&own[0], &own[1]);
                let other = differ(&unit.painted, &moved);
                let found = [terms.colors, own, other].into_iter().chain(terms.amount);
                sum.iter_mut()
                    .zip(found)
                    .for_each(|(sum, value)| *sum += value);
            }
            Ok(sum)
        });
        let sums = sums.collect::<Result<Vec<_>, KernelError>>()?;
        let mean = |at: usize| sums.iter().map(|sum| sum[at]).sum::<f32>() / styles as f32;
        Ok(Judgement {
            difference: mean(0),
            flicker: (mean(1) / mean(2).max(1e-9)).sqrt(),
            detail: std::array::from_fn(|octave| mean(3 + octave)),
        })
    }

    /// Paints an RGB picture with the averaged weights and by the teacher.
    ///
    /// # Errors
    /// When the teacher cannot paint it.
    pub fn paint(
        &mut self,
        rgb: &[u8],
        (height, width): (usize, usize),
        style: usize,
    ) -> Result<[Vec<u8>; 2], KernelError> {
        let (network, numbers) = self.student();
        let teachers = (&self.teacher.network, &self.teacher.styles);
        let painters = [(&network, &numbers), teachers].map(|(network, styles)| {
            let mut engine = TransformEngine::new(network, CONFIG)?;
            engine.set_style(&styles[style])?;
            let mut painting = vec![0; rgb.len()];
            engine.paint(rgb, width, height, &mut painting)?;
            Ok(painting)
        });
        let [student, teacher] = painters;
        Ok([student?, teacher?])
    }

    /// The student of the averaged weights.
    fn student(&self) -> (TransformWeights, Vec<StyleParameters>) {
        let names = &self.teacher.names;
        let file = student(&self.shape, &self.state.average, names, &Value::Null);
        let whole = "a student just made has all its tensors";
        (
            file.network().expect(whole),
            file.parameters().expect(whole),
        )
    }
}

impl Report {
    fn add(&mut self, other: &Self, share: f32) {
        let (sum, terms) = (&mut self.terms, &other.terms);
        sum.colors += share * terms.colors;
        sum.total += share * terms.total;
        for octave in 0..OCTAVES {
            sum.octaves[octave] += share * terms.octaves[octave];
            sum.amount[octave] += share * terms.amount[octave];
        }
        self.flicker += share * other.flicker;
        self.hint += share * other.hint;
        self.style += share * other.style;
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .map(|value| (value * 255.0 + 0.5) as u8)
        .collect()
}

/// The teacher's numbers for a blend of its styles.
fn blend(teacher: &Teacher, style: &[(usize, f32)]) -> StyleParameters {
    let mut sum = teacher.styles[style[0].0].clone();
    let mix = |sum: &mut [f32], part: &dyn Fn(&StyleParameters) -> &Vec<f32>| {
        sum.fill(0.0);
        for &(row, weight) in style {
            for (sum, value) in sum.iter_mut().zip(part(&teacher.styles[row])) {
                *sum += weight * value;
            }
        }
    };
    mix(&mut sum.scale, &|style| &style.scale);
    mix(&mut sum.shift, &|style| &style.shift);
    sum
}

/// The style of a turn: all in random order, again and again; sometimes blended with another.
fn choose_style(random: &mut Random, seed: u64, turn: u64, styles: usize) -> Vec<(usize, f32)> {
    let (round, place) = (turn / styles as u64, (turn % styles as u64) as usize);
    let mut order: Vec<usize> = (0..styles).collect();
    Random::new(seed, [round, 0]).shuffle(&mut order);
    let style = order[place];
    if styles < 2 || random.unit() >= BLENDS {
        return vec![(style, 1.0)];
    }
    let other = (style + 1 + random.below(styles - 1)) % styles;
    let weight = random.unit();
    vec![(style, weight), (other, 1.0 - weight)]
}

/// Each parameter's learning rate as a part of the step's.
fn shares(shape: &Shape, inherited: &[bool]) -> Vec<f32> {
    let share = |inherited: &bool| if *inherited { INHERITED_RATE } else { 1.0 };
    let mut shares: Vec<f32> = inherited.iter().map(share).collect();
    for layer in shape.layers().0 {
        for n in 0..shape.styles * layer.normed {
            let (scale, shift) = layer.norm(n / layer.normed, n % layer.normed);
            shares[scale] *= STYLE_RATE;
            shares[shift] *= STYLE_RATE;
        }
    }
    shares
}

//! New styles for a trained network, each learned from a painting.
//!
//! The convolutions of a network that was trained on many styles are a vocabulary of strokes, and a style is which of them
//! speak: a scale and a shift for every normalised channel, a thousand numbers (Dumoulin et al. 2017). So a new style
//! needs no new network. Pieces of photos are painted, a loss network compares the paintings with the photos (content) and
//! with the model (style), as in painting by optimisation, and the gradient goes back through the frozen network to those
//! numbers only. Each piece is painted twice, as two frames of a film would show it, and both paintings are held together.
//!
//! The start is the known style, or the blend of two, whose paintings come nearest to the model.

pub(super) mod look;
mod start;

use rayon::prelude::*;
use std::time::Duration;

use super::adam::{State, limit};
use super::frozen::{FrozenNetwork, FrozenTape};
use super::loss::compare_pair;
use super::overlap::{add_overlap, overlap};
use super::photos::{Photos, Views};
use super::plan::Plan;
use super::random::Random;
use crate::frame::Picture;
use crate::kernels::{LossNetwork, Pooling, StyleParameters, Tape, TransformWeights};
use crate::nn::vgg::VggWeights;
use crate::stylize::optimize::{LossWeights, layers};
use image::{RgbImage, imageops};
use look::{Model, compare, planes};
pub use start::NearestStyle;

/// What the training of styles does.
#[derive(Clone, Debug, PartialEq)]
pub struct StyleSettings {
    /// Of all random numbers.
    pub seed: u64,
    /// Pieces of photos per step.
    pub batch: usize,
    /// Sides of a piece in pixels, a multiple of 8 from 64 on.
    pub crop: usize,
    /// Largest learning rate.
    pub rate: f32,
    /// How much the mean square between two views' paintings counts.
    pub steadiness: f32,
    /// Size of the strokes: at 1 a model has as many pixels as a square of [`MODEL_SIDE`].
    pub brush: f32,
    /// How much each other term counts.
    pub losses: LossWeights,
}

/// Side of a square with as many pixels as a model has, at a brush of 1: strokes as large as on it are painted on pictures
/// of that size.
pub const MODEL_SIDE: usize = 480;

impl Default for StyleSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            batch: 2,
            crop: 192,
            rate: 0.02,
            steadiness: 20.0,
            brush: 1.0,
            losses: LossWeights {
                content: 1.0,
                style: 5.0,
                variation: 1.0,
                temporal: 0.0,
                content_layers: layers(&[("relu3_3", 1.0)]),
                style_layers: layers(&[
                    ("relu1_1", 0.3),
                    ("relu2_2", 0.2),
                    ("relu3_3", 0.3),
                    ("relu4_3", 0.2),
                ]),
            },
        }
    }
}

/// Steps in which the learning rate rises.
const WARM_UP: u64 = 20;

/// What a step, or a judgement, found: means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StyleReport {
    /// The whole loss.
    pub total: f32,
    /// Its content term.
    pub content: f32,
    /// Its style term.
    pub style: f32,
    /// Root of the mean square by which the paintings of two views differ, 0..1.
    pub flicker: f32,
    /// Learning rate.
    pub rate: f32,
}

/// What works on one piece at a time.
#[derive(Default)]
struct Unit {
    tapes: [FrozenTape; 2],
    look: Tape,
    gradient: Option<StyleParameters>,
    report: StyleReport,
}

/// A training of styles on its way.
pub struct StyleTraining {
    network: FrozenNetwork,
    loss_network: LossNetwork,
    models: Vec<Model>,
    starts: Vec<NearestStyle>,
    settings: StyleSettings,
    photos: Photos,
    /// Its parameters are, style by style, the scales and then the shifts.
    state: State,
    units: Vec<Unit>,
}

impl StyleTraining {
    /// Learns the styles of the `models` for `network`, from `state`, or else from those of the `known` styles that come
    /// nearest.
    ///
    /// # Errors
    /// A sentence, when the network has layers that take nothing from a style, or the state is of other styles.
    ///
    /// # Panics
    /// When there are no photos, no models or no known styles.
    pub fn new(
        network: &TransformWeights,
        known: &[StyleParameters],
        loss_network: &VggWeights,
        models: &[Picture],
        photos: Photos,
        settings: StyleSettings,
        state: Option<State>,
    ) -> Result<Self, String> {
        assert!(!photos.is_empty() && !models.is_empty() && !known.is_empty());
        let network = FrozenNetwork::new(network)?;
        let length = models.len() * 2 * network.style_channels();
        if state
            .as_ref()
            .is_some_and(|state| state.parameters.len() != length)
        {
            return Err("the checkpoint is of other styles".into());
        }
        let loss_network = loss_network.on_processor(Pooling::Average);
        let mut tape = Tape::default();
        let targets = models.iter().map(|model| {
            let model = at_scale(model, settings.brush);
            Model::new(&loss_network, &mut tape, &settings.losses, &model)
        });
        let mut training = Self {
            models: targets.collect(),
            starts: Vec::new(),
            units: (0..settings.batch).map(|_| Unit::default()).collect(),
            network,
            loss_network,
            settings,
            photos,
            state: State::default(),
        };
        training.state = match state {
            Some(state) => state,
            None => {
                let mut parameters = Vec::with_capacity(length);
                training.starts = training.find_starts(known);
                for start in &training.starts {
                    let style = start.parameters(known);
                    parameters.extend(style.scale.into_iter().chain(style.shift));
                }
                State::new(parameters)
            }
        };
        Ok(training)
    }

    /// The numbers of all styles and what the optimizer remembers.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the training does.
    pub fn settings(&self) -> &StyleSettings {
        &self.settings
    }

    /// What each style was begun with; none of a training that was taken up.
    pub fn starts(&self) -> &[NearestStyle] {
        &self.starts
    }

    /// Counts time that was spent, for a plan that is a time.
    pub fn spend(&mut self, time: Duration) {
        self.state.seconds += time.as_secs_f64();
    }

    /// The averaged numbers of each style, which are what shall paint.
    pub fn styles(&self) -> Vec<StyleParameters> {
        let styles = self.state.average.chunks_exact(self.length());
        styles.map(split).collect()
    }

    /// Numbers of a style.
    fn length(&self) -> usize {
        2 * self.network.style_channels()
    }

    /// Makes one step of `plan`. Where there are more styles than pieces in a step they take turns.
    pub fn step(&mut self, plan: Plan) -> StyleReport {
        let (steps, length) = (self.state.steps, self.length());
        let rate = self.settings.rate * plan.rate(&self.state, WARM_UP);
        let (settings, batch) = (&self.settings, self.units.len());
        let style_of = |index: usize| {
            let turn = steps * batch as u64 + index as u64;
            (turn % self.models.len() as u64) as usize
        };
        let (network, loss_network) = (&self.network, &self.loss_network);
        let (photos, models, state) = (&self.photos, &self.models, &self.state);
        self.units
            .par_iter_mut()
            .enumerate()
            .for_each(|(index, unit)| {
                let mut random = Random::new(settings.seed, [steps, index as u64 + 1]);
                let views = photos.views(&mut random, settings.crop, true);
                let style = style_of(index);
                let numbers = split(&state.parameters[style * length..][..length]);
                unit.learn(
                    network,
                    loss_network,
                    &models[style],
                    &numbers,
                    &views,
                    settings,
                );
            });
        let mut gradient = vec![0.0; self.state.parameters.len()];
        let mut report = StyleReport {
            rate,
            ..StyleReport::default()
        };
        for (index, unit) in self.units.iter().enumerate() {
            report.add(&unit.report, 1.0 / batch as f32);
            let style = style_of(index);
            let share = (0..batch).filter(|other| style_of(*other) == style).count();
            let sums = &mut gradient[style * length..][..length];
            let own = unit
                .gradient
                .iter()
                .flat_map(|own| own.scale.iter().chain(&own.shift));
            for (sum, value) in sums.iter_mut().zip(own) {
                *sum += value / share as f32;
            }
        }
        for style in 0..self.models.len() {
            let own = style * length..(style + 1) * length;
            limit(&mut gradient[own.clone()], &self.state.square[own], steps);
        }
        let shares = vec![1.0; gradient.len()];
        self.state.step(&gradient, &shares, rate);
        report.flicker = report.flicker.sqrt();
        report
    }

    /// Judges the averaged numbers of each style on pieces of `photos`, always the same ones.
    pub fn judge(&self, photos: &Photos) -> Vec<StyleReport> {
        let styles = self.styles();
        let jobs = styles.iter().enumerate().collect::<Vec<_>>();
        self.judge_all(photos, &jobs, JUDGED, self.settings.crop)
    }

    /// Judges styles, each against the model of its number, on so many pieces of `side` pixels.
    fn judge_all(
        &self,
        photos: &Photos,
        jobs: &[(usize, &StyleParameters)],
        pieces: usize,
        side: usize,
    ) -> Vec<StyleReport> {
        let (network, loss_network) = (&self.network, &self.loss_network);
        let (models, settings) = (&self.models, &self.settings);
        let settings = &StyleSettings {
            crop: side,
            ..settings.clone()
        };
        let reports = jobs
            .par_iter()
            .map_init(Unit::default, |unit, (model, style)| {
                let mut mean = StyleReport::default();
                for piece in 0..pieces {
                    let views = photos.views(&mut Random::new(0, [piece as u64, 0]), side, true);
                    unit.look(
                        network,
                        loss_network,
                        &models[*model],
                        style,
                        &views,
                        settings,
                    );
                    mean.add(&unit.report, 1.0 / pieces as f32);
                }
                mean.flicker = mean.flicker.sqrt();
                mean
            });
        reports.collect()
    }
}

/// A model at the size that its strokes are learned at.
fn at_scale(model: &Picture, brush: f32) -> Picture {
    let (width, height) = (model.width() as f64, model.height() as f64);
    let scale = MODEL_SIDE as f64 * f64::from(brush) / (width * height).sqrt();
    // The loss network halves it three times.
    let scale = scale.max(64.0 / width.min(height));
    let side = |side: f64| ((side * scale).round() as u32).max(8);
    let image = RgbImage::from_raw(width as u32, height as u32, model.rgb().to_vec());
    let image = image.unwrap_or_default();
    let filter = imageops::FilterType::Lanczos3;
    let image = imageops::resize(&image, side(width), side(height), filter);
    let (width, height) = (image.width() as usize, image.height() as usize);
    Picture::new(width, height, image.into_raw()).unwrap_or_else(|_| model.clone())
}

/// Pieces that a style is judged by.
const JUDGED: usize = 6;

/// Scales and shifts out of a style's numbers.
fn split(numbers: &[f32]) -> StyleParameters {
    let (scale, shift) = numbers.split_at(numbers.len() / 2);
    StyleParameters {
        scale: scale.to_vec(),
        shift: shift.to_vec(),
    }
}

impl StyleReport {
    fn add(&mut self, other: &Self, share: f32) {
        self.total += share * other.total;
        self.content += share * other.content;
        self.style += share * other.style;
        self.flicker += share * other.flicker;
    }
}

impl Unit {
    /// Paints both views and looks at them; returns the gradients of both paintings. The report's flicker is a mean square.
    fn look(
        &mut self,
        network: &FrozenNetwork,
        loss_network: &LossNetwork,
        model: &Model,
        style: &StyleParameters,
        views: &Views,
        settings: &StyleSettings,
    ) -> [Vec<f32>; 2] {
        let (side, size) = (settings.crop, (settings.crop, settings.crop));
        for (tape, view) in self.tapes.iter_mut().zip(&views.seen) {
            tape.forward(network, style, view, size);
        }
        let [first, second] = [self.tapes[0].output(), self.tapes[1].output()];
        let photo = planes(views.clean.iter().map(|value| f32::from(*value)));
        let painting = planes(first.iter().map(|value| 255.0 * value));
        let pixels = side * side;
        let mut gradient = vec![0.0; first.len()];
        let losses = compare(
            (loss_network, &mut self.look),
            &settings.losses,
            model,
            (&photo, &painting),
            size,
            &mut gradient,
        );
        let mut gradients = [vec![0.0; first.len()], vec![0.0; first.len()]];
        for (pixel, values) in gradients[0].chunks_exact_mut(3).enumerate() {
            for c in 0..3 {
                values[c] = 255.0 * gradient[c * pixels + pixel];
            }
        }
        let [a, b] = overlap(first, second, views.moved, side);
        let (mut of_a, mut of_b) = (vec![0.0; a.len()], vec![0.0; b.len()]);
        let flicker = compare_pair((&a, &mut of_a), (&b, &mut of_b), settings.steadiness);
        let [first, second] = &mut gradients;
        add_overlap([&of_a, &of_b], views.moved, side, [first, second]);
        self.report = StyleReport {
            total: losses.total as f32 + settings.steadiness * flicker,
            content: losses.content as f32,
            style: losses.style as f32,
            flicker,
            rate: 0.0,
        };
        gradients
    }

    /// The gradient of one piece.
    fn learn(
        &mut self,
        network: &FrozenNetwork,
        loss_network: &LossNetwork,
        model: &Model,
        style: &StyleParameters,
        views: &Views,
        settings: &StyleSettings,
    ) {
        let gradients = self.look(network, loss_network, model, style, views, settings);
        let channels = network.style_channels();
        let mut gradient = StyleParameters {
            scale: vec![0.0; channels],
            shift: vec![0.0; channels],
        };
        let [first, second] = &mut self.tapes;
        first.backward(network, &gradients[0], &mut gradient);
        if settings.steadiness > 0.0 {
            second.backward(network, &gradients[1], &mut gradient);
        }
        self.gradient = Some(gradient);
    }
}

#[cfg(test)]
mod tests;

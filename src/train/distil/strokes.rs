//! What a student whose end is its teacher's learns of how its paintings look.
//!
//! A student that learned the trunk's planes (a hint) paints its teacher's strokes, those that jump from frame to frame
//! included, and a little too faintly where it cannot know them. Once it paints, where each stroke lies need not be told any
//! more: what counts is that there is as much texture of the same kind as in the teacher's painting (Gram matrices of a loss
//! network's features, Gatys et al. 2016, and the amount of detail, square by square), that light and colours are the
//! teacher's (what is left without the finest octaves), and that two views of the same thing are painted alike. So it may
//! choose strokes that it can paint again in the next frame. The end stays as it is and only passes the gradient on.

use super::unit::Unit;
use super::{Report, Settings, Teacher, blend};
use crate::kernels::{KernelError, LossNetwork, Pooling};
use crate::nn::vgg::VggWeights;
use crate::stylize::optimize::{LossWeights, layers};
use crate::train::frozen::{BLOCK, FrozenNetwork};
use crate::train::loss::compare_pair;
use crate::train::network::Convolutions;
use crate::train::overlap::{add_overlap, overlap};
use crate::train::painting::look::{Model, compare, planes};
use crate::train::photos::Views;

/// The layers whose Gram matrices are compared, all alike.
const LAYERS: [(&str, f32); 3] = [("relu1_2", 1.0), ("relu2_2", 1.0), ("relu3_3", 1.0)];

/// What paintings are made and looked at by.
pub(super) struct Eye {
    /// The teacher's last layers.
    end: FrozenNetwork,
    network: LossNetwork,
    losses: LossWeights,
}

impl Eye {
    /// # Errors
    /// A sentence, when a layer of the teacher's end is not normalised by the style.
    pub(super) fn new(teacher: &Teacher, network: &VggWeights, style: f32) -> Result<Self, String> {
        Ok(Self {
            end: FrozenNetwork::end(&teacher.network)?,
            network: network.on_processor(Pooling::Max),
            losses: LossWeights {
                content: 0.0,
                style,
                variation: 0.0,
                temporal: 0.0,
                content_layers: Vec::new(),
                style_layers: layers(&LAYERS),
            },
        })
    }
}

impl Unit {
    /// The gradient of one piece by how both its paintings look.
    pub(super) fn learn_strokes(
        &mut self,
        teacher: &Teacher,
        eye: &Eye,
        convolutions: &Convolutions,
        style: &[(usize, f32)],
        views: &Views,
        settings: &Settings,
    ) -> Result<(), KernelError> {
        let (side, size) = (settings.crop, (settings.crop, settings.crop));
        let rows = side / BLOCK;
        let blocks = self.blocks;
        self.paint(teacher, style, views, side)?;
        let numbers = blend(teacher, style);
        for ((tape, end), view) in self.tapes.iter_mut().zip(&mut self.ends).zip(&views.seen) {
            let plane = tape.trunk(convolutions, style, view, size, blocks);
            end.forward_end(&eye.end, &numbers, plane, (rows, rows));
        }
        let [first, second] = [self.ends[0].output(), self.ends[1].output()];
        let mut gradients = [vec![0.0; first.len()], vec![0.0; second.len()]];
        let terms = self.comparison.compare(
            first,
            &self.painted,
            size,
            &settings.weights,
            &mut gradients[0],
        );
        let [target, own] = [&self.painted[..], first]
            .map(|picture| planes(picture.iter().map(|value| 255.0 * value)));
        let target = Model::of_planes((&eye.network, &mut self.looked), &eye.losses, &target, size);
        let mut looked = vec![0.0; own.len()];
        let losses = compare(
            (&eye.network, &mut self.looked),
            &eye.losses,
            &target,
            (&[], &own),
            size,
            &mut looked,
        );
        let pixels = side * side;
        for (pixel, values) in gradients[0].chunks_exact_mut(3).enumerate() {
            for (c, value) in values.iter_mut().enumerate() {
                *value += 255.0 * looked[c * pixels + pixel];
            }
        }
        let [a, b] = overlap(first, second, views.moved, side);
        let (mut of_a, mut of_b) = (vec![0.0; a.len()], vec![0.0; b.len()]);
        let flicker = compare_pair((&a, &mut of_a), (&b, &mut of_b), settings.steadiness);
        let [of_first, of_second] = &mut gradients;
        add_overlap([&of_a, &of_b], views.moved, side, [of_first, of_second]);
        let mut unused = numbers;
        for ((tape, end), gradient) in self.tapes.iter_mut().zip(&mut self.ends).zip(&gradients) {
            let plane = end.backward(&eye.end, gradient, &mut unused);
            tape.trunk_backward(convolutions, plane, blocks, &mut self.gradient);
        }
        self.report = Report {
            terms,
            flicker,
            style: losses.style as f32 / settings.style.max(f32::MIN_POSITIVE),
            ..Report::default()
        };
        self.report.terms.total += losses.style as f32 + settings.steadiness * flicker;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Precision;
    use crate::nn::student_net::StudentConfig;
    use crate::nn::vgg::tests::small;
    use crate::train::network::Shape;
    use crate::train::random::Random;
    use crate::train::start::{inherit, random_weights};

    /// Of one piece, in every term: along the gradient the loss rises as the gradient says.
    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let (teacher, photos) = crate::train::tests::teacher_and_photos();
        let shape = Shape {
            config: StudentConfig {
                blocks: 1,
                ..StudentConfig::SWIFT
            },
            styles: 2,
        };
        let mut parameters = random_weights(&shape, 3);
        inherit(&shape, &teacher, &mut parameters);
        let all = Settings {
            crop: 64,
            ..Settings::of_strokes()
        };
        let only = |style: f32, amount: f32, rest: f32, steadiness: f32| {
            let mut settings = all;
            settings.style = style;
            settings.weights.amount = [amount; 3];
            settings.weights.rest = rest;
            settings.steadiness = steadiness;
            settings
        };
        let views = (0..)
            .map(|turn| photos.views(&mut Random::new(4, [turn, 0]), all.crop, true))
            .find(|views| views.moved != (0, 0))
            .unwrap();
        let style = [(0, 0.7), (1, 0.3)];
        for settings in [
            only(1.0, 0.0, 0.0, 0.0),
            only(0.0, 1.0, 0.0, 0.0),
            only(0.0, 0.0, 1.0, 0.0),
            only(0.0, 0.0, 0.0, 1.0),
            all,
        ] {
            let mut eye = Eye::new(
                &teacher,
                &small(&[(8, false), (8, false), (12, true)]),
                settings.style,
            )
            .unwrap();
            eye.losses.style_layers = vec![(0, 0.5), (2, 0.5)];
            let mut unit = Unit::new(&teacher, &shape).unwrap();
            let mut convolutions = Convolutions::new(Precision::F32);
            let mut at = |parameters: &[f32], unit: &mut Unit| {
                convolutions.update(&shape, parameters);
                unit.gradient.clear();
                unit.gradient.resize(parameters.len(), 0.0);
                unit.learn_strokes(&teacher, &eye, &convolutions, &style, &views, &settings)
                    .unwrap();
                f64::from(unit.report.terms.total)
            };
            at(&parameters, &mut unit);
            let direction = unit.gradient.clone();
            let length = direction.iter().map(|g| g * g).sum::<f32>().sqrt();
            let step = 3e-3;
            let mut moved = |sign: f32| {
                let values = parameters.iter().zip(&direction);
                let moved: Vec<f32> = values.map(|(v, g)| v + sign * step * g / length).collect();
                at(&moved, &mut unit)
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * f64::from(step));
            assert!(
                (slope / f64::from(length) - 1.0).abs() < 0.05,
                "{:?}, {}, {}: {slope} {length}",
                settings.weights,
                settings.style,
                settings.steadiness
            );
        }
    }
}

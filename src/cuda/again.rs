//! A further pass over a film on a card, along the motion that was kept of the first.
//!
//! What [`PassOnProcessor`](crate::temporal::steady::PassOnProcessor) does, by the kernels that hand motion out and steady: up
//! go the luma of the input, both directions of the motion at the size at which they were found, and the picture, which
//! comes down steadied once more.

use super::{Card, CardError, FlowOnCard, SteadyOnCard};
use crate::{
    frame::Picture,
    temporal::{
        flow::{FlowSettings, Found, Luma},
        steady::{Pass, SteadyError, SteadySettings},
    },
};

/// A further pass on a card.
pub struct PassOnCard<C: Card> {
    flow: FlowOnCard<C>,
    steady: SteadyOnCard<C>,
}

impl<C: Card + Clone> PassOnCard<C> {
    /// A pass over motion that was found with the settings `flow`.
    ///
    /// # Errors
    /// When the card has no memory left.
    pub fn new(settings: SteadySettings, flow: FlowSettings, card: C) -> Result<Self, CardError> {
        Ok(Self {
            flow: FlowOnCard::new(flow, card.clone()),
            steady: SteadyOnCard::new(settings, card)?,
        })
    }
}

impl<C: Card + Send> Pass for PassOnCard<C> {
    fn push(
        &mut self,
        mut picture: Picture,
        input: &Luma,
        found: Option<&Found>,
        reversed: bool,
    ) -> Result<Picture, SteadyError> {
        let mut push = || {
            let frame = self.flow.again(input, found, reversed)?;
            self.steady.push_painting(&frame, picture.rgb_mut())
        };
        push().map_err(|error: CardError| SteadyError::Device(error.into()))?;
        Ok(picture)
    }

    fn set(&mut self, settings: SteadySettings) {
        self.steady.set(settings);
    }

    fn reset(&mut self) {
        self.steady.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cuda::{compare, emulated::EmulatedCard},
        temporal::{
            flow::FlowEstimator,
            steady::{PassOnProcessor, tests::noise},
        },
    };

    #[test]
    fn a_further_pass_on_the_card_is_the_processors() {
        let settings = SteadySettings::new(1.0, 1).unwrap();
        let flow = FlowSettings {
            threads: 1,
            ..FlowSettings::default()
        };
        let mut card = PassOnCard::new(settings, flow, EmulatedCard::new()).unwrap();
        let mut processor = PassOnProcessor::new(settings, flow).unwrap();
        for (size, reversed) in [((67, 45), false), ((67, 45), true), ((58, 61), true)] {
            let (width, height) = size;
            // A ground that slides, and a painting of it that flickers.
            let value = |at: usize, t: usize| {
                let (x, y) = ((at % width + 2 * t) as f32, (at / width) as f32);
                60.0 * ((0.4 * x).sin() + (0.3 * y + 0.1 * x).cos()) + 128.0
            };
            let input = |t: usize| {
                let pixels = (0..width * height).map(|at| value(at, t) as u8);
                Luma::new(width, height, pixels.collect()).unwrap()
            };
            let picture = |t: usize| {
                let rgb = (0..3 * width * height).map(|i| {
                    let flicker = 60.0 * noise(i / 3 % width / 2, i / 3 / width / 2, t as u64);
                    (250.0 - 0.7 * value(i / 3, t) - flicker + 5.0 * (i % 3) as f32) as u8
                });
                Picture::new(width, height, rgb.collect()).unwrap()
            };
            let mut estimator = FlowEstimator::new(flow);
            estimator.push(&input(0));
            let kept: Vec<Found> = (1..5)
                .map(|t| {
                    estimator.push(&input(t)).unwrap();
                    estimator.found().unwrap()
                })
                .collect();
            card.reset();
            processor.reset();
            let mut changed: f64 = 0.0;
            for step in 0..5 {
                let t: usize = if reversed { 4 - step } else { step };
                let between = if reversed { t } else { t.wrapping_sub(1) };
                let found = (step > 0).then(|| &kept[between]);
                let own = card.push(picture(t), &input(t), found, reversed).unwrap();
                let expected = processor.push(picture(t), &input(t), found, reversed);
                let expected = expected.unwrap();
                let (mean, most) = compare(own.rgb(), expected.rgb());
                println!("{size:?} {reversed}, picture {t}: mean {mean}, at most {most}");
                assert!(mean < 0.02 && most <= 8, "picture {t}: {mean}, {most}");
                changed = changed.max(compare(own.rgb(), picture(t).rgb()).0);
            }
            assert!(changed > 3.0, "there was nothing to steady");
        }
    }
}

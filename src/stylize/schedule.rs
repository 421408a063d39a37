//! Styles that change over the length of a film.

use super::{Along, Finish, MotionFinder, Pending, StylizeError, Stylizer};
use crate::{
    frame::Picture,
    style::StyleMix,
    temporal::{
        flow::FlowSettings,
        steady::{Pass, SteadySettings},
    },
};

/// How long one style takes to become the next, in seconds.
pub const FADE_SECONDS: f64 = 1.0;

/// A stylizer whose style follows a plan.
pub struct Schedule {
    inner: Box<dyn Stylizer>,
    /// From which second on, in rising order.
    styles: Vec<(f64, StyleMix)>,
    current: Option<StyleMix>,
    /// How far it is on its way to another.
    change: Option<f32>,
    /// Where `inner` steadies its paintings.
    steadying: Option<SteadySettings>,
}

impl Schedule {
    /// Paints with `inner` in each of `styles` from its second on. At that second it begins to replace the one before it, over
    /// [`FADE_SECONDS`] or as long as it lasts if that is less.
    pub fn new(inner: Box<dyn Stylizer>, mut styles: Vec<(f64, StyleMix)>) -> Self {
        styles.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self {
            inner,
            styles,
            current: None,
            change: None,
            steadying: None,
        }
    }

    /// The style at a time, and how far it is on its way to another.
    fn at(&self, seconds: f64) -> Option<(StyleMix, Option<f32>)> {
        let index = self.styles.partition_point(|(start, _)| *start <= seconds);
        let Some(before) = index.checked_sub(1) else {
            return self.styles.first().map(|(_, style)| (style.clone(), None));
        };
        let (start, style) = &self.styles[before];
        let Some((_, previous)) = before.checked_sub(1).map(|i| &self.styles[i]) else {
            return Some((style.clone(), None));
        };
        let length = self
            .styles
            .get(index)
            .map_or(FADE_SECONDS, |(next, _)| (next - start).min(FADE_SECONDS));
        let t = ((seconds - start) / length.max(1e-6)).min(1.0) as f32;
        let mix = previous.towards(style, t * t * (3.0 - 2.0 * t));
        Some((mix, (t < 1.0 && previous != style).then_some(t)))
    }
}

impl Stylizer for Schedule {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        self.inner.paint(picture)
    }

    fn paint_along(
        &mut self,
        picture: &mut Picture,
        along: &Along,
    ) -> Result<Option<Pending>, StylizeError> {
        self.inner.paint_along(picture, along)
    }

    fn steady(&mut self, settings: Option<SteadySettings>) -> Result<bool, StylizeError> {
        let steadies = self.inner.steady(settings)?;
        self.steadying = settings.filter(|_| steadies);
        Ok(steadies)
    }

    fn motion_finder(
        &mut self,
        settings: FlowSettings,
    ) -> Result<Option<Box<dyn MotionFinder>>, StylizeError> {
        self.inner.motion_finder(settings)
    }

    fn further_pass(
        &mut self,
        steadying: SteadySettings,
        flow: FlowSettings,
    ) -> Result<Option<Box<dyn Pass>>, StylizeError> {
        self.inner.further_pass(steadying, flow)
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn change(&self) -> Option<f32> {
        self.change
    }

    fn set_finish(&mut self, finish: Finish) {
        self.inner.set_finish(finish);
    }

    fn set_time(&mut self, seconds: f64) -> Result<(), StylizeError> {
        let (style, change) = self.at(seconds).unzip();
        let change = change.flatten();
        if let Some(settings) = self.steadying
            && change != self.change
        {
            let settings = change.map_or(settings, |change| settings.while_changing(change));
            self.inner.steady(Some(settings))?;
        }
        self.change = change;
        if let Some(style) = &style
            && self.current.as_ref() != Some(style)
        {
            self.inner.set_style(style)?;
        }
        self.current = style;
        self.inner.set_time(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernels::StyleParameters, style::NetworkKind, stylize::Passthrough};

    #[test]
    fn styles_change_at_their_times_and_fade() {
        let style = |value: f32| {
            StyleMix::new(
                NetworkKind::Pack,
                StyleParameters {
                    scale: vec![value],
                    shift: vec![value],
                },
            )
        };
        let plan = vec![(10.0, style(1.0)), (2.0, style(0.0)), (10.5, style(3.0))];
        let schedule = Schedule::new(Box::new(Passthrough), plan);
        let at = |seconds: f64| {
            let (style, _) = schedule.at(seconds).unwrap();
            style.parameters(NetworkKind::Pack).unwrap().scale[0]
        };
        assert_eq!((at(0.0), at(2.0), at(9.9)), (0.0, 0.0, 0.0));
        assert_eq!(
            at(10.25),
            0.5,
            "the second lasts half a second and fades that long"
        );
        assert_eq!((at(11.0), at(11.5), at(99.0)), (2.0, 3.0, 3.0));
        let change = |seconds: f64| schedule.at(seconds).unwrap().1;
        assert_eq!(
            [1.0, 5.0, 10.25, 11.0, 11.5].map(change),
            [None, None, Some(0.5), Some(0.5), None]
        );
    }

    /// Steadies by itself, and notes how.
    struct Card(std::sync::Arc<std::sync::Mutex<Vec<SteadySettings>>>);

    impl Stylizer for Card {
        fn paint(&mut self, _: &mut Picture) -> Result<(), StylizeError> {
            Ok(())
        }

        fn steady(&mut self, settings: Option<SteadySettings>) -> Result<bool, StylizeError> {
            self.0.lock().unwrap().extend(settings);
            Ok(true)
        }
    }

    #[test]
    fn who_steadies_by_itself_holds_a_style_that_changes_less() {
        let style = |value: f32| {
            let (scale, shift) = (vec![value], vec![value]);
            StyleMix::new(NetworkKind::Pack, StyleParameters { scale, shift })
        };
        let asked = std::sync::Arc::default();
        let card = Box::new(Card(std::sync::Arc::clone(&asked)));
        let mut schedule = Schedule::new(card, vec![(0.0, style(0.0)), (2.0, style(1.0))]);
        let settings = SteadySettings::new(1.0, 1).unwrap();
        assert!(schedule.steady(Some(settings)).unwrap());
        let mut at = |seconds: f64| {
            schedule.set_time(seconds).unwrap();
            *asked.lock().unwrap().last().unwrap()
        };
        assert_eq!(at(1.0), settings);
        assert_eq!(at(2.5), settings.while_changing(0.5));
        assert_eq!(at(3.5), settings);
    }
}

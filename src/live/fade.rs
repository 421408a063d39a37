//! From one style to the next without a jump.

use std::time::{Duration, Instant};

use crate::style::StyleMix;

/// A style on its way to another: the blend of their numbers, which is a style itself.
#[derive(Clone, Debug)]
pub struct StyleFade {
    from: StyleMix,
    to: StyleMix,
    started: Instant,
    length: Duration,
}

impl StyleFade {
    /// Rests at `style`; later changes take `length`.
    pub fn new(style: StyleMix, length: Duration, now: Instant) -> Self {
        Self {
            from: style.clone(),
            to: style,
            started: now.checked_sub(length).unwrap_or(now),
            length,
        }
    }

    /// Sets out for `style` from wherever it is now.
    pub fn towards(&mut self, style: StyleMix, now: Instant) {
        self.from = self.at(now);
        self.to = style;
        self.started = now;
    }

    /// Whether [`StyleFade::at`] still changes.
    pub fn is_moving(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) < self.length
    }

    /// How far it is on its way, 0..1.
    pub fn progress(&self, now: Instant) -> f32 {
        let passed = now.saturating_duration_since(self.started).as_secs_f32();
        (passed / self.length.as_secs_f32().max(1e-6)).min(1.0)
    }

    /// The style at a time.
    pub fn at(&self, now: Instant) -> StyleMix {
        let t = self.progress(now);
        if t >= 1.0 {
            return self.to.clone();
        }
        let weight = t * t * (3.0 - 2.0 * t);
        self.from.towards(&self.to, weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernels::StyleParameters, style::NetworkKind};

    fn style(value: f32) -> StyleMix {
        let numbers = StyleParameters {
            scale: vec![value; 3],
            shift: vec![-value; 3],
        };
        StyleMix::new(NetworkKind::Pack, numbers)
    }

    fn scale(fade: &StyleFade, now: Instant) -> f32 {
        fade.at(now).parameters(NetworkKind::Pack).unwrap().scale[0]
    }

    #[test]
    fn it_moves_steadily_and_arrives() {
        let start = Instant::now();
        let length = Duration::from_millis(500);
        let mut fade = StyleFade::new(style(0.0), length, start);
        assert!(!fade.is_moving(start));
        fade.towards(style(1.0), start);
        let mut last = 0.0;
        for millis in (0..=500).step_by(33) {
            let now = scale(&fade, start + Duration::from_millis(millis));
            assert!((0.0..0.12).contains(&(now - last)), "a jump at {millis} ms");
            last = now;
        }
        let end = start + length;
        assert!(!fade.is_moving(end));
        assert_eq!(fade.at(end), style(1.0));
    }

    #[test]
    fn a_change_on_the_way_starts_where_it_is() {
        let start = Instant::now();
        let mut fade = StyleFade::new(style(0.0), Duration::from_millis(500), start);
        fade.towards(style(1.0), start);
        let middle = start + Duration::from_millis(250);
        fade.towards(style(0.0), middle);
        assert!((scale(&fade, middle) - 0.5).abs() < 1e-5);
    }
}

//! What the keys do: a desk of switches without a window.

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    thread::Builder,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use super::{Command, Key, SizeWish, Wanted};
use crate::{
    style::{Gallery, StyleChoice, StyleError, StyleMix},
    stylize::{Colors, Finish, InvalidFinish},
};

/// How long the style's name stays, fading included.
const TITLE: Duration = Duration::from_millis(2500);
/// How long it takes to fade in, and out.
const FADE: Duration = Duration::from_millis(350);
/// How long a message stays.
const MESSAGE: Duration = Duration::from_secs(4);
/// Two digits within this time are one number.
const SECOND_DIGIT: Duration = Duration::from_millis(800);

/// How the desk stands at first.
#[derive(Clone, Debug)]
pub struct DeskSettings {
    /// The style or blend.
    pub style: StyleChoice,
    /// Strength of the style, 0..=1.
    pub strength: f32,
    /// Opacity of the painting, 0..=1.
    pub opacity: f32,
    /// Where colours come from.
    pub colors: Colors,
    /// Strength of the colours, 0..=4; 1 is as painted.
    pub saturation: f32,
    /// Steadiness, 0..=1; `None` is off.
    pub steady: Option<f32>,
    /// The size to paint at.
    pub size: SizeWish,
    /// Whether pictures are flipped.
    pub mirror: bool,
}

/// Why a desk cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// A number is out of range.
    #[error(transparent)]
    Finish(#[from] InvalidFinish),
    /// The style cannot be had.
    #[error(transparent)]
    Style(#[from] StyleError),
}

/// A style that is on its way.
#[derive(Debug)]
struct Awaited {
    choice: StyleChoice,
    mix: Receiver<Result<StyleMix, StyleError>>,
}

/// All switches. Keys move them; [`Desk::wanted`] is what the painter follows.
#[derive(Debug)]
pub struct Desk {
    gallery: Arc<Gallery>,
    style: StyleChoice,
    base: usize,
    partner: Option<usize>,
    share: f32,
    strength: f32,
    opacity: f32,
    colors: Colors,
    saturation: f32,
    /// The style as chosen, its strength aside.
    mix: StyleMix,
    /// A style whose pictures are being looked at, and what comes of it.
    awaited: Option<Awaited>,
    steps: i32,
    wanted: Wanted,
    digit: Option<(usize, Instant)>,
    /// The overlay with the keys is shown.
    pub help: bool,
    /// Frame rate and latency are shown.
    pub readout: bool,
    /// The original is shown beside the painting.
    pub split: bool,
    title_since: Option<Instant>,
    message: Option<(String, Instant)>,
}

impl Desk {
    /// A desk over the styles of `gallery`.
    ///
    /// # Errors
    /// When a number is out of range, or the style is a picture that cannot be used.
    pub fn new(gallery: Arc<Gallery>, settings: DeskSettings) -> Result<Self, DeskError> {
        let weights = settings.style.weights();
        let (base, partner, share) = match *weights {
            [(base, _), (partner, share)] => (base, Some(partner), share),
            [(base, _), ..] => (base, None, 0.0),
            [] => (0, None, 0.0),
        };
        let mix = gallery.mix(&settings.style)?;
        let wanted = Wanted {
            style: Arc::new(mix.clone().with_strength(settings.strength)),
            finish: Finish::new(settings.opacity, settings.colors, settings.saturation)?,
            steady: settings.steady,
            size: settings.size,
            mirror: settings.mirror,
            frozen: false,
        };
        Ok(Self {
            gallery,
            mix,
            awaited: None,
            style: settings.style,
            base,
            partner,
            share,
            strength: settings.strength,
            opacity: settings.opacity,
            colors: settings.colors,
            saturation: settings.saturation,
            steps: 0,
            wanted,
            digit: None,
            help: false,
            readout: false,
            split: false,
            title_since: None,
            message: None,
        })
    }

    /// What the painter is to do.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The style's name, or the blend's.
    pub fn style_name(&self) -> String {
        let name = |number: usize| self.gallery.styles().get(number).map_or("", |s| &s.name);
        let parts: Vec<_> = match self.style.weights() {
            [(number, _)] => vec![name(*number).to_owned()],
            weights => weights
                .iter()
                .map(|(number, weight)| format!("{} {:.0} %", name(*number), weight * 100.0))
                .collect(),
        };
        parts.join(" + ")
    }

    /// Shows the style's name from now on.
    pub fn show_title(&mut self, now: Instant) {
        self.title_since = Some(now);
    }

    /// Shows a message from now on.
    pub fn say(&mut self, text: impl Into<String>, now: Instant) {
        self.message = Some((text.into(), now));
    }

    /// The style's name while it is shown, and its opacity.
    pub fn title(&self, now: Instant) -> Option<(String, u8)> {
        let age = now.saturating_duration_since(self.title_since?);
        opacity(age, TITLE).map(|opacity| (self.style_name(), opacity))
    }

    /// The message while it is shown, and its opacity.
    pub fn message(&self, now: Instant) -> Option<(&str, u8)> {
        let (text, since) = self.message.as_ref()?;
        let age = now.saturating_duration_since(*since);
        opacity(age, MESSAGE).map(|opacity| (text.as_str(), opacity))
    }

    /// Whether something on the desk is fading, so that the window has to be drawn again.
    pub fn is_moving(&self, now: Instant) -> bool {
        self.title(now).is_some() || self.message(now).is_some()
    }

    /// Carries out what a key does, and returns what is left to others.
    pub fn press(&mut self, key: Key, now: Instant) -> Option<Command> {
        let digit = self.digit.take();
        match key {
            Key::Char('q') => return Some(Command::Quit),
            Key::Escape => return Some(Command::Leave),
            Key::F11 | Key::Char('f') => return Some(Command::FullScreen),
            Key::Char('r') => return Some(Command::Record),
            Key::Char('p') => return Some(Command::Screenshot),
            Key::Right => self.neighbour(1, now),
            Key::Left => self.neighbour(self.gallery.round().len() - 1, now),
            Key::Char(c @ '0'..='9') => self.digit(c as usize - '0' as usize, digit, now),
            Key::Char('b') => self.other_partner(now),
            Key::Char(']') => self.shift_blend(0.1, now),
            Key::Char('[') => self.shift_blend(-0.1, now),
            Key::Up => self.strengthen(0.1, now),
            Key::Down => self.strengthen(-0.1, now),
            Key::Char('.') => self.steady(0.1, now),
            Key::Char(',') => self.steady(-0.1, now),
            Key::Char('c') => {
                // There is a palette to match where a picture is among the styles.
                self.colors = match self.colors {
                    Colors::Style => Colors::Keep,
                    Colors::Keep if self.mix.palette().is_some() => Colors::Match,
                    Colors::Keep | Colors::Match => Colors::Style,
                };
                self.refinish();
                let text = match self.colors {
                    Colors::Style => "colours as painted",
                    Colors::Keep => "colours of the camera",
                    Colors::Match => "colours of the style picture",
                };
                self.say(text, now);
            }
            Key::Char('o') => self.fade_in(0.1, now),
            Key::Char('l') => self.fade_in(-0.1, now),
            Key::Char('v') => {
                self.split = !self.split;
                let text = match self.split {
                    true => "original | painted",
                    false => "split view off",
                };
                self.say(text, now);
            }
            Key::Char('-') => self.resize(-1, now),
            Key::Char('=' | '+') => self.resize(1, now),
            Key::Char('a') => {
                self.wanted.size = SizeWish::Auto;
                self.say("automatic size", now);
            }
            Key::Char(' ') => {
                self.wanted.frozen = !self.wanted.frozen;
                let text = if self.wanted.frozen {
                    "frozen"
                } else {
                    "running"
                };
                self.say(text, now);
            }
            Key::Char('m') => {
                self.wanted.mirror = !self.wanted.mirror;
                self.say(on_off("mirror", self.wanted.mirror), now);
            }
            Key::Char('i') => self.readout = !self.readout,
            Key::Char('h') => self.help = !self.help,
            Key::Char(_) => {}
        }
        None
    }

    /// A blend that has arrived at its other style is that style.
    fn arrive_at_partner(&mut self) {
        if self.share >= 1.0
            && let Some(partner) = self.partner.take()
        {
            self.base = partner;
            self.share = 0.0;
        }
    }

    /// The style `steps` further round the list.
    fn neighbour(&mut self, steps: usize, now: Instant) {
        self.arrive_at_partner();
        let round = self.gallery.round();
        let next = match self.base.checked_sub(round.start) {
            Some(place) if place < round.len() => round.start + (place + steps) % round.len(),
            _ => round.start,
        };
        self.choose(next, now);
    }

    fn choose(&mut self, number: usize, now: Instant) {
        self.base = number;
        self.partner = None;
        self.share = 0.0;
        self.restyle(now);
    }

    fn digit(&mut self, digit: usize, before: Option<(usize, Instant)>, now: Instant) {
        let count = self.gallery.styles().len();
        let number = match before {
            Some((tens, at)) if now.saturating_duration_since(at) < SECOND_DIGIT => {
                let number = tens * 10 + digit;
                if number < count { number } else { digit }
            }
            _ => {
                self.digit = Some((digit, now));
                digit
            }
        };
        if number < count {
            self.choose(number, now);
        }
    }

    /// Blends towards the style behind the one that is blended towards.
    fn other_partner(&mut self, now: Instant) {
        self.arrive_at_partner();
        let Some(next) = self.style_behind(self.partner.unwrap_or(self.base), now) else {
            return;
        };
        self.partner = Some(next);
        self.share = if self.share > 0.0 { self.share } else { 0.5 };
        self.restyle(now);
    }

    /// The style behind this one that is not the base; says so when there is none.
    fn style_behind(&mut self, number: usize, now: Instant) -> Option<usize> {
        let count = self.gallery.styles().len();
        let next = (1..=count)
            .map(|steps| (number + steps) % count)
            .find(|&next| next != self.base);
        if next.is_none() {
            self.say("there is no other style to blend with", now);
        }
        next
    }

    fn shift_blend(&mut self, by: f32, now: Instant) {
        if self.partner.is_none() {
            self.partner = self.style_behind(self.base, now);
            if self.partner.is_none() {
                return;
            }
        }
        self.share = in_tenths(self.share + by);
        self.restyle(now);
    }

    fn restyle(&mut self, now: Instant) {
        self.style = match self.partner {
            Some(partner) if self.share >= 1.0 => StyleChoice::single(partner),
            Some(partner) if self.share > 0.0 => StyleChoice::blend(self.base, partner, self.share),
            _ => StyleChoice::single(self.base),
        };
        self.take_up(now);
        self.show_title(now);
    }

    /// Takes up the style, once its pictures have been looked at; one look at a time, however fast styles are changed.
    fn take_up(&mut self, now: Instant) {
        if self.gallery.is_ready(&self.style) {
            let mix = self.gallery.mix(&self.style);
            self.arrive(mix, now);
        } else if self.awaited.is_none() {
            self.look(now);
        }
    }

    /// Has the pictures of the style looked at on another thread: it takes too long for a key.
    fn look(&mut self, now: Instant) {
        let (sender, mix) = bounded(1);
        let (gallery, choice) = (self.gallery.clone(), self.style.clone());
        let started = Builder::new().name("style".into()).spawn({
            let choice = choice.clone();
            move || {
                // Nobody waits for it when another style was chosen meanwhile.
                let _ = sender.send(gallery.mix(&choice));
            }
        });
        match started {
            Ok(_) => self.awaited = Some(Awaited { choice, mix }),
            Err(error) => self.say(format!("no thread to look at the picture: {error}"), now),
        }
    }

    /// Takes up a style that has arrived since. To be called often.
    pub fn follow_up(&mut self, now: Instant) {
        let Some(awaited) = &self.awaited else { return };
        let mix = match awaited.mix.try_recv() {
            Ok(mix) => mix,
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {
                let gave_up = awaited.choice.clone();
                self.awaited = None;
                if gave_up != self.style {
                    self.take_up(now);
                }
                return self.say("the style picture could not be looked at", now);
            }
        };
        match self.awaited.take() {
            Some(awaited) if awaited.choice == self.style => self.arrive(mix, now),
            // Another was chosen meanwhile.
            _ => self.take_up(now),
        }
    }

    fn arrive(&mut self, mix: Result<StyleMix, StyleError>, now: Instant) {
        match mix {
            Ok(mix) => {
                self.mix = mix;
                self.mix_again();
            }
            Err(error) => self.say(with_causes(&error), now),
        }
    }

    fn mix_again(&mut self) {
        self.wanted.style = Arc::new(self.mix.clone().with_strength(self.strength));
    }

    fn strengthen(&mut self, by: f32, now: Instant) {
        self.strength = in_tenths(self.strength + by);
        self.mix_again();
        self.say(format!("strength {:.0} %", self.strength * 100.0), now);
    }

    fn fade_in(&mut self, by: f32, now: Instant) {
        self.opacity = in_tenths(self.opacity + by);
        self.refinish();
        self.say(format!("opacity {:.0} %", self.opacity * 100.0), now);
    }

    fn refinish(&mut self) {
        // The numbers are within their bounds.
        if let Ok(finish) = Finish::new(self.opacity, self.colors, self.saturation) {
            self.wanted.finish = finish;
        }
    }

    fn steady(&mut self, by: f32, now: Instant) {
        let steady = in_tenths(self.wanted.steady.unwrap_or(0.0) + by);
        self.wanted.steady = (steady > 0.0).then_some(steady);
        let text = match self.wanted.steady {
            Some(steady) => format!("steadiness {:.0} %", steady * 100.0),
            None => "steadiness off".into(),
        };
        self.say(text, now);
    }

    fn resize(&mut self, by: i32, now: Instant) {
        self.steps += by;
        self.wanted.size = SizeWish::Stepped { steps: self.steps };
        self.say(
            if by > 0 {
                "larger painting"
            } else {
                "smaller painting"
            },
            now,
        );
    }
}

/// Rounded, so that ten steps there and back end where they began; within 0..=1.
fn in_tenths(value: f32) -> f32 {
    (value * 10.0).round().clamp(0.0, 10.0) / 10.0
}

/// An error and what it is due to, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn on_off(what: &str, on: bool) -> String {
    format!("{what} {}", if on { "on" } else { "off" })
}

/// In and out again over a time; `None` behind it.
fn opacity(age: Duration, length: Duration) -> Option<u8> {
    let left = length.checked_sub(age).filter(|left| !left.is_zero())?;
    let share = age.min(left).as_secs_f32() / FADE.as_secs_f32();
    Some((share.min(1.0) * 255.0) as u8)
}

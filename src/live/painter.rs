//! From a picture of the camera to a painting of it, frame by frame, while everything may change.

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::{Quality, Size, StyleFade, ladder, quality::FEWEST};
use crate::{
    frame::Picture,
    media::scale::Scaler,
    source::Captured,
    style::StyleMix,
    stylize::{
        Along, Colors, Finish, Finisher, MotionFinder, Region, StylizeError, Stylizer,
        motion_finder, upscale,
    },
    temporal::{
        flow::{FlowPreset, FlowScale, FlowSettings},
        scene_cut::SceneCuts,
        steady::{Steady, SteadySettings},
    },
};

/// How long a change of style takes.
pub const FADE: Duration = Duration::from_millis(500);
/// Painting starts near this size and looks for a better one from there.
const FIRST_SIZE: Size = (640, 360);

/// Everything about the painting that can be changed while it runs.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The style, its blend already computed.
    pub style: Arc<StyleMix>,
    /// How the painting and the original are joined.
    pub finish: Finish,
    /// How steady, 0..1; `None` is off.
    pub steady: Option<f32>,
    /// The size to paint at.
    pub size: SizeWish,
    /// Flip pictures left to right.
    pub mirror: bool,
    /// Keep painting the same picture.
    pub frozen: bool,
}

/// The size to paint at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeWish {
    /// As large as the wanted frame rate allows.
    Auto,
    /// Exactly this.
    Fixed(Size),
    /// Automatic, but moved by hand: so many steps from where it was. The number tells one wish from the next.
    Stepped {
        /// Steps up so far, less the steps down.
        steps: i32,
    },
}

/// A painted frame.
#[derive(Debug)]
pub struct Painting {
    /// What the camera saw, mirrored if wanted.
    pub original: Arc<Picture>,
    /// The painting, at the size it was painted at.
    pub painted: Arc<Picture>,
    full: OnceLock<Arc<Picture>>,
    /// When the camera took the picture.
    pub captured: Instant,
    /// Number of the picture since the start, with gaps where some were dropped.
    pub index: u64,
    /// How long resizing, painting and steadying took.
    pub work: Duration,
}

impl Painting {
    /// A painting of `original`.
    pub fn new(
        original: Arc<Picture>,
        painted: Arc<Picture>,
        captured: Instant,
        index: u64,
    ) -> Self {
        Self {
            original,
            painted,
            full: OnceLock::new(),
            captured,
            index,
            work: Duration::ZERO,
        }
    }

    /// The painting for a display of this size, where it may be smaller than the camera's picture: then not all of it is
    /// computed. The aspect of the answer is the camera's.
    pub fn fitting(&self, (width, height): Size) -> Arc<Picture> {
        let (full_width, full_height) = (self.original.width(), self.original.height());
        let fit = (width as f64 / full_width as f64).min(height as f64 / full_height as f64);
        if fit > 0.9 || self.full.get().is_some() {
            return self.full().clone();
        }
        let side = |full: usize, painted: usize| ((full as f64 * fit) as usize).max(painted);
        let size = (
            side(full_width, self.painted.width()),
            side(full_height, self.painted.height()),
        );
        if size == (self.painted.width(), self.painted.height()) {
            return self.painted.clone();
        }
        match Scaler::default().scale(&self.original, size) {
            Ok(guide) => Arc::new(upscale(&self.painted, &guide)),
            Err(_) => self.full().clone(),
        }
    }

    /// The painting at the camera's size. Computed by whoever asks first, for all.
    pub fn full(&self) -> &Arc<Picture> {
        self.full.get_or_init(|| {
            let size = |picture: &Picture| (picture.width(), picture.height());
            if size(&self.painted) == size(&self.original) {
                self.painted.clone()
            } else {
                Arc::new(upscale(&self.painted, &self.original))
            }
        })
    }
}

/// Paints what a camera sees. See the module's text.
pub struct LivePainter {
    stylizer: Box<dyn Stylizer>,
    steadier: Option<Steadier>,
    cuts: SceneCuts,
    threads: usize,
    style: Arc<StyleMix>,
    fade: StyleFade,
    fading: bool,
    /// Whether the stylizer matches colours.
    matches: bool,
    finisher: Finisher,
    scaler: Scaler,
    quality: Option<(Size, Quality)>,
    period: Duration,
    largest_side: usize,
    /// Where the search for a size starts, and what it does not go below.
    first_size: Size,
    fewest: Option<usize>,
    /// Whether the stylizer keeps paintings steady, so that nothing has to be done after it.
    steady_by_itself: bool,
    steps: i32,
    mirror: bool,
    frozen: Option<Picture>,
    last_size: Option<Size>,
}

impl LivePainter {
    /// Paints with `stylizer`, which already has the style of `wanted`, and holds `rate_hz` frames a second by its choice
    /// of size. `threads` work on what is not the stylizer's.
    pub fn new(
        mut stylizer: Box<dyn Stylizer>,
        wanted: &Wanted,
        rate_hz: f64,
        threads: usize,
    ) -> Self {
        // The painting is steadied before it is joined with the original, which does not flicker.
        stylizer.set_finish(wanted.finish);
        Self {
            matches: wanted.finish.colors() == Colors::Match,
            finisher: Finisher::default(),
            stylizer,
            steadier: None,
            cuts: SceneCuts::default(),
            threads,
            style: wanted.style.clone(),
            fade: StyleFade::new((*wanted.style).clone(), FADE, Instant::now()),
            fading: false,
            scaler: Scaler::default(),
            quality: None,
            period: Duration::from_secs_f64(1.0 / rate_hz),
            largest_side: usize::MAX,
            first_size: FIRST_SIZE,
            fewest: None,
            steady_by_itself: false,
            steps: 0,
            mirror: wanted.mirror,
            frozen: None,
            last_size: None,
        }
    }

    /// Paints only this part of the pictures.
    #[must_use]
    pub fn with_region(mut self, region: Option<Region>) -> Self {
        self.finisher.region = region;
        self
    }

    /// Never chooses a size with a longer side than this by itself.
    #[must_use]
    pub fn with_largest_side(mut self, pixels: usize) -> Self {
        self.largest_side = pixels;
        self
    }

    /// Starts the search for a size at this one, and goes to no smaller one.
    #[must_use]
    pub fn from_size(mut self, size: Size) -> Self {
        self.first_size = size;
        self.fewest = Some(size.0 * size.1);
        self
    }

    /// Leaves it to the stylizer to keep paintings steady ([`Stylizer::set_steadiness`]).
    #[must_use]
    pub fn steady_by_itself(mut self) -> Self {
        self.steady_by_itself = true;
        self
    }

    /// Paints one picture. `continues` says that it follows the last one of the same scene.
    ///
    /// # Errors
    /// As [`Stylizer::paint`].
    pub fn paint(
        &mut self,
        captured: Captured,
        index: u64,
        continues: bool,
        wanted: &Wanted,
    ) -> Result<Painting, StylizeError> {
        let started = Instant::now();
        self.follow(wanted, started)?;
        let mut picture = self.freeze(captured.picture, wanted.frozen);
        if wanted.mirror {
            mirror(&mut picture);
        }

        if wanted.finish.hides_painting() {
            // The next painting is the first of a new film.
            self.last_size = None;
            let original = Arc::new(picture);
            let mut painting = Painting::new(original.clone(), original, captured.at, index);
            painting.work = started.elapsed();
            return Ok(painting);
        }
        let camera = (picture.width(), picture.height());
        let size = self.size(camera, wanted.size);
        if !continues || self.mirror != wanted.mirror || self.last_size != Some(size) {
            self.begin_scene();
            self.cuts.reset();
            if let Some(steadier) = &mut self.steadier {
                steadier.reset();
            }
        }
        self.mirror = wanted.mirror;
        self.last_size = Some(size);

        let small = if size == camera {
            None
        } else {
            let too_small = |_| StylizeError::TooSmall {
                width: size.0,
                height: size.1,
            };
            Some(self.scaler.scale(&picture, size).map_err(too_small)?)
        };
        let original = small.as_ref().unwrap_or(&picture);
        let steady = if self.steady_by_itself {
            self.stylizer.set_steadiness(wanted.steady.unwrap_or(0.0));
            None
        } else {
            wanted.steady
        };
        let change = self.fading.then(|| self.fade.progress(started));
        let (mut along, luma) = match self.steadier(steady, change)? {
            Some(steadier) => steadier.flow.find(original)?,
            None => (Along::nothing(), None),
        };
        // One that steadies by itself sees where scenes end.
        if !self.steady_by_itself && self.cuts.push(original, along.consistency()) {
            // Without motion history begins anew.
            along.begin_scene();
            self.begin_scene();
        }
        let mut painted = original.clone();
        if let Some(pending) = self.stylizer.paint_along(&mut painted, &along)? {
            pending(&mut painted)?;
        }
        if let (Some(steadier), Some(luma)) = (&mut self.steadier, luma)
            && let Some(steady) = &mut steadier.steady
        {
            painted = steady.push(painted, &luma, along.motion());
        }
        self.finisher.finish = wanted.finish;
        self.finisher.apply(original, &mut painted)?;

        let mut painting = Painting::new(Arc::new(picture), Arc::new(painted), captured.at, index);
        painting.work = started.elapsed();
        if wanted.size == SizeWish::Auto
            && let Some((_, quality)) = &mut self.quality
        {
            quality.observe(painting.work, Instant::now());
        }
        Ok(painting)
    }

    /// What was known of the scene before is of no use any more.
    fn begin_scene(&mut self) {
        self.stylizer.reset();
        self.finisher.reset();
    }

    /// Brings style and finish to what is wanted.
    fn follow(&mut self, wanted: &Wanted, now: Instant) -> Result<(), StylizeError> {
        if !Arc::ptr_eq(&self.style, &wanted.style) {
            self.style = wanted.style.clone();
            self.fade.towards((*wanted.style).clone(), now);
            self.fading = true;
        }
        let matches = wanted.finish.colors() == Colors::Match;
        if self.matches != matches {
            self.matches = matches;
            self.stylizer.set_finish(wanted.finish);
        }
        if self.fading {
            // Asked before the style is set, so that the style it arrives at is set, too.
            self.fading = self.fade.is_moving(now);
            self.stylizer.set_style(&self.fade.at(now))?;
        }
        Ok(())
    }

    /// The steadier with this strength for a style that is so far on its way to another, if one is wanted.
    fn steadier(
        &mut self,
        strength: Option<f32>,
        change: Option<f32>,
    ) -> Result<Option<&mut Steadier>, StylizeError> {
        let Some(strength) = strength else {
            if self.steadier.take().is_some() {
                self.stylizer.steady(None)?;
            }
            return Ok(None);
        };
        let settings = SteadySettings::new(strength, self.threads)?;
        let settings = change.map_or(settings, |change| settings.while_changing(change));
        match &mut self.steadier {
            Some(steadier) if steadier.settings != settings => {
                match &mut steadier.steady {
                    Some(steady) => steady.set(settings),
                    None => {
                        self.stylizer.steady(Some(settings))?;
                    }
                }
                steadier.settings = settings;
            }
            Some(_) => {}
            none => {
                let steady = match self.stylizer.steady(Some(settings))? {
                    true => None,
                    false => Some(Steady::new(settings)?),
                };
                let flow = FlowSettings {
                    preset: FlowPreset::Medium,
                    scale: FlowScale::Half,
                    threads: self.threads,
                };
                *none = Some(Steadier {
                    flow: motion_finder(&mut *self.stylizer, flow)?,
                    steady,
                    settings,
                });
            }
        }
        Ok(self.steadier.as_mut())
    }

    /// The picture, or the one that was frozen.
    fn freeze(&mut self, picture: Picture, frozen: bool) -> Picture {
        if !frozen {
            self.frozen = None;
            return picture;
        }
        self.frozen.get_or_insert(picture).clone()
    }

    fn size(&mut self, camera: Size, wish: SizeWish) -> Size {
        if let SizeWish::Fixed(size) = wish {
            return size;
        }
        let start = self.last_size.unwrap_or(self.first_size);
        let quality = match &mut self.quality {
            Some((of, quality)) if *of == camera => quality,
            other => {
                // A size that was asked for may be smaller than any that is chosen.
                let asked = start.0 * start.1;
                let fewest = match self.fewest {
                    Some(fewest) => Some(fewest.min(asked)),
                    None => Some(asked).filter(|&asked| asked < FEWEST),
                };
                let sizes = ladder(camera, self.largest_side, fewest);
                &mut other
                    .insert((camera, Quality::new(sizes, start, self.period)))
                    .1
            }
        };
        if let SizeWish::Stepped { steps } = wish {
            for _ in self.steps..steps {
                quality.step(true);
            }
            for _ in steps..self.steps {
                quality.step(false);
            }
            self.steps = steps;
        }
        quality.size()
    }
}

/// What keeps paintings steady.
struct Steadier {
    flow: Box<dyn MotionFinder>,
    /// Nothing where the stylizer steadies.
    steady: Option<Steady>,
    settings: SteadySettings,
}

impl Steadier {
    fn reset(&mut self) {
        self.flow.reset();
        if let Some(steady) = &mut self.steady {
            steady.reset();
        }
    }
}

/// Flips a picture left to right.
fn mirror(picture: &mut Picture) {
    let row_bytes = picture.width() * 3;
    for row in picture.rgb_mut().chunks_exact_mut(row_bytes) {
        let (pixels, _) = row.as_chunks_mut::<3>();
        pixels.reverse();
    }
}

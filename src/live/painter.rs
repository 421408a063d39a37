//! From a picture of the camera to a painting of it, frame by frame, while everything may change.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::{Quality, Size, StyleFade, ladder, upscale};
use crate::{
    frame::Picture,
    kernels::StyleParameters,
    media::scale::Scaler,
    source::Captured,
    stylize::{Finish, StylizeError, Stylizer},
};

/// How long a change of style takes.
pub const FADE: Duration = Duration::from_millis(500);
/// Painting starts near this size and looks for a better one from there.
const FIRST_SIZE: Size = (640, 360);

/// Everything about the painting that can be changed while it runs.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The style, its blend already computed.
    pub style: Arc<StyleParameters>,
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
    style: Arc<StyleParameters>,
    finish: Option<Finish>,
    fade: StyleFade,
    fading: bool,
    scaler: Scaler,
    quality: Option<(Size, Quality)>,
    period: Duration,
    largest_side: usize,
    steps: i32,
    mirror: bool,
    frozen: Option<Picture>,
    last_size: Option<Size>,
}

impl LivePainter {
    /// Paints with `stylizer`, which already has the style of `wanted`, and holds `rate_hz` frames a second by its choice
    /// of size.
    pub fn new(stylizer: Box<dyn Stylizer>, wanted: &Wanted, rate_hz: f64) -> Self {
        Self {
            stylizer,
            style: wanted.style.clone(),
            finish: None,
            fade: StyleFade::new((*wanted.style).clone(), FADE, Instant::now()),
            fading: false,
            scaler: Scaler::default(),
            quality: None,
            period: Duration::from_secs_f64(1.0 / rate_hz),
            largest_side: usize::MAX,
            steps: 0,
            mirror: wanted.mirror,
            frozen: None,
            last_size: None,
        }
    }

    /// Never chooses a size with a longer side than this by itself.
    #[must_use]
    pub fn with_largest_side(mut self, pixels: usize) -> Self {
        self.largest_side = pixels;
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
        let mut picture = captured.picture;
        if wanted.mirror {
            mirror(&mut picture);
        }
        picture = self.freeze(picture, wanted.frozen);

        let camera = (picture.width(), picture.height());
        let size = self.size(camera, wanted.size);
        if !continues || self.mirror != wanted.mirror || self.last_size != Some(size) {
            self.stylizer.reset();
        }
        self.mirror = wanted.mirror;
        self.last_size = Some(size);

        let mut painted = if size == camera {
            picture.clone()
        } else {
            self.scaler
                .scale(&picture, size)
                .map_err(|_| StylizeError::TooSmall {
                    width: size.0,
                    height: size.1,
                })?
        };
        self.stylizer.paint(&mut painted)?;

        let mut painting = Painting::new(Arc::new(picture), Arc::new(painted), captured.at, index);
        painting.work = started.elapsed();
        if wanted.size == SizeWish::Auto
            && let Some((_, quality)) = &mut self.quality
        {
            quality.observe(painting.work, Instant::now());
        }
        Ok(painting)
    }

    /// Brings style and finish to what is wanted.
    fn follow(&mut self, wanted: &Wanted, now: Instant) -> Result<(), StylizeError> {
        if !Arc::ptr_eq(&self.style, &wanted.style) {
            self.style = wanted.style.clone();
            self.fade.towards((*wanted.style).clone(), now);
            self.fading = true;
        }
        if self.fading {
            // Asked before the style is set, so that the style it arrives at is set, too.
            self.fading = self.fade.is_moving(now);
            self.stylizer.set_style(&self.fade.at(now))?;
        }
        if self.finish != Some(wanted.finish) {
            self.finish = Some(wanted.finish);
            self.stylizer.set_finish(wanted.finish);
        }
        Ok(())
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
        let start = self.last_size.unwrap_or(FIRST_SIZE);
        let quality = match &mut self.quality {
            Some((of, quality)) if *of == camera => quality,
            other => {
                let sizes = ladder(camera, self.largest_side);
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

/// Flips a picture left to right.
fn mirror(picture: &mut Picture) {
    let row_bytes = picture.width() * 3;
    for row in picture.rgb_mut().chunks_exact_mut(row_bytes) {
        let (pixels, _) = row.as_chunks_mut::<3>();
        pixels.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stylize::Passthrough;

    fn wanted() -> Wanted {
        Wanted {
            style: Arc::new(StyleParameters {
                scale: vec![1.0],
                shift: vec![0.0],
            }),
            finish: Finish::new(1.0, false).unwrap(),
            steady: None,
            size: SizeWish::Auto,
            mirror: false,
            frozen: false,
        }
    }

    fn captured(value: u8) -> Captured {
        let rgb = (0..64 * 36).flat_map(|i| [(i % 64) as u8, value, 0]);
        Captured {
            picture: Picture::new(64, 36, rgb.collect()).unwrap(),
            at: Instant::now(),
        }
    }

    #[test]
    fn mirror_and_freeze() {
        let mut wanted = wanted();
        let mut painter = LivePainter::new(Box::new(Passthrough), &wanted, 30.0);
        let first = |painting: &Painting| painting.full().rgb()[..2].to_vec();
        assert_eq!(
            first(&painter.paint(captured(1), 0, true, &wanted).unwrap()),
            [0, 1]
        );
        wanted.mirror = true;
        assert_eq!(
            first(&painter.paint(captured(2), 1, true, &wanted).unwrap()),
            [63, 2]
        );
        wanted.frozen = true;
        painter.paint(captured(3), 2, true, &wanted).unwrap();
        assert_eq!(
            first(&painter.paint(captured(4), 3, true, &wanted).unwrap()),
            [63, 3]
        );
        wanted.frozen = false;
        assert_eq!(
            first(&painter.paint(captured(5), 4, true, &wanted).unwrap()),
            [63, 5]
        );
    }

    #[test]
    fn a_fixed_size_is_painted_and_brought_back() {
        let mut wanted = wanted();
        wanted.size = SizeWish::Fixed((32, 32));
        let mut painter = LivePainter::new(Box::new(Passthrough), &wanted, 30.0);
        let painting = painter.paint(captured(9), 0, true, &wanted).unwrap();
        assert_eq!(
            (painting.painted.width(), painting.painted.height()),
            (32, 32)
        );
        assert_eq!(
            (painting.full().width(), painting.full().height()),
            (64, 36)
        );
    }
}

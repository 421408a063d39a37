//! Painting by optimisation: the picture itself is changed until a loss network is content with it.
//!
//! Gatys, Ecker, Bethge: "Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016). The painting starts from
//! the content at a quarter of the size, where large strokes are found cheaply, and is refined at half and full size. In a
//! film (Ruder, Dosovitskiy, Brox, GCPR 2016) each painting starts from the one before, carried along the motion, and is
//! held to it where the motion can be trusted, so that it needs a fraction of the work and does not flicker.

mod canvas;
mod film;
mod kept;
mod objective;
mod settings;
#[cfg(test)]
mod tests;

pub use kept::{forget_paintings, kept_paintings};
pub use objective::{LossWeights, Losses, layers};
pub use settings::{Method, OptimizeSettings, Quality};

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Instant};

use super::{MIN_SIDE, StylizeError, Stylizer};
use crate::{
    frame::Picture,
    kernels::{LossNetwork, Tape},
    nn::{
        optimizers::{Adam, Lbfgs, StopRule, minimise},
        vgg::VggWeights,
    },
};
use canvas::{Canvas, Size};
use film::Film;
use kept::KeptPaintings;
use objective::{Anchor, Objective, StyleTarget};

/// Sizes that are painted one after the other, with the iterations of each in those of full size.
const LEVELS: [(f64, f64); 3] = [(0.25, 2.0), (0.5, 1.0), (1.0, 1.0)];

/// The same for a picture that starts from the painting before: what was uncovered is found at the small sizes.
const NEXT_LEVELS: [(f64, f64); 3] = [(0.25, 1.5), (0.5, 1.5), (1.0, 1.0)];

/// Sizes under this are skipped: what is smaller than a stroke would be lost, and faces are the first to go.
const LEAST_LEVEL_SIDE: f64 = 80.0;

/// Steps that L-BFGS remembers.
const HISTORY: usize = 10;

/// One step of the optimiser, to be watched.
pub struct Step<'a> {
    /// Number of the picture, from 0.
    pub frame: u64,
    /// Size painted at, as a share of the full one.
    pub scale: f64,
    /// Number of the step at this size, from 1.
    pub iteration: usize,
    /// Steps planned at this size.
    pub iterations: usize,
    /// The loss at the best point of this step.
    pub losses: Losses,
    /// Whether this is the full size.
    pub is_full_size: bool,
    planes: &'a [f32],
    size: Size,
}

impl Step<'_> {
    /// The painting as it is now, at the size painted at.
    #[must_use]
    pub fn picture(&self) -> Picture {
        Canvas {
            planes: self.planes.to_vec(),
            size: self.size,
        }
        .to_picture()
    }
}

/// Watches the steps; returning false ends the picture with what there is.
pub type Watch = Box<dyn FnMut(&Step<'_>) -> bool + Send>;

/// Paints by optimisation.
pub struct Optimize {
    network: Arc<LossNetwork>,
    tape: Tape,
    settings: OptimizeSettings,
    styles: Vec<(Size, StyleTarget)>,
    film: Film,
    watch: Option<Watch>,
    kept: Option<KeptPaintings>,
    continues: bool,
    frame: u64,
}

impl Optimize {
    /// A painter with the loss network of `weights`.
    #[must_use]
    pub fn new(weights: &VggWeights, settings: OptimizeSettings) -> Self {
        Self {
            network: Arc::new(weights.on_processor(settings.pooling)),
            tape: Tape::default(),
            film: Film::new(settings.threads),
            settings,
            styles: Vec::new(),
            watch: None,
            kept: None,
            continues: false,
            frame: 0,
        }
    }

    /// Calls `watch` after each step.
    #[must_use]
    pub fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Keeps every painting in `folder` and takes up those that are already there.
    #[must_use]
    pub fn keeping(mut self, folder: PathBuf) -> Self {
        self.kept = Some(KeptPaintings::new(folder, &self.settings));
        self
    }

    /// The style at the scale that fits a picture of this size; computed once for each size.
    fn prepare_style(&mut self, size: Size, pixels: f64) {
        if self.styles.iter().any(|(of, _)| *of == size) {
            return;
        }
        let pictures = self.settings.styles.iter().map(|(picture, weight)| {
            let own = (picture.width() * picture.height()) as f64;
            let scale = (pixels / own).sqrt() * f64::from(self.settings.style_scale);
            let scale = scale.max(MIN_SIDE as f64 / picture.width().min(picture.height()) as f64);
            let size = Size::scaled(picture.height(), picture.width(), scale);
            (Canvas::new(picture, size), *weight)
        });
        let pictures: Vec<_> = pictures.collect();
        let target = StyleTarget::new(
            &self.network,
            &mut self.tape,
            &self.settings.losses,
            &pictures,
        );
        self.styles.push((size, target));
    }

    /// Minimises from `start`; returns false when the watch wants no more.
    fn descend(
        &mut self,
        content: &Picture,
        x: &mut Canvas,
        anchors: &[Anchor],
        (scale, rule): (f64, StopRule),
    ) -> bool {
        let size = x.size;
        let pixels = (content.width() * content.height()) as f64 * scale * scale;
        self.prepare_style(size, pixels);
        let style = self.styles.iter().find(|(of, _)| *of == size);
        let Some((_, style)) = style else {
            return true;
        };
        let target = Canvas::new(content, size);
        let mut objective = Objective::new(
            &self.network,
            &mut self.tape,
            &self.settings.losses,
            style,
            &target,
            anchors,
        );
        let latest = std::cell::Cell::new(Losses::default());
        let evaluate = |x: &[f32], gradient: &mut [f32]| {
            let losses = objective.evaluate(x, gradient);
            latest.set(losses);
            Ok::<_, Infallible>(losses.total)
        };
        let (watch, frame) = (&mut self.watch, self.frame);
        let mut goes_on = true;
        let observe = |iteration: usize, _: f64, x: &[f32]| {
            let step = Step {
                frame,
                scale,
                iteration,
                iterations: rule.iterations,
                losses: latest.get(),
                is_full_size: scale == 1.0,
                planes: x,
                size,
            };
            goes_on = watch.as_mut().is_none_or(|watch| watch(&step));
            goes_on
        };
        let planes = &mut x.planes;
        let result = match self.settings.method {
            Method::Lbfgs => minimise(&mut Lbfgs::new(HISTORY), planes, rule, evaluate, observe),
            Method::Adam { rate } => {
                minimise(&mut Adam::new(rate), planes, rule, evaluate, observe)
            }
        };
        let Ok(_losses) = result;
        goes_on
    }

    /// The stop rule of one size, given when the picture was begun.
    fn rule(&self, iterations: f64, begun: Instant) -> StopRule {
        StopRule {
            iterations: (iterations.round() as usize).max(1),
            budget: self
                .settings
                .budget
                .map(|budget| budget.saturating_sub(begun.elapsed())),
            settled: self.settings.settled,
            window: 10,
        }
    }

    /// The sizes that a picture of this shorter side is painted at.
    fn levels(&self, all: &[(f64, f64)], side: usize) -> Vec<(f64, f64)> {
        let enough = |scale: f64| {
            scale == 1.0 || self.settings.coarse_to_fine && scale * side as f64 >= LEAST_LEVEL_SIDE
        };
        all.iter()
            .copied()
            .filter(|(scale, _)| enough(*scale))
            .collect()
    }

    /// The painting of a picture on its own, and whether the watch let it be completed.
    fn paint_first(&mut self, content: &Picture) -> (Canvas, bool) {
        let begun = Instant::now();
        let mut complete = true;
        let (height, width) = (content.height(), content.width());
        let mut canvas = Canvas::default();
        for (scale, share) in self.levels(&LEVELS, height.min(width)) {
            let size = Size::scaled(height, width, scale);
            canvas = match canvas.planes.is_empty() {
                true => Canvas::new(content, size),
                false => canvas.resized(size),
            };
            let rule = self.rule(share * self.settings.iterations as f64, begun);
            complete = self.descend(content, &mut canvas, &[], (scale, rule));
            if !complete {
                break;
            }
        }
        (canvas.resized(Size::of(height, width)), complete)
    }

    /// The same of a picture that continues a film, held to what `anchors` (at full size) show.
    fn paint_next(&mut self, content: &Picture, anchors: &[Anchor]) -> (Canvas, bool) {
        let begun = Instant::now();
        let mut complete = true;
        let (height, width) = (content.height(), content.width());
        let full = Size::of(height, width);
        let mut coarser: Option<Canvas> = None;
        for (scale, share) in self.levels(&NEXT_LEVELS, height.min(width)) {
            let size = Size::scaled(height, width, scale);
            let anchors = film::resized(anchors, full, size);
            let elsewhere = match &coarser {
                None => Canvas::new(content, size),
                Some(coarser) => coarser.resized(size),
            };
            let mut canvas = film::start(&anchors, elsewhere);
            let rule = self.rule(share * self.settings.next_iterations as f64, begun);
            complete = self.descend(content, &mut canvas, &anchors, (scale, rule));
            coarser = Some(canvas);
            if !complete {
                break;
            }
        }
        let canvas =
            coarser.map_or_else(|| Canvas::new(content, full), |canvas| canvas.resized(full));
        (canvas, complete)
    }
}

impl Stylizer for Optimize {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        let (width, height) = (picture.width(), picture.height());
        if width.min(height) < MIN_SIDE {
            return Err(StylizeError::TooSmall { width, height });
        }
        if self.settings.losses.temporal <= 0.0 {
            self.film.reset();
        }
        let anchors = self.film.anchors(picture, Size::of(height, width));
        let continues = std::mem::replace(&mut self.continues, true);
        let place = self
            .kept
            .as_mut()
            .map(|kept| kept.place(picture, continues));
        let kept = place
            .as_ref()
            .and_then(|place| KeptPaintings::load(place, (width, height)));
        let painting = match kept {
            Some(painting) => painting,
            None => {
                let (canvas, complete) = if anchors.is_empty() {
                    self.paint_first(picture)
                } else {
                    self.paint_next(picture, &anchors)
                };
                let painting = canvas.to_picture();
                // One that was broken off is not what --resume should find.
                if let Some(place) = place.filter(|_| complete) {
                    KeptPaintings::store(&place, &painting)?;
                }
                painting
            }
        };
        self.frame += 1;
        let original = std::mem::replace(picture, painting);
        self.film.remember(&original, picture);
        Ok(())
    }

    fn reset(&mut self) {
        self.film.reset();
        self.continues = false;
    }
}

//! Painting by optimisation: the picture itself is changed until a loss network is content with it.
//!
//! Gatys, Ecker, Bethge: "Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016). The painting starts from
//! the content at a quarter of the size, where large strokes are found cheaply, and is refined at half and full size. In a
//! film (Ruder, Dosovitskiy, Brox, GCPR 2016) each painting starts from the one before, carried along the motion, and is
//! held to it where the motion can be trusted, so that it needs a fraction of the work and does not flicker.

mod canvas;
mod features;
mod film;
mod kept;
mod memory;
mod objective;
#[cfg(any(test, feature = "cuda"))]
mod on_card;
mod passes;
mod recolour;
mod scene;
mod settings;
mod step;
mod style;
mod styles;
#[cfg(test)]
mod tests;
mod tiles;

pub use kept::{forget_paintings, kept_paintings};
pub use objective::{LossWeights, Losses, layers};
pub use passes::{PaintedFilm, Passes};
pub use settings::{Method, OptimizeSettings, Quality};
pub use step::{Step, Watch};

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use super::{MIN_SIDE, Region, StylizeError, Stylizer};
use crate::{
    device::PaintDevice,
    frame::Picture,
    nn::{
        optimizers::{Adam, Lbfgs, Processor, Space, StopRule, minimise},
        vgg::VggWeights,
    },
    style::StyleMix,
};
use canvas::{Canvas, Size};
use features::{DeviceVector, Features, OnProcessor};
use film::Film;
use kept::KeptPaintings;
use memory::MemoryPlan;
use objective::{Anchor, Objective, Part};
use scene::Scene;
use step::Fetch;
use style::{Look, StyleTarget};
use styles::Styles;

/// Sizes that are painted one after the other, with the iterations of each in those of full size.
const LEVELS: [(f64, f64); 3] = [(0.25, 2.0), (0.5, 1.0), (1.0, 1.0)];

/// Iterations of full size beyond which the smaller sizes take no more: what suits half size to the last does not suit full
/// size better.
const ENOUGH_COARSE: usize = 40;

/// Sizes under this are skipped: what is smaller than a stroke would be lost, and faces are the first to go.
const LEAST_LEVEL_SIDE: f64 = 80.0;

impl Method {
    /// Minimises by this method; L-BFGS remembers `history` steps.
    fn minimise<S: Space + ?Sized>(
        self,
        space: &mut S,
        history: usize,
        x: &mut S::Vector,
        rule: StopRule,
        evaluate: impl FnMut(&S::Vector, &mut S::Vector) -> Result<f64, S::Error>,
        observe: impl FnMut(usize, f64, &S::Vector) -> bool,
    ) -> Result<(), S::Error> {
        match self {
            Self::Lbfgs => minimise(&mut Lbfgs::new(history), space, x, rule, evaluate, observe),
            Self::Adam { rate } => {
                minimise(&mut Adam::new(rate), space, x, rule, evaluate, observe)
            }
        }
        .map(|_| ())
    }
}

/// Paints by optimisation.
pub struct Optimize {
    network: Box<dyn Features>,
    input: Vec<f32>,
    settings: OptimizeSettings,
    /// The style of the region (or of everything), and of the rest.
    styles: Vec<Styles>,
    region: Option<Region>,
    film: Film,
    watch: Option<Watch>,
    kept: Option<KeptPaintings>,
    continues: bool,
    frame: u64,
    /// Share of the style and temporal weights of the settings that is in force.
    strength: f32,
    steadiness: f32,
    /// Of the last picture: where its painting is kept, its mask, and whether it continues the one before.
    last_place: Option<PathBuf>,
    last_mask: Option<Vec<u8>>,
    last_continues: bool,
}

impl Optimize {
    /// A painter with the loss network of `weights` on the processor.
    #[must_use]
    pub fn new(weights: &VggWeights, settings: OptimizeSettings) -> Self {
        let network = OnProcessor::new(weights.on_processor(settings.pooling));
        Self::with_network(Box::new(network), settings)
    }

    /// The same on `device`, where that has kernels for it.
    ///
    /// # Errors
    /// When the device has no room for the network.
    pub fn on(
        device: &PaintDevice,
        weights: &VggWeights,
        settings: OptimizeSettings,
    ) -> Result<Self, StylizeError> {
        match device {
            #[cfg(any(test, feature = "cuda"))]
            PaintDevice::Cuda(card) => {
                let network = on_card::OnCard::new(weights, settings.pooling, card.clone())?;
                Ok(Self::with_network(Box::new(network), settings))
            }
            PaintDevice::Cpu => Ok(Self::new(weights, settings)),
            #[cfg(feature = "gpu")]
            PaintDevice::Gpu(_) => Ok(Self::new(weights, settings)),
        }
    }

    fn with_network(network: Box<dyn Features>, settings: OptimizeSettings) -> Self {
        Self {
            network,
            input: Vec::new(),
            film: Film::new(settings.threads, settings.long_term),
            styles: vec![Styles::new(settings.styles.clone())],
            settings,
            region: None,
            watch: None,
            kept: None,
            continues: false,
            frame: 0,
            strength: 1.0,
            steadiness: 1.0,
            last_place: None,
            last_mask: None,
            last_continues: false,
        }
    }

    /// Paints only `region` in the style of the settings and the rest in the style of the pictures `outside`, with their
    /// weights.
    #[must_use]
    pub fn with_background(mut self, region: Region, outside: Vec<(Arc<Picture>, f32)>) -> Self {
        self.region = Some(region);
        self.styles.truncate(1);
        self.settings.background = outside;
        self.styles
            .push(Styles::new(self.settings.background.clone()));
        self
    }

    /// Starts with this share (0..1) of the style's weight, which [`Stylizer::set_style`] changes.
    #[must_use]
    pub fn with_strength(mut self, strength: f32) -> Self {
        self.strength = strength;
        self
    }

    /// Calls `watch` after each step.
    #[must_use]
    pub fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Keeps every painting in `folder` and takes up those that are already there. One that the watch breaks off is not kept: it
    /// is [`StylizeError::Stopped`].
    #[must_use]
    pub fn keeping(mut self, folder: PathBuf) -> Self {
        self.kept = Some(KeptPaintings::new(folder, &self.settings));
        self
    }

    /// Counts the paintings that are taken up; none without a folder for them.
    #[must_use]
    pub fn taken_up(&self) -> Option<Arc<AtomicU64>> {
        Some(self.kept.as_ref()?.taken_up.clone())
    }

    fn room(&self) -> MemoryPlan {
        let losses = &self.settings.losses;
        let layers = losses.content_layers.iter().chain(&losses.style_layers);
        let last = layers.map(|(layer, _)| *layer).max().unwrap_or(0);
        MemoryPlan {
            memory: self.settings.memory,
            reach: self.network.reach(last),
        }
    }

    /// What each part of a painting of so many pixels is drawn to.
    fn targets(&mut self, pixels: f64) -> Result<Vec<StyleTarget>, StylizeError> {
        let layers = &self.settings.losses.style_layers;
        let layers: Vec<usize> = layers.iter().map(|layer| layer.0).collect();
        let stroke = self.settings.style_scale;
        let room = self.room();
        let mut look = Look {
            network: &mut *self.network,
            input: &mut self.input,
        };
        self.styles
            .iter_mut()
            .map(|styles| {
                styles.target(&mut look, &layers, (pixels, stroke), |size| {
                    room.tiles(size)
                })
            })
            .collect()
    }

    /// Minimises from `x`; returns false when the watch wants no more.
    ///
    /// # Errors
    /// When the network's device fails.
    fn descend(
        &mut self,
        scene: &Scene<'_>,
        x: &mut Canvas,
        anchors: &[Anchor],
        (scale, rule): (f64, StopRule),
    ) -> Result<bool, StylizeError> {
        let size = x.size;
        let content = scene.content;
        let pixels = (content.width() * content.height()) as f64 * scale * scale;
        let targets = self.targets(pixels)?;
        let guides = scene.parts(size, anchors);
        let parts = guides.iter().filter_map(|(number, guide)| {
            Some(Part {
                style: targets.get(*number)?,
                guide: guide.as_ref(),
            })
        });
        let target = Canvas::new(content, size);
        let room = self.room();
        let history = room.history(size.pair().0 * size.pair().1);
        let tiles = room.tiles(size);
        // A canvas that is one tile can lie where the network is.
        let mut space = None;
        if tiles.tiles.len() == 1
            && let Some(device) = self.network.on_device()
        {
            device.hold(anchors)?;
            space = Some([(); 2].map(|()| device.space(x.planes.len())));
        }
        let usual = &self.settings.losses;
        let weights = LossWeights {
            style: usual.style * self.strength,
            temporal: usual.temporal * self.steadiness,
            ..usual.clone()
        };
        let mut objective = Objective::new(
            &mut *self.network,
            &weights,
            parts.collect(),
            &target,
            anchors,
            tiles,
        )?;
        drop(target);
        let latest = std::cell::Cell::new(Losses::default());
        let (watch, frame) = (&mut self.watch, self.frame);
        let mut goes_on = true;
        let mut observe = |iteration: usize, planes: &Fetch<'_>| {
            let step = Step {
                frame,
                scale,
                iteration,
                iterations: rule.iterations,
                losses: latest.get(),
                is_full_size: scale == 1.0,
                planes,
                size,
            };
            goes_on = watch.as_mut().is_none_or(|watch| watch(&step));
            goes_on
        };
        let method = self.settings.method;
        match space {
            Some([mut space, fetching]) => {
                let mut point = space.put(&x.planes)?;
                let evaluate = |x: &DeviceVector, gradient: &mut DeviceVector| {
                    let losses = objective.evaluate_on_device(x, gradient)?;
                    latest.set(losses);
                    Ok(losses.total)
                };
                let observe = |iteration: usize, _: f64, x: &DeviceVector| {
                    observe(iteration, &|| fetching.take(x))
                };
                method.minimise(&mut *space, history, &mut point, rule, evaluate, observe)?;
                x.planes = space.take(&point)?;
            }
            None => {
                let evaluate = |x: &Vec<f32>, gradient: &mut Vec<f32>| {
                    let losses = objective.evaluate(x, gradient)?;
                    latest.set(losses);
                    Ok::<_, StylizeError>(losses.total)
                };
                let observe =
                    |iteration: usize, _: f64, x: &Vec<f32>| observe(iteration, &|| Ok(x.clone()));
                let mut space = Processor::new(x.planes.len());
                method.minimise(&mut space, history, &mut x.planes, rule, evaluate, observe)?;
            }
        }
        Ok(goes_on)
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
    fn levels(&self, side: usize) -> Vec<(f64, f64)> {
        let enough = |scale: f64| {
            scale == 1.0 || self.settings.coarse_to_fine && scale * side as f64 >= LEAST_LEVEL_SIDE
        };
        LEVELS
            .into_iter()
            .filter(|(scale, _)| enough(*scale))
            .collect()
    }

    /// The painting of a picture, and whether the watch let it be completed. One that continues a film is held to what
    /// `anchors` (at full size) show; what is new in it is painted at the smaller sizes as in a picture of its own.
    fn paint_scene(
        &mut self,
        scene: &Scene<'_>,
        anchors: &[Anchor],
    ) -> Result<(Canvas, bool), StylizeError> {
        let begun = Instant::now();
        let mut complete = true;
        let content = scene.content;
        let (height, width) = (content.height(), content.width());
        let mut canvas = Canvas::default();
        for (scale, share) in self.levels(height.min(width)) {
            let size = Size::scaled(height, width, scale);
            let coarse = scale < 1.0;
            let anchors = if coarse { &[] } else { anchors };
            canvas = match canvas.planes.is_empty() {
                true => film::recoloured(anchors, Canvas::new(content, size)),
                false => canvas.resized(size),
            };
            canvas = film::start(anchors, canvas);
            let steps = match anchors {
                [] if coarse => self.settings.iterations.min(ENOUGH_COARSE),
                [] => self.settings.iterations,
                _ => self.settings.next_iterations,
            };
            let rule = self.rule(share * steps as f64, begun);
            complete = self.descend(scene, &mut canvas, anchors, (scale, rule))?;
            if !complete {
                break;
            }
        }
        Ok((canvas.resized(Size::of(height, width)), complete))
    }

    /// Whether anything is wanted of the style: else pictures stay as they are.
    #[must_use]
    pub fn changes_pictures(&self) -> bool {
        self.strength * self.settings.losses.style > 0.0
    }
}

impl Stylizer for Optimize {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        let (width, height) = (picture.width(), picture.height());
        if width.min(height) < MIN_SIDE {
            return Err(StylizeError::TooSmall { width, height });
        }
        // Nothing is wanted of the style.
        if !self.changes_pictures() {
            self.film.reset();
            return Ok(());
        }
        if self.settings.losses.temporal * self.steadiness <= 0.0 {
            self.film.reset();
        }
        let mask = match &mut self.region {
            Some(region) => Some(region.mask(picture)?),
            None => None,
        };
        let scene = Scene {
            content: picture,
            mask: mask.as_deref(),
        };
        let anchors = self.film.anchors(picture, Size::of(height, width));
        let continues = std::mem::replace(&mut self.continues, true);
        let place = self
            .kept
            .as_mut()
            .map(|kept| kept.place(picture, scene.mask, continues));
        let there = self.kept.as_ref().zip(place.as_ref());
        let kept = there.and_then(|(kept, place)| kept.take_up(place, (width, height)));
        let painting = match kept {
            Some(painting) => painting,
            None => {
                let (canvas, complete) = self.paint_scene(&scene, &anchors)?;
                let painting = canvas.to_picture();
                if let Some(place) = &place {
                    // Neither --resume nor a film should have one that was broken off.
                    if !complete {
                        return Err(StylizeError::Stopped);
                    }
                    KeptPaintings::store(place, &painting)?;
                }
                painting
            }
        };
        self.frame += 1;
        self.last_place = place;
        self.last_continues = !anchors.is_empty();
        self.last_mask = mask;
        let original = std::mem::replace(picture, painting);
        self.film.remember(&original, picture);
        Ok(())
    }

    fn reset(&mut self) {
        self.film.reset();
        if let Some(region) = &mut self.region {
            region.reset();
        }
        self.continues = false;
    }

    fn set_time(&mut self, seconds: f64) -> Result<(), StylizeError> {
        if let Some(region) = &mut self.region {
            region.set_time(seconds);
        }
        Ok(())
    }

    /// The pictures of the mix are the style from now on; a mix without any changes its strength only.
    fn set_style(&mut self, style: &StyleMix) -> Result<(), StylizeError> {
        if let Some(styles) = self.styles.first_mut()
            && !style.pictures().is_empty()
        {
            styles.set(style.pictures().to_vec());
        }
        self.strength = style.strength();
        Ok(())
    }

    fn set_steadiness(&mut self, strength: f32) {
        self.steadiness = strength;
    }
}

//! One pass of a feed-forward network per picture, or of two whose paintings are mixed.
//!
//! A style below full strength is drawn towards the style that changes (nearly) nothing, and below half of it the picture
//! shows through, until nothing of the painting is left. For a pack that is its neutral style (of
//! one that has none the painting is mixed with the picture instead); for the network that takes its style from a picture it is the style of the picture that is
//! painted (Ghiasi et al. 2017). The latter is asked for seldom and followed slowly, or it would flicker.
//!
//! Instance normalisation brings whatever there is to full contrast: out of a black picture it makes a pattern of the
//! padding and of rounding. So the less there is in a picture the less of its painting is shown, and black bars around a
//! picture are left out ([`Bars`]).

mod bars;
mod mixing;
mod network;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bars::{Bars, Part};
use mixing::{mix, mix_pictures, restore_contrast};
use network::Network;

#[cfg(any(test, feature = "cuda"))]
use super::{Along, MotionFinder, Pending};
use super::{Colors, Finish, MIN_SIDE, Palette, StylizeError, Stylizer};
#[cfg(any(test, feature = "cuda"))]
use crate::cuda::{Fetch, FlowOnCard, PaintCard, PassOnCard, SteadyOnCard};
#[cfg(feature = "gpu")]
use crate::gpu::GpuError;
#[cfg(any(test, feature = "cuda"))]
use crate::temporal::{
    flow::FlowSettings,
    steady::{Pass, SteadySettings},
};
use crate::{
    device::PaintDevice,
    frame::Picture,
    kernels::{Precision, StyleParameters},
    style::{Gallery, NetworkKind, StyleMix},
};

/// Pictures from one look at the content's own style to the next.
const LOOK_EVERY: u32 = 48;
/// How far the content's style and the painting's palette follow what was last seen, per picture.
const FOLLOW: f32 = 0.06;

/// Pixels that are looked at, at most, to see whether there is anything in a picture.
const SAMPLES: usize = 20_000;
/// Deviations of its values up to which nothing of a painting is shown, and from which all of it is, of 255: chosen by looking
/// at films that fade to black, to white and from black.
const EVEN: [f32; 2] = [1.5, 8.0];

/// Strength of a style under which the picture shows through the painting: what changes nothing changes a little all the same.
const VEILED: f32 = 0.5;

/// What a [`FeedForward`] is made of.
#[derive(Clone, Debug)]
pub struct FeedForwardSettings {
    /// The style to begin with.
    pub style: StyleMix,
    /// Whether the painting gets the palette of the style picture.
    pub match_colors: bool,
    /// Whether black bars around the picture are painted as well.
    pub paint_bars: bool,
    /// Where the network runs.
    pub device: PaintDevice,
    /// Threads of the processor's kernels.
    pub threads: usize,
    /// Arithmetic of the processor's kernels.
    pub precision: Precision,
}

/// Paints with the feed-forward networks.
pub struct FeedForward {
    gallery: Arc<Gallery>,
    settings: FeedForwardSettings,
    /// One per [`NetworkKind`], set up when it is first needed.
    networks: [Option<Network>; 2],
    content: Option<ContentStyle>,
    /// Of the paintings so far.
    palette: Option<Palette>,
    bars: Bars,
    painted: Vec<u8>,
    second: Vec<u8>,
    /// Where paintings lie on a card and are wanted steady.
    #[cfg(any(test, feature = "cuda"))]
    steadier: Option<SteadyOnCard<PaintCard>>,
}

/// The style of what is painted.
struct ContentStyle {
    seen: StyleParameters,
    current: StyleParameters,
    age: u32,
}

impl FeedForward {
    /// Sets up the networks that the style needs.
    ///
    /// # Errors
    /// When the device refuses, or a model file is missing.
    pub fn new(gallery: Arc<Gallery>, settings: FeedForwardSettings) -> Result<Self, StylizeError> {
        let mut painter = Self {
            gallery,
            settings,
            networks: [None, None],
            content: None,
            palette: None,
            bars: Bars::default(),
            painted: Vec::new(),
            second: Vec::new(),
            #[cfg(any(test, feature = "cuda"))]
            steadier: None,
        };
        painter.set_up()?;
        Ok(painter)
    }

    /// Sets up what the style needs and is not there yet, so that painting does not stop for it.
    fn set_up(&mut self) -> Result<(), StylizeError> {
        for kind in NetworkKind::ALL {
            let Some(style) = self.settings.style.parameters(kind) else {
                continue;
            };
            if self.networks[kind as usize].is_none() {
                let network = match kind {
                    NetworkKind::Pack => {
                        Network::new(self.gallery.pack().network(), &style, &self.settings)?
                    }
                    NetworkKind::AnyPicture => {
                        let any = self.gallery.any_picture()?;
                        Network::new(any.network(), &style, &self.settings)?
                    }
                };
                self.networks[kind as usize] = Some(network);
            }
        }
        Ok(())
    }

    /// What a network is to paint with: the style, weakened.
    fn style_of(
        &mut self,
        kind: NetworkKind,
        picture: &Picture,
    ) -> Result<Option<StyleParameters>, StylizeError> {
        let strength = self.settings.style.strength();
        let Some(style) = self.settings.style.parameters(kind) else {
            return Ok(None);
        };
        if strength >= 1.0 {
            return Ok(Some(style));
        }
        let own = match kind {
            NetworkKind::Pack => match self.gallery.pack().neutral() {
                Some(neutral) => neutral,
                None => return Ok(Some(style)),
            },
            NetworkKind::AnyPicture => self.content_style(picture)?,
        };
        Ok(Some(mix(own, &style, strength)))
    }

    fn content_style(&mut self, picture: &Picture) -> Result<&StyleParameters, StylizeError> {
        let look = || {
            let any = self.gallery.any_picture()?;
            Ok::<_, StylizeError>(any.parameters(&any.numbers(picture)?))
        };
        let content = match self.content.take() {
            None => {
                let seen = look()?;
                ContentStyle {
                    current: seen.clone(),
                    seen,
                    age: 0,
                }
            }
            Some(mut content) => {
                content.age += 1;
                if content.age.is_multiple_of(LOOK_EVERY) {
                    content.seen = look()?;
                }
                content.current = mix(&content.current, &content.seen, FOLLOW);
                content
            }
        };
        Ok(&self.content.insert(content).current)
    }

    /// The network that paints alone and whose painting is left as it is, if there is one such.
    #[cfg(any(test, feature = "cuda"))]
    fn only_network(&self) -> Option<NetworkKind> {
        let style = &self.settings.style;
        let mut kinds = NetworkKind::ALL
            .into_iter()
            .filter(|kind| style.parameters(*kind).is_some());
        let only = kinds.next().filter(|_| kinds.next().is_none());
        only.filter(|_| style.strength() >= 1.0 && !self.settings.match_colors)
    }

    /// Paints a picture of a film, which `steadier` steadies: before the painting leaves the card, or, where more is done to
    /// it than one network does, by bringing it there again.
    #[cfg(any(test, feature = "cuda"))]
    fn paint_steady(
        &mut self,
        picture: &mut Picture,
        along: &Along,
        steadier: &mut SteadyOnCard<PaintCard>,
    ) -> Result<Option<Pending>, StylizeError> {
        let size = (picture.width(), picture.height());
        let brought;
        let frame = match along {
            Along::Card(frame) if frame.size() == size => frame,
            along => {
                brought = steadier.bring(picture.rgb(), size, along.motion())?;
                &brought
            }
        };
        let part = self.inside(picture);
        let whole =
            size.0.min(size.1) >= MIN_SIDE && part.is_none() && painted_share(picture.rgb()) >= 1.0;
        let only = self.only_network().filter(|_| whole);
        if let Some(kind) = only
            && let Some(style) = self.style_of(kind, picture)?
            && let Some(Network::Cuda(network)) = &mut self.networks[kind as usize]
        {
            (self.content, self.palette) = (None, None);
            network.set_style(&style)?;
            let painted = network.paint_steady(frame, steadier)?;
            return Ok(Some(Box::new(move |picture: &mut Picture| {
                Ok(painted.take(picture.rgb_mut())?)
            })));
        }
        let around = part.map(|part| (part, picture.clone()));
        self.paint_part(picture, part)?;
        steadier.push_painting(frame, picture.rgb_mut())?;
        if let Some((part, around)) = around {
            let steady = part.cut(picture);
            *picture = around;
            part.put(&steady, picture);
        }
        Ok(None)
    }

    /// Where the picture is, if there are black bars around it that are not to be painted.
    fn inside(&mut self, picture: &Picture) -> Option<Part> {
        (!self.settings.paint_bars)
            .then(|| self.bars.see(picture))
            .flatten()
    }

    /// Paints what lies within the bars around a picture, if there are any.
    fn paint_part(
        &mut self,
        picture: &mut Picture,
        part: Option<Part>,
    ) -> Result<(), StylizeError> {
        let Some(part) = part else {
            return self.paint_all(picture);
        };
        let mut inside = part.cut(picture);
        self.paint_all(&mut inside)?;
        part.put(&inside, picture);
        Ok(())
    }

    /// Forgets what is known of the scene and this painting does not need: it would be out of date when the next one does.
    fn forget_unused(&mut self) {
        let style = &self.settings.style;
        if style.strength() >= 1.0 || style.parameters(NetworkKind::AnyPicture).is_none() {
            self.content = None;
        }
        if !self.settings.match_colors {
            self.palette = None;
        }
    }

    /// Paints all of a picture.
    fn paint_all(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        let (width, height) = (picture.width(), picture.height());
        if width.min(height) < MIN_SIDE {
            return Err(StylizeError::TooSmall { width, height });
        }
        self.forget_unused();
        let shown = painted_share(picture.rgb());
        if shown <= 0.0 || self.settings.style.strength() <= 0.0 {
            return Ok(());
        }
        let original = (shown < 1.0).then(|| picture.clone());
        let strength = self.settings.style.strength();
        let (mut total, mut sum) = (0.0, std::mem::take(&mut self.painted));
        for kind in NetworkKind::ALL {
            let Some(style) = self.style_of(kind, picture)? else {
                continue;
            };
            let Some(network) = &mut self.networks[kind as usize] else {
                continue;
            };
            match network.paint(&style, picture, &mut self.second) {
                Ok(()) => {}
                #[cfg(feature = "gpu")]
                Err(StylizeError::Gpu(error)) if self.gives_way(&error) => {
                    self.painted = sum;
                    return self.paint_all(picture);
                }
                Err(error) => return Err(error),
            }
            if strength < 1.0 {
                if kind == NetworkKind::Pack && self.gallery.pack().neutral().is_none() {
                    mix_pictures(&mut self.second, picture.rgb(), 1.0 - strength);
                } else {
                    restore_contrast(picture.rgb(), &mut self.second, 1.0 - strength);
                    let veil = (1.0 - strength / VEILED).max(0.0);
                    mix_pictures(&mut self.second, picture.rgb(), veil);
                }
            }
            let share = self.settings.style.share(kind);
            total += share;
            if share >= total {
                std::mem::swap(&mut sum, &mut self.second);
            } else {
                mix_pictures(&mut sum, &self.second, share / total);
            }
        }
        if total > 0.0 {
            sum = picture.replace_rgb(sum);
        }
        self.painted = sum;
        if self.settings.match_colors {
            self.match_palette(picture);
        }
        if let Some(original) = original {
            mix_pictures(picture.rgb_mut(), original.rgb(), 1.0 - shown);
        }
        Ok(())
    }

    /// Leaves a GPU that nobody asked for to the processor, where that has no room for a picture.
    #[cfg(feature = "gpu")]
    fn gives_way(&mut self, error: &GpuError) -> bool {
        let PaintDevice::Gpu(gpu) = &self.settings.device else {
            return false;
        };
        if gpu.is_asked_for() || !matches!(error, GpuError::TooLarge { .. }) {
            return false;
        }
        tracing::info!("the processor paints on: {error}");
        self.settings.device = PaintDevice::Cpu;
        self.networks = [None, None];
        self.set_up().is_ok()
    }

    /// Gives the painting the palette of the style picture.
    fn match_palette(&mut self, picture: &mut Picture) {
        let Some((share, wanted)) = self.settings.style.palette() else {
            return;
        };
        let now = Palette::of(picture.rgb());
        let own = match self.palette {
            Some(before) => before.towards(&now, FOLLOW),
            None => now,
        };
        self.palette = Some(own);
        let width = picture.width();
        let share = share * self.settings.style.strength();
        own.map_to(&own.towards(&wanted, share))
            .apply(picture.rgb_mut(), width);
    }
}

impl Stylizer for FeedForward {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        let part = self.inside(picture);
        self.paint_part(picture, part)
    }

    #[cfg(any(test, feature = "cuda"))]
    fn paint_along(
        &mut self,
        picture: &mut Picture,
        along: &Along,
    ) -> Result<Option<Pending>, StylizeError> {
        let Some(mut steadier) = self.steadier.take() else {
            self.paint(picture)?;
            return Ok(None);
        };
        let painted = self.paint_steady(picture, along, &mut steadier);
        self.steadier = Some(steadier);
        painted
    }

    #[cfg(any(test, feature = "cuda"))]
    fn steady(&mut self, settings: Option<SteadySettings>) -> Result<bool, StylizeError> {
        let PaintDevice::Cuda(card) = &self.settings.device else {
            return Ok(false);
        };
        match (settings, &mut self.steadier) {
            (None, steadier) => *steadier = None,
            (Some(settings), Some(steadier)) => steadier.set(settings),
            (Some(settings), none) => *none = Some(SteadyOnCard::new(settings, card.clone())?),
        }
        Ok(settings.is_some())
    }

    #[cfg(any(test, feature = "cuda"))]
    fn motion_finder(
        &mut self,
        settings: FlowSettings,
    ) -> Result<Option<Box<dyn MotionFinder>>, StylizeError> {
        Ok(match &self.settings.device {
            PaintDevice::Cuda(card) if self.steadier.is_some() => {
                Some(Box::new(FlowOnCard::new(settings, card.clone())))
            }
            _ => None,
        })
    }

    #[cfg(any(test, feature = "cuda"))]
    fn further_pass(
        &mut self,
        steadying: SteadySettings,
        flow: FlowSettings,
    ) -> Result<Option<Box<dyn Pass>>, StylizeError> {
        Ok(match &self.settings.device {
            PaintDevice::Cuda(card) if self.steadier.is_some() => {
                Some(Box::new(PassOnCard::new(steadying, flow, card.clone())?))
            }
            _ => None,
        })
    }

    fn reset(&mut self) {
        self.content = None;
        self.palette = None;
        self.bars.reset();
        #[cfg(any(test, feature = "cuda"))]
        if let Some(steadier) = &mut self.steadier {
            steadier.reset();
        }
    }

    fn set_style(&mut self, style: &StyleMix) -> Result<(), StylizeError> {
        self.settings.style = style.clone();
        // Of the paintings in the style before.
        self.palette = None;
        self.set_up()
    }

    fn set_finish(&mut self, finish: Finish) {
        self.settings.match_colors = finish.colors() == Colors::Match;
    }
}

/// How much of its painting is shown of a picture that has nearly nothing in it, 0..1.
fn painted_share(rgb: &[u8]) -> f32 {
    // An odd step walks through all columns.
    let step = (rgb.len() / 3 / SAMPLES) | 1;
    let (mut count, mut sums, mut squares) = (0_u32, [0_u32; 3], [0_u64; 3]);
    for pixel in rgb.chunks_exact(3).step_by(step) {
        count += 1;
        for (channel, &value) in pixel.iter().enumerate() {
            sums[channel] += u32::from(value);
            squares[channel] += u64::from(value) * u64::from(value);
        }
    }
    let variance = sums.iter().zip(squares).map(|(&sum, squares)| {
        let mean = f64::from(sum) / f64::from(count.max(1));
        squares as f64 / f64::from(count.max(1)) - mean * mean
    });
    let deviation = variance.fold(0.0, f64::max).sqrt() as f32;
    let t = ((deviation - EVEN[0]) / (EVEN[1] - EVEN[0])).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

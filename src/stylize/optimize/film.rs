//! What a painting takes over from the paintings before it.
//!
//! Ruder, Dosovitskiy, Brox: "Artistic style transfer for videos" (GCPR 2016). The motion from each of some earlier
//! pictures to the present one is found; their paintings, carried along it, are what the new painting starts from and
//! is held to, where the motion can be trusted. Long-term: what the nearest painting explains is left to it, older ones
//! fill in what was covered for a moment (weights c_j ← max(0, c_j − Σ of the nearer)).

use std::collections::VecDeque;

use super::{
    canvas::{Canvas, Size},
    objective::Anchor,
    recolour::Recolour,
};
use crate::{
    frame::Picture,
    temporal::{
        flow::{FlowEstimator, FlowPreset, FlowScale, FlowSettings, Luma, Motion},
        scene_cut::SceneCuts,
        warp::cubic_rgb,
    },
};

/// How many pictures back paintings are carried from, nearest first.
const BACK: [usize; 3] = [1, 2, 4];

/// The pictures and paintings of late.
pub(super) struct Film {
    flow: FlowEstimator,
    cuts: SceneCuts,
    /// Luma of the picture, and its painting; the newest last.
    past: VecDeque<(Luma, Picture)>,
    now: Option<Luma>,
    back: &'static [usize],
}

impl Film {
    /// Finds motion on `threads`; `long_term`: to several pictures back.
    pub(super) fn new(threads: usize, long_term: bool) -> Self {
        let settings = FlowSettings {
            preset: FlowPreset::Medium,
            scale: FlowScale::Full,
            threads,
        };
        Self {
            flow: FlowEstimator::new(settings),
            cuts: SceneCuts::default(),
            past: VecDeque::new(),
            now: None,
            back: if long_term { &BACK } else { &BACK[..1] },
        }
    }

    pub(super) fn reset(&mut self) {
        self.cuts.reset();
        self.past.clear();
        self.now = None;
    }

    /// What a painting of `picture` is held to, on a canvas of `size`, nearest first; nothing where a scene starts.
    pub(super) fn anchors(&mut self, picture: &Picture, size: Size) -> Vec<Anchor> {
        let same = self.past.back().is_none_or(|(_, painting)| {
            painting.width() == picture.width() && painting.height() == picture.height()
        });
        if !same {
            self.reset();
        }
        let luma = Luma::from_rgb(picture);
        let mut taken = vec![0.0_f32; picture.width() * picture.height()];
        let mut anchors = Vec::new();
        for &back in self.back {
            let Some((before, painting)) = self.past.len().checked_sub(back).map(|i| &self.past[i])
            else {
                break;
            };
            self.flow.reset();
            self.flow.push(before);
            let Some(motion) = self.flow.push(&luma) else {
                break;
            };
            if back == 1 && self.cuts.push(picture, Some(&motion)) {
                self.past.clear();
                break;
            }
            anchors.push(anchor(painting, &motion, &mut taken, size));
            self.flow.recycle(motion);
        }
        if anchors.is_empty() {
            self.cuts.reset();
            self.cuts.push(picture, None);
        }
        self.now = Some(luma);
        anchors
    }

    /// A neighbour's painting (picture, painting) carried to `picture`, on a canvas of `size`.
    pub(super) fn carry(
        &mut self,
        (neighbour, painting): (&Picture, &Picture),
        picture: &Picture,
        size: Size,
    ) -> Option<Anchor> {
        self.flow.reset();
        self.flow.push(&Luma::from_rgb(neighbour));
        let motion = self.flow.push(&Luma::from_rgb(picture))?;
        let mut taken = vec![0.0_f32; picture.width() * picture.height()];
        let anchor = anchor(painting, &motion, &mut taken, size);
        self.flow.recycle(motion);
        Some(anchor)
    }

    /// Keeps the painting of the picture of the last [`Film::anchors`].
    pub(super) fn remember(&mut self, original: &Picture, painting: &Picture) {
        let luma = self.now.take().unwrap_or_else(|| Luma::from_rgb(original));
        self.past.push_back((luma, painting.clone()));
        if self.past.len() > self.back.last().copied().unwrap_or(1) {
            self.past.pop_front();
        }
    }
}

/// A painting carried along `motion`; `taken` is the confidence of the nearer ones, and grows.
fn anchor(painting: &Picture, motion: &Motion, taken: &mut [f32], size: Size) -> Anchor {
    let width = painting.width();
    let mut pixels = Vec::with_capacity(3 * taken.len());
    let mut confidence = Vec::with_capacity(taken.len());
    for (i, taken) in taken.iter_mut().enumerate() {
        let x = (i % width) as f32 + motion.backward.u[i];
        let y = (i / width) as f32 + motion.backward.v[i];
        pixels.extend(cubic_rgb(painting, x, y));
        let trust = motion.confidence[i] * f32::from(motion.consistent[i]);
        let own = (trust - *taken).max(0.0);
        confidence.push(own);
        *taken += own;
    }
    Anchor {
        target: Canvas::from_pixels(&pixels, size).planes,
        confidence: size.extend(|pixel| confidence[pixel]),
    }
}

/// The anchors at another size.
pub(super) fn resized(anchors: &[Anchor], from: Size, to: Size) -> Vec<Anchor> {
    let resize = |planes: Vec<f32>| Canvas { planes, size: from }.resized(to).planes;
    let of = |anchor: &Anchor| Anchor {
        target: resize(anchor.target.clone()),
        confidence: {
            let mut planes = resize(anchor.confidence.repeat(3));
            planes.truncate(planes.len() / 3);
            planes.iter_mut().for_each(|c| *c = c.clamp(0.0, 1.0));
            planes
        },
    };
    anchors.iter().map(of).collect()
}

/// The mean of a painting and the anchors, these weighed by how far they can be trusted.
pub(super) fn average(anchors: &[Anchor], own: Canvas) -> Canvas {
    let mut canvas = own;
    let plane = canvas.planes.len() / 3;
    for (i, value) in canvas.planes.iter_mut().enumerate() {
        let (mut sum, mut weight) = (*value, 1.0);
        for anchor in anchors {
            sum += anchor.confidence[i % plane] * anchor.target[i];
            weight += anchor.confidence[i % plane];
        }
        *value = sum / weight;
    }
    canvas
}

/// How far anything is known of each pixel, 0..1.
pub(super) fn trust(anchors: &[Anchor], pixels: usize) -> Vec<f32> {
    let sum = |i: usize| {
        anchors
            .iter()
            .map(|anchor| anchor.confidence[i])
            .sum::<f32>()
    };
    (0..pixels).map(|i| sum(i).min(1.0)).collect()
}

/// `content` with the colours that the anchors have given to what they show, where they show nothing.
pub(super) fn recoloured(anchors: &[Anchor], content: Canvas) -> Canvas {
    let trust = trust(anchors, content.planes.len() / 3);
    let painting = start(anchors, content.clone());
    let recolour = Recolour::learn(&content.planes, &painting.planes, &trust);
    let mut canvas = content;
    recolour.apply(&mut canvas.planes, |i| 1.0 - trust[i]);
    canvas
}

/// Where the optimiser starts: the anchors as far as they can be trusted, `elsewhere` in the rest.
pub(super) fn start(anchors: &[Anchor], elsewhere: Canvas) -> Canvas {
    let mut canvas = elsewhere;
    let plane = canvas.planes.len() / 3;
    for (i, value) in canvas.planes.iter_mut().enumerate() {
        let (mut sum, mut trust) = (0.0, 0.0);
        for anchor in anchors {
            sum += anchor.confidence[i % plane] * anchor.target[i];
            trust += anchor.confidence[i % plane];
        }
        *value = sum + (1.0 - trust.min(1.0)) * *value;
    }
    canvas
}

//! What a painting takes over from the paintings before it.
//!
//! Ruder, Dosovitskiy, Brox: "Artistic style transfer for videos" (GCPR 2016). The motion from each of some earlier
//! pictures to the present one is found; their paintings, carried along it, are what the new painting starts from and
//! is held to, where the motion can be trusted. Long-term: what the nearest painting explains is left to it, older ones
//! fill in what was covered for a moment (weights c_j ← max(0, c_j − Σ of the nearer)).

use std::collections::VecDeque;

use rayon::prelude::*;

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
        warp::{Plain, Sampler, split},
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
            if back == 1 && self.cuts.push(picture, Some(motion.consistency())) {
                self.past.clear();
                break;
            }
            anchors.push(anchor(painting, [before, &luma], &motion, &mut taken, size));
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
        let lumas = [neighbour, picture].map(Luma::from_rgb);
        self.flow.push(&lumas[0]);
        let motion = self.flow.push(&lumas[1])?;
        let mut taken = vec![0.0_f32; picture.width() * picture.height()];
        let [before, now] = &lumas;
        let anchor = anchor(painting, [before, now], &motion, &mut taken, size);
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
///
/// What moves is carried from painting to painting, so it is looked up with the kernel that keeps fine strokes longest
/// (Lanczos').
fn anchor(
    painting: &Picture,
    [before, now]: [&Luma; 2],
    motion: &Motion,
    taken: &mut [f32],
    size: Size,
) -> Anchor {
    let (width, height) = (painting.width(), painting.height());
    let planes: [Vec<f32>; 3] = std::array::from_fn(|channel| {
        let values = painting.rgb().iter().skip(channel).step_by(3);
        values.map(|value| f32::from(*value)).collect()
    });
    let samplers = planes
        .each_ref()
        .map(|plane| Sampler::<1>::new(plane, width, height));
    let mut pixels = vec![0.0_f32; 3 * taken.len()];
    let rows = pixels.par_chunks_exact_mut(3 * width).enumerate();
    rows.for_each(|(row, pixels)| {
        for (column, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            let at = row * width + column;
            let x = column as f32 + motion.backward.u[at];
            let y = row as f32 + motion.backward.v[at];
            let place = samplers[0].place(x, y);
            for (value, sampler) in pixel.iter_mut().zip(&samplers) {
                // SAFETY: the place is that of a sampler of the same size; plain code needs no instructions.
                let found = unsafe { sampler.at::<Plain>(place, x, y) };
                *value = found.map_or(0.0, |[value]| value.clamp(0.0, 255.0));
            }
        }
    });
    let seen = seen(before, now, motion);
    let mut confidence = Vec::with_capacity(taken.len());
    for (i, taken) in taken.iter_mut().enumerate() {
        let trust = motion.confidence[i] * f32::from(motion.consistent[i]) * seen[i];
        let own = (trust - *taken).max(0.0);
        confidence.push(own);
        *taken += own;
    }
    Anchor {
        target: Canvas::from_pixels(&pixels, size).planes,
        confidence: size.extend(|pixel| confidence[pixel]),
    }
}

/// How far each pixel looks like what the motion says it was, 0..1: where it does not, motion is wrong however consistent.
fn seen(before: &Luma, now: &Luma, motion: &Motion) -> Vec<f32> {
    let (width, height) = (now.width, now.height);
    let difference = |x: usize, y: usize| {
        let at = y * width + x;
        let (x0, fx) = split(x as f32 + motion.backward.u[at], width);
        let (y0, fy) = split(y as f32 + motion.backward.v[at], height);
        let row = |y: usize| {
            let [a, b] = [0, 1].map(|i| f32::from(before.pixels[y * width + x0 + i]));
            a + fx * (b - a)
        };
        let then = row(y0) + fy * (row(y0 + 1) - row(y0));
        f32::from(now.pixels[at]) - then
    };
    let differences: Vec<f32> = (0..width * height)
        .map(|at| difference(at % width, at / width))
        .collect();
    let smooth = |at: usize| {
        let (x, y) = (at % width, at / width);
        let columns = x.saturating_sub(1)..(x + 2).min(width);
        let rows = y.saturating_sub(1)..(y + 2).min(height);
        let count = (columns.len() * rows.len()) as f32;
        let sum: f32 = rows
            .map(|y| {
                differences[y * width..][columns.clone()]
                    .iter()
                    .sum::<f32>()
            })
            .sum();
        (sum / count).abs()
    };
    (0..width * height)
        .map(|at| 1.0 - ((smooth(at) - OFF[0]) / (OFF[1] - OFF[0])).clamp(0.0, 1.0))
        .collect()
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
    if anchors.is_empty() {
        return content;
    }
    let trust = trust(anchors, content.planes.len() / 3);
    let painting = start(anchors, content.clone());
    let recolour = Recolour::learn(&content.planes, &painting.planes, &trust);
    let mut canvas = content;
    recolour.apply(&mut canvas.planes, |i| 1.0 - trust[i]);
    canvas
}

/// Difference of luma, averaged over 3×3 pixels (0..255), that costs no trust yet, and the one that costs all of it.
const OFF: [f32; 2] = [4.0, 12.0];

/// Trust from which on the optimiser starts from what the anchors show alone, and under which from something else alone: in
/// doubt from what the coarser sizes have painted afresh, which has softer strokes but shows what the picture shows.
const CHOICE: [f32; 2] = [0.5, 0.9];

/// Where the optimiser starts: the anchors where they can be trusted, of several the one that can be trusted most;
/// `elsewhere` in the rest.
pub(super) fn start(anchors: &[Anchor], elsewhere: Canvas) -> Canvas {
    let mut canvas = elsewhere;
    let plane = canvas.planes.len() / 3;
    for pixel in 0..plane {
        let by_trust =
            |a: &&Anchor, b: &&Anchor| a.confidence[pixel].total_cmp(&b.confidence[pixel]);
        // Of equals the first, which is the nearest.
        let Some(best) = anchors.iter().rev().max_by(by_trust) else {
            break;
        };
        let trust: f32 = anchors.iter().map(|anchor| anchor.confidence[pixel]).sum();
        let share = ((trust - CHOICE[0]) / (CHOICE[1] - CHOICE[0])).clamp(0.0, 1.0);
        for channel in 0..3 {
            let value = &mut canvas.planes[channel * plane + pixel];
            *value += share * (best.target[channel * plane + pixel] - *value);
        }
    }
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::flow::Flow;

    /// A wrong motion of both directions alike is consistent; only the picture tells.
    #[test]
    fn what_does_not_look_as_before_is_not_trusted_however_consistent() {
        let (width, height) = (48, 32);
        let luma = |value: &dyn Fn(usize) -> u8| Luma {
            width,
            height,
            pixels: (0..width * height).map(|at| value(at % width)).collect(),
        };
        let flow = || Flow {
            width,
            height,
            u: vec![0.0; width * height],
            v: vec![0.0; width * height],
        };
        let motion = Motion {
            backward: flow(),
            forward: flow(),
            consistent: vec![1; width * height],
            boundary: vec![0; width * height],
            confidence: vec![1.0; width * height],
        };
        // Left of the middle only noise of two levels, right of it another surface.
        let before = luma(&|_| 100);
        let now = luma(&|x| if x < 24 { 100 + 2 * (x % 2) as u8 } else { 140 });
        let trust = seen(&before, &now, &motion);
        let row = &trust[10 * width..][..width];
        assert!(row[..23].iter().all(|trust| *trust == 1.0), "{row:?}");
        assert!(row[25..].iter().all(|trust| *trust == 0.0), "{row:?}");
    }

    /// The mean of two paintings has less texture than either.
    #[test]
    fn the_start_is_one_painting_and_not_the_mean_of_several() {
        let size = Size::of(32, 32);
        let plane = size.width * size.height;
        let anchor = |value: f32, confidence: f32| Anchor {
            target: vec![value; 3 * plane],
            confidence: vec![confidence; plane],
        };
        let begun = |anchors: &[Anchor]| {
            let elsewhere = Canvas {
                planes: vec![50.0; 3 * plane],
                size,
            };
            start(anchors, elsewhere).planes[plane + 7]
        };
        assert_eq!(begun(&[anchor(10.0, 0.4), anchor(200.0, 0.6)]), 200.0);
        assert_eq!(begun(&[anchor(10.0, 0.5), anchor(200.0, 0.5)]), 10.0);
        assert_eq!(begun(&[anchor(10.0, 0.4), anchor(200.0, 0.0)]), 50.0);
        assert_eq!(begun(&[]), 50.0);
    }
}

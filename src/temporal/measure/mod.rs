//! How steady a film is: the error of each picture against the one before it, carried along the motion.
//!
//! ```text
//! e_stab = sqrt(1/(T−1) · Σ_t mean over trackable pixels of (O_t − W(O_{t−1}))²)      values in 0..1, mean over R, G, B
//! ```
//!
//! Trackable are the pixels whose two directions of flow agree and that stay inside the picture. The motion is always
//! that of the *input*, so a painting cannot influence how it is judged, and the input's own figure is the floor: noise
//! and imperfect motion. A result far below the floor smears.

mod texture;

use serde::Serialize;

use super::{flow::Motion, warp};
use crate::frame::Picture;
use texture::{Grey, OCTAVES, octaves};

/// Pixels that [`Tracks::some`] looks at, about: they give the error within some percent.
const SAMPLES: usize = 14_400;

/// Error sums of a pair of pictures.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    /// Mean over the trackable pixels of the squared error, 0..1.
    mean_square: f64,
    /// Trackable pixels.
    pixels: usize,
}

/// Where pixels of a picture were in the picture before: some of them, or all.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracks {
    /// Pixels of the picture.
    size: (usize, usize),
    /// Of each trackable pixel its index and its position in the picture before.
    tracks: Vec<(u32, [f32; 2])>,
}

impl Tracks {
    /// Every `step`-th pixel of every `step`-th row, as far as it can be tracked.
    fn every(step: usize, motion: &Motion) -> Self {
        let flow = &motion.backward;
        let size = (flow.width, flow.height);
        Self::at(
            size,
            step,
            samples(size, step).map(|(x, y)| {
                let at = y * flow.width + x;
                match motion.consistent[at] {
                    0 => [f32::NAN; 2],
                    _ => [x as f32 + flow.u[at], y as f32 + flow.v[at]],
                }
            }),
        )
    }

    /// Some 14,400 pixels, spread evenly, as far as they can be tracked.
    #[must_use]
    pub fn some(motion: &Motion) -> Self {
        let size = (motion.backward.width, motion.backward.height);
        Self::every(Self::step(size), motion)
    }

    /// From one to the next of the pixels that [`Tracks::some`] looks at, along each axis.
    pub(crate) fn step((width, height): (usize, usize)) -> usize {
        let step = ((width * height) as f64 / SAMPLES as f64).sqrt();
        step.round().max(1.0) as usize
    }

    /// How many they are, `step` apart.
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn count(size: (usize, usize), step: usize) -> usize {
        let [columns, rows] = [size.0, size.1].map(|side| (step / 2..side).step_by(step).len());
        columns * rows
    }

    /// From the `places` in the picture before of pixels `step` apart, row by row; those that cannot be tracked have no
    /// number.
    pub(crate) fn at(
        size: (usize, usize),
        step: usize,
        places: impl Iterator<Item = [f32; 2]>,
    ) -> Self {
        let known = samples(size, step)
            .zip(places)
            .filter(|(_, place)| !place[0].is_nan());
        Self {
            size,
            tracks: known
                .map(|((x, y), place)| ((y * size.0 + x) as u32, place))
                .collect(),
        }
    }
}

/// The pixels `step` apart, row by row.
fn samples((width, height): (usize, usize), step: usize) -> impl Iterator<Item = (usize, usize)> {
    let rows = (step / 2..height).step_by(step);
    rows.flat_map(move |y| (step / 2..width).step_by(step).map(move |x| (x, y)))
}

/// Error between `before` and `now`, pictures of the size of the tracks.
fn pair(before: &Picture, now: &Picture, tracks: &Tracks) -> Pair {
    let mut sum = 0.0_f64;
    for &(at, [x, y]) in &tracks.tracks {
        let old = warp::cubic_rgb(before, x, y);
        let new = &now.rgb()[3 * at as usize..][..3];
        let square = old
            .iter()
            .zip(new)
            .map(|(old, &new)| (f32::from(new) - old).powi(2));
        sum += f64::from(square.sum::<f32>());
    }
    let pixels = tracks.tracks.len();
    Pair {
        mean_square: sum / (3.0 * 255.0 * 255.0 * pixels.max(1) as f64),
        pixels,
    }
}

/// A pair of frames does not belong together (a cut) when fewer pixels than this share can be tracked...
const LEAST_TRACKABLE: f64 = 0.4;

/// ...or when the input's own error along the motion is above this, 0..1.
const LARGEST_INPUT_ERROR: f64 = 0.08;

/// Error along the motion from one frame to the next, 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FrameError {
    /// Number of the later frame, from 0.
    pub frame: usize,
    /// Of the input.
    pub input: f64,
    /// Of the stylised film.
    pub stylised: f64,
    /// Of the film painted frame by frame, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
}

/// What a film measures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Frames compared.
    pub frames: usize,
    /// Pairs of frames that do not belong together, left out.
    pub cuts: usize,
    /// Error of the stylised film along the motion, 0..1. Lower is steadier.
    pub e_stab: f64,
    /// The same of the input: the floor.
    pub e_stab_input: f64,
    /// What the baseline says.
    #[serde(flatten)]
    pub against: Option<Against>,
    /// Frame by frame; cuts are missing.
    #[serde(skip)]
    pub series: Vec<FrameError>,
}

/// A stylised film against its baseline, the same film painted frame by frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Against {
    /// Error of the baseline along the motion, 0..1.
    pub e_stab_baseline: f64,
    /// e_stab over that of the baseline.
    pub ratio: f64,
    /// Energy of each octave of a Laplacian pyramid, finest first, over that of the baseline: under 0.9 is blur.
    pub texture: [f64; OCTAVES],
    /// Mean luma difference to the baseline where nothing can be tracked, over that elsewhere: well above 1 is ghosting
    /// where things are uncovered. Absent when everything can be tracked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<f64>,
}

/// Measures a stylised film against its input.
#[derive(Debug, Default)]
pub struct Measure {
    before: Option<[Option<Picture>; 3]>,
    frames: usize,
    cuts: usize,
    series: Vec<FrameError>,
    energy: [[f64; OCTAVES]; 2],
    uncovered: Vec<f64>,
    rest: Vec<f64>,
}

impl Measure {
    /// Takes the next frame of each film, all of one size; `motion` is that of the input since the frame before.
    pub fn push(
        &mut self,
        input: Picture,
        stylised: Picture,
        baseline: Option<Picture>,
        motion: Option<&Motion>,
    ) {
        let greys = baseline
            .as_ref()
            .map(|baseline| [Grey::of(&stylised), Grey::of(baseline)]);
        if let Some(greys) = &greys {
            for (sums, grey) in self.energy.iter_mut().zip(greys) {
                for (sum, energy) in sums.iter_mut().zip(octaves(grey)) {
                    *sum += energy;
                }
            }
        }
        let now = [Some(input), Some(stylised), baseline];
        if let (Some(before), Some(motion)) = (&self.before, motion) {
            let tracks = Tracks::every(1, motion);
            let error = |at: usize| {
                let (before, now) = (before[at].as_ref()?, now[at].as_ref()?);
                Some(pair(before, now, &tracks))
            };
            match (error(0), error(1)) {
                (Some(input), Some(stylised)) if !is_cut(input, motion) => {
                    self.series.push(FrameError {
                        frame: self.frames,
                        input: input.mean_square.sqrt(),
                        stylised: stylised.mean_square.sqrt(),
                        baseline: error(2).map(|pair| pair.mean_square.sqrt()),
                    });
                    if let Some([stylised, baseline]) = &greys {
                        self.compare(stylised, baseline, motion);
                    }
                }
                _ => self.cuts += 1,
            }
        } else if self.frames > 0 {
            self.cuts += 1;
        }
        self.before = Some(now);
        self.frames += 1;
    }

    /// Adds up the difference to the baseline, apart for what can be tracked and what cannot.
    fn compare(&mut self, stylised: &Grey, baseline: &Grey, motion: &Motion) {
        let (mut sums, mut counts) = ([0.0; 2], [0_usize; 2]);
        for ((a, b), &consistent) in stylised
            .values
            .iter()
            .zip(&baseline.values)
            .zip(&motion.consistent)
        {
            let side = usize::from(consistent != 0);
            sums[side] += f64::from((a - b).abs());
            counts[side] += 1;
        }
        if counts[0] > 0 {
            self.uncovered.push(sums[0] / counts[0] as f64);
        }
        self.rest.push(sums[1] / counts[1].max(1) as f64);
    }

    /// What it comes to; `None` when no two frames belong together.
    pub fn finish(self) -> Option<Measured> {
        let root_mean = |value: &dyn Fn(&FrameError) -> Option<f64>| {
            let squares: Option<Vec<f64>> = self
                .series
                .iter()
                .map(|frame| value(frame).map(|error| error * error))
                .collect();
            squares
                .filter(|squares| !squares.is_empty())
                .map(|squares| (squares.iter().sum::<f64>() / squares.len() as f64).sqrt())
        };
        let e_stab = root_mean(&|frame| Some(frame.stylised))?;
        let e_stab_input = root_mean(&|frame| Some(frame.input))?;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let against = root_mean(&|frame| frame.baseline).map(|e_stab_baseline| Against {
            e_stab_baseline,
            ratio: e_stab / e_stab_baseline.max(1e-9),
            texture: std::array::from_fn(|k| self.energy[0][k] / self.energy[1][k].max(1e-9)),
            lag: (!self.uncovered.is_empty())
                .then(|| mean(&self.uncovered) / mean(&self.rest).max(1e-6)),
        });
        Some(Measured {
            frames: self.frames,
            cuts: self.cuts,
            e_stab,
            e_stab_input,
            against,
            series: self.series,
        })
    }
}

/// Mean magnitude of each octave of a picture, 0..255.
#[cfg(test)]
pub(super) fn octave_energies(picture: &Picture) -> [f64; OCTAVES] {
    octaves(&Grey::of(picture))
}

fn is_cut(input: Pair, motion: &Motion) -> bool {
    let trackable = input.pixels as f64 / motion.consistent.len().max(1) as f64;
    trackable < LEAST_TRACKABLE || input.mean_square.sqrt() > LARGEST_INPUT_ERROR
}

/// Measures a film while it passes.
#[derive(Debug, Default)]
pub struct Running {
    before: Option<Picture>,
    sum: f64,
    pairs: usize,
}

impl Running {
    /// Takes the next picture; without `tracks` it does not continue the one before.
    pub fn push(&mut self, picture: &Picture, tracks: Option<&Tracks>) {
        self.compare(picture, tracks);
        let size = (picture.width(), picture.height());
        match &mut self.before {
            Some(before) if (before.width(), before.height()) == size => {
                before.rgb_mut().copy_from_slice(picture.rgb());
            }
            before => *before = Some(picture.clone()),
        }
    }

    /// As [`Running::push`], with the picture itself.
    pub fn push_owned(&mut self, picture: Picture, tracks: Option<&Tracks>) {
        self.compare(&picture, tracks);
        self.before = Some(picture);
    }

    fn compare(&mut self, picture: &Picture, tracks: Option<&Tracks>) {
        let size = (picture.width(), picture.height());
        if let (Some(before), Some(tracks)) = (&self.before, tracks)
            && tracks.size == size
            && (before.width(), before.height()) == size
        {
            let pair = pair(before, picture, tracks);
            if pair.pixels > 0 {
                self.sum += pair.mean_square;
                self.pairs += 1;
            }
        }
    }

    /// e_stab, 0..1; `None` before two pictures that belong together.
    pub fn result(&self) -> Option<f64> {
        (self.pairs > 0).then(|| (self.sum / self.pairs as f64).sqrt())
    }
}

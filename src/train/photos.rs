//! Photos to train with, and what a random piece of one looks like to the network: cut out, scaled, mirrored, in another
//! light, and once more as the next frame of a film would show it (moved by whole pixels, a little brighter or darker, with
//! noise of its own).

use super::random::Random;
use super::resample::{Part, resample};
use crate::frame::Picture;

/// Photos are kept with this longest side at most.
pub const LONGEST_SIDE: usize = 1000;

/// Pieces in which no colour deviates by as much (of 255) are drawn again.
const LEAST_DEVIATION: f64 = 8.0;

/// Furthest move between the two views, in pixels.
const REACH: usize = 8;

/// Photos of sufficient size.
pub struct Photos {
    pictures: Vec<Picture>,
}

/// Two views of one piece of a photo.
pub struct Views {
    /// The first view without noise: RGB rows.
    pub clean: Vec<u8>,
    /// Both as the network sees them, `[side][side][3]`, 0..1; the second is empty unless it was asked for.
    pub seen: [Vec<f32>; 2],
    /// The pixel (row, column) of the first view that is the second's first, in both possibly negative.
    pub moved: (isize, isize),
}

impl Photos {
    /// Keeps these pictures.
    pub fn new(pictures: impl IntoIterator<Item = Picture>) -> Self {
        Self {
            pictures: pictures.into_iter().collect(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// A random piece of a random photo, `side` pixels wide and high; as two frames of a film if it is to be a `pair`.
    pub fn views(&self, random: &mut Random, side: usize, pair: bool) -> Views {
        let canvas_side = side + 2 * REACH;
        let mut canvas = self.piece(random, canvas_side);
        // Instance normalisation makes strokes of the noise of an empty piece: nothing to learn from.
        for _ in 0..8 {
            if deviation(&canvas) >= LEAST_DEVIATION {
                break;
            }
            canvas = self.piece(random, canvas_side);
        }
        let moved = match random.below(4) {
            0 => (0, 0),
            _ => {
                let mut step = || random.below(2 * REACH + 1) as isize - REACH as isize;
                (step(), step())
            }
        };
        let row = |y: usize, (down, right): (isize, isize)| {
            let top = (REACH as isize + down) as usize + y;
            let left = (REACH as isize + right) as usize;
            &canvas[(top * canvas_side + left) * 3..][..side * 3]
        };
        let mut clean = Vec::with_capacity(side * side * 3);
        (0..side).for_each(|y| clean.extend_from_slice(row(y, (0, 0))));
        let seen = |from, gain: f32, noise: f32, random: &mut Random| {
            let mut values = Vec::with_capacity(side * side * 3);
            for y in 0..side {
                let row = row(y, from);
                let light = row.iter().map(|value| f32::from(*value) * (gain / 255.0));
                if noise > 0.0 {
                    values.extend(light.map(|light| light + noise * random.normal()));
                } else {
                    values.extend(light);
                }
            }
            values
                .iter_mut()
                .for_each(|value| *value = value.clamp(0.0, 1.0));
            values
        };
        // Half of the first views are as clean as the one that the target is painted from.
        let mut noise = || (random.unit() - 0.5).max(0.0) * 0.06;
        let noises = [noise(), noise()];
        let gain = random.between(0.97, 1.03);
        let first = seen((0, 0), 1.0, noises[0], random);
        let second = match pair {
            true => seen(moved, gain, noises[1], random),
            false => Vec::new(),
        };
        Views {
            clean,
            seen: [first, second],
            moved,
        }
    }

    /// A random piece of a random photo, brought to `side` × `side`: RGB rows.
    fn piece(&self, random: &mut Random, side: usize) -> Vec<u8> {
        let photo = &self.pictures[random.below(self.pictures.len())];
        let (width, height) = (photo.width() as f32, photo.height() as f32);
        // Pieces stretch by a fifth at most, and are magnified by a third at most.
        let stretch = random.between(0.9, 1.1);
        let (across, down) = (stretch, 1.0 / stretch);
        let largest = (width / across).min(height / down);
        let smallest = (side as f32 * 0.75).min(largest);
        let length = smallest * (largest / smallest).powf(random.unit());
        let (w, h) = ((length * across).min(width), (length * down).min(height));
        let part = Part {
            left: random.between(0.0, width - w) as usize,
            top: random.between(0.0, height - h) as usize,
            width: w as usize,
            height: h as usize,
        };
        let mut rgb = resample(photo.rgb(), photo.width(), part, side);
        if random.below(2) == 1 {
            mirror(&mut rgb, side);
        }
        relight(&mut rgb, random);
        rgb
    }
}

/// The largest standard deviation of a colour.
fn deviation(rgb: &[u8]) -> f64 {
    let (mut sums, mut squares) = ([0.0_f64; 3], [0.0; 3]);
    for pixel in rgb.chunks_exact(3) {
        for c in 0..3 {
            let value = f64::from(pixel[c]);
            sums[c] += value;
            squares[c] += value * value;
        }
    }
    let count = rgb.len() as f64 / 3.0;
    (0..3)
        .map(|c| {
            (squares[c] / count - (sums[c] / count).powi(2))
                .max(0.0)
                .sqrt()
        })
        .fold(0.0, f64::max)
}

fn mirror(rgb: &mut [u8], side: usize) {
    for row in rgb.chunks_exact_mut(side * 3) {
        for x in 0..side / 2 {
            for c in 0..3 {
                row.swap(x * 3 + c, (side - 1 - x) * 3 + c);
            }
        }
    }
}

/// Another exposure, contrast, white balance and saturation.
fn relight(rgb: &mut [u8], random: &mut Random) {
    let gamma = random.between(-0.3, 0.3).exp();
    let contrast = random.between(0.75, 1.2);
    let middle = random.between(0.4, 0.6);
    let gains = [(); 3].map(|()| random.between(-0.08, 0.08).exp());
    let saturation = random.between(0.6, 1.3);
    let tables = gains.map(|gain| {
        let mut table = [0.0_f32; 256];
        for (value, entry) in table.iter_mut().enumerate() {
            let light = (value as f32 / 255.0).powf(gamma) * gain;
            *entry = 255.0 * (middle + (light - middle) * contrast);
        }
        table
    });
    for pixel in rgb.chunks_exact_mut(3) {
        let lit = [0, 1, 2].map(|c| tables[c][usize::from(pixel[c])]);
        let grey = 0.299 * lit[0] + 0.587 * lit[1] + 0.114 * lit[2];
        for (value, lit) in pixel.iter_mut().zip(lit) {
            // Rounds, and saturates by itself.
            *value = (grey + (lit - grey) * saturation + 0.5) as u8;
        }
    }
}

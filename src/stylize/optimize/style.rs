//! Gram matrices: those of the style's pictures, and those of parts of the painting.
//!
//! Of several pictures the weighted mean of their Gram matrices is the target: the weighted sum of their losses differs
//! from it by a constant only. Where a mask says which part is painted in which style, each style is compared with the
//! Gram matrices of its own part, a *guided* Gram matrix (Gatys et al. 2017, "Controlling perceptual factors in neural
//! style transfer"): every pixel counts as much as the mask covers it.

use super::{
    features::{DeviceVector, Features},
    tiles::Tiles,
};
use crate::stylize::StylizeError;

/// Gram matrices of one picture, one for each of the style layers.
#[derive(Clone, Debug)]
pub(super) struct Grams(Vec<Vec<f32>>);

/// What a part of the painting is drawn to: Gram matrices and their squared Frobenius norms.
#[derive(Clone, Debug)]
pub(super) struct StyleTarget {
    pub(super) grams: Vec<(Vec<f32>, f64)>,
}

impl StyleTarget {
    /// The weighted mean of the Gram matrices of some pictures.
    pub(super) fn mean<'a>(pictures: impl IntoIterator<Item = (&'a Grams, f32)>) -> Self {
        let mut total = 0.0;
        let mut means: Vec<Vec<f32>> = Vec::new();
        for (grams, weight) in pictures {
            total += weight;
            means.resize_with(grams.0.len(), Vec::new);
            for (mean, gram) in means.iter_mut().zip(&grams.0) {
                mean.resize(gram.len(), 0.0);
                let pairs = mean.iter_mut().zip(gram);
                pairs.for_each(|(mean, gram)| *mean += weight * gram);
            }
        }
        let grams = means.into_iter().map(|mut mean| {
            mean.iter_mut().for_each(|value| *value /= total);
            let norm = mean.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            (mean, norm.max(1e-12))
        });
        Self {
            grams: grams.collect(),
        }
    }
}

/// Which part of the canvas counts, at the size of every layer.
#[derive(Clone, Debug)]
pub(super) struct Guide {
    /// For strides 1, 2, 4, ...: weights 0..1, and their sum.
    planes: Vec<(Vec<f32>, f64)>,
}

impl Guide {
    /// The guide of a `mask` (0..1) over a canvas, halved by averaging as the network's features are.
    pub(super) fn new(mask: Vec<f32>, (height, width): (usize, usize)) -> Self {
        let sum = |plane: &[f32]| plane.iter().map(|v| f64::from(*v)).sum::<f64>();
        let (mut height, mut width) = (height, width);
        let mut planes = vec![(sum(&mask), mask)];
        while height % 2 == 0 && width % 2 == 0 && planes.len() < 5 {
            let (_, last) = &planes[planes.len() - 1];
            (height, width) = (height / 2, width / 2);
            let mut halved = Vec::with_capacity(height * width);
            for y in 0..height {
                for x in 0..width {
                    let at = 2 * y * 2 * width + 2 * x;
                    let (upper, lower) = (&last[at..at + 2], &last[at + 2 * width..][..2]);
                    halved.push(0.25 * (upper[0] + upper[1] + lower[0] + lower[1]));
                }
            }
            planes.push((sum(&halved), halved));
        }
        Self {
            planes: planes
                .into_iter()
                .map(|(sum, plane)| (plane, sum))
                .collect(),
        }
    }

    /// The weights at a stride, and their sum.
    pub(super) fn at(&self, stride: usize) -> (&[f32], f64) {
        let (plane, sum) = &self.planes[stride.ilog2() as usize];
        (plane, *sum)
    }
}

/// The planes of a canvas, wherever they lie.
pub(super) enum Point<'a> {
    /// In memory.
    Processor(&'a [f32]),
    /// On the network's device; the canvas is one tile then.
    Device(&'a DeviceVector),
}

/// What Gram matrices are made with.
pub(super) struct Look<'a> {
    pub(super) network: &'a mut dyn Features,
    pub(super) input: &'a mut Vec<f32>,
}

impl Look<'_> {
    /// Gram matrices of the planes `x` at each of `layers`, for each of `guides` (`None`: all of the picture); the last
    /// tile, computed up to the last of `wanted`, is what the network remembers.
    ///
    /// # Errors
    /// When the network's device fails.
    pub(super) fn grams(
        &mut self,
        tiles: &Tiles,
        x: &Point<'_>,
        (wanted, layers): (&[usize], &[usize]),
        guides: &[Option<&Guide>],
    ) -> Result<Vec<Grams>, StylizeError> {
        let empty = || {
            let channels = layers.iter().map(|&layer| self.network.channels(layer));
            Grams(channels.map(|n| vec![0.0; n * n]).collect())
        };
        let mut sums: Vec<Grams> = guides.iter().map(|_| empty()).collect();
        let pixels: Vec<f64> = layers
            .iter()
            .map(|&layer| tiles.pixels() as f64 / (self.network.stride(layer) as f64).powi(2))
            .collect();
        for tile in &tiles.tiles {
            match x {
                Point::Device(x) => {
                    let device = self.network.on_device();
                    let device = device.expect("a canvas on a device is its network's");
                    device.forward_canvas(x, tile.size(), wanted)?;
                }
                Point::Processor(x) => {
                    tiles.load(tile, x, self.input);
                    self.network.forward(self.input, tile.size(), wanted)?;
                }
            }
            for (place, &layer) in layers.iter().enumerate() {
                let stride = self.network.stride(layer);
                for (sum, guide) in sums.iter_mut().zip(guides) {
                    let (guide, total) = match guide.map(|guide| guide.at(stride)) {
                        Some((guide, total)) => (Some(guide), total.max(1e-6)),
                        None => (None, pixels[place]),
                    };
                    let weights = tiles.weights(tile, stride, guide);
                    let scale = (1.0 / total) as f32;
                    self.network
                        .add_gram(layer, weights.as_deref(), scale, &mut sum.0[place])?;
                }
            }
        }
        Ok(sums)
    }
}

impl Grams {
    /// The matrices, in the order of the layers.
    pub(super) fn into_matrices(self) -> Vec<Vec<f32>> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guides_are_halved_by_averaging() {
        let mask = (0..16 * 32)
            .map(|i| f32::from(u8::from(i % 32 < 17)))
            .collect();
        let guide = Guide::new(mask, (16, 32));
        let (halved, sum) = guide.at(2);
        assert_eq!((halved[7], halved[8], halved[9]), (1.0, 0.5, 0.0));
        assert!((sum - 8.0 * 8.5).abs() < 1e-9);
        assert!((guide.at(16).1 - 17.0 / 16.0).abs() < 1e-6);
    }

    #[test]
    fn a_mean_of_styles_is_that_of_their_matrices() {
        let one = Grams(vec![vec![1.0, 0.0, 0.0, 1.0]]);
        let other = Grams(vec![vec![3.0, 4.0, 4.0, 3.0]]);
        let target = StyleTarget::mean([(&one, 3.0), (&other, 1.0)]);
        assert_eq!(target.grams[0].0, [1.5, 1.0, 1.0, 1.5]);
        assert!((target.grams[0].1 - 6.5).abs() < 1e-9);
    }
}

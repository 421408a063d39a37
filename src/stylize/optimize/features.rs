//! The loss network wherever it runs: what the losses need of it.

use std::any::Any;

use half::{bf16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use super::objective::Anchor;
use crate::{
    kernels::{LossNetwork, Tape, add_gram, add_gram_gradient},
    nn::optimizers::Space,
    stylize::StylizeError,
};

/// One term of a loss on features. Weights are one value for each pixel of the layer; `None`: all count 1.
pub(super) enum Term {
    /// Leads D·F·diag(weights) back, D being the `matrix` of this place.
    Style {
        layer: usize,
        /// Part and layer of the matrix.
        matrix: (usize, usize),
        weights: Option<Vec<f32>>,
    },
    /// `scale`·Σ w·(F − kept)².
    Content {
        layer: usize,
        /// What [`Features::keep`] returned.
        kept: usize,
        weights: Option<Vec<f32>>,
        scale: f64,
    },
}

/// Numbers on a device.
pub(super) type DeviceVector = Box<dyn Any + Send>;

/// A place for an optimiser's vectors on a device.
pub(super) trait DeviceSpace: Space<Vector = DeviceVector, Error = StylizeError> {
    /// Brings numbers there.
    fn put(&self, values: &[f32]) -> Result<DeviceVector, StylizeError>;

    /// Brings them back.
    fn take(&self, vector: &DeviceVector) -> Result<Vec<f32>, StylizeError>;
}

/// A loss network on a device that holds canvases too: planes R, G, B, 0..255. Gradients are by these.
pub(super) trait DeviceFeatures {
    /// A place for vectors of so many numbers.
    fn space(&self, length: usize) -> Box<dyn DeviceSpace>;

    /// Holds canvases to these until others come.
    fn hold(&mut self, anchors: &[Anchor]) -> Result<(), StylizeError>;

    /// As [`Features::forward`].
    fn forward_canvas(
        &mut self,
        canvas: &DeviceVector,
        size: (usize, usize),
        wanted: &[usize],
    ) -> Result<(), StylizeError>;

    /// As [`Features::backward`]; says also whether there was a gradient to write.
    fn backward_canvas(
        &mut self,
        terms: &[Term],
        matrices: &[Vec<Vec<f32>>],
        size: (usize, usize),
        gradient: &mut DeviceVector,
    ) -> Result<(f64, bool), StylizeError>;

    /// Adds the gradient of the losses on pixels, with which it begins unless `begun`: `weights` are those of the variation, of
    /// what is out of range, and of the difference to what canvases are held to. Returns the first two and the last loss.
    fn pixel_losses(
        &mut self,
        canvas: &DeviceVector,
        gradient: &mut DeviceVector,
        size: (usize, usize),
        weights: [f32; 3],
        begun: bool,
    ) -> Result<[f64; 2], StylizeError>;
}

/// A loss network that remembers its last pass.
pub(super) trait Features: Send {
    /// The same network where canvases can lie on its device.
    fn on_device(&mut self) -> Option<&mut dyn DeviceFeatures> {
        None
    }

    /// Channels after a layer.
    fn channels(&self, layer: usize) -> usize;

    /// Pixels of the input along a side of a pixel of a layer.
    fn stride(&self, layer: usize) -> usize;

    /// How far, in pixels of the input, features up to layer `last` look beyond their own place at most.
    fn reach(&self, last: usize) -> usize;

    /// Runs `input` (`[3][height][width]`: B, G, R with the mean taken off) up to the last of the layers `wanted`.
    fn forward(
        &mut self,
        input: &[f32],
        size: (usize, usize),
        wanted: &[usize],
    ) -> Result<(), StylizeError>;

    /// Adds `scale`·F·diag(weights)·Fᵀ of a layer's features to `sum`.
    fn add_gram(
        &mut self,
        layer: usize,
        weights: Option<&[f32]>,
        scale: f32,
        sum: &mut [f32],
    ) -> Result<(), StylizeError>;

    /// The weighed sum of the squares of a layer's features.
    fn squares(&mut self, layer: usize, weights: Option<&[f32]>) -> Result<f64, StylizeError>;

    /// Keeps the features of a layer for [`Term::Content`]; they may be gone from the layer until the next pass.
    fn keep(&mut self, layer: usize) -> usize;

    /// Forgets what was kept. Passes that follow have `pixels` at most: what larger ones have taken is given back.
    fn begin(&mut self, pixels: usize);

    /// The gradient of `terms` by the input of the last pass (which wanted the same layers), written to `gradient`;
    /// returns the sum of the content terms. `matrices` are those that terms name.
    fn backward(
        &mut self,
        wanted: &[usize],
        terms: &[Term],
        matrices: &[Vec<Vec<f32>>],
        gradient: &mut [f32],
    ) -> Result<f64, StylizeError>;
}

/// Pixels for which a tape may be longer than it need be (180 MB), so that the pictures of a film use the same one.
const SPARE_PIXELS: usize = 1 << 17;

/// The processor's kernels.
pub(super) struct OnProcessor {
    network: LossNetwork,
    tape: Tape,
    /// Of the largest pass that the tape has seen.
    largest: usize,
    /// In half of the bytes: of large pictures they are a fifth of the memory.
    kept: Vec<Vec<bf16>>,
}

impl OnProcessor {
    pub(super) fn new(network: LossNetwork) -> Self {
        Self {
            network,
            tape: Tape::default(),
            largest: 0,
            kept: Vec::new(),
        }
    }
}

impl Features for OnProcessor {
    fn channels(&self, layer: usize) -> usize {
        self.network.channels(layer)
    }

    fn stride(&self, layer: usize) -> usize {
        self.network.stride(layer)
    }

    fn reach(&self, last: usize) -> usize {
        self.network.reach(last)
    }

    fn forward(
        &mut self,
        input: &[f32],
        size: (usize, usize),
        wanted: &[usize],
    ) -> Result<(), StylizeError> {
        self.largest = self.largest.max(size.0 * size.1);
        self.network.forward(&mut self.tape, input, size, wanted);
        Ok(())
    }

    fn add_gram(
        &mut self,
        layer: usize,
        weights: Option<&[f32]>,
        scale: f32,
        sum: &mut [f32],
    ) -> Result<(), StylizeError> {
        add_gram(self.tape.features(layer), weights, scale, sum);
        Ok(())
    }

    fn squares(&mut self, layer: usize, weights: Option<&[f32]>) -> Result<f64, StylizeError> {
        let features = self.tape.features(layer);
        let planes = features.chunks_exact(features.len() / self.network.channels(layer));
        Ok(planes
            .map(|plane| {
                let squares = plane.iter().map(|f| f64::from(*f).powi(2));
                match weights {
                    None => squares.sum::<f64>(),
                    Some(weights) => squares.zip(weights).map(|(f, w)| f * f64::from(*w)).sum(),
                }
            })
            .sum())
    }

    fn keep(&mut self, layer: usize) -> usize {
        let features = self.tape.features(layer);
        let mut kept = vec![bf16::ZERO; features.len()];
        kept.convert_from_f32_slice(features);
        self.kept.push(kept);
        self.kept.len() - 1
    }

    fn begin(&mut self, pixels: usize) {
        self.kept.clear();
        // Half of a large picture in one piece, then the whole in many: the tape would stay as long as it was.
        if self.largest > pixels + SPARE_PIXELS {
            self.tape = Tape::default();
            self.largest = 0;
        }
    }

    fn backward(
        &mut self,
        wanted: &[usize],
        terms: &[Term],
        matrices: &[Vec<Vec<f32>>],
        gradient: &mut [f32],
    ) -> Result<f64, StylizeError> {
        let Self {
            network,
            tape,
            kept: features_kept,
            ..
        } = self;
        let mut content = 0.0;
        let add = |number: usize, features: &[f32], gradient: &mut [f32]| {
            for term in terms {
                match term {
                    Term::Style {
                        layer,
                        matrix,
                        weights,
                    } if *layer == number => {
                        let matrix = &matrices[matrix.0][matrix.1];
                        add_gram_gradient(matrix, features, weights.as_deref(), gradient);
                    }
                    Term::Content {
                        layer,
                        kept,
                        weights,
                        scale,
                    } if *layer == number => {
                        let pair = (features, features_kept[*kept].as_slice());
                        content += add_difference(pair, weights.as_deref(), *scale, gradient);
                    }
                    _ => {}
                }
            }
        };
        network.backward(tape, wanted, add, gradient);
        Ok(content)
    }
}

/// scale · Σ (F − target)² over the features that count, and its gradient.
fn add_difference(
    (features, target): (&[f32], &[bf16]),
    counts: Option<&[f32]>,
    scale: f64,
    gradient: &mut [f32],
) -> f64 {
    const PIECE: usize = 4096;
    let slope = (2.0 * scale) as f32;
    let parts: Vec<f64> = features
        .par_chunks(PIECE)
        .zip(target.par_chunks(PIECE))
        .zip(gradient.par_chunks_mut(PIECE))
        .enumerate()
        .map(|(piece, ((features, target), gradient))| {
            let mut wide = [0.0; PIECE];
            let wide = &mut wide[..target.len()];
            target.convert_to_f32_slice(wide);
            let mut sum = 0.0_f32;
            let counted = |i: usize| counts.map_or(1.0, |c| c[(piece * PIECE + i) % c.len()]);
            for (i, ((f, t), g)) in features.iter().zip(wide).zip(gradient).enumerate() {
                let (d, c) = (f - *t, counted(i));
                sum += c * d * d;
                *g += slope * c * d;
            }
            f64::from(sum)
        })
        .collect();
    scale * parts.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Pooling;
    use crate::nn::vgg::tests::small;

    #[test]
    fn what_large_pictures_took_is_given_back_and_what_films_share_is_not() {
        let mut network = OnProcessor::new(small(&[(8, false)]).on_processor(Pooling::Average));
        let mut pass = |size: (usize, usize)| {
            let pixels = size.0 * size.1;
            network.begin(pixels);
            let input = vec![1.0; 3 * pixels];
            network.forward(&input, size, &[0]).unwrap();
            network.tape.room()
        };
        let large = pass((400, 400));
        // A little less is held in the same room; a size after that counts from the largest.
        assert_eq!(pass((384, 384)), large);
        let small = pass((48, 64));
        assert!(small < large / 10, "{small} of {large}");
    }
}

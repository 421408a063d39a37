//! The loss network wherever it runs: what the losses need of it.

use half::{bf16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use crate::{
    kernels::{LossNetwork, Tape, add_gram, add_gram_gradient},
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

/// A loss network that remembers its last pass.
pub(super) trait Features: Send {
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

/// An NVIDIA card.
#[cfg(any(test, feature = "cuda"))]
pub(super) struct OnCard<C: crate::cuda::Card> {
    network: crate::cuda::LossOnCard<C>,
    /// Channels, stride and reach of each layer.
    layers: Vec<(usize, usize, usize)>,
}

#[cfg(any(test, feature = "cuda"))]
impl<C: crate::cuda::Card> OnCard<C> {
    pub(super) fn new(
        weights: &crate::nn::vgg::VggWeights,
        pooling: crate::kernels::Pooling,
        card: C,
    ) -> Result<Self, StylizeError> {
        let (mut reach, mut stride) = (0, 1);
        let layers = weights.layers.iter().map(|layer| {
            if layer.pooled {
                reach += stride;
                stride *= 2;
            }
            reach += stride;
            (layer.out_channels, stride, reach)
        });
        Ok(Self {
            layers: layers.collect(),
            network: crate::cuda::LossOnCard::new(weights, pooling, card)?,
        })
    }
}

#[cfg(any(test, feature = "cuda"))]
impl<C: crate::cuda::Card + Send> Features for OnCard<C>
where
    C::Memory: Send,
{
    fn channels(&self, layer: usize) -> usize {
        self.layers[layer].0
    }

    fn stride(&self, layer: usize) -> usize {
        self.layers[layer].1
    }

    fn reach(&self, last: usize) -> usize {
        self.layers[last].2
    }

    fn forward(
        &mut self,
        input: &[f32],
        size: (usize, usize),
        wanted: &[usize],
    ) -> Result<(), StylizeError> {
        let last = wanted.iter().max().copied().unwrap_or(0);
        Ok(self.network.forward(input, size, last)?)
    }

    fn add_gram(
        &mut self,
        layer: usize,
        weights: Option<&[f32]>,
        scale: f32,
        sum: &mut [f32],
    ) -> Result<(), StylizeError> {
        Ok(self.network.add_gram(layer, weights, scale, sum)?)
    }

    fn squares(&mut self, layer: usize, weights: Option<&[f32]>) -> Result<f64, StylizeError> {
        Ok(self.network.squares(layer, weights)?)
    }

    fn keep(&mut self, layer: usize) -> usize {
        self.network.keep(layer)
    }

    fn begin(&mut self, _pixels: usize) {
        self.network.forget();
    }

    fn backward(
        &mut self,
        _wanted: &[usize],
        terms: &[Term],
        matrices: &[Vec<Vec<f32>>],
        gradient: &mut [f32],
    ) -> Result<f64, StylizeError> {
        use crate::cuda::CardTerm;
        let terms: Vec<CardTerm<'_>> = terms
            .iter()
            .map(|term| match term {
                Term::Style {
                    layer,
                    matrix,
                    weights,
                } => CardTerm::Style {
                    layer: *layer,
                    slope: &matrices[matrix.0][matrix.1],
                    pixel_weights: weights.as_deref(),
                },
                Term::Content {
                    layer,
                    kept,
                    weights,
                    scale,
                } => CardTerm::Content {
                    layer: *layer,
                    kept: *kept,
                    pixel_weights: weights.as_deref(),
                    scale: *scale,
                },
            })
            .collect();
        Ok(self.network.backward(&terms, gradient)?)
    }
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

//! The loss network on an NVIDIA card, with canvases and the optimiser's vectors beside it.

use super::{
    features::{DeviceFeatures, DeviceSpace, DeviceVector, Features, Term},
    objective::Anchor,
};
use crate::{
    cuda::{Card, CardError, CardSpace, CardTerm, LossOnCard, PixelLosses},
    kernels::Pooling,
    nn::{
        optimizers::{AdamStep, Space},
        vgg::VggWeights,
    },
    stylize::StylizeError,
};

/// An NVIDIA card.
pub(super) struct OnCard<C: Card> {
    card: C,
    network: LossOnCard<C>,
    /// What canvases are held to, and how strongly.
    anchors: Vec<(C::Memory, C::Memory)>,
    /// Channels, stride and reach of each layer.
    layers: Vec<(usize, usize, usize)>,
}

impl<C: Card + Clone> OnCard<C> {
    pub(super) fn new(
        weights: &VggWeights,
        pooling: Pooling,
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
            network: LossOnCard::new(weights, pooling, card.clone())?,
            card,
            anchors: Vec::new(),
        })
    }
}

#[cfg(test)]
impl<C: Card> OnCard<C> {
    /// With the tiles that large pictures have.
    pub(super) fn with_large_tiles(mut self) -> Self {
        self.network.busy = 0;
        self
    }
}

impl<C: Card + Clone + Send + 'static> Features for OnCard<C> {
    fn on_device(&mut self) -> Option<&mut dyn DeviceFeatures> {
        Some(self)
    }

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
        let terms = card_terms(terms, matrices);
        Ok(self.network.backward(&terms, gradient)?)
    }
}

/// The terms as the card takes them.
fn card_terms<'a>(terms: &'a [Term], matrices: &'a [Vec<Vec<f32>>]) -> Vec<CardTerm<'a>> {
    let terms = terms.iter().map(|term| match term {
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
    });
    terms.collect()
}

/// What a vector is on a card.
fn memory<C: Card + 'static>(vector: &DeviceVector) -> &C::Memory {
    vector
        .downcast_ref()
        .expect("vectors stay with the card that made them")
}

fn memory_mut<C: Card + 'static>(vector: &mut DeviceVector) -> &mut C::Memory {
    vector
        .downcast_mut()
        .expect("vectors stay with the card that made them")
}

impl<C: Card + Clone + Send + 'static> DeviceFeatures for OnCard<C> {
    fn space(&self, length: usize) -> Box<dyn DeviceSpace> {
        Box::new(OnDevice(CardSpace::new(self.card.clone(), length)))
    }

    fn hold(&mut self, anchors: &[Anchor]) -> Result<(), StylizeError> {
        let put = |values: &[f32]| CardSpace::new(self.card.clone(), values.len()).put(values);
        let anchors = anchors.iter();
        let anchors = anchors.map(|anchor| Ok((put(&anchor.target)?, put(&anchor.confidence)?)));
        self.anchors = anchors.collect::<Result<_, CardError>>()?;
        Ok(())
    }

    fn forward_canvas(
        &mut self,
        canvas: &DeviceVector,
        size: (usize, usize),
        wanted: &[usize],
    ) -> Result<(), StylizeError> {
        let last = wanted.iter().max().copied().unwrap_or(0);
        Ok(self
            .network
            .forward_canvas(memory::<C>(canvas), size, last)?)
    }

    fn backward_canvas(
        &mut self,
        terms: &[Term],
        matrices: &[Vec<Vec<f32>>],
        size: (usize, usize),
        gradient: &mut DeviceVector,
    ) -> Result<(f64, bool), StylizeError> {
        let terms = card_terms(terms, matrices);
        Ok(self
            .network
            .backward_canvas(&terms, size, memory_mut::<C>(gradient))?)
    }

    fn pixel_losses(
        &mut self,
        canvas: &DeviceVector,
        gradient: &mut DeviceVector,
        size: (usize, usize),
        [variation, range, temporal]: [f32; 3],
        begun: bool,
    ) -> Result<[f64; 2], StylizeError> {
        let losses = PixelLosses {
            size,
            variation,
            range,
            temporal,
            anchors: &self.anchors,
        };
        let (canvas, gradient) = (memory::<C>(canvas), memory_mut::<C>(gradient));
        Ok(self
            .network
            .pixel_losses(canvas, gradient, &losses, begun)?)
    }
}

/// Vectors on a card, of which nothing but that is known.
struct OnDevice<C: Card>(CardSpace<C>);

impl<C: Card + Send + 'static> DeviceSpace for OnDevice<C> {
    fn put(&self, values: &[f32]) -> Result<DeviceVector, StylizeError> {
        Ok(Box::new(self.0.put(values)?))
    }

    fn take(&self, vector: &DeviceVector) -> Result<Vec<f32>, StylizeError> {
        Ok(self.0.take(memory::<C>(vector))?)
    }
}

impl<C: Card + Send + 'static> Space for OnDevice<C> {
    type Vector = DeviceVector;
    type Error = StylizeError;

    fn fresh(&mut self) -> Result<DeviceVector, StylizeError> {
        Ok(Box::new(self.0.fresh()?))
    }

    fn copy(&mut self, to: &mut DeviceVector, from: &DeviceVector) -> Result<(), StylizeError> {
        Ok(self.0.copy(memory_mut::<C>(to), memory::<C>(from))?)
    }

    fn add_scaled(
        &mut self,
        to: &mut DeviceVector,
        factor: f64,
        x: &DeviceVector,
    ) -> Result<(), StylizeError> {
        Ok(self
            .0
            .add_scaled(memory_mut::<C>(to), factor, memory::<C>(x))?)
    }

    fn scale(&mut self, to: &mut DeviceVector, factor: f64) -> Result<(), StylizeError> {
        Ok(self.0.scale(memory_mut::<C>(to), factor)?)
    }

    fn multiply(
        &mut self,
        to: &mut DeviceVector,
        factor: f32,
        by: &DeviceVector,
    ) -> Result<(), StylizeError> {
        Ok(self
            .0
            .multiply(memory_mut::<C>(to), factor, memory::<C>(by))?)
    }

    fn add_square(
        &mut self,
        to: &mut DeviceVector,
        kept: f32,
        factor: f32,
        x: &DeviceVector,
    ) -> Result<(), StylizeError> {
        Ok(self
            .0
            .add_square(memory_mut::<C>(to), kept, factor, memory::<C>(x))?)
    }

    fn root_of_ratio(
        &mut self,
        a: &DeviceVector,
        b: &DeviceVector,
        floors: [f32; 2],
    ) -> Result<DeviceVector, StylizeError> {
        let root = self
            .0
            .root_of_ratio(memory::<C>(a), memory::<C>(b), floors)?;
        Ok(Box::new(root))
    }

    fn dot(&mut self, a: &DeviceVector, b: &DeviceVector) -> Result<f64, StylizeError> {
        Ok(self.0.dot(memory::<C>(a), memory::<C>(b))?)
    }

    fn sum(&mut self, a: &DeviceVector) -> Result<f64, StylizeError> {
        Ok(self.0.sum(memory::<C>(a))?)
    }

    fn dot_of_square(&mut self, a: &DeviceVector, b: &DeviceVector) -> Result<f64, StylizeError> {
        Ok(self.0.dot_of_square(memory::<C>(a), memory::<C>(b))?)
    }

    fn adam(
        &mut self,
        x: &mut DeviceVector,
        [mean, square]: [&mut DeviceVector; 2],
        gradient: &DeviceVector,
        step: AdamStep,
    ) -> Result<(), StylizeError> {
        let moments = [memory_mut::<C>(mean), memory_mut::<C>(square)];
        Ok(self
            .0
            .adam(memory_mut::<C>(x), moments, memory::<C>(gradient), step)?)
    }

    fn length(&self) -> usize {
        self.0.length()
    }
}

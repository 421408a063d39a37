//! Terms of a loss, and the gradients that they begin with.

use half::{f16, slice::HalfFloatSliceExt};

use super::{
    super::{
        Card, CardError, bytes_of,
        parameters::{Convolution, Difference},
    },
    LossOnCard,
    work::{self, packing, plain, tiled},
};

/// One term of a loss on the features of a layer.
pub enum CardTerm<'a> {
    /// D·F weighed by a value of each pixel: what a Gram matrix of the features leads to.
    Style {
        /// The layer.
        layer: usize,
        /// D, symmetric, channels × channels.
        slope: &'a [f32],
        /// Of each pixel, if they differ.
        pixel_weights: Option<&'a [f32]>,
    },
    /// `scale`·Σ w·(F − kept)².
    Content {
        /// The layer.
        layer: usize,
        /// What [`LossOnCard::keep`] returned.
        kept: usize,
        /// Of each pixel, if they differ.
        pixel_weights: Option<&'a [f32]>,
        /// The factor.
        scale: f64,
    },
}

impl<C: Card> LossOnCard<C> {
    /// Adds a term to the gradient of its layer, if that is `number`; returns the loss that it has itself.
    pub(super) fn add_term(
        &mut self,
        term: &CardTerm<'_>,
        number: usize,
        (gradient, begun): (u64, &mut bool),
        gradient_scale: f32,
    ) -> Result<f64, CardError> {
        match *term {
            CardTerm::Content {
                layer,
                kept,
                pixel_weights,
                scale,
            } if layer == number => {
                let difference = Difference {
                    target: self.kept[kept].address(&self.card),
                    pixel_weights: self.put_pixel_weights(pixel_weights)?,
                    gradient,
                    slope: (2.0 * scale) as f32 * gradient_scale,
                    add: i32::from(*begun),
                    ..Difference::default()
                };
                *begun = true;
                Ok(scale * self.difference(layer, difference)?)
            }
            CardTerm::Style {
                layer,
                slope,
                pixel_weights,
            } if layer == number => {
                let channels = self.layers[layer].out_channels;
                // Brought to 1, so that half precision holds it.
                let largest = slope.iter().fold(1e-30_f32, |most, v| most.max(v.abs()));
                let order = self.orders.entry(channels).or_insert_with(|| {
                    let place = |output, channel, _, _| (output * channels + channel) as u32;
                    packing(1, channels, 64).order(channels, place)
                });
                let order = order.iter().map(|&at| slope[at as usize] / largest);
                let ordered: Vec<f32> = order.collect();
                let mut packed = vec![f16::ZERO; ordered.len()];
                packed.convert_from_f32_slice(&ordered);
                let convolution = Convolution {
                    input: self.activations[layer].address(&self.card),
                    weights: self.matrix.upload(&self.card, bytes_of(&packed))?,
                    output: gradient,
                    channels: channels as i32,
                    stored: channels as i32,
                    gate: self.activations[layer].address(&self.card),
                    pixel_weights: self.put_pixel_weights(pixel_weights)?,
                    factor: largest * gradient_scale,
                    add: i32::from(*begun),
                    ..plain(self.sizes[layer], 1)
                };
                *begun = true;
                let launch = tiled((work::GRADIENT, self.busy), channels / 64, convolution);
                // SAFETY: features and gradient have the size of the layer, the matrix that of its channels.
                unsafe { self.card.launch(&launch) }?;
                Ok(0.0)
            }
            _ => Ok(0.0),
        }
    }
}

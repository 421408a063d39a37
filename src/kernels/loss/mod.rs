//! A loss network (VGG) forward and backward on the processor, with frozen weights.
//!
//! Automatic differentiation keeps every intermediate tensor and makes new ones in each iteration. An optimised picture
//! needs less. ReLU works in place, so a layer leaves one tensor; of a layer that is only pooled even that is not kept,
//! but four bits per pooled pixel ([`pooling`]) that say which of its pixels the gradient goes to; and the buffers are the
//! same in every iteration. VGG-16 to conv5_1 on 512×512 pixels so takes 300 MiB in place of a gigabyte and a half.

mod gram;
mod pixels;
mod pooling;

pub use gram::{add_gram, add_gram_gradient, gram_matrix};
pub use pixels::{add_out_of_range, add_total_variation, add_weighted_difference};
pub use pooling::Pooling;

use super::WideWeights;
/// One 3×3 convolution with ReLU, frozen.
struct Layer {
    forward: WideWeights,
    backward: WideWeights,
    /// Whether 2×2 pooling comes before it.
    pooled: bool,
}

/// The network; shared by any number of tapes.
pub struct LossNetwork {
    layers: Vec<Layer>,
    pooling: Pooling,
}

/// What one forward pass leaves for the backward pass, and the room both work in.
#[derive(Default)]
pub struct Tape {
    /// Height and width at each layer that was computed.
    sizes: Vec<(usize, usize)>,
    /// After the ReLU of each layer; empty where only the routes of its pooling are kept.
    activations: Vec<Vec<f32>>,
    /// For each pooled layer: where the gradient of a pooled pixel goes.
    routes: Vec<Vec<u8>>,
    rooms: [Vec<f32>; 2],
}

impl LossNetwork {
    /// An empty network.
    #[must_use]
    pub fn new(pooling: Pooling) -> Self {
        Self {
            layers: Vec::new(),
            pooling,
        }
    }

    /// Adds a convolution with `weight` (`[out][in][3][3]`), `bias` and ReLU; `pooled`: with 2×2 pooling before it.
    ///
    /// # Panics
    /// When a slice's length does not fit.
    pub fn push(
        &mut self,
        (out_channels, in_channels): (usize, usize),
        weight: &[f32],
        bias: &[f32],
        pooled: bool,
    ) {
        self.layers.push(Layer {
            forward: WideWeights::new(out_channels, in_channels, weight, Some(bias)).with_relu(),
            backward: WideWeights::turned(out_channels, in_channels, weight),
            pooled,
        });
    }

    /// Number of layers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are no layers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Channels after layer `layer`.
    #[must_use]
    pub fn channels(&self, layer: usize) -> usize {
        self.layers[layer].forward.out_channels()
    }

    /// Pixels of the input along a side of a pixel of layer `layer`.
    #[must_use]
    pub fn stride(&self, layer: usize) -> usize {
        1 << self.layers[..=layer].iter().filter(|l| l.pooled).count()
    }

    /// How far, in pixels of the input, features up to layer `last` look beyond their own place at most.
    #[must_use]
    pub fn reach(&self, last: usize) -> usize {
        let (mut reach, mut stride) = (0, 1);
        for layer in &self.layers[..=last] {
            if layer.pooled {
                reach += stride;
                stride *= 2;
            }
            reach += stride;
        }
        reach
    }

    /// Runs `input` (`[channels][height][width]`) up to the last of the layers `wanted` (numbers), whose
    /// features [`Tape::features`] then holds.
    ///
    /// # Panics
    /// When `input` does not fit, `wanted` is empty or names a layer that is not there, or nothing is left after
    /// pooling.
    pub fn forward(
        &self,
        tape: &mut Tape,
        input: &[f32],
        (height, width): (usize, usize),
        wanted: &[usize],
    ) {
        let count = wanted.iter().max().expect("some layer is wanted") + 1;
        tape.sizes.clear();
        tape.activations.resize_with(self.layers.len(), Vec::new);
        tape.routes.resize_with(self.layers.len(), Vec::new);
        let (mut height, mut width) = (height, width);
        for (number, layer) in self.layers[..count].iter().enumerate() {
            let (before, now) = tape.activations.split_at_mut(number);
            let [pooled, dropped] = &mut tape.rooms;
            let mut source: &[f32] = before.last().map_or(input, |before| before);
            if layer.pooled {
                let size = (height, width);
                (height, width) = (height / 2, width / 2);
                let channels = layer.forward.in_channels();
                resize(pooled, channels * height * width);
                resize(&mut tape.routes[number], channels * height * width);
                let from = if source.is_empty() {
                    &**dropped
                } else {
                    source
                };
                let routes = &mut tape.routes[number];
                self.pooling
                    .forward(&from[..channels * size.0 * size.1], size, pooled, routes);
                source = &pooled[..channels * height * width];
            }
            assert!(height * width > 0, "nothing is left after pooling");
            tape.sizes.push((height, width));
            let length = layer.forward.out_channels() * height * width;
            // A layer that is pooled next and not wanted itself need not be kept.
            let kept = wanted.contains(&number)
                || self.layers.get(number + 1).is_none_or(|next| !next.pooled);
            let output = if kept {
                now[0].resize(length, 0.0);
                &mut now[0]
            } else {
                now[0] = Vec::new();
                resize(dropped, length);
                &mut dropped[..length]
            };
            layer.forward.convolve(source, (height, width), output);
        }
        for number in count..self.layers.len() {
            tape.activations[number] = Vec::new();
            tape.routes[number] = Vec::new();
        }
    }

    /// The gradient of a loss with respect to the input of the last [`LossNetwork::forward`]. For each layer `wanted`
    /// there, `add` is called with its number, features and gradient so far, to which it adds its own.
    ///
    /// # Panics
    /// When `gradient` has another length than the input had, or the tape holds another network's pass.
    pub fn backward(
        &self,
        tape: &mut Tape,
        wanted: &[usize],
        mut add: impl FnMut(usize, &[f32], &mut [f32]),
        gradient: &mut [f32],
    ) {
        let [first, second] = &mut tape.rooms;
        let (mut here, mut next) = (first, second);
        for number in (0..tape.sizes.len()).rev() {
            let layer = &self.layers[number];
            let (height, width) = tape.sizes[number];
            let length = layer.forward.out_channels() * height * width;
            let features = &tape.activations[number];
            if number + 1 == tape.sizes.len() {
                resize(here, length);
                here[..length].fill(0.0);
            }
            if wanted.contains(&number) {
                add(number, features, &mut here[..length]);
            }
            let inputs = layer.forward.in_channels() * height * width;
            let output = if number == 0 {
                assert_eq!(gradient.len(), inputs, "the gradient has the input's size");
                &mut *gradient
            } else {
                resize(next, inputs);
                &mut next[..inputs]
            };
            // Where features are not kept, the routes have stopped the gradient at the ReLU.
            if features.is_empty() {
                layer
                    .backward
                    .convolve(&here[..length], (height, width), output);
            } else {
                let size = (height, width);
                layer
                    .backward
                    .convolve_gated(&here[..length], features, size, output);
            }
            if number == 0 {
                return;
            }
            if layer.pooled {
                let size = tape.sizes[number - 1];
                let length = layer.forward.in_channels() * size.0 * size.1;
                resize(here, length);
                let routes = &tape.routes[number];
                self.pooling
                    .backward(&next[..inputs], routes, size, &mut here[..length]);
            } else {
                std::mem::swap(&mut here, &mut next);
            }
        }
    }
}

impl Tape {
    /// Values that the features have room for.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.activations.iter().map(Vec::capacity).sum()
    }

    /// The features of a layer `wanted` in the last forward pass, `[channels][height][width]`.
    #[must_use]
    pub fn features(&self, layer: usize) -> &[f32] {
        &self.activations[layer]
    }

    /// Height and width of a layer's features.
    #[must_use]
    pub fn size(&self, layer: usize) -> (usize, usize) {
        self.sizes[layer]
    }
}

/// Grows to `length` at least; rooms are shared by layers of different sizes.
fn resize<T: Copy + Default>(room: &mut Vec<T>, length: usize) {
    if room.len() < length {
        room.clear();
        room.resize(length, T::default());
    }
}

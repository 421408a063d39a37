//! The loss network (VGG) on a card, forward and backward with frozen weights, in half precision.
//!
//! What [`crate::kernels::LossNetwork`] does on the processor, with the same results but for rounding: features, Gram
//! matrices, squared differences, and the gradient of a loss on them by the input. Sums are in single precision.
//! Gradients are stored scaled by a power of two that the number of pixels gives: a loss is a mean over pixels, so its
//! gradient by one of them would be too small for half precision.

mod canvas;
mod terms;
mod work;

use std::collections::HashMap;

use half::f16;

use super::{
    Card, CardError, Launch, bytes_of,
    parameters::{Convolution, Difference, Gram, Pool, Sum},
    vectors::flat,
};
use crate::{
    kernels::{ConvolutionWeights, Pooling},
    nn::vgg::VggWeights,
};
pub use canvas::PixelLosses;
pub use terms::CardTerm;
use work::{Room, THREADS, packing, plain, stored, tiled};

/// Channels along a side of a tile of a Gram matrix, and bytes of shared memory it takes.
const GRAM: (usize, u32) = (64, 2 * 64 * 72 * 2);
/// Bytes of shared memory of a sum over a block.
const SUMS: u32 = THREADS as u32 / 32 * 4;

/// The network and what one pass leaves.
pub struct LossOnCard<C: Card> {
    card: C,
    layers: Vec<Layer<C>>,
    pooling: Pooling,
    /// Height and width at each layer that was computed.
    sizes: Vec<(usize, usize)>,
    input: Room<C>,
    activations: Vec<Room<C>>,
    pooled: Room<C>,
    gradients: [Room<C>; 2],
    parts: Room<C>,
    small: Room<C>,
    pixel_weights: Room<C>,
    matrix: Room<C>,
    kept: Vec<Room<C>>,
    /// In which order a matrix of so many channels is taken.
    orders: HashMap<usize, Vec<u32>>,
    /// Blocks with small tiles that the card works on at once; with fewer, tiles are small.
    pub(crate) busy: usize,
}

/// As many as a large card works on.
const BUSY: usize = 264;

struct Layer<C: Card> {
    forward: C::Memory,
    bias: C::Memory,
    backward: C::Memory,
    in_channels: usize,
    out_channels: usize,
    pooled: bool,
}

impl<C: Card> LossOnCard<C> {
    /// Puts the weights on the card. Output channels of all layers are multiples of 64.
    ///
    /// # Errors
    /// When the card has no room for them.
    pub fn new(weights: &VggWeights, pooling: Pooling, card: C) -> Result<Self, CardError> {
        let put = |bytes: &[u8]| {
            let mut memory = card.reserve(bytes.len())?;
            card.upload(bytes, &mut memory)?;
            Ok::<_, CardError>(memory)
        };
        let mut layers = Vec::new();
        for layer in &weights.layers {
            let (inputs, outputs) = (layer.in_channels, layer.out_channels);
            let forward = ConvolutionWeights {
                out_channels: outputs,
                in_channels: inputs,
                kernel_size: 3,
                weight: layer.weight.clone(),
            };
            let mut turned = vec![0.0; layer.weight.len()];
            for (index, value) in layer.weight.iter().enumerate() {
                let (place, channels) = (index % 9, index / 9);
                let (output, input) = (channels / inputs, channels % inputs);
                turned[(input * outputs + output) * 9 + 8 - place] = *value;
            }
            let backward = ConvolutionWeights {
                out_channels: inputs,
                in_channels: outputs,
                kernel_size: 3,
                weight: turned,
            };
            let stored = stored(inputs);
            let group = if inputs < 64 { 16 } else { 64 };
            layers.push(Layer {
                forward: put(bytes_of(&packing(3, stored, 64).pack_square(&forward)))?,
                bias: put(bytes_of(&layer.bias))?,
                backward: put(bytes_of(&packing(3, outputs, group).pack_square(&backward)))?,
                in_channels: inputs,
                out_channels: outputs,
                pooled: layer.pooled,
            });
        }
        Ok(Self {
            activations: layers.iter().map(|_| Room::default()).collect(),
            card,
            layers,
            pooling,
            sizes: Vec::new(),
            input: Room::default(),
            pooled: Room::default(),
            gradients: [Room::default(), Room::default()],
            parts: Room::default(),
            small: Room::default(),
            pixel_weights: Room::default(),
            matrix: Room::default(),
            kept: Vec::new(),
            orders: HashMap::new(),
            busy: BUSY,
        })
    }

    /// Runs `input` (`[3][height][width]`) up to layer `last`.
    ///
    /// # Errors
    /// When the card fails.
    pub fn forward(
        &mut self,
        input: &[f32],
        (height, width): (usize, usize),
        last: usize,
    ) -> Result<(), CardError> {
        let plane = height * width;
        let mut pixels = vec![f16::ZERO; 4 * plane];
        for (pixel, place) in pixels.chunks_exact_mut(4).zip(0..plane) {
            for (channel, value) in pixel.iter_mut().take(3).enumerate() {
                *value = f16::from_f32(input[channel * plane + place]);
            }
        }
        let from = self.input.upload(&self.card, bytes_of(&pixels))?;
        self.run(from, (height, width), last)
    }

    fn run(
        &mut self,
        mut from: u64,
        mut size: (usize, usize),
        last: usize,
    ) -> Result<(), CardError> {
        self.sizes.clear();
        for number in 0..=last {
            let layer = &self.layers[number];
            if layer.pooled {
                let halved = (size.0 / 2, size.1 / 2);
                let pieces = layer.in_channels / 8;
                let to = self
                    .pooled
                    .of(&self.card, halved.0 * halved.1 * pieces * 16)?;
                let pool = Pool {
                    features: from,
                    pooled: to,
                    gradient: 0,
                    width: size.1 as i32,
                    height: size.0 as i32,
                    pieces: pieces as i32,
                    average: i32::from(self.pooling == Pooling::Average),
                };
                let count = halved.0 * halved.1 * pieces;
                // SAFETY: both tensors have the sizes that are said.
                unsafe { self.card.launch(&flat("pool", count, 0, pool.into())) }?;
                (size, from) = (halved, to);
            }
            let pixels = size.0 * size.1;
            let output =
                self.activations[number].of(&self.card, pixels * layer.out_channels * 2)?;
            let channels = stored(layer.in_channels);
            let convolution = Convolution {
                input: from,
                weights: self.card.address(&layer.forward),
                bias: self.card.address(&layer.bias),
                output,
                channels: channels as i32,
                stored: layer.out_channels as i32,
                relu_output: 1,
                ..plain(size, 3)
            };
            let kernels = if channels < 8 {
                work::FIRST
            } else {
                work::FEATURES
            };
            let launch = tiled((kernels, self.busy), layer.out_channels / 64, convolution);
            // SAFETY: the tensors have the sizes that are said, the weights those of the layer.
            unsafe { self.card.launch(&launch) }?;
            self.sizes.push(size);
            from = output;
        }
        Ok(())
    }

    /// Adds `scale`·F·diag(weights)·Fᵀ of a layer's features to `sum`, channels × channels.
    ///
    /// # Errors
    /// When the card fails.
    pub fn add_gram(
        &mut self,
        layer: usize,
        pixel_weights: Option<&[f32]>,
        scale: f32,
        sum: &mut [f32],
    ) -> Result<(), CardError> {
        let (pixels, channels) = (self.pixels(layer), self.layers[layer].out_channels);
        let across = channels / GRAM.0;
        // Parts enough to keep a large card busy, each long enough to be worth it.
        let parts = (264 / (across * across)).clamp(1, pixels.div_ceil(512));
        let pixels_of_part = pixels.div_ceil(parts).next_multiple_of(GRAM.0);
        let parts = pixels.div_ceil(pixels_of_part);
        let size = channels * channels;
        let gram = Gram {
            features: self.activations[layer].address(&self.card),
            pixel_weights: self.put_pixel_weights(pixel_weights)?,
            parts: self.parts.of(&self.card, parts * size * 4)?,
            pixels: pixels as i32,
            channels: channels as i32,
            pixels_of_part: pixels_of_part as i32,
        };
        let total = Sum {
            parts: gram.parts,
            out: self.small.of(&self.card, size * 4)?,
            count: parts as i32,
            size: size as i32,
        };
        let launch = Launch {
            grid: [across as u32, across as u32, parts as u32],
            ..flat("gram", 0, GRAM.1, gram.into())
        };
        // SAFETY: the features have the size that is said, and the parts and their sum have room.
        unsafe {
            self.card.launch(&launch)?;
            self.card
                .launch(&flat("sum_parts", size, 0, total.into()))?;
        }
        let found = self.download_small(size)?;
        for (sum, value) in sum.iter_mut().zip(found) {
            *sum += scale * value;
        }
        Ok(())
    }

    /// Forgets what was kept.
    pub fn forget(&mut self) {
        self.kept.clear();
    }

    /// Keeps the features of a layer, which [`CardTerm::Content`] then names by what is returned. They are gone from
    /// the layer until the next pass.
    pub fn keep(&mut self, layer: usize) -> usize {
        self.kept.push(std::mem::take(&mut self.activations[layer]));
        self.kept.len() - 1
    }

    /// The weighed sum of the squares of a layer's features.
    ///
    /// # Errors
    /// When the card fails.
    pub fn squares(
        &mut self,
        layer: usize,
        pixel_weights: Option<&[f32]>,
    ) -> Result<f64, CardError> {
        let weights = self.put_pixel_weights(pixel_weights)?;
        self.difference(
            layer,
            Difference {
                pixel_weights: weights,
                ..Difference::default()
            },
        )
    }

    /// The gradient of `terms` by the input of the last pass, written to `gradient` (`[3][height][width]`); returns the
    /// sum of the content terms.
    ///
    /// # Errors
    /// When the card fails.
    pub fn backward(
        &mut self,
        terms: &[CardTerm<'_>],
        gradient: &mut [f32],
    ) -> Result<f64, CardError> {
        let plane = gradient.len() / 3;
        let (content, scale) = self.lead_back(terms, plane)?;
        gradient.fill(0.0);
        let Some(scale) = scale else {
            return Ok(content);
        };
        let mut pixels = vec![0_u8; 8 * plane];
        if let Some(memory) = &self.gradients[0].memory {
            self.card.download(memory, &mut pixels)?;
        }
        for (place, pixel) in pixels.chunks_exact(8).enumerate() {
            for channel in 0..3 {
                let value = f16::from_le_bytes([pixel[2 * channel], pixel[2 * channel + 1]]);
                gradient[channel * plane + place] = value.to_f32() / scale;
            }
        }
        Ok(content)
    }

    /// Leads `terms` back to the input, a canvas of so many pixels; returns the sum of the content terms and, if there is a
    /// gradient, what it is multiplied by.
    fn lead_back(
        &mut self,
        terms: &[CardTerm<'_>],
        plane: usize,
    ) -> Result<(f64, Option<f32>), CardError> {
        let scale = ((64 * plane) as f32).log2().round().exp2();
        let mut content = 0.0;
        let mut begun = false;
        for number in (0..self.sizes.len()).rev() {
            let size = self.sizes[number];
            let (inputs, outputs) = (
                self.layers[number].in_channels,
                self.layers[number].out_channels,
            );
            let here = self.gradients[0].of(&self.card, size.0 * size.1 * outputs * 2)?;
            for term in terms {
                content += self.add_term(term, number, (here, &mut begun), scale)?;
            }
            if !begun {
                continue;
            }
            let to = self.gradients[1].of(&self.card, size.0 * size.1 * stored(inputs) * 2)?;
            let convolution = Convolution {
                input: here,
                weights: self.card.address(&self.layers[number].backward),
                output: to,
                channels: outputs as i32,
                stored: stored(inputs) as i32,
                // What is not pooled goes to the layer before as it is.
                gate: match number > 0 && !self.layers[number].pooled {
                    true => self.activations[number - 1].address(&self.card),
                    false => 0,
                },
                factor: 1.0,
                ..plain(size, 3)
            };
            let launch = match number {
                0 => tiled((work::LAST_GRADIENT, self.busy), 1, convolution),
                _ => tiled((work::GRADIENT, self.busy), inputs / 64, convolution),
            };
            // SAFETY: gradient and features have the size of the layer, the output that of its input.
            unsafe { self.card.launch(&launch) }?;
            if number > 0 && self.layers[number].pooled {
                let before = self.sizes[number - 1];
                let pool = Pool {
                    features: self.activations[number - 1].address(&self.card),
                    pooled: to,
                    gradient: self.gradients[0].of(&self.card, before.0 * before.1 * inputs * 2)?,
                    width: before.1 as i32,
                    height: before.0 as i32,
                    pieces: (inputs / 8) as i32,
                    average: i32::from(self.pooling == Pooling::Average),
                };
                let count = before.0.div_ceil(2) * before.1.div_ceil(2) * inputs / 8;
                // SAFETY: as above; the gradient has the size of the layer before.
                unsafe { self.card.launch(&flat("unpool", count, 0, pool.into())) }?;
            } else {
                self.gradients.swap(0, 1);
            }
        }
        Ok((content, begun.then_some(scale)))
    }

    /// Launches `difference` over the features of a layer; returns its sum.
    fn difference(&mut self, layer: usize, wanted: Difference) -> Result<f64, CardError> {
        let pieces_per_pixel = self.layers[layer].out_channels / 8;
        let pieces = self.pixels(layer) * pieces_per_pixel;
        let blocks = pieces.div_ceil(THREADS);
        let difference = Difference {
            features: self.activations[layer].address(&self.card),
            parts: self.small.of(&self.card, blocks * 4)?,
            pieces: pieces as i32,
            pieces_per_pixel: pieces_per_pixel as i32,
            ..wanted
        };
        let parameters = difference.into();
        // SAFETY: features, target and gradient have the size of the layer; the parts have room.
        unsafe {
            self.card
                .launch(&flat("difference", pieces, SUMS, parameters))
        }?;
        Ok(self.download_small(blocks)?.map(f64::from).sum())
    }

    fn put_pixel_weights(&mut self, values: Option<&[f32]>) -> Result<u64, CardError> {
        match values {
            Some(values) => self.pixel_weights.upload(&self.card, bytes_of(values)),
            None => Ok(0),
        }
    }

    fn download_small(
        &self,
        count: usize,
    ) -> Result<impl Iterator<Item = f32> + use<C>, CardError> {
        let mut bytes = vec![0_u8; 4 * count];
        if let Some(memory) = &self.small.memory {
            self.card.download(memory, &mut bytes)?;
        }
        Ok((0..count).map(move |i| {
            let at = &bytes[4 * i..4 * i + 4];
            f32::from_le_bytes([at[0], at[1], at[2], at[3]])
        }))
    }

    fn pixels(&self, layer: usize) -> usize {
        let (height, width) = self.sizes[layer];
        height * width
    }
}

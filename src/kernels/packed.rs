//! A network's weights as an instruction set and a precision want them.

use super::convolution::{Convolution, Method};
use super::format::{Bf16, F32};
use super::last::LastConvolution;
use super::network::{
    ConvolutionWeights, Entry, NetworkShape, StyleParameters, TransformWeights, Upsample,
    fold_upsampling, pad_blocks,
};
use super::patch::Storage;
use super::quantise::{quantised, quantised_for_bytes, quantiser, suits};
use super::statistics::Affine;
use super::{InstructionSet, KernelError, Precision};

/// The last layer, which has three output channels only.
pub(crate) enum LastLayer {
    /// Pieces of three pixels in vector lanes, `f32`.
    Lanes(LastConvolution<F32>),
    /// The same in bf16.
    HalfLanes(LastConvolution<Bf16>),
    /// Several pixels at once in the matrix unit.
    Tiles(Convolution),
}

impl LastLayer {
    /// Whether vectors make it.
    pub(crate) fn in_lanes(&self) -> bool {
        !matches!(self, Self::Tiles(_))
    }
}

/// All weights, packed.
pub(crate) struct PackedNetwork {
    pub(crate) shape: NetworkShape,
    method: Method,
    set: InstructionSet,
    /// All but the last at full size, the expanding ones as convolutions of their sources. Empty until a style is set when that decides the weights.
    pub(crate) layers: Vec<Convolution>,
    /// The last at full size, if the network has one.
    pub(crate) last: Option<LastLayer>,
    /// What maps each layer's inputs to bytes, when a precision needs that.
    pub(crate) quantisers: Vec<Affine>,
    /// What the first layer's weights were multiplied by, per channel.
    pub(crate) first_units: Vec<f32>,
    /// What a layer's reader does where the style does not say: nothing of it for normalised layers.
    pub(crate) fixed: Vec<Option<Affine>>,
    /// Weights (the first's scaled, the expanding ones folded) that must be packed again for each style.
    unpacked: Vec<ConvolutionWeights>,
}

/// Channels that a plane has in memory: vectors hold 4, 8, 16 or 32 of them again and again.
pub(crate) fn stored_channels(channels: usize) -> usize {
    channels.max(4)
}

/// A layer's stride, and whether its outputs are blocks of 2×2 pixels.
fn order(shape: NetworkShape, layer: usize) -> (usize, bool) {
    let layer = shape.layer(layer);
    (layer.stride, layer.upsample.is_some())
}

/// How a set computes in a precision.
fn method(precision: Precision, set: InstructionSet) -> Result<Method, KernelError> {
    let bf16 = || match set {
        InstructionSet::Amx => Ok(Method::Tiles),
        InstructionSet::Avx512Dot => Ok(Method::Bf16),
        _ => Err(KernelError::MissingPrecision("bf16")),
    };
    match precision {
        Precision::Auto if set.prefers_bf16() => bf16(),
        Precision::Auto | Precision::F32 => Ok(Method::F32),
        Precision::Bf16 => bf16(),
        Precision::Int8 if set >= InstructionSet::Avx512Dot => Ok(Method::Int8),
        Precision::Int8 => Err(KernelError::MissingPrecision("int8")),
    }
}

impl PackedNetwork {
    /// Pixels that the matrix unit makes of a layer's row at once: other columns of a tile would leave it half empty.
    pub(crate) fn columns_at_once(&self, layer: usize) -> Option<usize> {
        match (self.layers.get(layer), &self.last) {
            (Some(Convolution::Tiles(convolution)), _) => Some(convolution.columns_at_once()),
            (None, Some(LastLayer::Tiles(Convolution::Tiles(convolution)))) => {
                Some(convolution.columns_at_once())
            }
            _ => None,
        }
    }

    /// Packs the weights.
    pub(crate) fn new(
        weights: &TransformWeights,
        precision: Precision,
        set: InstructionSet,
    ) -> Result<Self, KernelError> {
        let shape = weights.shape();
        let method = method(precision, set)?;
        let (first, first_units) = match shape.entry {
            Entry::Contract { .. } => fill_16_bits(&weights.layers()[0]),
            Entry::Unshuffle { .. } if matches!(method, Method::Tiles | Method::Bf16) => {
                // No picture may leave the range of half precision.
                fill_16_bits(&weights.layers()[0])
            }
            // The network was trained on 0..=1 and gets bytes.
            Entry::Unshuffle { channels, .. } => {
                (weights.layers()[0].clone(), vec![255.0; channels])
            }
        };
        let (last, before) = match shape.last_kernel {
            Some(_) => weights.layers().split_last().ok_or(KernelError::NoLayers)?,
            None => (&first, weights.layers()),
        };
        let unpacked = before.iter().enumerate().map(|(index, layer)| match index {
            0 => first.clone(),
            _ => match shape.layer(index).upsample {
                Some(Upsample::Nearest) => fold_upsampling(layer),
                Some(Upsample::Shuffle) => {
                    pad_blocks(layer.clone(), stored_channels(layer.out_channels / 4))
                }
                None => layer.clone(),
            },
        });
        let mut unpacked: Vec<_> = unpacked.collect();
        let mut layers = Vec::new();
        if method != Method::Int8 {
            let packed = unpacked
                .iter()
                .enumerate()
                .map(|(i, layer)| Convolution::new(layer, order(shape, i), method, set));
            layers = packed.collect();
            unpacked = Vec::new();
        }
        let last = shape.last_kernel.map(|_| match method {
            Method::Tiles => LastLayer::Tiles(Convolution::new(last, (1, false), method, set)),
            Method::Bf16 => LastLayer::HalfLanes(LastConvolution::new(last)),
            Method::F32 | Method::Int8 => LastLayer::Lanes(LastConvolution::new(last)),
        });
        let fixed = (0..shape.layers()).map(|layer| fixed(weights, layer, &first_units));
        Ok(Self {
            fixed: fixed.collect(),
            shape,
            method,
            set,
            layers,
            last,
            quantisers: vec![Affine::IDENTITY; shape.layers()],
            first_units,
            unpacked,
        })
    }

    /// How the convolutions are computed.
    pub(crate) fn method(&self) -> Method {
        self.method
    }

    /// In which numbers tensors rest between layers.
    pub(crate) fn storage(&self) -> Storage {
        match self.method {
            Method::Tiles | Method::Bf16 => Storage::F16,
            _ => Storage::F32,
        }
    }

    /// Packs what depends on the style.
    pub(crate) fn set_style(&mut self, style: &StyleParameters) {
        if self.method != Method::Int8 {
            return;
        }
        self.layers.clear();
        for (layer, weights) in self.unpacked.iter().enumerate() {
            let stride = self.shape.layer(layer).stride;
            let packed = if layer == 0 {
                Convolution::Int8(quantised_for_bytes(weights, self.set))
            } else if suits(self.shape, layer) {
                let quantiser = quantiser(self.shape, style, layer - 1);
                self.quantisers[layer] = quantiser;
                Convolution::Int8(quantised(weights, stride, &quantiser, self.set))
            } else {
                Convolution::new(weights, order(self.shape, layer), Method::Bf16, self.set)
            };
            self.layers.push(packed);
        }
    }
}

/// What the reader of a layer without normalisation does: units undone, bias added, and for the first layer, whose inputs
/// are bytes less 128, what 128 would have added.
fn fixed(weights: &TransformWeights, layer: usize, first_units: &[f32]) -> Option<Affine> {
    if weights.shape().layer(layer).normalised {
        return None;
    }
    let (convolution, bias) = (&weights.layers()[layer], weights.bias(layer));
    let inputs = convolution.weight.len() / convolution.out_channels;
    let mut affine = Affine::IDENTITY;
    for lane in 0..affine.scale.len() {
        let channel = lane % convolution.out_channels;
        affine.shift[lane] = bias[channel];
        if layer == 0 {
            let own = &convolution.weight[channel * inputs..(channel + 1) * inputs];
            affine.scale[lane] = 1.0 / first_units[channel];
            affine.shift[lane] += own.iter().sum::<f32>() * 128.0 / 255.0;
        }
    }
    Some(affine)
}

/// Scales each output channel so that bytes less 128 give outputs that just fit 16-bit whole numbers.
fn fill_16_bits(weights: &ConvolutionWeights) -> (ConvolutionWeights, Vec<f32>) {
    let mut scaled = weights.clone();
    let inputs = weights.weight.len() / weights.out_channels;
    let units = scaled.weight.chunks_exact_mut(inputs).map(|channel| {
        let bound = channel.iter().map(|weight| weight.abs()).sum::<f32>() * 128.0;
        let scale = if bound > 0.0 { 32_500.0 / bound } else { 1.0 };
        channel.iter_mut().for_each(|weight| *weight *= scale);
        // The network was trained on 0..=1.
        scale * 255.0
    });
    let units = units.collect();
    (scaled, units)
}

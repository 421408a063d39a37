//! A network's weights as an instruction set and a precision want them.

use super::amx::TileConvolution;
use super::convolution::{Convolution, Method};
use super::last::LastConvolution;
use super::network::{
    ConvolutionWeights, LAYERS, StyleParameters, TransformWeights, fold_upsampling,
};
use super::plan::LAST;
use super::quantise::{quantised, quantised_for_bytes, quantiser, suits};
use super::statistics::Affine;
use super::{InstructionSet, KernelError, Precision};

/// The last layer, which has three output channels only.
pub(crate) enum LastLayer {
    /// Pixels in vector lanes, `f32`.
    Lanes(LastConvolution),
    /// Four pixels at once in the matrix unit.
    Tiles(Convolution),
}

/// All weights, packed.
pub(crate) struct PackedNetwork {
    method: Method,
    set: InstructionSet,
    /// All but the last, the expanding ones folded. Empty until a style is set when that decides the weights.
    pub(crate) layers: Vec<Convolution>,
    pub(crate) last: LastLayer,
    /// What maps each layer's inputs to bytes, when a precision needs that.
    pub(crate) quantisers: [Affine; LAYERS],
    /// What the first layer's weights were multiplied by, per channel.
    pub(crate) first_units: Vec<f32>,
    /// Weights (the first's scaled, the expanding ones folded) that must be packed again for each style.
    unpacked: Vec<ConvolutionWeights>,
}

/// How a set computes in a precision.
fn method(precision: Precision, set: InstructionSet) -> Result<Method, KernelError> {
    match (precision, set) {
        (Precision::Auto | Precision::Bf16, InstructionSet::Amx) => Ok(Method::Tiles),
        (Precision::Auto | Precision::Bf16, InstructionSet::Avx512Dot) => Ok(Method::Bf16),
        (Precision::Int8, InstructionSet::Avx512Dot | InstructionSet::Amx) => Ok(Method::Int8),
        (Precision::Auto | Precision::F32, _) => Ok(Method::F32),
        (Precision::Bf16, _) => Err(KernelError::MissingPrecision("bf16")),
        (Precision::Int8, _) => Err(KernelError::MissingPrecision("int8")),
    }
}

fn stride(layer: usize) -> usize {
    if matches!(layer, 1 | 2) { 2 } else { 1 }
}

impl PackedNetwork {
    /// Packs the weights.
    pub(crate) fn new(
        weights: &TransformWeights,
        precision: Precision,
        set: InstructionSet,
    ) -> Result<Self, KernelError> {
        let method = method(precision, set)?;
        let (first, first_units) = fill_16_bits(&weights.contract[0]);
        let unpacked = weights
            .layers()
            .take(LAST)
            .enumerate()
            .map(|(index, layer)| match index {
                0 => first.clone(),
                15 | 16 => fold_upsampling(layer),
                _ => layer.clone(),
            });
        let mut unpacked: Vec<_> = unpacked.collect();
        let mut layers = Vec::new();
        if method != Method::Int8 {
            let packed = unpacked
                .iter()
                .enumerate()
                .map(|(i, layer)| Convolution::new(layer, stride(i), method, set));
            layers = packed.collect();
            unpacked = Vec::new();
        }
        let last = &weights.expand[2];
        let last = match method {
            Method::Tiles => LastLayer::Tiles(Convolution::Tiles(
                TileConvolution::four_pixels_at_once(last),
            )),
            _ => LastLayer::Lanes(LastConvolution::new(last)),
        };
        let quantisers = [Affine::IDENTITY; LAYERS];
        Ok(Self {
            method,
            set,
            layers,
            last,
            quantisers,
            first_units,
            unpacked,
        })
    }

    /// How the convolutions are computed.
    pub(crate) fn method(&self) -> Method {
        self.method
    }

    /// Packs what depends on the style.
    pub(crate) fn set_style(&mut self, style: &StyleParameters) {
        if self.method != Method::Int8 {
            return;
        }
        self.layers.clear();
        for (layer, weights) in self.unpacked.iter().enumerate() {
            let packed = if layer == 0 {
                Convolution::Int8(quantised_for_bytes(weights, self.set))
            } else if suits(layer) {
                let quantiser = quantiser(style, layer - 1);
                self.quantisers[layer] = quantiser;
                Convolution::Int8(quantised(weights, stride(layer), &quantiser, self.set))
            } else {
                Convolution::new(weights, stride(layer), Method::Bf16, self.set)
            };
            self.layers.push(packed);
        }
    }
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

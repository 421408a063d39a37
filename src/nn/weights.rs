//! Weights out of safetensors files, checked against the shapes that the networks need.

use safetensors::{Dtype, SafeTensors};

use super::transform_net::LAYERS;
use crate::kernels::{ConvolutionWeights, TransformWeights};

/// The tensor `name` of `file` as `f32` (from `F32` or `F16`), its shape being `shape`.
///
/// # Errors
/// A sentence that names the tensor and what is wrong with it.
pub fn floats(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
    let tensor = file
        .tensor(name)
        .map_err(|_| format!("tensor {name} is missing"))?;
    if tensor.shape() != shape {
        return Err(format!(
            "tensor {name} has shape {:?} in place of {shape:?}",
            tensor.shape()
        ));
    }
    match tensor.dtype() {
        Dtype::F32 => Ok(tensor
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()),
        Dtype::F16 => Ok(tensor
            .data()
            .chunks_exact(2)
            .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect()),
        other => Err(format!("tensor {name} is {other:?} in place of F32 or F16")),
    }
}

/// The 18 convolutions of the feed-forward painter.
///
/// # Errors
/// As [`floats`].
pub fn transform_weights(file: &SafeTensors<'_>) -> Result<TransformWeights, String> {
    let mut configs = LAYERS.iter();
    TransformWeights::from_layers(|name| {
        let config = configs
            .next()
            .filter(|config| config.name == name)
            .ok_or(format!("no layer {name}"))?;
        let shape = [
            config.out_channels,
            config.in_channels,
            config.kernel,
            config.kernel,
        ];
        Ok(ConvolutionWeights {
            out_channels: config.out_channels,
            in_channels: config.in_channels,
            kernel_size: config.kernel,
            weight: floats(file, &format!("{name}.weight"), &shape)?,
        })
    })
}

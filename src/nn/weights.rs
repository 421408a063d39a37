//! Weights out of safetensors files, checked against the shapes that the networks need.

use safetensors::{Dtype, SafeTensors};

use crate::kernels::{ConvolutionWeights, NetworkShape, TransformWeights};

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

/// The convolutions of a feed-forward painter, with the biases of those that are not normalised.
///
/// # Errors
/// As [`floats`].
pub fn transform_weights(
    file: &SafeTensors<'_>,
    shape: NetworkShape,
) -> Result<TransformWeights, String> {
    TransformWeights::from_layers(shape, |name, layer| {
        let (out_channels, in_channels, kernel_size) =
            (layer.kernel_outputs(), layer.in_channels, layer.kernel_size);
        let dims = [out_channels, in_channels, kernel_size, kernel_size];
        let convolution = ConvolutionWeights {
            out_channels,
            in_channels,
            kernel_size,
            weight: floats(file, &format!("{name}.weight"), &dims)?,
        };
        let bias = match layer.normalised {
            true => Vec::new(),
            false => floats(file, &format!("{name}.bias"), &[layer.out_channels])?,
        };
        Ok((convolution, bias))
    })
}

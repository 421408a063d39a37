//! VGG's 3×3 convolutions on the processor, as a candle operation with frozen weights.
//!
//! candle's own convolution on the processor reaches a tenth of its arithmetic, and its backward pass always computes
//! the gradient of the weights, which optimising a picture never needs. This operation runs on [`WideWeights`] both
//! ways and returns the gradient of the input alone.

use crate::kernels::WideWeights;
use candle_core::{CpuStorage, CustomOp1, Error, Layout, Result, Shape, Tensor};
use std::sync::Arc;

/// A 3×3 convolution with zero padding 1 and stride 1 whose weights never change.
#[derive(Clone)]
pub struct WideConvolution {
    forward: Arc<WideWeights>,
    backward: Arc<WideWeights>,
}

impl WideConvolution {
    /// Packs `weight_oihw` (O×I×3×3, `f32`) and `bias` (O), both ways.
    ///
    /// # Errors
    /// When the weights are not a 3×3 kernel of `f32`, or the bias does not fit.
    pub fn new(weight_oihw: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        let (out_channels, in_channels, height, width) = weight_oihw.dims4()?;
        if (height, width) != (3, 3) {
            candle_core::bail!("a wide convolution has a 3x3 kernel, this one is {height}x{width}");
        }
        let weight = weight_oihw.flatten_all()?.to_vec1::<f32>()?;
        let bias = bias.map(Tensor::to_vec1::<f32>).transpose()?;
        if let Some(bias) = &bias
            && bias.len() != out_channels
        {
            candle_core::bail!(
                "a bias of {} values for {out_channels} channels",
                bias.len()
            );
        }
        Ok(Self {
            forward: Arc::new(WideWeights::new(
                out_channels,
                in_channels,
                &weight,
                bias.as_deref(),
            )),
            backward: Arc::new(WideWeights::turned(out_channels, in_channels, &weight)),
        })
    }

    /// Convolves `x_nchw` (N×I×H×W, `f32`, on the processor) to N×O×H×W.
    ///
    /// # Errors
    /// When the shape or the number type does not fit, or the tensor is on another device.
    pub fn forward(&self, x_nchw: &Tensor) -> Result<Tensor> {
        x_nchw.contiguous()?.apply_op1(Forward(self.clone()))
    }
}

struct Forward(WideConvolution);
struct Backward(WideConvolution);

fn run(
    weights: &WideWeights,
    storage: &CpuStorage,
    layout: &Layout,
) -> Result<(CpuStorage, Shape)> {
    let (batch, channels, height, width) = layout.shape().dims4()?;
    if channels != weights.in_channels() {
        candle_core::bail!(
            "a convolution of {} channels got {channels}",
            weights.in_channels()
        );
    }
    let CpuStorage::F32(values) = storage else {
        candle_core::bail!("a wide convolution takes f32 values")
    };
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(Error::RequiresContiguous {
            op: "wide-convolution",
        }
        .bt());
    };
    let plane = height * width;
    let mut output = vec![0.0; batch * weights.out_channels() * plane];
    let inputs = values[start..end].chunks_exact((channels * plane).max(1));
    for (input, output) in
        inputs.zip(output.chunks_exact_mut((weights.out_channels() * plane).max(1)))
    {
        weights.convolve(input, (height, width), output);
    }
    let shape = Shape::from((batch, weights.out_channels(), height, width));
    Ok((CpuStorage::F32(output), shape))
}

impl CustomOp1 for Forward {
    fn name(&self) -> &'static str {
        "wide-convolution"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        run(&self.0.forward, storage, layout)
    }

    fn bwd(&self, _arg: &Tensor, _res: &Tensor, grad_res: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(
            grad_res
                .contiguous()?
                .apply_op1_no_bwd(&Backward(self.0.clone()))?,
        ))
    }
}

impl CustomOp1 for Backward {
    fn name(&self) -> &'static str {
        "wide-convolution-gradient"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        run(&self.0.backward, storage, layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn agrees_with_candle_forward_and_backward() {
        let device = Device::Cpu;
        for (batch, inputs, outputs, height, width) in
            [(1, 3, 64, 20, 30), (2, 64, 96, 7, 9), (1, 130, 40, 17, 50)]
        {
            let weight = Tensor::randn(0_f32, 0.1, (outputs, inputs, 3, 3), &device).unwrap();
            let bias = Tensor::randn(0_f32, 1.0, outputs, &device).unwrap();
            let x = Var::from_tensor(
                &Tensor::randn(0_f32, 1.0, (batch, inputs, height, width), &device).unwrap(),
            )
            .unwrap();
            let upstream =
                Tensor::randn(0_f32, 1.0, (batch, outputs, height, width), &device).unwrap();
            let gradient = |y: &Tensor| {
                let loss = (y * &upstream).unwrap().sum_all().unwrap();
                loss.backward().unwrap().get(&x).unwrap().clone()
            };
            let expected = x.conv2d(&weight, 1, 1, 1, 1).unwrap();
            let expected = expected
                .broadcast_add(&bias.reshape((1, outputs, 1, 1)).unwrap())
                .unwrap();
            let actual = WideConvolution::new(&weight, Some(&bias))
                .unwrap()
                .forward(&x)
                .unwrap();
            for (a, b) in [
                (&expected, &actual),
                (&gradient(&expected), &gradient(&actual)),
            ] {
                assert_eq!(a.shape(), b.shape());
                let largest = (a - b)
                    .unwrap()
                    .abs()
                    .unwrap()
                    .flatten_all()
                    .unwrap()
                    .max(0)
                    .unwrap();
                let largest = largest.to_scalar::<f32>().unwrap();
                assert!(largest < 1e-3, "{inputs}->{outputs}: {largest}");
            }
        }
    }
}

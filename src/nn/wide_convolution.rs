//! VGG's 3×3 convolutions on the processor, as a candle operation with frozen weights.
//!
//! candle's own convolution on the processor reaches a tenth of its arithmetic, and its backward pass always computes
//! the gradient of the weights, which optimising a picture never needs. This operation runs on [`WideWeights`] both
//! ways and returns the gradient of the input alone. With ReLU in the same operation, no tensor is kept for it and its
//! gradient costs no pass of its own.

use crate::kernels::WideWeights;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Error, Layout, Result, Shape, Tensor};
use std::sync::Arc;

/// A 3×3 convolution with zero padding 1 and stride 1 whose weights never change.
#[derive(Clone)]
pub struct WideConvolution {
    forward: Arc<WideWeights>,
    backward: Arc<WideWeights>,
    relu: bool,
}

impl WideConvolution {
    /// Packs `weight_oihw` (O×I×3×3, `f32`) and `bias` (O), both ways.
    ///
    /// # Errors
    /// When the weights are not a 3×3 kernel of `f32`, or the bias does not fit.
    pub fn new(weight_oihw: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        Self::pack(weight_oihw, bias, false)
    }

    /// The same with ReLU after the convolution.
    ///
    /// # Errors
    /// As for [`WideConvolution::new`].
    pub fn with_relu(weight_oihw: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        Self::pack(weight_oihw, bias, true)
    }

    fn pack(weight_oihw: &Tensor, bias: Option<&Tensor>, relu: bool) -> Result<Self> {
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
        let forward = WideWeights::new(out_channels, in_channels, &weight, bias.as_deref());
        Ok(Self {
            forward: Arc::new(if relu { forward.with_relu() } else { forward }),
            backward: Arc::new(WideWeights::turned(out_channels, in_channels, &weight)),
            relu,
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

/// The values of a contiguous `f32` tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(values) = storage else {
        candle_core::bail!("a wide convolution takes f32 values")
    };
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(Error::RequiresContiguous {
            op: "wide-convolution",
        }
        .bt());
    };
    Ok(&values[start..end])
}

/// Convolves each picture of a batch, of which only values pass where `gate` (of the same shape) is positive.
fn run(
    weights: &WideWeights,
    (storage, layout): (&CpuStorage, &Layout),
    gate: Option<(&CpuStorage, &Layout)>,
) -> Result<(CpuStorage, Shape)> {
    let (batch, channels, height, width) = layout.shape().dims4()?;
    if channels != weights.in_channels() {
        candle_core::bail!(
            "a convolution of {} channels got {channels}",
            weights.in_channels()
        );
    }
    let input = values(storage, layout)?;
    let gate = gate
        .map(|(storage, layout)| values(storage, layout))
        .transpose()?;
    if gate.is_some_and(|gate| gate.len() != input.len()) {
        candle_core::bail!("the gradient of a convolution has the shape of its output");
    }
    let plane = height * width;
    let (taken, made) = (channels * plane, weights.out_channels() * plane);
    let mut output = vec![0.0; batch * made];
    for (picture, output) in output.chunks_exact_mut(made.max(1)).enumerate() {
        let part = picture * taken..(picture + 1) * taken;
        match gate {
            Some(gate) => {
                let (input, gate) = (&input[part.clone()], &gate[part]);
                weights.convolve_gated(input, gate, (height, width), output);
            }
            None => weights.convolve(&input[part], (height, width), output),
        }
    }
    let shape = Shape::from((batch, weights.out_channels(), height, width));
    Ok((CpuStorage::F32(output), shape))
}

impl CustomOp1 for Forward {
    fn name(&self) -> &'static str {
        "wide-convolution"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        run(&self.0.forward, (storage, layout), None)
    }

    fn bwd(&self, _arg: &Tensor, res: &Tensor, grad_res: &Tensor) -> Result<Option<Tensor>> {
        let (gradient, backward) = (grad_res.contiguous()?, Backward(self.0.clone()));
        Ok(Some(if self.0.relu {
            gradient.apply_op2_no_bwd(res, &backward)?
        } else {
            gradient.apply_op1_no_bwd(&backward)?
        }))
    }
}

impl CustomOp1 for Backward {
    fn name(&self) -> &'static str {
        "wide-convolution-gradient"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        run(&self.0.backward, (storage, layout), None)
    }
}

/// The gradient through ReLU too: of the convolution's output, given that output.
impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "wide-convolution-relu-gradient"
    }

    fn cpu_fwd(
        &self,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
        output: &CpuStorage,
        output_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        run(
            &self.0.backward,
            (gradient, gradient_layout),
            Some((output, output_layout)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    #[test]
    fn agrees_with_candle_forward_and_backward() {
        let device = Device::Cpu;
        for (batch, inputs, outputs, height, width, relu) in [
            (1, 3, 64, 20, 30, false),
            (2, 64, 96, 7, 9, true),
            (1, 130, 40, 17, 50, false),
            (1, 40, 64, 21, 70, true),
        ] {
            let weight = Tensor::randn(0_f32, 0.1, (outputs, inputs, 3, 3), &device).unwrap();
            let bias = Tensor::randn(0_f32, 1.0, outputs, &device).unwrap();
            let x = Var::from_tensor(
                &Tensor::randn(0_f32, 1.0, (batch, inputs, height, width), &device).unwrap(),
            )
            .unwrap();
            let upstream =
                Tensor::randn(0_f32, 1.0, (batch, outputs, height, width), &device).unwrap();
            let gradient = |y: &Tensor, upstream: &Tensor| {
                let loss = (y * upstream).unwrap().sum_all().unwrap();
                loss.backward().unwrap().get(&x).unwrap().clone()
            };
            let expected = x.conv2d(&weight, 1, 1, 1, 1).unwrap();
            let expected = expected
                .broadcast_add(&bias.reshape((1, outputs, 1, 1)).unwrap())
                .unwrap();
            let wide = if relu {
                WideConvolution::with_relu(&weight, Some(&bias)).unwrap()
            } else {
                WideConvolution::new(&weight, Some(&bias)).unwrap()
            };
            let actual = wide.forward(&x).unwrap();
            let actual_gradient = gradient(&actual, &upstream);
            // Where an output is nearly zero, rounding decides whether ReLU lets its gradient through.
            let (expected, expected_gradient) = if relu {
                let passes = actual.gt(0_f32).unwrap().to_dtype(DType::F32).unwrap();
                let passed = (&upstream * passes).unwrap();
                (expected.relu().unwrap(), gradient(&expected, &passed))
            } else {
                let gradient = gradient(&expected, &upstream);
                (expected, gradient)
            };
            for (a, b) in [(&expected, &actual), (&expected_gradient, &actual_gradient)] {
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

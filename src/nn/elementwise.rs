//! Sums, products and activations, number by number.
//!
//! candle makes a pass over memory of each step (five of hard-swish) and shares the larger passes among threads that wait
//! for one another by spinning. These networks run beside painting, where that took three times the processor time of
//! the work itself. On the processor they are candle operations of one plain loop here, shared among rayon's threads, which
//! sleep; other devices take candle's.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// What becomes of a number at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6) (Howard et al. 2017)
    Relu6,
    /// x·min(max(x + 3, 0), 6)/6 (Howard et al. 2019)
    HardSwish,
}

/// How two numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    /// Their sum.
    Add,
    /// Their product.
    Multiply,
}

/// `x_nchw` joined with `y`, then activated; one of them may be 1×C×1×1.
///
/// # Errors
/// When the shapes do not fit.
pub fn join(x_nchw: &Tensor, y: &Tensor, joint: Joint, activation: Activation) -> Result<Tensor> {
    if x_nchw.elem_count() < y.elem_count() {
        // Sums and products do not mind.
        return join(y, x_nchw, joint, activation);
    }
    if x_nchw.device().is_cpu() {
        let op = Join(joint, activation);
        return x_nchw.contiguous()?.apply_op2_no_bwd(&y.contiguous()?, &op);
    }
    let joined = match joint {
        Joint::Add => x_nchw.broadcast_add(y)?,
        Joint::Multiply => x_nchw.broadcast_mul(y)?,
    };
    activation.apply(&joined)
}

impl Activation {
    /// Of every number of a tensor.
    ///
    /// # Errors
    /// When the device fails.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() {
            return x.contiguous()?.apply_op1_no_bwd(&self);
        }
        match self {
            Self::Identity => Ok(x.clone()),
            Self::Relu => x.relu(),
            Self::Relu6 => x.clamp(0_f32, 6_f32),
            Self::HardSwish => ((x + 3.0)?.clamp(0_f32, 6_f32)? * x)? / 6.0,
        }
    }

    #[inline(always)]
    fn of(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu => x.max(0.0),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::HardSwish => (x + 3.0).clamp(0.0, 6.0) * x / 6.0,
        }
    }
}

/// Numbers that one thread takes at a time.
const SPAN: usize = 16 * 1024;

struct Join(Joint, Activation);

impl CustomOp2 for Join {
    fn name(&self) -> &'static str {
        "join"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, y) = (numbers(x, x_layout)?, numbers(y, y_layout)?);
        let (batch, channels, height, width) = x_layout.shape().dims4()?;
        let area = height * width;
        let mut out = vec![0.0_f32; x.len()];
        if y.len() == x.len() {
            out.par_chunks_mut(SPAN)
                .zip(x.par_chunks(SPAN).zip(y.par_chunks(SPAN)))
                .for_each(|(out, (x, y))| self.span(out, x, |i| y[i]));
        } else if batch == 1 && y.len() == channels {
            out.par_chunks_mut(area.max(1))
                .zip(x.par_chunks(area.max(1)).zip(y))
                .with_min_len(SPAN.div_ceil(area.max(1)))
                .for_each(|(out, (x, &y))| self.span(out, x, |_| y));
        } else {
            candle_core::bail!(
                "shapes do not fit: {:?} and {:?}",
                x_layout.shape(),
                y_layout.shape()
            )
        }
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

impl Join {
    /// Each pair is a loop of its own, without a choice inside.
    #[inline(always)]
    fn span(&self, out: &mut [f32], x: &[f32], y: impl Fn(usize) -> f32) {
        use Activation::{HardSwish, Identity, Relu, Relu6};
        macro_rules! each {
            ($joint:tt, $activation:expr) => {
                for (i, (out, &x)) in out.iter_mut().zip(x).enumerate() {
                    *out = $activation.of(x $joint y(i));
                }
            };
        }
        match (self.0, self.1) {
            (Joint::Add, Identity) => each!(+, Identity),
            (Joint::Add, Relu) => each!(+, Relu),
            (Joint::Add, Relu6) => each!(+, Relu6),
            (Joint::Add, HardSwish) => each!(+, HardSwish),
            (Joint::Multiply, activation) => each!(*, activation),
        }
    }
}

impl CustomOp1 for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = numbers(x, layout)?;
        let mut out = vec![0.0_f32; x.len()];
        out.par_chunks_mut(SPAN)
            .zip(x.par_chunks(SPAN))
            .for_each(|(out, x)| {
                let zero = Join(Joint::Add, *self);
                zero.span(out, x, |_| 0.0);
            });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => candle_core::bail!("these operations take contiguous f32 values"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_same_numbers_as_candles_own_operations() {
        let x = Tensor::randn(0_f32, 4.0, (1, 5, 67, 71), &Device::Cpu).unwrap();
        let full = Tensor::randn(0_f32, 2.0, (1, 5, 67, 71), &Device::Cpu).unwrap();
        let gate = Tensor::randn(0_f32, 2.0, (1, 5, 1, 1), &Device::Cpu).unwrap();
        let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for y in [&full, &gate] {
            for joint in [Joint::Add, Joint::Multiply] {
                let joined = match joint {
                    Joint::Add => x.broadcast_add(y).unwrap(),
                    Joint::Multiply => x.broadcast_mul(y).unwrap(),
                };
                for (activation, wanted) in [
                    (Activation::Identity, joined.clone()),
                    (Activation::Relu, joined.relu().unwrap()),
                    (Activation::Relu6, joined.clamp(0_f32, 6_f32).unwrap()),
                    (
                        Activation::HardSwish,
                        ((&joined + 3.0).unwrap().clamp(0_f32, 6_f32).unwrap() * &joined)
                            .and_then(|x| x / 6.0)
                            .unwrap(),
                    ),
                ] {
                    let ours = flat(&join(&x, y, joint, activation).unwrap());
                    let alone = flat(&activation.apply(&joined).unwrap());
                    for ((ours, alone), wanted) in ours.iter().zip(alone).zip(flat(&wanted)) {
                        assert!((ours - wanted).abs() < 1e-4, "{ours} {wanted}");
                        assert!((alone - wanted).abs() < 1e-4, "{alone} {wanted}");
                    }
                }
            }
        }
        let odd = Tensor::zeros((1, 3, 1, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(join(&x, &odd, Joint::Add, Activation::Identity).is_err());
    }
}

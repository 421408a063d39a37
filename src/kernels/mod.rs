//! The feed-forward networks on the processor, over plain slices.
//!
//! A network for painting is a chain of convolutions, each followed by instance normalisation, and what decides its
//! speed is how often the values between two layers travel through memory. Here a layer is one pass over tiles that
//! fit the second-level cache: the *reader* of a tensor applies the normalisation of the layer before (its statistics
//! are known by then), ReLU, residual sum, padding and upsampling while it copies its tile into a padded patch; the
//! convolution runs over that patch without special cases; statistics are gathered from each output row while it is
//! in the first-level cache. See [`TransformEngine`] for the network, `direct` for the arithmetic.

mod aligned;
mod amx;
mod convolution;
mod direct;
mod engine;
mod error;
mod format;
mod instruction_set;
mod last;
mod network;
mod packed;
mod pass;
mod patch;
mod peak;
mod plan;
mod pool;
mod quantise;
#[cfg(test)]
mod reference;
mod simd;
mod statistics;
mod vectorised;
mod wide;
mod winograd;

use std::{fmt, str::FromStr};

pub use engine::{TransformConfig, TransformEngine};
pub use error::KernelError;
pub use instruction_set::InstructionSet;
pub use network::{
    ConvolutionWeights, LAYERS, MINIMUM_SIDE, STYLE_CHANNELS, StyleParameters, TransformWeights,
};
pub use peak::multiply_adds;
pub(crate) use vectorised::vectorised;
pub use wide::WideWeights;

/// Arithmetic of the convolutions; statistics and sums are `f32` always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// The fastest whose paintings cannot be told from `F32`.
    #[default]
    Auto,
    /// 32-bit floating point.
    F32,
    /// Products of bfloat16 numbers.
    Bf16,
    /// Products of 8-bit numbers.
    Int8,
}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, UnknownPrecision> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            _ => Err(UnknownPrecision(text.to_owned())),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

/// The name of an arithmetic was not understood.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no arithmetic: use auto, f32, bf16 or int8")]
pub struct UnknownPrecision(String);

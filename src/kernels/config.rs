//! What an engine is asked for.

use super::InstructionSet;
use std::{fmt, str::FromStr};

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

/// How an engine works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransformConfig {
    /// Threads that paint, the caller of `paint` among them; 0 takes all processors.
    pub threads: usize,
    /// Arithmetic of the convolutions.
    pub precision: Precision,
    /// A certain instruction set (for tests and benchmarks); `None` takes the best.
    pub instruction_set: Option<InstructionSet>,
}

impl Default for TransformConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            precision: Precision::Auto,
            instruction_set: None,
        }
    }
}

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
#[cfg(any(feature = "cuda", feature = "gpu", test))]
mod centre;
mod config;
mod convolution;
mod direct;
mod engine;
mod error;
mod finish;
mod format;
mod instruction_set;
mod last;
mod loss;
mod network;
mod packed;
mod pass;
mod patch;
mod peak;
mod picture;
mod plan;
mod pool;
mod product;
mod quantise;
#[cfg(test)]
pub(crate) mod reference;
mod simd;
mod statistics;
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "no other processor has the matrix unit")
)]
mod tiled;
mod toom_cook;
mod training;
mod vectorised;
mod wide;
mod winograd;
mod winograd_nine;
mod winograd_rows;

#[cfg(any(feature = "cuda", feature = "gpu", test))]
pub(crate) use centre::Centred;
pub use config::{Precision, TransformConfig};
pub use engine::TransformEngine;
pub use error::KernelError;
pub use instruction_set::InstructionSet;
pub use loss::{
    LossNetwork, Pooling, Tape, add_gram, add_gram_gradient, add_out_of_range, add_total_variation,
    add_weighted_difference, gram_matrix,
};
pub(crate) use network::fold_upsampling;
#[cfg(any(test, feature = "cuda", feature = "gpu"))]
pub(crate) use network::pad_blocks;
pub use network::{
    ConvolutionWeights, Entry, LayerShape, MINIMUM_SIDE, NetworkShape, StyleParameters,
    TransformWeights, Upsample,
};
pub use peak::multiply_adds;
pub(crate) use pool::WorkerPool;
pub use product::matrix_product;
pub use training::{
    CHANNEL_STEP, HalfPlane, TAPS, TileWeights, add_valid_weight_gradient,
    add_weight_gradient_in_tiles, convolve_in_tiles, convolve_valid, has_tiles, logistic,
    turn_weights,
};
pub(crate) use vectorised::vectorised;
pub use wide::{WideWeights, add_weight_gradient};

//! 3×3 convolutions of few channels (16 … 64) whose weights are trained, over planes of `[row][column][channel]`.
//!
//! Inputs are padded by their owner (reflection is no special case then), so a convolution here is a *valid* one. Its
//! forward pass and the gradient of its input are the same register tile, pixels × output channels, over weights that are
//! stored as it reads them, `[tap][input][output]`; nothing is packed when the weights change. The gradient of the weights
//! is a tile of input × output channels that stays in registers along a row of pixels. Nothing here starts threads: a
//! training step gives each of them pictures of its own, and adds up their gradients in a fixed order.
//!
//! Where the processor has a matrix unit, the same three products are made in it, of planes and weights rounded to bf16
//! (`tiles`, `half`).

mod convolution;
mod half;
mod logistic;
mod tiles;

pub use convolution::{add_valid_weight_gradient, convolve_valid, turn_weights};
pub use half::HalfPlane;
pub use logistic::logistic;
pub use tiles::{TileWeights, add_weight_gradient_in_tiles, convolve_in_tiles, has_tiles};

/// Channels are stored in multiples of this many, missing ones as zeros.
pub const CHANNEL_STEP: usize = 16;

/// Taps of a 3×3 kernel.
pub const TAPS: usize = 9;

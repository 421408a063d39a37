//! Losses on pictures and features as candle tensors, differentiable, for any device and number type.
//!
//! What a painting is compared in: [`perceptual`] (content, style, smoothness) and [`temporal`] (steadiness from frame to
//! frame). They serve training, and as the statement of what the optimiser minimises on the processor's kernels. Every
//! loss is a scalar tensor; pictures and features are N×C×H×W, masks and confidences N×1×H×W with values 0..1.

mod perceptual;
mod temporal;
mod warp;

pub use perceptual::{content, gram, style, total_variation};
pub use temporal::{
    feature_temporal, frame_difference, long_term, luminance_aware, nearest_first, short_term,
};
pub use warp::backward_warp;

#[cfg(test)]
mod tests;

//! Networks as candle tensors, on any device candle knows, and the files their weights come from.
//!
//! Here stands the reference: every layer written as the paper states it. On the processor the feed-forward network
//! runs on [`crate::kernels`] instead, which is checked against this.

pub mod depthwise;
pub mod elementwise;
pub mod layers;
pub mod losses;
pub mod optimizers;
pub mod person_net;
pub mod reference_file;
pub mod student_file;
pub mod student_net;
pub mod style_predictor;
pub mod transform_net;
pub mod vgg;
pub mod weights;
pub mod wide_convolution;

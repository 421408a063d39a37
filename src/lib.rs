//! allaprima paints moving pictures while they move.
//!
//! A [`source`] yields frames (a video file, a test card), a [`stylize`]r paints each of them in a [`style`], and a
//! [`sink`] encodes what was painted. The [`pipeline`] runs the three as threads joined by bounded channels. The
//! networks stand in [`nn`] (candle tensors, any device) and, for the processor, in [`kernels`] (SIMD over plain
//! slices); their weights are files of the [`models`] folder.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

#[cfg(any(test, feature = "cuda"))]
pub mod cuda;
pub mod device;
pub mod files;
pub mod frame;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod kernels;
pub mod live;
pub mod media;
pub mod models;
pub mod nn;
pub mod numbered;
pub mod picture_file;
pub mod pipeline;
pub mod sink;
pub mod source;
pub mod style;
pub mod stylize;
pub mod temporal;
pub mod train;

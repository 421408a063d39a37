//! allaprima paints moving pictures while they move.
//!
//! A [`source`] yields frames (a video file, a picture, a test card), a [`stylize`]r paints each of them with a
//! style from [`style`], and a [`sink`] encodes what was painted. The [`pipeline`] runs the three as threads joined
//! by bounded channels. The networks stand in [`nn`] (candle tensors, any device) and, for the processor, in
//! [`kernels`] (hand-written SIMD over plain slices).

pub mod frame;
pub mod kernels;
pub mod media;
pub mod sink;
pub mod source;

//! Reading and writing video files, tried on real media that the `ffmpeg` program makes.
//!
//! Nothing is painted here: frames go from a `VideoFileSource` straight to a `VideoFileSink`, and `ffprobe`, `ffmpeg`
//! and a second reading say what became of them.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod as_camera;
mod damage;
mod look;
mod output;
mod shape;
mod support;
mod timing;
mod tracks;

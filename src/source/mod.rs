//! Where frames come from. Each kind of source (video file, test card, ...) is a [`FrameSource`] in its own file.

use crate::frame::Packet;

/// A fraction, as time bases and frame rates are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// Numerator.
    pub num: i32,
    /// Denominator, never 0.
    pub den: i32,
}

/// What a source says about its frames before the first one.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Width of every frame, in pixels, as it is to be painted.
    pub width: usize,
    /// Height of every frame, in pixels.
    pub height: usize,
    /// Seconds per unit of a time stamp.
    pub time_base: Ratio,
    /// Average frames per second, where the source says.
    pub frame_rate: Option<Ratio>,
    /// How many frames to expect, for a progress bar: an estimate from the header, which may lie.
    pub expected_frames: Option<u64>,
}

/// Yields frames in presentation order, and packets of the tracks beside them, then [`Packet::End`].
pub trait FrameSource: Send {
    /// What holds for all frames.
    fn info(&self) -> &StreamInfo;

    /// The next message. After [`Packet::End`] it is not called again.
    ///
    /// # Errors
    /// When the source can yield nothing more and is not at its end. What can be skipped (a broken packet) is skipped,
    /// counted and told in [`FrameSource::notes`].
    fn next(&mut self) -> Result<Packet, SourceError>;

    /// What the user should know of this source (broken packets skipped, interlaced, alpha flattened, ...): full
    /// sentences, complete once [`Packet::End`] was returned.
    fn notes(&self) -> Vec<String>;
}

/// Why a source failed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source failed; the text names the file and says what to try.
    #[error("{0}")]
    Failed(String),
}

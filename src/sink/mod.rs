//! Where painted frames go. Each kind of sink (video file, nothing at all) is a [`FrameSink`] in its own file.

use crate::{frame::Frame, media::TrackPacket};

/// Takes painted frames in presentation order, and the packets of the tracks beside them.
pub trait FrameSink: Send {
    /// Takes the next frame.
    ///
    /// # Errors
    /// When the frame cannot be encoded or written (a full disk).
    fn frame(&mut self, frame: Frame) -> Result<(), SinkError>;

    /// Takes a packet of another track.
    ///
    /// # Errors
    /// As [`FrameSink::frame`].
    fn track(&mut self, packet: TrackPacket) -> Result<(), SinkError>;

    /// Completes the output: only after this does it stand under its name. A sink that is dropped without this
    /// leaves nothing behind.
    ///
    /// # Errors
    /// As [`FrameSink::frame`].
    fn finish(&mut self) -> Result<(), SinkError>;

    /// What the user should know of this output, in full sentences.
    fn notes(&self) -> Vec<String>;
}

/// Why a sink failed.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The sink failed; the text names the file and says what to try.
    #[error("{0}")]
    Failed(String),
}

//! What travels through the pipeline: pictures, the frames that carry them, and the marks between frames.
//!
//! A [`Picture`] is only pixels. A [`Frame`] adds when it is shown and where it comes from. A [`Packet`] is a message
//! between two stages; its three ways to stop are kept apart: [`Packet::End`] is a clean end, a closed channel without
//! it means that the stage before died, and an empty channel means nothing at all.

use std::fmt;

use crate::media::TrackPacket;

/// A picture of 8-bit RGB pixels (sRGB or BT.709 code values), rows packed without padding, top row first.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Picture {
    /// Wraps `rgb`, which holds `height` rows of `width` pixels of 3 bytes.
    ///
    /// # Errors
    /// [`SizeMismatch`] when the length is not `width * height * 3`.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self, SizeMismatch> {
        if rgb.len() != width * height * 3 {
            return Err(SizeMismatch {
                width,
                height,
                bytes: rgb.len(),
            });
        }
        Ok(Self { width, height, rgb })
    }

    /// A black picture.
    pub fn black(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            rgb: vec![0; width * height * 3],
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels: `height * width * 3` bytes, R, G, B.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Puts other pixels of the same size in place of these, which come back.
    ///
    /// # Panics
    /// When there are not as many.
    pub(crate) fn replace_rgb(&mut self, rgb: Vec<u8>) -> Vec<u8> {
        assert_eq!(rgb.len(), self.rgb.len(), "pixels of another size");
        std::mem::replace(&mut self.rgb, rgb)
    }

    /// The pixels, to be changed in place.
    pub fn rgb_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }

    /// Gives the pixels away.
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({}x{})", self.width, self.height)
    }
}

/// The pixels handed over do not fill the picture.
#[derive(Debug, thiserror::Error)]
#[error("{bytes} bytes do not fill a picture of {width}x{height} RGB pixels")]
pub struct SizeMismatch {
    /// Width asked for, in pixels.
    pub width: usize,
    /// Height asked for, in pixels.
    pub height: usize,
    /// Bytes given.
    pub bytes: usize,
}

/// A picture with its place in time.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The pixels.
    pub picture: Picture,
    /// Presentation time stamp, in units of the source's [`crate::source::StreamInfo::time_base`].
    pub pts: i64,
    /// How long the frame is shown, in the same units; 0 when the source does not say.
    pub duration: i64,
    /// Number of the frame in its source, from 0; has gaps where frames were dropped.
    pub source_index: u64,
    /// Number of the frame behind the drop point, from 0; has no gaps.
    pub seq: u64,
}

/// Why the picture before and the picture after do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// The source jumped (a seek, a changed picture size).
    Discontinuity,
    /// The film cut to another scene.
    SceneCut,
}

/// A message between two stages.
#[derive(Debug)]
pub enum Packet {
    /// The next frame, in presentation order.
    Frame(Frame),
    /// A compressed packet of another track (sound, subtitles), which passes the painting untouched.
    Track(TrackPacket),
    /// What follows does not continue what came before.
    Reset(ResetReason),
    /// The source is exhausted; nothing follows.
    End,
}

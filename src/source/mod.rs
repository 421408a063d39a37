//! Where frames come from. Each kind of source (video file, test card, ...) is a [`FrameSource`] in its own file.

mod camera;
mod clip_camera;
mod convert;
mod device_camera;
mod look;
mod microphone;
#[cfg_attr(
    not(feature = "camera"),
    allow(
        dead_code,
        reason = "only cameras have modes, but their logic is tested anyway"
    )
)]
mod modes;
mod notes;
mod open;
mod packets;
mod settings;
mod test_card;
mod timeline;
mod video_file;

pub use crate::media::SourceDescription;
pub use camera::{Camera, CameraError, CameraMode, CameraOpener, Captured};
pub use clip_camera::{ClipCamera, TestCamera};
pub use device_camera::{cameras, device_camera};
pub use microphone::{CapturedSound, Microphone, MicrophoneError, microphones, open_microphone};
pub use modes::CameraWish;
pub use settings::{PICTURE_RATE, Sizing, VideoSourceSettings};
pub use test_card::TestCard;
pub use video_file::VideoFileSource;

use std::path::PathBuf;

use crate::frame::Packet;

/// A fraction, as time bases and frame rates are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// Numerator.
    pub num: i32,
    /// Denominator, never 0.
    pub den: i32,
}

impl Ratio {
    /// The fraction as a number.
    pub fn value(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
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

/// Why a source failed. Every text names the file and says what to try.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is nothing under this name.
    #[error("{path}: there is no such file; check the name", path = path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// The file may not be read.
    #[error("{path}: no permission to read it; change its permissions (chmod +r) or copy it", path = path.display())]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// It is a directory.
    #[error("{path}: this is a folder, and a video file is wanted; for a folder of pictures there is the `image` command", path = path.display())]
    Directory {
        /// The folder.
        path: PathBuf,
    },
    /// The file holds no bytes.
    #[error("{path}: the file is empty; copy or download it again", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// FFmpeg does not recognise it.
    #[error("{path}: this is not a video that FFmpeg can read ({detail}); `ffprobe` may say more", path = path.display())]
    NotVideo {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// An MP4 or MOV file that was cut off before its index was written.
    #[error("{path}: the end of the file is missing, and with it the index without which it cannot be read; copy, download or record it again", path = path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
    },
    /// It can be read, but shows nothing.
    #[error("{path}: there is no video in it, only {found}; give a file with pictures", path = path.display())]
    NoVideoStream {
        /// The file.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// This FFmpeg cannot decode its pictures.
    #[error("{path}: this FFmpeg has no decoder for its pictures ({codec}); convert it with another program first", path = path.display())]
    NoDecoder {
        /// The file.
        path: PathBuf,
        /// The codec's name.
        codec: String,
    },
    /// A pipe whose film cannot be read from its beginning to its end.
    #[error("{path}: no film can be read from this pipe: what comes through one has to be in order (Matroska, MPEG-TS, an MP4 with its index in front), and is read once, from its beginning; save it to a file first", path = path.display())]
    Unseekable {
        /// The pipe.
        path: PathBuf,
    },
    /// Not a single frame could be decoded.
    #[error("{path}: none of its pictures can be decoded ({detail}); the file is damaged, copy or download it again", path = path.display())]
    NothingDecoded {
        /// The file.
        path: PathBuf,
        /// How far it came.
        detail: String,
    },
    /// `--start` lies behind the end.
    #[error("{path}: there is no picture at or after {start} s; give a smaller --start", path = path.display())]
    StartBehindEnd {
        /// The file.
        path: PathBuf,
        /// What was asked for, in seconds.
        start: f64,
    },
    /// The part asked for is too short for a picture.
    #[error("{path}: no picture begins within the {duration} s of --duration; give a longer one", path = path.display())]
    EmptyPart {
        /// The file.
        path: PathBuf,
        /// What was asked for, in seconds.
        duration: f64,
    },
    /// High dynamic range, and the filters that map it are missing.
    #[error("{path}: this is HDR video ({transfer}), and this FFmpeg has no zscale and tonemap filters to bring it to an ordinary screen; install an FFmpeg with libzimg, or convert the clip to SDR first", path = path.display())]
    HdrUnsupported {
        /// The file.
        path: PathBuf,
        /// `PQ` or `HLG`.
        transfer: &'static str,
    },
    /// The pictures would be too small to paint.
    #[error("{path}: pictures of {width}x{height} pixels are too small, at least 32x32 are needed; give a larger --size, such as 64x64, or --max-size", path = path.display())]
    TooSmall {
        /// The file.
        path: PathBuf,
        /// Width in pixels as it would be painted.
        width: usize,
        /// Height in pixels as it would be painted.
        height: usize,
    },
    /// The pictures would be too large.
    #[error("{path}: pictures of {width}x{height} pixels are too large, no side may have more than 16384; give a smaller --size or --max-size", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Width in pixels as it would be painted.
        width: usize,
        /// Height in pixels as it would be painted.
        height: usize,
    },
    /// Start or duration make no sense.
    #[error("{option} is {value}, but must be {wanted}")]
    BadTime {
        /// The option.
        option: &'static str,
        /// What was asked for, in seconds.
        value: f64,
        /// What is allowed.
        wanted: &'static str,
    },
    /// FFmpeg failed in the middle.
    #[error("{path}: {action} failed", path = path.display())]
    Media {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// FFmpeg's reason.
        #[source]
        source: ffmpeg_next::Error,
    },
    /// A source of another kind failed; the text says what and what to try.
    #[error("{0}")]
    Failed(String),
}

//! Where painted frames go. Each kind of sink (video file, nothing at all) is a [`FrameSink`] in its own file.

mod container;
mod discard;
mod encode;
mod pictures;
mod recording;
mod screen;
mod sound;
mod temporary;
mod tracks;
mod video_file;
mod virtual_camera;
mod window;
mod writer;

pub use container::{Codec, UnknownCodec};
pub use discard::Discard;
pub use encode::available as available_codecs;
pub use pictures::{Numbering, PicturesSink};
pub use recording::{check_recording, open_recording};
pub use screen::{Screen, VirtualCamera};
pub use video_file::{VideoFileSink, VideoSinkSettings};
pub use virtual_camera::open_virtual_camera;
pub use window::open_window;

use std::path::PathBuf;

use crate::{frame::Frame, media::TrackPacket, picture_file::PictureError};

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

/// Why a sink failed. Every text names the file or the option and says what to try.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The extension names no container that is written here.
    #[error("{path}: the container is chosen by the extension, which must be .mp4, .mkv, .mov or .webm (`video` writes numbered pictures, as NAME-%05d.png)", path = path.display())]
    UnknownContainer {
        /// The output.
        path: PathBuf,
    },
    /// There is a file of this name already.
    #[error("{path} exists: use --overwrite to replace it, or name another file", path = path.display())]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// The output would be written over the input.
    #[error("{path}: this is the input itself; give another name", path = path.display())]
    SameAsInput {
        /// The output.
        path: PathBuf,
    },
    /// A folder has this name.
    #[error("{path}: this is a folder; give the name of a file in it", path = path.display())]
    Directory {
        /// The output.
        path: PathBuf,
    },
    /// The folder to write into is missing.
    #[error("{path}: the folder {folder} does not exist; make it (mkdir -p) or give another name", path = path.display(), folder = folder.display())]
    NoFolder {
        /// The output.
        path: PathBuf,
        /// The folder it would stand in.
        folder: PathBuf,
    },
    /// The folder takes no new file.
    #[error("{path}: no file can be made in the folder {folder}; choose another folder", path = path.display(), folder = folder.display())]
    Folder {
        /// The output.
        path: PathBuf,
        /// The folder it would stand in.
        folder: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Codec and container do not go together.
    #[error("{path}: {container} does not take --codec {codec}; it takes {takes}, or choose another container by the extension", path = path.display())]
    CodecNotInContainer {
        /// The output.
        path: PathBuf,
        /// The container's extension.
        container: &'static str,
        /// The codec's name.
        codec: &'static str,
        /// The names of those that fit.
        takes: String,
    },
    /// `--lossless` needs FFV1 in Matroska.
    #[error("{path}: --lossless is written as ffv1 in .mkv; give -o a name that ends in .mkv, and no other --codec", path = path.display())]
    LosslessNeedsMkv {
        /// The output.
        path: PathBuf,
    },
    /// This FFmpeg has no such encoder.
    #[error("this FFmpeg has no encoder for --codec {codec}; it has {available}")]
    NoEncoder {
        /// The codec's name.
        codec: &'static str,
        /// The names of those it has.
        available: String,
    },
    /// `--crf` is out of bounds.
    #[error("--crf {value} is out of bounds: {codec} takes 0 (best) to {max} (smallest)")]
    BadCrf {
        /// What was asked for.
        value: u8,
        /// The codec's name.
        codec: &'static str,
        /// The largest value it takes.
        max: u8,
    },
    /// `--crf` or `--preset` with a codec that has no such thing.
    #[error("{option} means nothing to {codec}; leave it out")]
    NotForCodec {
        /// The option.
        option: &'static str,
        /// The codec's name.
        codec: &'static str,
    },
    /// `--preset` is unknown.
    #[error("--preset {value} is unknown to {codec}; it takes {takes}")]
    BadPreset {
        /// What was asked for.
        value: String,
        /// The codec's name.
        codec: &'static str,
        /// What it takes, in words.
        takes: &'static str,
    },
    /// The pictures are too small or too large for the codec.
    #[error(
        "pictures of {width}x{height} pixels cannot be encoded, sides of 2 to 16384 pixels can; choose another --size"
    )]
    BadSize {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A frame that does not fit what the source promised.
    #[error("{path}: {what}", path = path.display())]
    BadFrame {
        /// The output.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The disk is full, gone or read-only.
    #[error("{path}: writing failed{hint}", path = path.display(), hint = hint_of(source))]
    Write {
        /// The output.
        path: PathBuf,
        /// FFmpeg's reason.
        #[source]
        source: ffmpeg_next::Error,
    },
    /// The file system takes no such name.
    #[error("{path}: no file can have this name; give a shorter one", path = path.display())]
    Name {
        /// The output.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The finished file cannot get its name.
    #[error("{path}: the finished video could not be put in its place; it is {kept}", path = path.display(), kept = kept.display())]
    Rename {
        /// The output.
        path: PathBuf,
        /// Where the finished video is.
        kept: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The finished file is gone, or cannot even stay where it is.
    #[error("{path}: the finished video could not be put in its place", path = path.display())]
    Lost {
        /// The output.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Another file took the name while this one was painted.
    #[error("{path}: another file took this name meanwhile; the finished video is {kept}", path = path.display(), kept = kept.display())]
    NameTaken {
        /// The output.
        path: PathBuf,
        /// Where the finished video was left.
        kept: PathBuf,
    },
    /// FFmpeg failed.
    #[error("{path}: {action} failed", path = path.display())]
    Media {
        /// The output.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// FFmpeg's reason.
        #[source]
        source: ffmpeg_next::Error,
    },
    /// A numbered picture cannot be written.
    #[error(transparent)]
    Picture(PictureError),
    /// A sink of another kind failed; the text says what and what to try.
    #[error("{0}")]
    Failed(String),
}

impl SinkError {
    /// Whether the settings are to blame and not the machine or the files: wrong usage.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UnknownContainer { .. }
                | Self::Name { .. }
                | Self::CodecNotInContainer { .. }
                | Self::LosslessNeedsMkv { .. }
                | Self::BadCrf { .. }
                | Self::NotForCodec { .. }
                | Self::BadPreset { .. }
                | Self::Picture(PictureError::Extension(_))
        )
    }
}

/// What to look at where writing failed.
fn hint_of(source: &ffmpeg_next::Error) -> &'static str {
    use ffmpeg_next::error::{EFBIG, ENOSPC};
    match source {
        ffmpeg_next::Error::Other { errno: ENOSPC } => "; look for free space on the disk",
        ffmpeg_next::Error::Other { errno: EFBIG } => "; a file may not be larger there",
        _ => "",
    }
}

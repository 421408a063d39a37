//! Which containers are written, and what each of them takes.

use std::{ffi::CStr, path::Path, str::FromStr};

use super::SinkError;

/// How frames are coded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// H.264, which everything plays.
    #[default]
    H264,
    /// H.265.
    Hevc,
    /// VP9.
    Vp9,
    /// AV1.
    Av1,
    /// FFV1: every pixel as it was painted.
    Ffv1,
}

impl Codec {
    /// Every one, the best known first.
    pub const ALL: [Self; 5] = [Self::H264, Self::Hevc, Self::Vp9, Self::Av1, Self::Ffv1];

    /// Its name, as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
            Self::Ffv1 => "ffv1",
        }
    }
}

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(text: &str) -> Result<Self, UnknownCodec> {
        let codec = Self::ALL.into_iter().find(|codec| codec.name() == text);
        codec.ok_or_else(|| UnknownCodec(text.to_owned()))
    }
}

/// `--codec` was not understood.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no codec that is written: --codec takes h264, hevc, vp9, av1 or ffv1")]
pub struct UnknownCodec(String);

/// The containers that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Mp4,
    Mov,
    Mkv,
    Webm,
}

impl Container {
    /// By the extension of the output's name.
    pub(super) fn of(path: &Path) -> Result<Self, SinkError> {
        let extension = path
            .extension()
            .map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("mp4" | "m4v") => Ok(Self::Mp4),
            Some("mov") => Ok(Self::Mov),
            Some("mkv") => Ok(Self::Mkv),
            Some("webm") => Ok(Self::Webm),
            _ => Err(SinkError::UnknownContainer {
                path: path.to_owned(),
            }),
        }
    }

    /// FFmpeg's name of the format.
    pub(super) fn format(self) -> &'static CStr {
        match self {
            Self::Mp4 => c"mp4",
            Self::Mov => c"mov",
            Self::Mkv => c"matroska",
            Self::Webm => c"webm",
        }
    }

    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => ".mp4",
            Self::Mov => ".mov",
            Self::Mkv => ".mkv",
            Self::Webm => ".webm",
        }
    }

    /// The codecs of pictures it takes, best known first.
    pub(super) fn codecs(self) -> &'static [Codec] {
        use Codec::{Av1, Ffv1, H264, Hevc, Vp9};
        match self {
            Self::Mp4 => &[H264, Hevc, Vp9, Av1],
            Self::Mov => &[H264, Hevc],
            Self::Mkv => &[H264, Hevc, Vp9, Av1, Ffv1],
            Self::Webm => &[Vp9, Av1],
        }
    }

    /// Options for the header. MP4 and MOV get their index in front of the pictures, so that they play while they are
    /// still being downloaded.
    pub(super) fn options(self) -> &'static [(&'static CStr, &'static CStr)] {
        match self {
            Self::Mp4 | Self::Mov => &[(c"movflags", c"+faststart")],
            Self::Mkv | Self::Webm => &[],
        }
    }

    /// Options for a recording: pieces that stand for themselves, each handed to the system at once.
    pub(super) fn live_options(self) -> &'static [(&'static CStr, &'static CStr)] {
        match self {
            Self::Mp4 | Self::Mov => &[
                (c"movflags", c"+empty_moov+default_base_moof+frag_keyframe"),
                (c"frag_duration", c"1000000"),
                (c"flush_packets", c"1"),
            ],
            Self::Mkv | Self::Webm => &[(c"cluster_time_limit", c"1000"), (c"flush_packets", c"1")],
        }
    }
}

//! Which containers are written, and what each of them takes.

use std::{
    ffi::{CStr, CString},
    path::Path,
    str::FromStr,
};

use ffmpeg_next::{codec, codec::Parameters};

use super::SinkError;
use crate::media::{mux, sound};

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

    /// Options for the header, for a video whose time stamps count `ticks_per_second`.
    ///
    /// MP4 and MOV get their index in front of the pictures, so that they play while they are still being downloaded,
    /// and a clock for the whole movie that is as fine as that of the video: with the usual milliseconds a late start
    /// would be rounded.
    pub(super) fn options(self, ticks_per_second: i32) -> Vec<(&'static CStr, CString)> {
        match self {
            Self::Mp4 | Self::Mov => {
                let scale = ticks_per_second.clamp(1000, 1_000_000).to_string();
                let mut options = vec![(c"movflags", c"+faststart".to_owned())];
                options.extend(CString::new(scale).map(|scale| (c"movie_timescale", scale)));
                options
            }
            Self::Mkv | Self::Webm => Vec::new(),
        }
    }

    /// Options for a recording: pieces that stand for themselves, each handed to the system at once.
    pub(super) fn live_options(self) -> Vec<(&'static CStr, CString)> {
        let options: &[(&CStr, &CStr)] = match self {
            Self::Mp4 | Self::Mov => &[
                (c"movflags", c"+empty_moov+default_base_moof+frag_keyframe"),
                (c"frag_duration", c"1000000"),
                (c"flush_packets", c"1"),
                (c"max_interleave_delta", c"1000000"),
            ],
            Self::Mkv | Self::Webm => &[
                (c"cluster_time_limit", c"1000"),
                (c"flush_packets", c"1"),
                (c"max_interleave_delta", c"1000000"),
            ],
        };
        options
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect()
    }

    /// Whether the run-up of a sound decoder is stored as a delay beside stamps from zero (Matroska), and not as a
    /// negative start.
    pub(super) fn stores_codec_delay(self) -> bool {
        matches!(self, Self::Mkv | Self::Webm)
    }

    /// By how many samples the stamps of this sound must be moved before the muxer sees them: its run-up, where the
    /// muxer writes the delay but does not move the stamps.
    pub(super) fn delay_to_add(self, parameters: &Parameters) -> i64 {
        let written = parameters.id() == codec::Id::OPUS && self.stores_codec_delay();
        if written && !mux::moves_by_codec_delay(self.format()) {
            sound::lead_in(parameters)
        } else {
            0
        }
    }

    /// The encoders for sound that the container does not take as it is, the preferred one first.
    pub(super) fn sound_encoders(self) -> &'static [&'static str] {
        match self {
            Self::Mp4 | Self::Mov | Self::Mkv => &["aac"],
            Self::Webm => &["libopus", "libvorbis"],
        }
    }

    /// The encoder for subtitles that the container does not take as they are.
    pub(super) fn words_encoder(self) -> &'static CStr {
        match self {
            Self::Mp4 | Self::Mov => c"mov_text",
            Self::Mkv => c"subrip",
            Self::Webm => c"webvtt",
        }
    }

    /// The tags of a stream as this container shows them. MP4 and MOV programs show a track's handler name where those
    /// of Matroska show a title.
    pub(super) fn stream_tags(self, tags: &[(String, String)]) -> Vec<(String, String)> {
        let mut tags = lasting_tags(tags);
        let value = |key: &str| {
            let found = tags.iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.clone())
        };
        let title = value("title");
        let handler = value("handler_name").filter(|name| !is_common_handler(name));
        if self == Self::Mov {
            for (_, language) in tags.iter_mut().filter(|(key, _)| key == "language") {
                let known = QUICKTIME_LANGUAGES.iter().find(|(iso, _)| iso == language);
                if let Some((_, quicktime)) = known {
                    *language = (*quicktime).to_owned();
                }
            }
        }
        match self {
            Self::Mp4 | Self::Mov => {
                if let (Some(title), None) = (title, handler) {
                    tags.retain(|(key, _)| key != "handler_name");
                    tags.push(("handler_name".to_owned(), title));
                }
            }
            Self::Mkv | Self::Webm => {
                tags.retain(|(key, _)| key != "handler_name" && key != "vendor_id");
                if let (None, Some(handler)) = (title, handler) {
                    tags.push(("title".to_owned(), handler));
                }
            }
        }
        tags
    }
}

/// Languages that QuickTime knows under another code than ISO 639-2/T; FFmpeg would drop them.
const QUICKTIME_LANGUAGES: [(&str, &str); 9] = [
    ("deu", "ger"),
    ("nld", "dut"),
    ("swe", "sve"),
    ("ell", "gre"),
    ("isl", "ice"),
    ("zho", "chi"),
    ("sqi", "alb"),
    ("mkd", "mac"),
    ("gle", "iri"),
];

/// Whether a handler's name is only that of the program that wrote it.
fn is_common_handler(name: &str) -> bool {
    ["handler", "media", "gpac", "mainconcept"]
        .iter()
        .any(|word| name.to_lowercase().contains(word))
        || name.trim().is_empty()
}

/// Tags that describe how a stream was stored, and would be wrong for the copy.
const STORAGE_TAGS: [&str; 13] = [
    "alpha_mode",
    "encoder",
    "rotate",
    "duration",
    "bps",
    "number_of_frames",
    "number_of_bytes",
    "_statistics_tags",
    "_statistics_writing_app",
    "_statistics_writing_date_utc",
    "major_brand",
    "minor_version",
    "compatible_brands",
];

/// The tags that hold for a copy too.
pub(super) fn lasting_tags(tags: &[(String, String)]) -> Vec<(String, String)> {
    tags.iter()
        .filter(|(key, _)| {
            let key = key.to_lowercase();
            // Matroska writes statistics once more per language: "BPS-eng".
            let key = key.split('-').next().unwrap_or_default();
            !STORAGE_TAGS.contains(&key)
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn titles_find_their_place_in_each_container() {
        let from_mkv = tags(&[
            ("title", "Commentary"),
            ("BPS-eng", "1"),
            ("language", "eng"),
        ]);
        let mp4 = Container::Mp4.stream_tags(&from_mkv);
        assert!(mp4.contains(&("handler_name".to_owned(), "Commentary".to_owned())));
        assert!(mp4.iter().all(|(key, _)| key != "BPS-eng"));
        let from_mp4 = tags(&[("handler_name", "Commentary")]);
        assert_eq!(
            Container::Mkv.stream_tags(&from_mp4),
            tags(&[("title", "Commentary")])
        );
        let common = tags(&[("handler_name", "SoundHandler"), ("vendor_id", "FFMP")]);
        assert!(Container::Mkv.stream_tags(&common).is_empty());
    }
}

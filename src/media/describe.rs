//! What a copy of a video file should keep although it is not painted.

use std::path::PathBuf;

use ffmpeg_next::codec::Parameters;

use crate::source::Ratio;

/// Everything beside the pictures: the tracks that travel with them, chapters, tags. The default describes a source
/// that has nothing beside its pictures (a test card).
#[derive(Clone, Default)]
pub struct SourceDescription {
    /// The file it was read from, if it was a file; a sink refuses to write over it.
    pub path: Option<PathBuf>,
    /// Sound and subtitle tracks, in the file's order; [`super::TrackPacket::track`] counts in this list.
    pub tracks: Vec<Track>,
    /// Chapters, in seconds of the output.
    pub chapters: Vec<Chapter>,
    /// Tags of the whole file (title, artist, date, ...).
    pub metadata: Vec<(String, String)>,
    /// Tags of the video track (language, title).
    pub video_metadata: Vec<(String, String)>,
    /// FFmpeg's `AV_DISPOSITION_*` flags of the video track.
    pub video_disposition: i32,
}

/// Sound or subtitles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackKind {
    /// A track of sound.
    Audio,
    /// A track of subtitles.
    Subtitle,
}

/// A track that passes the painting untouched.
#[derive(Clone)]
pub struct Track {
    /// Sound or subtitles.
    pub kind: TrackKind,
    /// How its packets are coded.
    pub parameters: Parameters,
    /// Seconds per unit of its packets' time stamps.
    pub time_base: Ratio,
    /// Language, title and other tags.
    pub metadata: Vec<(String, String)>,
    /// FFmpeg's `AV_DISPOSITION_*` flags (default, forced, comment, ...).
    pub disposition: i32,
    /// How far its first packets lie before zero, in its time base: the run-up that a decoder of sound needs and then
    /// throws away. MP4 stores it as a negative start, Matroska as a codec delay.
    pub lead_in: i64,
}

impl Track {
    /// The codec's short name (`aac`, `subrip`).
    pub fn codec_name(&self) -> &'static str {
        self.parameters.id().name()
    }

    /// The value of one tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.metadata
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }
}

/// A named stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Chapter {
    /// Start in seconds of the output.
    pub start: f64,
    /// End in seconds of the output.
    pub end: f64,
    /// Its title, empty when it has none.
    pub title: String,
}

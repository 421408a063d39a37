//! What reading and writing video files share: FFmpeg's types at arm's length.
//!
//! FFmpeg does the work (demuxing, decoding, filtering, encoding, muxing); this crate decides what is asked of it. The
//! two directions meet in a [`SourceDescription`]: everything that a copy of the file should keep although it is not
//! painted (sound, subtitles, languages, chapters). The few calls that `ffmpeg-next` does not wrap stand in `edge`, with
//! all of their `unsafe` but that of reaching rows of pixels (`planes`).

mod describe;
pub(crate) mod device;
pub(crate) mod edge;
pub(crate) mod graph;
pub(crate) mod mux;
pub(crate) mod planes;
#[cfg_attr(
    not(feature = "camera"),
    allow(
        dead_code,
        reason = "cameras and virtual cameras have other formats than RGB"
    )
)]
pub(crate) mod scale;
pub(crate) mod sound;
pub(crate) mod words;

pub use describe::{Chapter, SourceDescription, Track, TrackKind};

use std::sync::Once;

use crate::source::Ratio;

/// A compressed packet of a track that is not painted: sound or subtitles.
pub struct TrackPacket {
    /// Number of the track, in the order of [`SourceDescription::tracks`].
    pub track: usize,
    /// The packet, its time stamps in the track's own time base ([`Track::time_base`]).
    pub packet: ffmpeg_next::Packet,
}

impl std::fmt::Debug for TrackPacket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "TrackPacket({}, pts {:?})",
            self.track,
            self.packet.pts()
        )
    }
}

/// Prepares FFmpeg, once: its error texts, and silence. What is worth telling is told through errors and notes.
pub(crate) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It never fails.
        let _ = ffmpeg_next::init();
        ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
    });
}

/// The version of FFmpeg's codec library that the program runs with.
pub fn version() -> String {
    let version = ffmpeg_next::codec::version();
    format!(
        "libavcodec {}.{}.{}",
        version >> 16,
        version >> 8 & 0xff,
        version & 0xff
    )
}

impl From<Ratio> for ffmpeg_next::Rational {
    fn from(ratio: Ratio) -> Self {
        Self(ratio.num, ratio.den)
    }
}

impl From<ffmpeg_next::Rational> for Ratio {
    /// A fraction without a denominator (FFmpeg's "unknown") becomes 0/1.
    fn from(rational: ffmpeg_next::Rational) -> Self {
        if rational.1 == 0 {
            Self { num: 0, den: 1 }
        } else {
            Self {
                num: rational.0,
                den: rational.1,
            }
        }
    }
}

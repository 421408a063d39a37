//! What becomes of the tracks beside the pictures: copied as they are where the container takes them.

use std::path::Path;

use ffmpeg_next::{Packet, Rational, Rescale, codec::Parameters};

use super::{SinkError, container::Container};
use crate::media::{
    SourceDescription, Track, TrackKind,
    mux::{self, Muxer, NO_STAMP, StreamSettings, WriteError},
};

/// One track of the output.
pub(super) enum OutputTrack {
    /// Packets go through unchanged but for their clock.
    Copied(Copied),
    /// The container has no place for it.
    Left,
}

impl OutputTrack {
    /// Decides what becomes of a track, and adds its stream to the muxer.
    pub(super) fn add(
        path: &Path,
        muxer: &mut Muxer,
        container: Container,
        track: &Track,
        notes: &mut Vec<String>,
    ) -> Result<Self, SinkError> {
        let time_base = Rational::from(track.time_base);
        if mux::takes(container.format(), &track.parameters, time_base) {
            let stream = muxer
                .add_stream(
                    &track.parameters,
                    &StreamSettings {
                        time_base,
                        frame_rate: None,
                        metadata: &track.metadata,
                        disposition: track.disposition,
                        tag: None,
                    },
                )
                .map_err(|source| SinkError::Media {
                    path: path.to_owned(),
                    action: "adding a track",
                    source,
                })?;
            return Ok(Self::Copied(Copied {
                stream,
                time_base,
                parameters: track.parameters.clone(),
                is_sound: track.kind == TrackKind::Audio,
                carried: NO_STAMP,
                next: None,
            }));
        }
        notes.push(format!(
            "A track ({}) was left out: {} does not take it.",
            track.codec_name(),
            container.extension()
        ));
        Ok(Self::Left)
    }
}

/// A track whose packets go through unchanged but for their clock.
pub(super) struct Copied {
    stream: usize,
    time_base: Rational,
    parameters: Parameters,
    is_sound: bool,
    /// The carry of the sample-exact rescaling.
    carried: i64,
    /// The least decoding stamp that the next packet may have.
    next: Option<i64>,
}

impl Copied {
    /// Writes a packet.
    pub(super) fn write(
        &mut self,
        muxer: &mut Muxer,
        mut packet: Packet,
    ) -> Result<(), WriteError> {
        if mux::is_hollow(&packet) {
            return Ok(());
        }
        let to = muxer.time_base(self.stream);
        let stamp = packet.dts().or(packet.pts());
        let ahead = match (packet.pts(), packet.dts()) {
            (Some(pts), Some(dts)) => (pts - dts).rescale(self.time_base, to),
            _ => 0,
        };
        let rate = mux::sample_rate(&self.parameters);
        let mut duration = packet.duration().rescale(self.time_base, to);
        let mut dts = match stamp {
            Some(stamp) if self.is_sound && rate > 0 => {
                let mut samples = mux::samples_in(&mut self.parameters, &packet);
                if samples == 0 {
                    samples = packet.duration().rescale(self.time_base, Rational(1, rate)) as i32;
                }
                duration = i64::from(samples).rescale(Rational(1, rate), to);
                mux::rescale_sound(stamp, self.time_base, rate, samples, &mut self.carried, to)
            }
            Some(stamp) => stamp.rescale(self.time_base, to),
            None => self.next.unwrap_or(0),
        };
        if let Some(least) = self.next {
            dts = dts.max(least);
        }
        self.next = Some(dts + i64::from(!muxer.allows_equal_stamps()));
        packet.set_dts(Some(dts));
        packet.set_pts(Some(dts + ahead.max(0)));
        packet.set_duration(duration);
        packet.set_stream(self.stream);
        muxer.write(&mut packet)
    }
}

/// Tags that describe how a stream was stored, and would be wrong for the copy.
const STORAGE_TAGS: [&str; 12] = [
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
            !STORAGE_TAGS.contains(&key) && key != "alpha_mode"
        })
        .cloned()
        .collect()
}

/// Copies tags and chapters of the whole file.
pub(super) fn add_container_tags(
    muxer: &mut Muxer,
    description: &SourceDescription,
) -> Result<(), ffmpeg_next::Error> {
    muxer.set_tags(&lasting_tags(&description.metadata))?;
    for (number, chapter) in description.chapters.iter().enumerate() {
        let millis = |seconds: f64| (seconds * 1000.0).round() as i64;
        muxer.add_chapter(
            number + 1,
            millis(chapter.start),
            millis(chapter.end),
            &chapter.title,
        )?;
    }
    Ok(())
}

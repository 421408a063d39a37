//! A video file as a sink: painted frames are encoded, the other tracks travel along, and only a complete file gets the
//! output's name.

use std::path::Path;

use super::{
    Codec, FrameSink, SinkError,
    container::Container,
    encode::VideoEncoder,
    temporary::Temporary,
    tracks::{self, OutputTrack},
    writer::{VideoTrack, Writer, failed},
};
use crate::{
    frame::Frame,
    media::{SourceDescription, TrackPacket, edge, mux::Muxer, prepare},
    source::StreamInfo,
};

/// How a video file is written.
#[derive(Clone, Debug)]
pub struct VideoSinkSettings {
    /// The codec; `None` chooses what the container is known for.
    pub codec: Option<Codec>,
    /// Quality on the codec's own scale (smaller is better).
    pub crf: Option<u8>,
    /// Speed: a name for H.264 and H.265, a number for VP9 and AV1.
    pub preset: Option<String>,
    /// Every pixel as it was painted (FFV1 in Matroska).
    pub lossless: bool,
    /// Whether an existing output is replaced.
    pub overwrite: bool,
    /// Threads of the encoder.
    pub threads: usize,
    /// No frame waits in the encoder for later ones, and every second can be played from.
    pub live: bool,
}

impl Default for VideoSinkSettings {
    fn default() -> Self {
        Self {
            codec: None,
            crf: None,
            preset: None,
            lossless: false,
            overwrite: false,
            threads: 2,
            live: false,
        }
    }
}

/// A video file that is being written. See the module's text.
pub struct VideoFileSink {
    // Dropped in this order: the muxer closes the file before it is removed.
    writer: Writer,
    temporary: Option<Temporary>,
    notes: Vec<String>,
}

impl VideoFileSink {
    /// Prepares the output: everything that can be known to fail fails here, before anything is painted.
    ///
    /// # Errors
    /// When the output may not or cannot be written, or the settings do not go together.
    pub fn create(
        path: &Path,
        info: &StreamInfo,
        description: &SourceDescription,
        settings: VideoSinkSettings,
    ) -> Result<Self, SinkError> {
        prepare();
        let container = Container::of(path)?;
        let codec = choose_codec(path, container, &settings)?;
        let failed = |source| failed(path, "making the output", source);
        let temporary = Temporary::create(path, description.path.as_deref(), settings.overwrite)?;
        let url = edge::url_of(temporary.path()).map_err(failed)?;
        let muxer = Muxer::create(&url, container.format()).map_err(failed)?;
        let (encoder, note) =
            VideoEncoder::open(path, info, codec, &settings, muxer.wants_global_header())?;
        let mut notes: Vec<String> = note.into_iter().collect();
        let video = VideoTrack {
            tags: container.stream_tags(&description.video_metadata),
            disposition: description.video_disposition,
            // QuickTime plays H.265 only under this name.
            code: (codec == Codec::Hevc && matches!(container, Container::Mp4 | Container::Mov))
                .then_some(*b"hvc1"),
        };
        let mut writer = Writer::new(path, muxer, encoder, info, &video)?;
        writer.prepare("adding a track", |muxer, tracks| {
            for track in &description.tracks {
                tracks.push(OutputTrack::add(muxer, container, track, &mut notes)?);
            }
            Ok(())
        })?;
        writer.prepare("writing the tags", |muxer, _| {
            tracks::add_container_tags(muxer, description)
        })?;
        writer.prepare("writing the header", |muxer, _| {
            muxer.start(&container.options(info.time_base.den))
        })?;
        Ok(Self {
            writer,
            temporary: Some(temporary),
            notes,
        })
    }

    /// The unfinished file; `None` once the output is complete.
    pub fn temporary_path(&self) -> Option<&Path> {
        self.temporary.as_ref().map(Temporary::path)
    }
}

/// The codec that was asked for or that the container is known for.
fn choose_codec(
    path: &Path,
    container: Container,
    settings: &VideoSinkSettings,
) -> Result<Codec, SinkError> {
    if settings.lossless {
        return match (container, settings.codec) {
            (Container::Mkv, None | Some(Codec::Ffv1)) => Ok(Codec::Ffv1),
            _ => Err(SinkError::LosslessNeedsMkv {
                path: path.to_owned(),
            }),
        };
    }
    let takes = container.codecs();
    let codec = settings.codec.unwrap_or(takes[0]);
    if takes.contains(&codec) {
        return Ok(codec);
    }
    let names: Vec<_> = takes.iter().map(|codec| codec.name()).collect();
    Err(SinkError::CodecNotInContainer {
        path: path.to_owned(),
        container: container.extension(),
        codec: codec.name(),
        takes: names.join(", "),
    })
}

impl FrameSink for VideoFileSink {
    fn frame(&mut self, frame: Frame) -> Result<(), SinkError> {
        self.writer.frame(frame)
    }

    fn track(&mut self, packet: TrackPacket) -> Result<(), SinkError> {
        self.writer.track(packet)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.writer.finish()?;
        match self.temporary.take() {
            Some(temporary) => temporary.publish(),
            None => Ok(()),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        let broken = self.writer.broken();
        if broken > 0 {
            notes.push(format!(
                "{broken} damaged packets of sound or subtitles were left out."
            ));
        }
        notes
    }
}

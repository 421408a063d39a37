//! A video file as a sink: painted frames are encoded, the other tracks travel along, and only a complete file gets the
//! output's name.

use std::path::{Path, PathBuf};

use ffmpeg_next::Rational;

use super::{
    Codec, FrameSink, SinkError,
    container::Container,
    encode::VideoEncoder,
    temporary::Temporary,
    tracks::{self, OutputTrack},
};
use crate::{
    frame::Frame,
    media::{
        SourceDescription, TrackPacket, edge,
        mux::{self, Muxer, StreamSettings, WriteError},
        prepare,
    },
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
    muxer: Option<Muxer>,
    temporary: Option<Temporary>,
    path: PathBuf,
    encoder: VideoEncoder,
    stream: usize,
    tracks: Vec<OutputTrack>,
    refused: u64,
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
        let failed = |action| {
            move |source| SinkError::Media {
                path: path.to_owned(),
                action,
                source,
            }
        };
        let temporary = Temporary::create(path, description.path.as_deref(), settings.overwrite)?;
        let url = edge::url_of(temporary.path()).map_err(failed("making the output"))?;
        let mut muxer =
            Muxer::create(&url, container.format()).map_err(failed("making the output"))?;
        let (encoder, note) =
            VideoEncoder::open(path, info, codec, &settings, muxer.wants_global_header())?;
        let mut notes: Vec<String> = note.into_iter().collect();
        let parameters =
            mux::parameters_of(encoder.context()).map_err(failed("opening the encoder"))?;
        let stream = muxer
            .add_stream(
                &parameters,
                &StreamSettings {
                    time_base: encoder.time_base(),
                    frame_rate: info.frame_rate.map(Rational::from),
                    metadata: &container.stream_tags(&description.video_metadata),
                    disposition: description.video_disposition,
                    // QuickTime plays H.265 only under this name.
                    tag: (codec == Codec::Hevc
                        && matches!(container, Container::Mp4 | Container::Mov))
                    .then_some(*b"hvc1"),
                },
            )
            .map_err(failed("adding the video track"))?;
        let tracks = description
            .tracks
            .iter()
            .map(|track| OutputTrack::add(&mut muxer, container, track, &mut notes))
            .collect::<Result<_, _>>()
            .map_err(failed("adding a track"))?;
        tracks::add_container_tags(&mut muxer, description).map_err(failed("writing the tags"))?;
        muxer
            .start(&container.options(info.time_base.den))
            .map_err(failed("writing the header"))?;
        Ok(Self {
            muxer: Some(muxer),
            temporary: Some(temporary),
            path: path.to_owned(),
            encoder,
            stream,
            tracks,
            refused: 0,
            notes,
        })
    }

    /// The unfinished file, which a program that must stop at once has to remove; `None` once the output is complete.
    pub fn temporary_path(&self) -> Option<&Path> {
        self.temporary.as_ref().map(Temporary::path)
    }

    fn failed(&self, action: &'static str, source: ffmpeg_next::Error) -> SinkError {
        SinkError::Media {
            path: self.path.clone(),
            action,
            source,
        }
    }

    fn written(&mut self, result: Result<(), WriteError>) -> Result<(), SinkError> {
        match result {
            Ok(()) => Ok(()),
            Err(WriteError::Refused(_)) => {
                self.refused += 1;
                Ok(())
            }
            Err(WriteError::Output(source)) => Err(SinkError::Write {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// Writes what the encoder has ready.
    fn drain(&mut self) -> Result<(), SinkError> {
        loop {
            let packet = self
                .encoder
                .pull()
                .map_err(|source| self.failed("encoding a frame", source))?;
            let (Some(mut packet), Some(muxer)) = (packet, &mut self.muxer) else {
                return Ok(());
            };
            packet.set_stream(self.stream);
            packet.rescale_ts(self.encoder.time_base(), muxer.time_base(self.stream));
            match muxer.write(&mut packet) {
                Ok(()) => {}
                Err(WriteError::Output(source)) => {
                    return Err(SinkError::Write {
                        path: self.path.clone(),
                        source,
                    });
                }
                Err(WriteError::Refused(source)) => {
                    return Err(self.failed("writing a frame", source));
                }
            }
        }
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
        if let Some(what) = self.encoder.objection(&frame.picture, frame.pts) {
            return Err(SinkError::BadFrame {
                path: self.path.clone(),
                what,
            });
        }
        self.encoder
            .push(&frame.picture, frame.pts, frame.duration)
            .map_err(|source| self.failed("encoding a frame", source))?;
        self.drain()
    }

    fn track(&mut self, packet: TrackPacket) -> Result<(), SinkError> {
        let (Some(track), Some(muxer)) = (self.tracks.get_mut(packet.track), &mut self.muxer)
        else {
            return Ok(());
        };
        let result = track.write(muxer, Some(packet.packet));
        self.written(result)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.encoder
            .end()
            .map_err(|source| self.failed("encoding the last frames", source))?;
        self.drain()?;
        for number in 0..self.tracks.len() {
            let (Some(track), Some(muxer)) = (self.tracks.get_mut(number), &mut self.muxer) else {
                break;
            };
            let result = track.write(muxer, None);
            self.written(result)?;
        }
        if let Some(muxer) = self.muxer.take() {
            let result = muxer.finish();
            self.written(result)?;
        }
        match self.temporary.take() {
            Some(temporary) => temporary.publish(),
            None => Ok(()),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        let broken = self.refused + self.tracks.iter().map(OutputTrack::broken).sum::<u64>();
        if broken > 0 {
            notes.push(format!(
                "{broken} damaged packets of sound or subtitles were left out."
            ));
        }
        notes
    }
}

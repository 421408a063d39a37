//! A container that is being written: painted frames through the encoder, the other tracks beside them.

use std::path::{Path, PathBuf};

use ffmpeg_next::{Error, Rational};

use super::{SinkError, encode::VideoEncoder, tracks::OutputTrack};
use crate::{
    frame::Frame,
    media::{
        TrackPacket,
        mux::{self, Muxer, StreamSettings, WriteError},
    },
    source::StreamInfo,
};

/// What of the video track is not told by the encoder.
#[derive(Default)]
pub(super) struct VideoTrack {
    pub(super) tags: Vec<(String, String)>,
    /// FFmpeg's `AV_DISPOSITION_*` flags.
    pub(super) disposition: i32,
    /// A four-character code to insist on.
    pub(super) code: Option<[u8; 4]>,
}

/// See the module's text.
pub(super) struct Writer {
    path: PathBuf,
    muxer: Option<Muxer>,
    encoder: VideoEncoder,
    /// The video's number in the output.
    stream: usize,
    tracks: Vec<OutputTrack>,
    /// Packets that the container did not take.
    refused: u64,
}

impl Writer {
    /// Adds the video track to a muxer that has not been started.
    ///
    /// # Errors
    /// When memory is short.
    pub(super) fn new(
        path: &Path,
        mut muxer: Muxer,
        encoder: VideoEncoder,
        info: &StreamInfo,
        video: &VideoTrack,
    ) -> Result<Self, SinkError> {
        let failed = |source| failed(path, "adding the video track", source);
        let parameters = mux::parameters_of(encoder.context()).map_err(failed)?;
        let stream = muxer
            .add_stream(
                &parameters,
                &StreamSettings {
                    time_base: encoder.time_base(),
                    frame_rate: info.frame_rate.map(Rational::from),
                    metadata: &video.tags,
                    disposition: video.disposition,
                    tag: video.code,
                },
            )
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            muxer: Some(muxer),
            encoder,
            stream,
            tracks: Vec::new(),
            refused: 0,
        })
    }

    /// Prepares the container further, and may add tracks, in the order of [`TrackPacket::track`].
    ///
    /// # Errors
    /// What `prepare` returns.
    pub(super) fn prepare(
        &mut self,
        action: &'static str,
        prepare: impl FnOnce(&mut Muxer, &mut Vec<OutputTrack>) -> Result<(), Error>,
    ) -> Result<(), SinkError> {
        match &mut self.muxer {
            Some(muxer) => prepare(muxer, &mut self.tracks)
                .map_err(|source| failed(&self.path, action, source)),
            None => Ok(()),
        }
    }

    /// Encodes and writes a frame.
    ///
    /// # Errors
    /// When the frame does not fit to those before, the encoder fails, or the file cannot be written.
    pub(super) fn frame(&mut self, frame: Frame) -> Result<(), SinkError> {
        if let Some(what) = self.encoder.objection(&frame.picture, frame.pts) {
            return Err(SinkError::BadFrame {
                path: self.path.clone(),
                what,
            });
        }
        self.encoder
            .push(&frame.picture, frame.pts, frame.duration)
            .map_err(|source| failed(&self.path, "encoding a frame", source))?;
        self.drain()
    }

    /// Writes a packet of another track.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn track(&mut self, packet: TrackPacket) -> Result<(), SinkError> {
        let (Some(track), Some(muxer)) = (self.tracks.get_mut(packet.track), &mut self.muxer)
        else {
            return Ok(());
        };
        let result = track.write(muxer, Some(packet.packet));
        self.written(result)
    }

    /// Writes what encoders still hold, and completes the container.
    ///
    /// # Errors
    /// When the encoder fails, or the file cannot be written.
    pub(super) fn finish(&mut self) -> Result<(), SinkError> {
        self.encoder
            .end()
            .map_err(|source| failed(&self.path, "encoding the last frames", source))?;
        self.drain()?;
        for mut track in std::mem::take(&mut self.tracks) {
            let Some(muxer) = &mut self.muxer else { break };
            let result = track.write(muxer, None);
            self.refused += track.broken();
            self.written(result)?;
        }
        if let Some(muxer) = self.muxer.take() {
            let result = muxer.finish();
            self.written(result)?;
        }
        Ok(())
    }

    /// Packets of other tracks that were left out because they are damaged.
    pub(super) fn broken(&self) -> u64 {
        self.refused + self.tracks.iter().map(OutputTrack::broken).sum::<u64>()
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
                .map_err(|source| failed(&self.path, "encoding a frame", source))?;
            let (Some(mut packet), Some(muxer)) = (packet, &mut self.muxer) else {
                return Ok(());
            };
            packet.set_stream(self.stream);
            packet.rescale_ts(self.encoder.time_base(), muxer.time_base(self.stream));
            match muxer.write(&mut packet) {
                // A frame that is lost is worse than a packet of sound.
                Err(WriteError::Refused(source)) => {
                    return Err(failed(&self.path, "writing a frame", source));
                }
                result => self.written(result)?,
            }
        }
    }
}

/// An error of FFmpeg's while something was done to an output.
pub(super) fn failed(path: &Path, action: &'static str, source: Error) -> SinkError {
    SinkError::Media {
        path: path.to_owned(),
        action,
        source,
    }
}

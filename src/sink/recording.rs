//! A recording of a live session: a video file that is whole at every moment.
//!
//! The file has its name from the start, is written in pieces that stand for themselves (Matroska clusters, MP4
//! fragments) of about a second, and is never gone back to, so that a program that is killed, or a disk that fills up,
//! costs no more than the last piece. The encoder looks at no later frame, so it never holds any back.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use ffmpeg_next::Rational;

use super::{
    Codec, FrameSink, SinkError, VideoSinkSettings, container::Container, encode::VideoEncoder,
};
use crate::{
    frame::Frame,
    media::{
        TrackPacket, edge,
        mux::{self, Muxer, StreamSettings, WriteError},
        prepare,
    },
    source::StreamInfo,
};

/// Checks that a recording of this name can be made, before anything is captured.
///
/// # Errors
/// When the extension is unknown, the file exists (and may not be replaced), or its folder cannot be written to.
pub fn check_recording(path: &Path, overwrite: bool) -> Result<(), SinkError> {
    let container = Container::of(path)?;
    super::encode::find(container.codecs()[0])?;
    if path.is_dir() {
        return Err(SinkError::Directory { path: path.into() });
    }
    if path.symlink_metadata().is_ok() {
        if overwrite {
            return Ok(());
        }
        return Err(SinkError::Exists { path: path.into() });
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    if !folder.is_dir() {
        return Err(SinkError::NoFolder {
            path: path.into(),
            folder,
        });
    }
    // The only sure way to know is to do it.
    let made = tempfile::tempfile_in(&folder);
    made.map(drop).map_err(|source| SinkError::Folder {
        path: path.into(),
        folder,
        source,
    })
}

/// Starts a recording of pictures as `info` describes them.
///
/// # Errors
/// As [`check_recording`], or when the encoder refuses.
pub fn open_recording(
    path: &Path,
    info: &StreamInfo,
    overwrite: bool,
    threads: usize,
) -> Result<Box<dyn FrameSink>, SinkError> {
    Ok(Box::new(Recording::create(path, info, overwrite, threads)?))
}

struct Recording {
    path: PathBuf,
    muxer: Option<Muxer>,
    encoder: VideoEncoder,
    stream: usize,
    note: Option<String>,
}

impl Recording {
    fn create(
        path: &Path,
        info: &StreamInfo,
        overwrite: bool,
        threads: usize,
    ) -> Result<Self, SinkError> {
        prepare();
        check_recording(path, overwrite)?;
        if !overwrite {
            // Takes the name, so that no other program can between the check and the first frame.
            File::create_new(path).map_err(|_| SinkError::Exists { path: path.into() })?;
        }
        let container = Container::of(path)?;
        let codec = container.codecs()[0];
        let failed = |action| {
            move |source| SinkError::Media {
                path: path.to_owned(),
                action,
                source,
            }
        };
        let settings = VideoSinkSettings {
            live: true,
            threads,
            preset: (codec == Codec::H264).then(|| "superfast".into()),
            ..VideoSinkSettings::default()
        };
        let url = edge::url_of(path).map_err(failed("making the recording"))?;
        let mut muxer =
            Muxer::create(&url, container.format()).map_err(failed("making the recording"))?;
        let (encoder, note) =
            VideoEncoder::open(path, info, codec, &settings, muxer.wants_global_header())?;
        let parameters =
            mux::parameters_of(encoder.context()).map_err(failed("opening the encoder"))?;
        let stream = muxer
            .add_stream(
                &parameters,
                &StreamSettings {
                    time_base: encoder.time_base(),
                    frame_rate: info.frame_rate.map(Rational::from),
                    metadata: &[],
                    disposition: 0,
                    tag: None,
                },
            )
            .map_err(failed("adding the video track"))?;
        muxer
            .start(&container.live_options())
            .map_err(failed("writing the header"))?;
        Ok(Self {
            path: path.to_owned(),
            muxer: Some(muxer),
            encoder,
            stream,
            note,
        })
    }

    fn failed(&self, action: &'static str, source: ffmpeg_next::Error) -> SinkError {
        SinkError::Media {
            path: self.path.clone(),
            action,
            source,
        }
    }

    fn write_error(&self, source: ffmpeg_next::Error) -> SinkError {
        SinkError::Write {
            path: self.path.clone(),
            source,
        }
    }

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
                Err(WriteError::Output(source)) => return Err(self.write_error(source)),
                Err(WriteError::Refused(source)) => {
                    return Err(self.failed("writing a frame", source));
                }
            }
        }
    }
}

impl FrameSink for Recording {
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

    fn track(&mut self, _packet: TrackPacket) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.encoder
            .end()
            .map_err(|source| self.failed("encoding the last frames", source))?;
        self.drain()?;
        match self.muxer.take().map(Muxer::finish) {
            Some(Err(WriteError::Output(source) | WriteError::Refused(source))) => {
                Err(self.write_error(source))
            }
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn notes(&self) -> Vec<String> {
        self.note.clone().into_iter().collect()
    }
}

//! A recording of a live session: a video file that is whole at every moment.
//!
//! The file has its name from the start, is written in pieces that stand for themselves (Matroska clusters, MP4
//! fragments) of about a second, and is never gone back to, so that a program that is killed, or a disk that fills up,
//! costs no more than the last piece. The encoder looks at no later frame, so it never holds any back.

use std::{fs::File, io, path::Path};

use super::{
    Codec, FrameSink, SinkError, VideoSinkSettings,
    container::Container,
    encode::VideoEncoder,
    tracks::OutputTrack,
    writer::{VideoTrack, Writer, failed},
};
use crate::{
    files::folder_of,
    frame::Frame,
    media::{Track, TrackPacket, edge, mux::Muxer, prepare},
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
    let folder = folder_of(path).to_owned();
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

/// Starts a recording of pictures as `info` describes them, and of the sound of `microphone`, whose packets are those of
/// track 0.
///
/// # Errors
/// As [`check_recording`], or when an encoder refuses.
pub fn open_recording(
    path: &Path,
    info: &StreamInfo,
    microphone: Option<&Track>,
    overwrite: bool,
    threads: usize,
) -> Result<Box<dyn FrameSink>, SinkError> {
    prepare();
    check_recording(path, overwrite)?;
    if !overwrite {
        // Takes the name, so that no other program can between the check and the first frame.
        File::create_new(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => SinkError::Exists { path: path.into() },
            _ => SinkError::Folder {
                path: path.into(),
                folder: folder_of(path).to_owned(),
                source: error,
            },
        })?;
    }
    let container = Container::of(path)?;
    let codec = container.codecs()[0];
    let settings = VideoSinkSettings {
        live: true,
        threads,
        preset: (codec == Codec::H264).then(|| "superfast".into()),
        ..VideoSinkSettings::default()
    };
    let failed = |source| failed(path, "making the recording", source);
    let url = edge::url_of(path).map_err(failed)?;
    let muxer = Muxer::create(&url, container.format()).map_err(failed)?;
    let (encoder, note) =
        VideoEncoder::open(path, info, codec, &settings, muxer.wants_global_header())?;
    let mut writer = Writer::new(path, muxer, encoder, info, &VideoTrack::default())?;
    writer.prepare("adding the sound", |muxer, tracks| {
        if let Some(track) = microphone {
            // What a microphone gives is not coded, and would be larger than the pictures.
            tracks.push(OutputTrack::encode(muxer, container, track)?.0);
        }
        Ok(())
    })?;
    writer.prepare("writing the header", |muxer, _| {
        muxer.start(&container.live_options())
    })?;
    Ok(Box::new(Recording { writer, note }))
}

struct Recording {
    writer: Writer,
    note: Option<String>,
}

impl FrameSink for Recording {
    fn frame(&mut self, frame: Frame) -> Result<(), SinkError> {
        self.writer.frame(frame)
    }

    fn track(&mut self, packet: TrackPacket) -> Result<(), SinkError> {
        self.writer.track(packet)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.writer.finish()
    }

    fn notes(&self) -> Vec<String> {
        self.note.clone().into_iter().collect()
    }
}

//! A recording of a live session: a video file that is whole at every moment.
//!
//! The file is written in pieces that stand for themselves (Matroska clusters, MP4 fragments) of about a second, and is
//! never gone back to, so that a program that is killed, or a disk that fills up, costs no more than the last piece. It
//! gets its name with the first piece: a header without a picture is no video. The encoder looks at no later frame, so
//! it never holds any back.

use std::{fs, path::Path};

use super::{
    Codec, FrameSink, SinkError, VideoSinkSettings,
    container::Container,
    encode::VideoEncoder,
    temporary::Temporary,
    tracks::OutputTrack,
    writer::{VideoTrack, Writer, failed},
};
use crate::{
    files::{folder_of, temporary_beside},
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
    if let Ok(about) = path.symlink_metadata() {
        if !overwrite {
            return Err(SinkError::Exists { path: path.into() });
        }
        if !about.file_type().is_file() {
            return Ok(());
        }
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
/// It has a passing name, in the same folder, as long as it holds no picture.
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
    // A pipe, a device or a link stays what it is, and is written into.
    let is_place = path
        .symlink_metadata()
        .is_ok_and(|about| !about.file_type().is_file());
    let mut begun = match is_place {
        true => None,
        false => Some(Begun::create(path, overwrite)?),
    };
    let container = Container::of(path)?;
    let codec = container.codecs()[0];
    let settings = VideoSinkSettings {
        live: true,
        threads,
        preset: (codec == Codec::H264).then(|| "superfast".into()),
        ..VideoSinkSettings::default()
    };
    let failed = |source| failed(path, "making the recording", source);
    let file = begun.as_ref().map_or(path, |begun| begun.file.path());
    let url = edge::url_of(file).map_err(failed)?;
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
    if let Some(begun) = &mut begun {
        begun.header_bytes = begun.bytes();
    }
    Ok(Box::new(Recording {
        writer,
        begun,
        frames: 0,
        note,
    }))
}

struct Recording {
    // Dropped in this order: the muxer closes the file before it is removed.
    writer: Writer,
    /// Until the first piece is written; never where the output is no file.
    begun: Option<Begun>,
    frames: u64,
    note: Option<String>,
}

impl Recording {
    /// Gives the file its name as soon as the first piece is written.
    fn look(&mut self) -> Result<(), SinkError> {
        // An open file can be renamed there only.
        let has_piece = |begun: &mut Begun| cfg!(unix) && begun.bytes() > begun.header_bytes;
        match self.begun.take_if(has_piece) {
            Some(begun) => begun.publish(),
            None => Ok(()),
        }
    }
}

impl FrameSink for Recording {
    fn frame(&mut self, frame: Frame) -> Result<(), SinkError> {
        self.writer.frame(frame)?;
        self.frames += 1;
        self.look()
    }

    fn track(&mut self, packet: TrackPacket) -> Result<(), SinkError> {
        self.writer.track(packet)?;
        self.look()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.writer.finish()?;
        match self.begun.take() {
            // Removed, since it is dropped.
            Some(_) if self.frames == 0 => Ok(()),
            Some(begun) => begun.publish(),
            None => Ok(()),
        }
    }

    fn notes(&self) -> Vec<String> {
        self.note.clone().into_iter().collect()
    }
}

/// How names of recordings without a picture begin and end.
const BEGUN: (&str, &str) = (".allaprima-", ".part");

/// A recording without a picture yet; it is removed when it is dropped.
struct Begun {
    file: Temporary,
    /// Its size when nothing but the header was written.
    header_bytes: u64,
}

impl Begun {
    /// Makes the file under a passing name.
    ///
    /// # Errors
    /// When it cannot be made.
    fn create(target: &Path, overwrite: bool) -> Result<Self, SinkError> {
        match temporary_beside(target, BEGUN.0, BEGUN.1) {
            Ok(file) => Ok(Self {
                file: Temporary::of_file(file.into_temp_path(), target, overwrite),
                header_bytes: 0,
            }),
            Err(source) => Err(SinkError::Folder {
                path: target.to_owned(),
                folder: folder_of(target).to_owned(),
                source,
            }),
        }
    }

    fn bytes(&self) -> u64 {
        fs::metadata(self.file.path()).map_or(0, |file| file.len())
    }

    /// Gives the file its name; whoever writes it goes on writing.
    ///
    /// # Errors
    /// As [`Temporary::publish`].
    fn publish(self) -> Result<(), SinkError> {
        self.file.publish()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        frame::{Packet, Picture},
        source::{FrameSource, Ratio, VideoFileSource, VideoSourceSettings},
    };

    fn frame(pts: i64) -> Frame {
        Frame {
            picture: Picture::black(64, 48),
            pts,
            duration: 0,
            source_index: pts as u64,
            seq: pts as u64,
        }
    }

    fn info() -> StreamInfo {
        StreamInfo {
            width: 64,
            height: 48,
            time_base: Ratio { num: 1, den: 10 },
            frame_rate: None,
            expected_frames: None,
        }
    }

    /// A folder, and recordings in it whose time stamps count tenths of a second.
    fn recording(name: &str) -> (tempfile::TempDir, PathBuf, Box<dyn FrameSink>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let sink = open_recording(&path, &info(), None, false, 1).unwrap();
        (folder, path, sink)
    }

    fn is_begun(name: &str) -> bool {
        name.starts_with(BEGUN.0) && name.ends_with(BEGUN.1)
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        entries.map(|entry| name(entry).unwrap()).collect()
    }

    #[test]
    fn a_recording_gets_its_name_with_its_first_piece() {
        for name in ["a.mkv", "a.mp4", "a.mov", "a.webm"] {
            let (folder, path, mut sink) = recording(name);
            for pts in 0..5 {
                sink.frame(frame(pts)).unwrap();
                let names = names(&folder);
                assert!(
                    names.len() == 1 && is_begun(&names[0]),
                    "{name}: frame {pts}: {names:?}"
                );
            }
            if cfg!(unix) {
                for pts in 5..25 {
                    sink.frame(frame(pts)).unwrap();
                }
                assert_eq!(names(&folder), [name]);
                // As a program that is killed leaves it.
                let mut left =
                    VideoFileSource::open(&path, VideoSourceSettings::default()).unwrap();
                assert!(matches!(left.next(), Ok(Packet::Frame(_))), "{name}");
            }
            sink.finish().unwrap();
            assert_eq!(names(&folder), [name]);
        }
    }

    #[test]
    fn a_short_recording_gets_its_name_at_its_end() {
        let (folder, _, mut sink) = recording("a.mkv");
        sink.frame(frame(0)).unwrap();
        sink.finish().unwrap();
        assert_eq!(names(&folder), ["a.mkv"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (
            folder.path().join("real.mkv"),
            folder.path().join("link.mkv"),
        );
        fs::write(&real, "before").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut sink = open_recording(&link, &info(), None, true, 1).unwrap();
        sink.frame(frame(0)).unwrap();
        sink.finish().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(VideoFileSource::open(&real, VideoSourceSettings::default()).is_ok());
    }

    #[test]
    fn a_recording_without_a_picture_leaves_nothing() {
        let (folder, _, mut sink) = recording("a.mp4");
        sink.finish().unwrap();
        assert!(names(&folder).is_empty());
        let (folder, _, sink) = recording("a.mp4");
        drop(sink);
        assert!(names(&folder).is_empty());
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_is_not_replaced() {
        let (folder, path, mut sink) = recording("a.mkv");
        sink.frame(frame(0)).unwrap();
        fs::write(&path, "another").unwrap();
        let error = sink.finish().unwrap_err();
        assert!(matches!(error, SinkError::NameTaken { .. }), "{error}");
        // What was recorded is kept under another name.
        let mut names = names(&folder);
        names.sort_unstable();
        assert!(
            names.len() == 2 && is_begun(&names[0]) && names[1] == "a.mkv",
            "{names:?}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"another");
    }
}

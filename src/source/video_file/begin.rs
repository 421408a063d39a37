//! The beginning of the wanted part: how to get there, and what its first frame says about all of them.

use ffmpeg_next::{Error, codec};

use super::{LONGEST_WORDS, MAX_SIDE, MOST_PACKETS_AHEAD, Step, VideoFileSource};
use crate::{
    media::{TrackKind, edge},
    source::{
        Sizing, SourceError, VideoSourceSettings,
        convert::Converter,
        look::{Orientation, display_size},
    },
    stylize::MIN_SIDE,
};

impl VideoFileSource {
    /// Decodes until the first frame of the wanted part, which fixes the size of all pictures.
    pub(super) fn first_frame(
        &mut self,
        settings: &VideoSourceSettings,
    ) -> Result<(), SourceError> {
        let (pts, duration) = loop {
            match self.step() {
                Step::Frame(pts, duration) => break (pts, duration),
                Step::Again if self.ready.len() > MOST_PACKETS_AHEAD => {
                    return Err(SourceError::NothingDecoded {
                        path: self.path.clone(),
                        detail: format!("none among {MOST_PACKETS_AHEAD} packets of sound"),
                    });
                }
                Step::Again => {}
                Step::End => return Err(self.nothing(settings)),
            }
        };
        let matrix = self
            .input
            .stream(self.video)
            .and_then(|stream| edge::display_matrix(&stream, &self.decoded));
        let orientation =
            matrix.map_or_else(Orientation::default, |m| Orientation::from_matrix(&m));
        let aspect = edge::pixel_aspect(&mut self.input, self.video, &mut self.decoded);
        let stored = (self.decoded.width(), self.decoded.height());
        let native = orientation.turn(display_size(stored, aspect));
        let (width, height) = settings.size.apply(native.0 as usize, native.1 as usize);
        self.info.width = width;
        self.info.height = height;
        if self.info.width.min(self.info.height) < MIN_SIDE {
            return Err(SourceError::TooSmall {
                path: self.path.clone(),
                width: self.info.width,
                height: self.info.height,
            });
        }
        if self.info.width.max(self.info.height) > MAX_SIDE {
            return Err(SourceError::TooLarge {
                path: self.path.clone(),
                width: self.info.width,
                height: self.info.height,
            });
        }
        self.converter = Converter::new(
            &self.path,
            (self.info.width, self.info.height),
            orientation,
            settings.threads,
        );
        if let Some((num, den)) = aspect {
            self.seen.fixed.push(format!(
                "The pixels of the input are {num}:{den} and not square: pictures of {}x{} were stretched to square pixels, {}x{}.",
                stored.0, stored.1, native.0, native.1
            ));
        }
        let bent = (width as f64) * f64::from(native.1) / ((height as f64) * f64::from(native.0));
        if matches!(settings.size, Sizing::Exact { .. }) && !(0.98..1.02).contains(&bent) {
            self.seen.fixed.push(format!(
                "Pictures of {}x{} were stretched to the {width}x{height} that --size asks for.",
                native.0, native.1
            ));
        }
        // Converted at once, so that a picture that cannot be converted is known before any work.
        self.convert(pts, duration)
    }

    /// Why there is no first frame.
    pub(super) fn nothing(&self, settings: &VideoSourceSettings) -> SourceError {
        let path = self.path.clone();
        if let Some(duration) = settings.duration.filter(|_| self.seen.beyond_end) {
            return SourceError::EmptyPart { path, duration };
        }
        if self.decoder.id() == codec::Id::WEBP && settings.start.is_none() {
            let codec = "animated WebP".to_owned();
            return SourceError::NoDecoder { path, codec };
        }
        let is_pipe = path.metadata().is_ok_and(|about| !about.is_file());
        match settings.start {
            _ if is_pipe && self.seen.last_end == 0 => SourceError::Unseekable { path },
            Some(start) if self.seen.last_end != 0 || self.seen.broken_packets == 0 => {
                SourceError::StartBehindEnd { path, start }
            }
            _ => SourceError::NothingDecoded {
                path,
                detail: match self.seen.broken_packets {
                    0 => "it ends before the first one".to_owned(),
                    n => format!("{n} broken packets"),
                },
            },
        }
    }

    /// Goes to the last key frame half a second or more before the start of the wanted part; as far as words may stay on the
    /// screen where there are subtitles.
    pub(super) fn seek_to_start(&mut self) -> Result<(), Error> {
        let mut tracks = self.description.tracks.iter();
        let before = match tracks.any(|track| track.kind == TrackKind::Subtitle) {
            true => LONGEST_WORDS,
            false => 0.5,
        };
        let before = (before / f64::from(self.time_base)) as i64;
        edge::seek_before(&mut self.input, self.video, self.cut.zero - before)
    }

    /// Tries whether seeking leads to a frame at or before the start: in a file with a wrong index, or none, or without
    /// time stamps it may lead anywhere.
    pub(super) fn can_seek_to_start(mut self) -> bool {
        self.cut.from_zero = false;
        if self.seek_to_start().is_err() {
            return false;
        }
        loop {
            match self.step() {
                Step::Frame(pts, _) => return pts <= 0 && self.timeline.missing == 0,
                Step::Again => {}
                Step::End => return false,
            }
        }
    }
}

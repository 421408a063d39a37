//! A film as numbered pictures, each complete in itself.

use std::path::{Path, PathBuf};

use super::{FrameSink, SinkError};
use crate::{
    files::{check_place, folder_of},
    frame::Frame,
    media::TrackPacket,
    numbered::Numbered,
    picture_file::{PictureFile, writable_format},
};

/// Which number a picture gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// One more than the one before.
    Counted,
    /// That of the picture it was made of: time stamps count pictures.
    ByTime,
}

/// Writes every frame into a picture of its own (PNG, JPEG or WebP).
pub struct PicturesSink {
    names: Numbered,
    numbering: Numbering,
    first: u64,
    written: Vec<u64>,
    overwrite: bool,
    /// Numbers that were there before.
    existing: Vec<u64>,
    has_tracks: bool,
}

impl PicturesSink {
    /// Prepares numbered pictures at `path` (see [`Numbered`]), from the number `first` on, by `numbering`. `has_tracks`:
    /// whether the film has sound or subtitles, which are left out.
    ///
    /// # Errors
    /// When there are such pictures and `overwrite` is not set, or the folder takes none.
    pub fn create(
        path: &Path,
        names: Numbered,
        (first, numbering): (u64, Numbering),
        overwrite: bool,
        has_tracks: bool,
    ) -> Result<Self, SinkError> {
        let (place, folder) = (path.to_owned(), folder_of(path).to_owned());
        if !folder.is_dir() {
            return Err(SinkError::NoFolder {
                path: place,
                folder,
            });
        }
        writable_format(path).map_err(SinkError::Picture)?;
        let refused = |source| SinkError::Folder {
            path: place.clone(),
            folder: folder.clone(),
            source,
        };
        let existing = names.existing().map_err(refused)?;
        if let Some(&number) = existing.iter().find(|_| !overwrite) {
            return Err(SinkError::Exists {
                path: names.path(number),
            });
        }
        check_place(&names.path(first)).map_err(refused)?;
        Ok(Self {
            names,
            numbering,
            first,
            written: Vec::new(),
            overwrite,
            existing,
            has_tracks,
        })
    }

    fn place(&mut self, pts: i64) -> PathBuf {
        let next = self.written.last().map_or(self.first, |last| last + 1);
        let number = match self.numbering {
            Numbering::Counted => next,
            Numbering::ByTime => next.max(self.first.saturating_add_signed(pts)),
        };
        self.written.push(number);
        self.names.path(number)
    }
}

impl FrameSink for PicturesSink {
    fn frame(&mut self, frame: Frame) -> Result<(), SinkError> {
        let path = self.place(frame.pts);
        PictureFile::new(frame.picture)
            .write(&path, self.overwrite)
            .map(drop)
            .map_err(SinkError::Picture)
    }

    fn track(&mut self, _packet: TrackPacket) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.has_tracks {
            notes.push("Numbered pictures have no sound and no subtitles.".to_owned());
        }
        if let Some(&number) = self
            .existing
            .iter()
            .find(|number| self.written.binary_search(number).is_err())
        {
            notes.push(format!(
                "Pictures of before, such as {}, are still there beside the new ones.",
                self.names.path(number).display()
            ));
        }
        notes
    }
}

impl FrameSink for Box<dyn FrameSink> {
    fn frame(&mut self, frame: Frame) -> Result<(), SinkError> {
        (**self).frame(frame)
    }

    fn track(&mut self, packet: TrackPacket) -> Result<(), SinkError> {
        (**self).track(packet)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        (**self).finish()
    }

    fn notes(&self) -> Vec<String> {
        (**self).notes()
    }
}

//! Paintings of a film that are kept until it is finished, so that an interrupted run can be taken up again.
//!
//! A painting depends on its picture, on the settings and on every painting before it. So the file of each is named by a
//! digest over all of them: a file of that name *is* the painting, and one made from another film, with other settings,
//! or after a frame that was painted differently has another name and is not found. PNG checks its own bytes.

use std::{fmt::Write, fs, path::PathBuf};

use sha2::{Digest, Sha256};

use super::OptimizeSettings;
use crate::{
    frame::Picture,
    picture_file::{PictureError, PictureFile},
    source::Sizing,
};

/// The folder and the digest of all so far.
pub(super) struct KeptPaintings {
    folder: PathBuf,
    digest: Vec<u8>,
    frame: u64,
}

impl KeptPaintings {
    /// Keeps paintings made with `settings` in `folder`, which is made when the first is.
    pub(super) fn new(folder: PathBuf, settings: &OptimizeSettings) -> Self {
        let mut digest = Sha256::new();
        digest.update(format!("1 {settings:?}"));
        for (picture, _) in &settings.styles {
            digest.update(picture.rgb());
        }
        Self {
            folder,
            digest: digest.finalize().to_vec(),
            frame: 0,
        }
    }

    /// The place of the painting of the next picture; what does not `continue` the film is marked so.
    pub(super) fn place(&mut self, picture: &Picture, continues: bool) -> PathBuf {
        let mut digest = Sha256::new();
        digest.update(&self.digest);
        digest.update([u8::from(continues)]);
        digest.update((picture.width() as u64).to_le_bytes());
        digest.update(picture.rgb());
        self.digest = digest.finalize().to_vec();
        let mut name = format!("{:06}-", self.frame);
        self.frame += 1;
        for byte in &self.digest[..8] {
            // Writing to a string does not fail.
            let _ = write!(name, "{byte:02x}");
        }
        self.folder.join(name + ".png")
    }

    /// The painting at `place`, if it is there, whole and of the right size.
    pub(super) fn load(
        place: &std::path::Path,
        (width, height): (usize, usize),
    ) -> Option<Picture> {
        let picture = PictureFile::read(place, Sizing::Native).ok()?.picture;
        (picture.width() == width && picture.height() == height).then_some(picture)
    }

    /// Keeps a painting.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn store(place: &std::path::Path, painting: &Picture) -> Result<(), PictureError> {
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(|source| PictureError::Write {
                path: folder.to_owned(),
                source,
            })?;
        }
        PictureFile::new(painting.clone()).write(place, true)?;
        Ok(())
    }
}

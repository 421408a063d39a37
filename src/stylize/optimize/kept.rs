//! Paintings of a film that are kept until it is finished, so that an interrupted run can be taken up again.
//!
//! A painting depends on its picture, on the settings and on every painting before it. So the file of each is named by a
//! digest over all of them: a file of that name *is* the painting, and one made from another film, with other settings,
//! or after a frame that was painted differently has another name and is not found. PNG checks its own bytes.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

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
    /// Paintings that were there already.
    pub(super) taken_up: Arc<AtomicU64>,
}

impl KeptPaintings {
    /// Keeps paintings made with `settings` in `folder`, which is made when the first is.
    pub(super) fn new(folder: PathBuf, settings: &OptimizeSettings) -> Self {
        let mut digest = Sha256::new();
        digest.update(format!("2 {settings:?}"));
        for (picture, _) in settings.styles.iter().chain(&settings.background) {
            digest.update(picture.rgb());
        }
        Self {
            folder,
            digest: digest.finalize().to_vec(),
            frame: 0,
            taken_up: Arc::default(),
        }
    }

    /// The place of the painting of the next picture, of which `mask` says where it has which style; what does not
    /// `continue` the film is marked so.
    pub(super) fn place(
        &mut self,
        picture: &Picture,
        mask: Option<&[u8]>,
        continues: bool,
    ) -> PathBuf {
        let mut digest = Sha256::new();
        digest.update(&self.digest);
        digest.update([u8::from(continues)]);
        digest.update((picture.width() as u64).to_le_bytes());
        digest.update(picture.rgb());
        digest.update(mask.unwrap_or_default());
        self.digest = digest.finalize().to_vec();
        let mut name = format!("{:06}-", self.frame);
        self.frame += 1;
        for byte in &self.digest[..8] {
            // Writing to a string does not fail.
            let _ = write!(name, "{byte:02x}");
        }
        self.folder.join(name + ".png")
    }

    /// The painting of the next picture at `place`, if it is there, counted.
    pub(super) fn take_up(&self, place: &Path, size: (usize, usize)) -> Option<Picture> {
        let painting = Self::load(place, size)?;
        self.taken_up.fetch_add(1, Ordering::Relaxed);
        Some(painting)
    }

    /// The painting at `place`, if it is there, whole and of the right size.
    pub(super) fn load(place: &Path, (width, height): (usize, usize)) -> Option<Picture> {
        let picture = PictureFile::read(place, Sizing::Native).ok()?.picture;
        (picture.width() == width && picture.height() == height).then_some(picture)
    }

    /// Keeps a painting.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn store(place: &Path, painting: &Picture) -> Result<(), PictureError> {
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

/// The name of what belongs to a kept painting: its picture, its mask, its painting in a later pass.
pub(super) fn sibling(place: &Path, what: &str) -> PathBuf {
    let stem = place.file_stem().unwrap_or_default().to_string_lossy();
    let number = stem.split_once('-').map_or("000000", |(number, _)| number);
    let mut digest = Sha256::new();
    digest.update(stem.as_bytes());
    digest.update([0]);
    digest.update(what);
    let mut name = format!("{number}-");
    for byte in &digest.finalize()[..8] {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    place.with_file_name(name + ".png")
}

/// What was kept before.
///
/// # Errors
/// When it is not there any more.
pub(super) fn read(place: &Path) -> Result<Picture, PictureError> {
    Ok(PictureFile::read(place, Sizing::Native)?.picture)
}

/// The kept paintings in `folder`, known by their names; none when there is no such folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn kept_paintings(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paintings = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|extension| extension == "png")
            && path
                .file_stem()
                .and_then(|stem| stem.to_str()?.split_once('-'))
                .is_some_and(|(number, digest)| {
                    number.len() >= 6
                        && number.bytes().all(|byte| byte.is_ascii_digit())
                        && digest.len() == 16
                        && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
                });
        if is_ours {
            paintings.push(path);
        }
    }
    Ok(paintings)
}

/// Deletes the kept paintings in `folder` but for `others`, and the folder unless something else is in it.
///
/// # Errors
/// When a painting cannot be deleted.
pub fn forget_paintings(folder: &Path, others: &[PathBuf]) -> io::Result<()> {
    for painting in kept_paintings(folder)? {
        if !others.contains(&painting) {
            fs::remove_file(painting)?;
        }
    }
    // It may hold what is not ours, or not be there.
    let _ = fs::remove_dir(folder);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paintings_are_deleted() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("film.mkv.frames");
        assert!(kept_paintings(&folder).unwrap().is_empty());
        forget_paintings(&folder, &[]).unwrap();
        fs::create_dir(&folder).unwrap();
        let ours = folder.join("000012-0123456789abcdef.png");
        let foreign = folder.join("2024-holiday.png");
        fs::write(&ours, "").unwrap();
        fs::write(&foreign, "").unwrap();
        assert_eq!(
            kept_paintings(&folder).unwrap(),
            std::slice::from_ref(&ours)
        );
        forget_paintings(&folder, std::slice::from_ref(&ours)).unwrap();
        assert!(ours.exists());
        forget_paintings(&folder, &[]).unwrap();
        assert!(!ours.exists() && foreign.exists());
        fs::remove_file(&foreign).unwrap();
        fs::write(&ours, "").unwrap();
        forget_paintings(&folder, &[]).unwrap();
        assert!(!folder.exists());
    }
}

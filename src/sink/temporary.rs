//! The file that is written until the output is complete.
//!
//! It stands beside the output's final name (so that renaming is atomic and cannot fail for want of space), under a
//! name that starts with a dot and does not end in a video's extension, and it is removed when it is dropped.

use std::{
    io,
    path::{Path, PathBuf},
};

use tempfile::TempPath;

use super::SinkError;
use crate::files::{behind_links, folder_of, is_same_file, keep_unfinished, temporary_beside};

/// The unfinished output.
pub(super) struct Temporary {
    file: TempPath,
    target: PathBuf,
    overwrite: bool,
}

impl Temporary {
    /// Checks that the output may be written, and makes the temporary file.
    ///
    /// # Errors
    /// When the output exists (and `overwrite` is not given), is the input or a folder, or cannot be made.
    pub(super) fn create(
        target: &Path,
        input: Option<&Path>,
        overwrite: bool,
    ) -> Result<Self, SinkError> {
        let path = target.to_owned();
        if target.is_dir() {
            return Err(SinkError::Directory { path });
        }
        if input.is_some_and(|input| is_same_file(input, target)) {
            return Err(SinkError::SameAsInput { path });
        }
        if !overwrite && target.symlink_metadata().is_ok() {
            return Err(SinkError::Exists { path });
        }
        // The temporary file's name is a short one.
        if let Err(source) = target.symlink_metadata()
            && source.kind() == io::ErrorKind::InvalidFilename
        {
            return Err(SinkError::Name { path, source });
        }
        let target = &behind_links(target);
        let folder = folder_of(target).to_owned();
        if !folder.is_dir() {
            return Err(SinkError::NoFolder { path, folder });
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // A name of more than 255 bytes is refused by most file systems.
        let short: String = name.chars().take(40).collect();
        match temporary_beside(target, &format!(".{short}."), ".part") {
            Ok(file) => Ok(Self {
                file: file.into_temp_path(),
                target: target.clone(),
                overwrite,
            }),
            Err(source) => Err(SinkError::Folder {
                path,
                folder,
                source,
            }),
        }
    }

    /// A file that is there, which will get the name `target`.
    pub(super) fn of_file(file: TempPath, target: &Path, overwrite: bool) -> Self {
        Self {
            file,
            target: target.to_owned(),
            overwrite,
        }
    }

    /// Where it stands.
    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    /// Gives the complete file its name.
    ///
    /// # Errors
    /// When it cannot be renamed, as where another file took the name meanwhile: the finished video is kept under its
    /// temporary name, for it may have taken hours.
    pub(super) fn publish(self) -> Result<(), SinkError> {
        let Self {
            file,
            target,
            overwrite,
        } = self;
        let result = if overwrite {
            file.persist(&target)
        } else {
            file.persist_noclobber(&target)
        };
        result.map_err(|error| {
            let taken = !overwrite && error.error.kind() == io::ErrorKind::AlreadyExists;
            let (path, source) = (target, error.error);
            match error.path.keep() {
                Ok(kept) => {
                    keep_unfinished(&kept);
                    match taken {
                        true => SinkError::NameTaken { path, kept },
                        false => SinkError::Rename { path, kept, source },
                    }
                }
                Err(error) => SinkError::Lost {
                    path,
                    source: error.error,
                },
            }
        })
    }
}

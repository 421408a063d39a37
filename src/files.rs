//! Names of files: which are the same, and passing ones, so that there is never half a file under its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tempfile::NamedTempFile;

/// Whether two names lead to the same file, through links too. None is opened: a pipe would wait for its other end.
#[must_use]
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let (Ok(a), Ok(b)) = (fs::metadata(one), fs::metadata(other)) else {
        return false;
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (a.dev(), a.ino()) == (b.dev(), b.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = (a, b);
        matches!((one.canonicalize(), other.canonicalize()), (Ok(x), Ok(y)) if x == y)
    }
}

/// The folder that a file stands in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Files that have no name of their own yet, or had none when the last one was made.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder that was made for what is to come, which [`remove_unfinished`] removes while it is empty.
pub fn unfinished_folder(path: &Path) {
    unfinished().push(path.to_owned());
}

/// Removes all files that this program writes and that have no name of their own yet, for a program that ends at once.
pub fn remove_unfinished() {
    let unfinished: Vec<_> = unfinished().drain(..).collect();
    // It may have its name by now, and there is nobody left to tell if it has not.
    for path in &unfinished {
        let _ = fs::remove_file(path);
    }
    // What has been made around them, the innermost first.
    for path in &unfinished {
        let _ = fs::remove_dir(path);
    }
}

/// Keeps a file under its passing name: [`remove_unfinished`] leaves it.
pub(crate) fn keep_unfinished(path: &Path) {
    unfinished().retain(|unfinished| unfinished != path);
}

/// The file that is written where `path` is: a link to a file stays one, and what it leads to is written.
pub(crate) fn behind_links(path: &Path) -> PathBuf {
    let is_link = path
        .symlink_metadata()
        .is_ok_and(|about| about.is_symlink());
    let real = is_link.then(|| path.canonicalize().ok()).flatten();
    // A pipe or a device is not for a file to take the place of.
    real.filter(|real| real.is_file())
        .unwrap_or_else(|| path.to_owned())
}

/// An empty file in the folder of `path`, which is removed unless it is given a name of its own, also when the program ends
/// at once ([`remove_unfinished`]).
///
/// # Errors
/// When none can be made there.
pub(crate) fn temporary_beside(
    path: &Path,
    prefix: &str,
    suffix: &str,
) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(suffix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file has them: what the user's mask leaves of read and write for all.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder_of(path))?;
    let mut unfinished = unfinished();
    unfinished.retain(|path| path.exists());
    unfinished.push(file.path().to_owned());
    Ok(file)
}

/// Whether a file can be made at `path`, found out before any work.
///
/// # Errors
/// The system's, when the folder is missing or takes no files, or there is a folder of that name.
pub fn check_place(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a folder",
        ));
    }
    temporary_beside(path, ".allaprima-", "").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_is_removed_and_what_has_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let make = || temporary_beside(&folder.path().join("x"), ".x", ".part").unwrap();
        let [named, kept, unfinished] = [make(), make(), make()];
        named.persist(folder.path().join("named")).unwrap();
        let (_, kept) = kept.keep().unwrap();
        keep_unfinished(&kept);
        // Not by `remove_unfinished`, which would remove those of tests beside this one.
        let listed = super::unfinished().clone();
        assert!(listed.contains(&unfinished.path().to_owned()) && !listed.contains(&kept));
        drop(unfinished);
        make();
        let here = |path: &&PathBuf| path.starts_with(folder.path());
        assert_eq!(super::unfinished().iter().filter(here).count(), 1);
    }

    #[test]
    fn links_and_pipes_are_told_apart_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "").unwrap();
        fs::write(path("b"), "").unwrap();
        fs::hard_link(path("a"), path("link")).unwrap();
        assert!(is_same_file(&path("a"), &path("link")));
        assert!(!is_same_file(&path("a"), &path("b")));
        assert!(!is_same_file(&path("a"), &path("missing")));
        #[cfg(unix)]
        {
            let made = std::process::Command::new("mkfifo")
                .arg(path("pipe"))
                .status()
                .unwrap();
            assert!(made.success());
            assert!(is_same_file(&path("pipe"), &path("pipe")));
            assert!(!is_same_file(&path("pipe"), &path("a")));
        }
    }
}

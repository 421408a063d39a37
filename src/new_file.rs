//! Files that are written under a passing name beside their own, so that there is never half of one.

use std::{io, path::Path};

use tempfile::NamedTempFile;

/// The folder that a file stands in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// An empty file in the folder of `path`, which is removed unless it is given a name of its own.
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
    builder.tempfile_in(folder_of(path))
}

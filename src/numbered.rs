//! Numbered pictures, one for each frame of a film: `frames/%04d.png`, as FFmpeg and compositing programs name them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::files::folder_of;

/// A name with a number in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    folder: PathBuf,
    before: String,
    /// The least digits; missing ones are zeros.
    digits: usize,
    after: String,
}

impl Numbered {
    /// `path` as such a name: with one `%d`, or `%04d` (of 1 to 9 digits), in the name of the file.
    #[must_use]
    pub fn parse(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (before, rest) = name.split_once('%')?;
        let (digits, after) = rest.split_once('d')?;
        let digits = match digits.as_bytes() {
            [] => 1,
            [b'0', digit @ b'1'..=b'9'] => usize::from(digit - b'0'),
            _ => return None,
        };
        (!after.contains('%')).then(|| Self {
            folder: folder_of(path).to_owned(),
            before: before.to_owned(),
            digits,
            after: after.to_owned(),
        })
    }

    /// The file of a number.
    #[must_use]
    pub fn path(&self, number: u64) -> PathBuf {
        let Self { before, after, .. } = self;
        let digits = self.digits;
        self.folder
            .join(format!("{before}{number:0digits$}{after}"))
    }

    /// The name as FFmpeg reads it: what stands for itself in the folder's name is doubled.
    #[must_use]
    pub(crate) fn pattern(&self) -> PathBuf {
        let Self {
            before,
            digits,
            after,
            ..
        } = self;
        let folder = self.folder.to_string_lossy().replace('%', "%%");
        Path::new(&folder).join(format!("{before}%0{digits}d{after}"))
    }

    /// The number of a file name, if it is such a name.
    fn number_of(&self, name: &str) -> Option<u64> {
        let number = name.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        let is_padded =
            number.len() == self.digits || (number.len() > self.digits && !number.starts_with('0'));
        (is_padded && number.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| number.parse().ok())
            .flatten()
    }

    /// The numbers that there are, in order.
    ///
    /// # Errors
    /// The system's, when the folder cannot be read.
    pub fn existing(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            numbers.extend(
                entry?
                    .file_name()
                    .to_str()
                    .and_then(|name| self.number_of(name)),
            );
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether a file would be one of these, there or not.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let is_named = name.is_some_and(|name| self.number_of(name).is_some());
        let whole = |folder: &Path| folder.canonicalize().ok();
        is_named && whole(folder_of(path)) == whole(&self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_number() {
        let parse = |text: &str| Numbered::parse(Path::new(text));
        for bad in [
            "a.png",
            "%s.png",
            "%4d.png",
            "%d-%d.png",
            "50%.png",
            "%00d.png",
            "%d/a.png",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let four = parse("frames/a-%04d.png").unwrap();
        assert_eq!(four.path(7), Path::new("frames/a-0007.png"));
        assert_eq!(four.path(12345), Path::new("frames/a-12345.png"));
        let any = parse("%d.png").unwrap();
        assert_eq!(any.path(12), Path::new("./12.png"));
    }

    #[test]
    fn files_are_found_by_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [
            "a0003.png",
            "a0001.png",
            "a10000.png",
            "a01.png",
            "a00002.png",
            "b0002.png",
            "a0002.jpg",
            "axxxx.png",
        ] {
            fs::write(at(name), "").unwrap();
        }
        let numbered = Numbered::parse(&at("a%04d.png")).unwrap();
        assert_eq!(numbered.existing().unwrap(), [1, 3, 10000]);
        assert!(numbered.holds(&at("a0009.png")) && numbered.holds(&at("./a0001.png")));
        assert!(!numbered.holds(&at("a01.png")) && !numbered.holds(Path::new("a0001.png")));
    }
}

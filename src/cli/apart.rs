//! Outputs that would replace what is read, or one another: refused before any work, whatever `--overwrite` says.

use std::path::{Path, PathBuf};

use allaprima::{files::is_same_file, picture_file::pictures_in};
use anyhow::{Result, anyhow};

use super::{args::PaintArgs, usage};

/// Refuses when one of the files `written`, each with the option that names it, is one of those `read`, or another of its own
/// kind.
pub fn keep_apart(written: &[(&str, &Path)], read: &[PathBuf]) -> Result<()> {
    for (number, (option, path)) in written.iter().enumerate() {
        if let Some(read) = read.iter().find(|read| are_same(path, read)) {
            return Err(usage(anyhow!(
                "{option} {} would replace {}, which is read: give it another name",
                path.display(),
                read.display()
            )));
        }
        let mut others = written[..number].iter();
        if let Some((other, _)) = others.find(|(_, other)| are_same(path, other)) {
            return Err(usage(anyhow!(
                "{option} and {other} name the same file, {}: give one of them another name",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Whether two names are those of one file, which need not be there yet.
pub fn are_same(a: &Path, b: &Path) -> bool {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    is_same_file(a, b) || whole(a) == whole(b)
}

impl PaintArgs {
    /// The files that the options of painting name: style pictures (also those of a folder) and packs, and the mask.
    pub fn files(&self) -> Vec<PathBuf> {
        let style = &self.style;
        let choices = [Some(&style.style), self.background.as_ref()];
        let named = choices
            .into_iter()
            .flatten()
            .flat_map(|text| files_in(text));
        let paths = [&style.style_image, &self.mask].into_iter().flatten();
        let folder = style.style_image.iter().filter(|path| path.is_dir());
        let in_folder = folder.flat_map(|folder| pictures_in(folder).unwrap_or_default());
        named.chain(paths.cloned()).chain(in_folder).collect()
    }
}

/// The files that a choice of styles names: each part as it is, without a weight or a style of a pack behind it, and without
/// a time in front.
pub fn files_in(choice: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from(choice)];
    for part in choice.split([',', ';']).map(str::trim) {
        let ends = part.match_indices(':').map(|(at, _)| at);
        let starts = ends.clone().map(|at| at + 1);
        for start in std::iter::once(0).chain(starts) {
            for end in ends.clone().chain([part.len()]).filter(|end| *end > start) {
                found.push(PathBuf::from(part[start..end].trim()));
            }
        }
    }
    found.retain(|path| path.is_file());
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_many_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "a").unwrap();
        std::fs::hard_link(path("a"), path("b")).unwrap();
        std::fs::write(path("c"), "c").unwrap();
        let refused = |written: &[&str], read: &[&str]| {
            let all = |names: &[&str]| names.iter().map(|name| path(name)).collect::<Vec<_>>();
            let (written, read) = (all(written), all(read));
            let written: Vec<_> = written.iter().map(|path| ("-o", path.as_path())).collect();
            keep_apart(&written, &read).is_err()
        };
        assert!(refused(&["a"], &["c", "b"]));
        assert!(refused(&["new"], &["./new"]));
        assert!(refused(&["c", "a", "b"], &[]));
        assert!(!refused(&["a", "c", "new"], &["other"]));
    }

    #[test]
    fn files_are_found_in_choices() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            path
        };
        let (a, b, pack) = (file("a.png"), file("b:c.png"), file("p.safetensors"));
        let text = format!(
            "starry:0.5, {}:0.5;2:{};7:{}:cafe",
            a.display(),
            b.display(),
            pack.display()
        );
        assert_eq!(files_in(&text), [a, b, pack]);
    }
}

//! `allaprima train`: a network, or a style, of one's own.

mod args;
mod distil;
mod painting;
mod session;

use std::{path::PathBuf, sync::Arc, time::Duration};

use allaprima::{
    frame::Picture,
    models::ModelStore,
    picture_file::{PictureError, PictureFile, is_picture_path},
    pipeline::Control,
    source::Sizing,
    train::{LONGEST_SIDE, Plan},
};
use anyhow::{Result, anyhow, bail};
use walkdir::WalkDir;

use super::{
    apart::{are_same, keep_apart},
    interrupt,
    optimize::use_threads,
    settings, usage,
};
pub use args::TrainArgs;
use session::{Files, Session};

/// One photo of this many is kept aside to judge by.
const ASIDE: usize = 40;
/// Of this many photos one is kept aside in any case; fewer are all needed to train with.
const FEW: usize = 8;
/// As many files that cannot be read are told one by one.
const TOLD: usize = 5;

pub fn run(args: &TrainArgs) -> Result<()> {
    let threads = settings::threads(args.threads);
    use_threads(threads)?;
    let files = Files::new(&args.output)?;
    let beside = files.all().map(|path| ("-o, beside which", path));
    let mut read = args.style.clone();
    read.extend(args.from.as_deref().map(PathBuf::from));
    keep_apart(&beside, &read)?;
    if let Some(folder) = args.output.parent()
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        bail!(
            "{}: the folder {} does not exist; make it (mkdir -p) or give another name",
            args.output.display(),
            folder.display()
        );
    }
    if args.resume && !files.checkpoint.exists() {
        return Err(usage(anyhow!(
            "{} is not there to go on from: leave --resume out to begin",
            files.checkpoint.display()
        )));
    }
    if !args.resume && !args.overwrite {
        for path in files.all() {
            let is_left = path == files.log && files.is_log_of_nothing();
            if path.exists() && !is_left {
                let resume = match files.checkpoint.exists() {
                    true => "--resume to go on with it or ",
                    false => "",
                };
                bail!(
                    "{} exists: use {resume}--overwrite to begin anew",
                    path.display()
                );
            }
        }
    }
    let store = ModelStore::open(args.models.models.as_deref())?;
    let control = Arc::new(Control::default());
    let job = Job {
        args,
        store,
        threads,
        files,
        control,
    };
    if args.style.is_empty() {
        // `requires` says nothing about an option whose need is at odds with another that is given.
        let needless = [
            ("--name", !args.name.is_empty()),
            ("--keep-styles", args.keep_styles),
            ("--brush", args.brush != 1.0),
        ];
        if let Some((option, _)) = needless.iter().find(|(_, given)| *given) {
            return Err(usage(anyhow!(
                "{option} belongs to --style PICTURE, not to --distil"
            )));
        }
        distil::run(&job)
    } else {
        painting::run(&job)
    }
}

/// What is asked for, and what every training needs.
struct Job<'a> {
    args: &'a TrainArgs,
    store: ModelStore,
    threads: usize,
    files: Files,
    control: Arc<Control>,
}

impl Job<'_> {
    /// How long the training is: what was asked for, or so many minutes.
    fn plan(&self, minutes: f64) -> Plan {
        let minutes = self.args.minutes.unwrap_or(minutes);
        self.args.steps.map_or_else(
            || Plan::Time(Duration::from_secs_f64(minutes * 60.0)),
            Plan::Steps,
        )
    }

    /// Opens the log and listens for Ctrl-C.
    fn session(&self) -> Result<Session> {
        interrupt::install(Arc::clone(&self.control), self.args.quiet)?;
        Session::new(
            self.files.clone(),
            self.args.resume,
            self.args.quiet,
            Arc::clone(&self.control),
        )
    }

    /// The photos below the folder of --data in the order of their names. What cannot be read, or is smaller than a piece, is
    /// left out.
    fn photos(&self, crop: usize) -> Result<Sets> {
        let (folder, mut found, mut unread) = (&self.args.data, Vec::new(), Vec::new());
        for path in self.photo_files(&mut unread)? {
            match PictureFile::read(&path, Sizing::MaxSide(LONGEST_SIDE)) {
                Ok(file) => found.push(file.picture),
                Err(PictureError::TooSmall { .. }) => {}
                Err(error) => unread.push(error.into()),
            }
        }
        if !self.args.quiet {
            for error in unread.iter().take(TOLD) {
                note!("left out: {error:#}");
            }
            if let Some(more @ 1..) = unread.len().checked_sub(TOLD) {
                note!("left out: {more} more that cannot be read");
            }
        }
        found.retain(|photo| photo.width().min(photo.height()) >= crop.min(128));
        if found.is_empty() {
            bail!(
                "{} holds no photos of {crop} pixels or more",
                folder.display()
            );
        }
        Ok(Sets::new(found))
    }

    /// The files that are pictures as far as their first bytes say. Others that are called so are added to the `unread`.
    fn photo_files(&self, unread: &mut Vec<anyhow::Error>) -> Result<Vec<PathBuf>> {
        let folder = &self.args.data;
        if !folder.is_dir() {
            bail!(
                "{} is no folder: --data takes one of photos",
                folder.display()
            );
        }
        let mut paths = Vec::new();
        for entry in WalkDir::new(folder).follow_links(true) {
            match entry {
                Ok(entry) => paths.push(entry.into_path()),
                Err(error) if error.depth() > 0 => unread.push(anyhow!("{error}")),
                Err(error) => bail!("the photos of --data cannot be listed: {error}"),
            }
        }
        paths.sort();
        let preview = &self.files.preview;
        if self.args.resume {
            // That of this training, where its output lies among the photos.
            paths.retain(|path| !are_same(path, preview));
        }
        paths.retain(|path| match PictureFile::check_readable(path) {
            Ok(()) => true,
            Err(error) => {
                if is_picture_path(path) && path.is_file() {
                    unread.push(error.into());
                }
                false
            }
        });
        keep_apart(&[("-o, beside which", preview)], &paths)?;
        Ok(paths)
    }
}

/// The photos of a training.
struct Sets {
    photos: Vec<Picture>,
    /// To judge by.
    judges: Vec<Picture>,
    /// What the judges are, for the reader.
    judged_by: &'static str,
}

impl Sets {
    /// Keeps one photo of [`ASIDE`] aside, or of a few the last; where there are fewer, one is trained with and judged by.
    ///
    /// # Panics
    /// When there are no photos.
    fn new(found: Vec<Picture>) -> Self {
        let (mut photos, mut judges) = (Vec::new(), Vec::new());
        for (n, picture) in found.into_iter().enumerate() {
            let list = if n % ASIDE == ASIDE / 2 {
                &mut judges
            } else {
                &mut photos
            };
            list.push(picture);
        }
        if judges.is_empty() && photos.len() >= FEW {
            judges.extend(photos.pop());
        }
        let judged_by = if judges.is_empty() {
            judges.push(photos[0].clone());
            "a photo that is trained with"
        } else {
            "photos kept aside"
        };
        Self {
            photos,
            judges,
            judged_by,
        }
    }

    /// How many there are of each.
    fn counts(&self) -> String {
        let (photos, judges, by) = (self.photos.len(), self.judges.len(), self.judged_by);
        format!("{photos} photos to train with and {judges} to judge by ({by})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_are_kept_aside_once_there_are_enough() {
        let sets = |count: usize| {
            let photo = |n: usize| Picture::new(1, 1, vec![n as u8; 3]).unwrap();
            let sets = Sets::new((0..count).map(photo).collect());
            let judges: Vec<u8> = sets.judges.iter().map(|judge| judge.rgb()[0]).collect();
            (sets.counts(), judges)
        };
        let trained = "1 to judge by (a photo that is trained with)";
        for count in [1, 3, FEW - 1] {
            let told = format!("{count} photos to train with and {trained}");
            assert_eq!(sets(count), (told, vec![0]));
        }
        let aside = |count: usize, judges: &[u8]| {
            let (photos, judging) = (count - judges.len(), judges.len());
            let told = format!(
                "{photos} photos to train with and {judging} to judge by (photos kept aside)"
            );
            assert_eq!(sets(count), (told, judges.to_vec()));
        };
        aside(FEW, &[FEW as u8 - 1]);
        aside(ASIDE / 2, &[ASIDE as u8 / 2 - 1]);
        aside(ASIDE / 2 + 1, &[ASIDE as u8 / 2]);
        aside(2 * ASIDE, &[20, 60]);
    }
}

//! `allaprima train`: a network, or a style, of one's own.

mod args;
mod distil;
mod painting;
mod session;

use std::{path::PathBuf, sync::Arc, time::Duration};

use allaprima::{
    frame::Picture,
    models::ModelStore,
    picture_file::{PictureError, PictureFile},
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
            if path.exists() {
                bail!(
                    "{} exists: use --resume to go on with it or --overwrite to begin anew",
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
        interrupt::install(Arc::clone(&self.control), None, self.args.quiet)?;
        Session::new(
            self.files.clone(),
            self.args.resume,
            self.args.quiet,
            Arc::clone(&self.control),
        )
    }

    /// The photos below the folder of --data in the order of their names: those to train with, and those kept aside. What cannot
    /// be read, or is smaller than a piece, is left out.
    fn photos(&self, crop: usize) -> Result<(Vec<Picture>, Vec<Picture>)> {
        let (folder, mut found) = (&self.args.data, Vec::new());
        let left_out = |error: anyhow::Error| {
            if !self.args.quiet {
                tell!("note: left out: {error:#}");
            }
        };
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
                Err(error) if error.depth() > 0 => left_out(anyhow!("{error}")),
                Err(error) => bail!("the photos of --data cannot be listed: {error}"),
            }
        }
        paths.retain(|path| PictureFile::check_readable(path).is_ok());
        paths.sort();
        let preview = &self.files.preview;
        if self.args.resume {
            // That of this training, where its output lies among the photos.
            paths.retain(|path| !are_same(path, preview));
        }
        keep_apart(&[("-o, beside which", preview)], &paths)?;
        for path in paths {
            match PictureFile::read(&path, Sizing::MaxSide(LONGEST_SIDE)) {
                Ok(file) => found.push(file.picture),
                Err(PictureError::TooSmall { .. }) => {}
                Err(error) => left_out(error.into()),
            }
        }
        found.retain(|photo| photo.width().min(photo.height()) >= crop.min(128));
        let (mut photos, mut aside) = (Vec::new(), Vec::new());
        for (n, picture) in found.into_iter().enumerate() {
            let list = if n % ASIDE == ASIDE / 2 {
                &mut aside
            } else {
                &mut photos
            };
            list.push(picture);
        }
        if photos.is_empty() {
            bail!(
                "{} holds no photos of {crop} pixels or more",
                folder.display()
            );
        }
        if aside.is_empty() {
            aside.push(photos[0].clone());
        }
        Ok((photos, aside))
    }
}

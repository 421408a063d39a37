//! `allaprima train`: a network, or a style, of one's own.

mod args;
mod distil;
mod painting;
mod session;

use std::{path::Path, sync::Arc, time::Duration};

use allaprima::{
    frame::Picture,
    models::ModelStore,
    picture_file::PictureFile,
    pipeline::Control,
    source::Sizing,
    train::{LONGEST_SIDE, Plan},
};
use anyhow::{Context, Result, anyhow, bail};

use super::{interrupt, optimize::use_threads, settings, usage};
pub use args::TrainArgs;
use session::{Files, Session};

/// One photo of this many is kept aside to judge by.
const ASIDE: usize = 40;

pub fn run(args: &TrainArgs) -> Result<()> {
    let threads = settings::threads(args.threads);
    use_threads(threads)?;
    let files = Files::new(&args.output)?;
    if !args.resume && !args.overwrite {
        for path in [&files.output, &files.checkpoint] {
            if path.exists() {
                return Err(usage(anyhow!(
                    "{} exists: use --resume to go on with it or --overwrite to begin anew",
                    path.display()
                )));
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
}

/// The photos below a folder in the order of their names: those to train with, and those kept aside.
fn read_photos(folder: &Path, crop: usize) -> Result<(Vec<Picture>, Vec<Picture>)> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("the folder {} cannot be read", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if PictureFile::check_readable(&path).is_ok() {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let (mut photos, mut aside) = (Vec::new(), Vec::new());
    for (n, path) in paths.iter().enumerate() {
        let picture = PictureFile::read(path, Sizing::MaxSide(LONGEST_SIDE))?.picture;
        if picture.width().min(picture.height()) < crop.min(128) {
            continue;
        }
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

//! `allaprima train`: a network of one's own.

mod args;

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use allaprima::{
    frame::Picture,
    models::ModelStore,
    nn::{student_file::NEUTRAL, student_net::StudentConfig},
    picture_file::PictureFile,
    pipeline::Control,
    source::Sizing,
    style::{StyleChoice, StylePack},
    train::{
        Checkpoint, Distillation, Judgement, LONGEST_SIDE, Photos, Plan, Report, Settings, Shape,
        Teacher,
    },
};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::{
    interrupt,
    optimize::use_threads,
    plot::{Curve, Plot},
    settings, sheet, usage,
};
pub use args::TrainArgs;

/// Time between two lines of progress.
const LINE: Duration = Duration::from_secs(10);
/// Time between two checkpoints.
const SAVE: Duration = Duration::from_secs(120);
/// One photo of this many is kept aside to judge by.
const ASIDE: usize = 40;
/// Pictures and styles of the preview.
const PREVIEW: (usize, usize) = (3, 4);

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
    let teacher = teacher(&StylePack::load(&store)?, &args.styles)?;
    let shape = Shape {
        config: StudentConfig {
            width: args.width,
            blocks: usize::from(args.blocks),
            detail: args.detail,
            upsampling: args.upsampling,
            refine: args.refine,
            entry: usize::from(args.entry),
        },
        styles: teacher.styles.len(),
    };
    shape.check().map_err(|reason| usage(anyhow!(reason)))?;
    let checkpoint = args
        .resume
        .then(|| Checkpoint::load(&files.checkpoint, &shape))
        .transpose()?;
    let settings = Settings {
        seed: checkpoint.as_ref().map_or(args.seed, |from| from.seed),
        start: checkpoint.as_ref().map_or(args.start, |from| from.start),
        batch: usize::from(args.batch),
        crop: args.crop,
        rate: args.learning_rate,
        steadiness: args.steadiness,
        ..Settings::default()
    };
    let (photos, aside) = read_photos(&args.data, settings.crop)?;
    if !args.quiet {
        eprintln!(
            "{} photos to train with and {} to judge by, {} styles, {} weights, {threads} threads",
            photos.len(),
            aside.len(),
            shape.styles,
            shape.layers().1
        );
    }
    let plan = args.steps.map_or_else(
        || Plan::Time(Duration::from_secs_f64(args.minutes * 60.0)),
        Plan::Steps,
    );
    let control = Arc::new(Control::default());
    interrupt::install(Arc::clone(&control), None, args.quiet)?;
    let state = checkpoint.map(|checkpoint| checkpoint.state);
    let mut training = Training {
        log: files.log(args.resume)?,
        files,
        distillation: Distillation::new(shape, settings, teacher, Photos::new(photos), state)?,
        judges: Photos::new(aside.iter().cloned()),
        aside,
        quiet: args.quiet,
    };
    training.run(plan, &control)
}

/// The network of 26 styles, all of them or those named, and as the last style the neutral one, if it has one.
fn teacher(pack: &StylePack, only: &[String]) -> Result<Teacher> {
    let mut chosen: Vec<usize> = (0..pack.styles().len()).collect();
    if !only.is_empty() {
        let number = |name: &String| {
            let found = pack.styles().iter().position(|style| style.name == *name);
            found.ok_or_else(|| {
                usage(anyhow!(
                    "there is no style '{name}': see `allaprima styles`"
                ))
            })
        };
        chosen = only.iter().map(number).collect::<Result<_>>()?;
    }
    let names = chosen.iter().map(|n| pack.styles()[*n].name.clone());
    let styles = chosen
        .iter()
        .map(|n| pack.parameters(&StyleChoice::single(*n)));
    let neutral = pack.neutral();
    Ok(Teacher {
        network: pack.network().clone(),
        names: names.chain(neutral.map(|_| NEUTRAL.to_owned())).collect(),
        styles: styles.chain(neutral.cloned()).collect(),
    })
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

/// What lies beside the output.
struct Files {
    output: PathBuf,
    checkpoint: PathBuf,
    log: PathBuf,
    plot: PathBuf,
    preview: PathBuf,
}

impl Files {
    fn new(output: &Path) -> Result<Self> {
        if output
            .extension()
            .is_none_or(|extension| extension != "safetensors")
        {
            return Err(usage(anyhow!(
                "{} is no name for a network: let it end in .safetensors",
                output.display()
            )));
        }
        Ok(Self {
            output: output.to_owned(),
            checkpoint: output.with_extension("checkpoint"),
            log: output.with_extension("jsonl"),
            plot: output.with_extension("svg"),
            preview: output.with_extension("png"),
        })
    }

    fn log(&self, resume: bool) -> Result<File> {
        OpenOptions::new()
            .create(true)
            .write(true)
            .append(resume)
            .truncate(!resume)
            .open(&self.log)
            .with_context(|| format!("{} cannot be written", self.log.display()))
    }
}

struct Training {
    files: Files,
    log: File,
    distillation: Distillation,
    judges: Photos,
    aside: Vec<Picture>,
    quiet: bool,
}

/// Means of the reports since the last line.
#[derive(Default)]
struct Recent {
    steps: u32,
    total: f64,
    colors: f64,
    flicker: f64,
    hint: f64,
    rate: f32,
}

impl Recent {
    fn add(&mut self, report: &Report) {
        self.steps += 1;
        self.total += f64::from(report.terms.total);
        self.colors += f64::from(report.terms.colors);
        self.flicker += f64::from(report.flicker);
        self.hint += f64::from(report.hint);
        self.rate = report.rate;
    }
}

impl Training {
    fn run(&mut self, plan: Plan, control: &Control) -> Result<()> {
        let (mut saved, mut shown) = (Instant::now(), Instant::now());
        let mut recent = Recent::default();
        while self.distillation.done(plan) < 1.0 && !control.is_stopping() {
            let started = Instant::now();
            recent.add(&self.distillation.step(plan)?);
            self.distillation.spend(started.elapsed());
            if shown.elapsed() >= LINE {
                self.line(&recent, shown.elapsed(), plan)?;
                (shown, recent) = (Instant::now(), Recent::default());
            }
            if saved.elapsed() >= SAVE {
                self.save()?;
                (saved, shown) = (Instant::now(), Instant::now());
                recent = Recent::default();
            }
        }
        self.save()
    }

    fn line(&mut self, recent: &Recent, time: Duration, plan: Plan) -> Result<()> {
        let steps = f64::from(recent.steps.max(1));
        let millis = time.as_secs_f64() * 1e3 / steps;
        let state = self.distillation.state();
        let entry = json!({
            "step": state.steps,
            "seconds": state.seconds,
            "loss": recent.total / steps,
            "difference": recent.colors / steps,
            "flicker": recent.flicker / steps,
            "hint": recent.hint / steps,
            "rate": recent.rate,
            "step_ms": millis,
        });
        let made = state.steps;
        self.note(&entry)?;
        if !self.quiet && recent.hint > 0.0 {
            eprintln!(
                "step {made} ({:.1} %): trunk {:.4} off, {millis:.0} ms a step",
                100.0 * self.distillation.done(plan),
                recent.hint / steps,
            );
        } else if !self.quiet {
            eprintln!(
                "step {made} ({:.1} %): loss {:.4}, difference {:.4}, flicker {:.4}, {millis:.0} ms a step",
                100.0 * self.distillation.done(plan),
                recent.total / steps,
                recent.colors / steps,
                recent.flicker / steps,
            );
        }
        Ok(())
    }

    fn note(&mut self, entry: &Value) -> Result<()> {
        writeln!(self.log, "{entry}")
            .with_context(|| format!("{} cannot be written", self.files.log.display()))
    }

    /// Judges, and writes everything.
    fn save(&mut self) -> Result<()> {
        let judged = self.distillation.judge(&self.judges)?;
        let state = self.distillation.state().clone();
        let Judgement {
            difference,
            detail,
            flicker,
        } = judged;
        self.note(&json!({
            "step": state.steps,
            "seconds": state.seconds,
            "judged": {"difference": difference, "detail": detail, "flicker": flicker},
        }))?;
        if !self.quiet {
            eprintln!(
                "step {}: judged by photos kept aside: difference {difference:.4}, detail {:.2} {:.2} {:.2}, flicker {flicker:.2} of the teacher's",
                state.steps, detail[0], detail[1], detail[2],
            );
        }
        let settings = self.distillation.settings();
        let training = json!({
            "seed": settings.seed,
            "steps": state.steps,
            "batch": settings.batch,
            "crop": settings.crop,
            "learning_rate": settings.rate,
            "steadiness": settings.steadiness,
            "difference": difference,
            "detail": detail,
            "flicker": flicker,
        });
        let checkpoint = Checkpoint {
            shape: *self.distillation.shape(),
            seed: settings.seed,
            start: settings.start,
            state,
        };
        checkpoint.save(&self.files.checkpoint)?;
        let names = &self.distillation.teacher().names;
        checkpoint.save_student(&self.files.output, names, &training)?;
        self.plot()?;
        self.preview()
    }

    fn plot(&self) -> Result<()> {
        let text = std::fs::read_to_string(&self.files.log).context("the log cannot be read")?;
        let (mut loss, mut judged) = (Vec::new(), Vec::new());
        for entry in text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        {
            let steps = entry["step"].as_f64().unwrap_or_default();
            if let Some(value) = entry["difference"].as_f64() {
                loss.push((steps, value));
            }
            if let Some(value) = entry["judged"]["difference"].as_f64() {
                judged.push((steps, value));
            }
        }
        if loss.len() < 2 || judged.len() < 2 {
            return Ok(());
        }
        let curve = |name: &str, color, points| Curve {
            name: name.into(),
            color,
            points,
        };
        let plot = Plot {
            title: "Difference from the teacher".into(),
            across: "steps".into(),
            up: "mean difference, 0..1".into(),
            curves: vec![
                curve("in training", [150, 170, 200], loss),
                curve("photos kept aside, averaged weights", [190, 60, 40], judged),
            ],
        };
        plot.write(&self.files.plot, true)
    }

    /// Rows of photo, student and teacher.
    fn preview(&mut self) -> Result<()> {
        let (pictures, styles) = PREVIEW;
        let count = self.distillation.teacher().styles.len();
        let photos = &self.aside[..self.aside.len().min(pictures)];
        let least = |side: fn(&Picture) -> usize, most: usize| {
            photos.iter().map(side).fold(most, usize::min) / 8 * 8
        };
        let (width, height) = (least(Picture::width, 480), least(Picture::height, 320));
        let mut tiles = Vec::new();
        for n in 0..styles {
            // Other styles each time, in turn.
            let round = self.distillation.state().steps as usize / 500;
            let style = (n * count / styles + round) % count;
            let photo = &photos[n % photos.len()];
            let (left, top) = ((photo.width() - width) / 2, (photo.height() - height) / 2);
            let rgb: Vec<u8> = (top..top + height)
                .flat_map(|y| &photo.rgb()[(y * photo.width() + left) * 3..][..3 * width])
                .copied()
                .collect();
            let name = self.distillation.teacher().names[style].clone();
            let [student, teacher] = self.distillation.paint(&rgb, (height, width), style)?;
            tiles.push((
                format!("{name}: student"),
                Picture::new(width, height, student)?,
            ));
            tiles.push((
                format!("{name}: teacher"),
                Picture::new(width, height, teacher)?,
            ));
        }
        let sheet = sheet::compose_rows(&tiles, 2)?;
        sheet::save(sheet, &self.files.preview, true)
    }
}

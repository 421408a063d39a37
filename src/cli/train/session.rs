//! What all trainings have in common: the files beside the output, progress, and when what is saved.

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
    pipeline::Control,
    style::{StyleChoice, StylePack},
    train::{Painters, Photos, Plan, SPEED_SIZE, measure_flicker, measure_speed},
};
use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value, json};

use crate::cli::{
    plot::{Curve, Plot},
    usage,
};

/// Time between two lines of progress.
const LINE: Duration = Duration::from_secs(10);
/// Time between two checkpoints.
const SAVE: Duration = Duration::from_secs(120);

/// What lies beside the output.
#[derive(Clone)]
pub struct Files {
    pub output: PathBuf,
    pub checkpoint: PathBuf,
    log: PathBuf,
    plot: PathBuf,
    pub preview: PathBuf,
}

impl Files {
    pub fn new(output: &Path) -> Result<Self> {
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

    /// All that a training writes.
    pub fn all(&self) -> [&Path; 5] {
        [
            &self.output,
            &self.checkpoint,
            &self.log,
            &self.plot,
            &self.preview,
        ]
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

/// What is trained.
pub trait Trainee {
    /// How much of `plan` is done, 0..=1.
    fn done(&self, plan: Plan) -> f32;
    /// Makes one step, and remembers what it found for the next line.
    fn step(&mut self, plan: Plan) -> Result<()>;
    /// Counts time that was spent.
    fn spend(&mut self, time: Duration);
    /// What the steps since the last line found, for the log and for the reader.
    fn line(&mut self) -> (Value, String);
    /// Judges, and writes everything.
    fn save(&mut self, session: &mut Session, is_last: bool) -> Result<()>;
}

/// A training's surroundings.
pub struct Session {
    pub files: Files,
    log: File,
    quiet: bool,
    control: Arc<Control>,
}

impl Session {
    /// Opens the log, to go on with it or anew.
    pub fn new(files: Files, resume: bool, quiet: bool, control: Arc<Control>) -> Result<Self> {
        Ok(Self {
            log: files.log(resume)?,
            files,
            quiet,
            control,
        })
    }

    /// Makes all steps of `plan`, or as many as there are before Ctrl-C, and saves now and then and at the end.
    pub fn run(&mut self, trainee: &mut dyn Trainee, plan: Plan) -> Result<()> {
        let (mut saved, mut shown, mut steps) = (Instant::now(), Instant::now(), 0_u32);
        while trainee.done(plan) < 1.0 && !self.control.is_stopping() {
            let started = Instant::now();
            trainee.step(plan)?;
            trainee.spend(started.elapsed());
            steps += 1;
            if shown.elapsed() >= LINE {
                let millis = shown.elapsed().as_secs_f64() * 1e3 / f64::from(steps);
                let (mut entry, text) = trainee.line();
                entry["step_ms"] = millis.into();
                self.note(&entry)?;
                let percent = 100.0 * trainee.done(plan);
                let step = &entry["step"];
                self.say(&format!(
                    "step {step} ({percent:.1} %): {text}, {millis:.0} ms a step"
                ));
                (shown, steps) = (Instant::now(), 0);
            }
            if saved.elapsed() >= SAVE {
                trainee.save(self, false)?;
                trainee.line();
                (saved, shown, steps) = (Instant::now(), Instant::now(), 0);
            }
        }
        trainee.save(self, true)
    }

    /// Adds an entry to the log.
    pub fn note(&mut self, entry: &Value) -> Result<()> {
        writeln!(self.log, "{entry}")
            .with_context(|| format!("{} cannot be written", self.files.log.display()))
    }

    /// Tells the reader, unless nothing shall be said.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            tell!("{text}");
        }
    }

    /// Draws what the log says under the keys of each curve, once there is enough.
    pub fn plot(&self, title: &str, up: &str, curves: &[(&str, [u8; 3], &[&str])]) -> Result<()> {
        let text = std::fs::read_to_string(&self.files.log).context("the log cannot be read")?;
        let entries: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let curve = |(name, color, keys): &(&str, [u8; 3], &[&str])| {
            let point = |entry: &Value| {
                let found = keys.iter().fold(entry, |value, key| &value[key]);
                Some((entry["step"].as_f64()?, found.as_f64()?))
            };
            Curve {
                name: (*name).to_owned(),
                color: *color,
                points: entries.iter().filter_map(point).collect(),
            }
        };
        let curves: Vec<Curve> = curves.iter().map(curve).collect();
        if curves.iter().any(|curve| curve.points.len() < 2) {
            return Ok(());
        }
        let plot = Plot {
            title: title.into(),
            across: "steps".into(),
            up: up.into(),
            curves,
        };
        plot.write(&self.files.plot, true)
    }
}

/// The middle of a picture, at most that large, with sides that are multiples of 8: as many as all of `photos` have.
pub fn middles(photos: &[Picture], (width, height): (usize, usize)) -> Result<Vec<Picture>> {
    let least = |side: fn(&Picture) -> usize, most: usize| {
        photos.iter().map(side).fold(most, usize::min) / 8 * 8
    };
    let (width, height) = (least(Picture::width, width), least(Picture::height, height));
    let middle = |photo: &Picture| {
        let (left, top) = ((photo.width() - width) / 2, (photo.height() - height) / 2);
        let rgb = (top..top + height)
            .flat_map(|y| &photo.rgb()[(y * photo.width() + left) * 3..][..3 * width])
            .copied();
        Ok(Picture::new(width, height, rgb.collect())?)
    };
    photos.iter().map(middle).collect()
}

/// Speed (unless it is 0 threads) and flicker of a pack, to be written into its file.
pub fn measured(
    store: &ModelStore,
    (network, styles): Painters<'_>,
    names: &[String],
    photos: &Photos,
    threads: usize,
) -> Result<Value> {
    let reference = StylePack::load(store)?;
    let known: Vec<_> = (0..reference.styles().len())
        .map(|number| reference.parameters(&StyleChoice::single(number)))
        .collect();
    let flicker = measure_flicker((network, styles), (reference.network(), &known), photos)?;
    let mean = flicker.iter().sum::<f32>() / flicker.len().max(1) as f32;
    let each: Map<String, Value> = names
        .iter()
        .zip(&flicker)
        .map(|(name, flicker)| (name.clone(), rounded(f64::from(*flicker))))
        .collect();
    let mut found = json!({"flicker": rounded(f64::from(mean)), "flicker_of_styles": each});
    if threads > 0 {
        let speed = measure_speed(network, &styles[0], threads)?;
        let (width, height) = SPEED_SIZE;
        found["speed"] = json!({
            "ms": rounded(speed.millis),
            "size": format!("{width}x{height}"),
            "threads": speed.threads,
            "precision": speed.precision.to_string(),
            "instructions": speed.instructions.to_string(),
            "processor": processor(),
        });
    }
    Ok(found)
}

/// To three places, as more are not known.
fn rounded(value: f64) -> Value {
    ((value * 1e3).round() / 1e3).into()
}

/// What the processor calls itself.
fn processor() -> String {
    let listed = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = listed
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map(|(_, name)| name.trim().to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

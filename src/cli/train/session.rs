//! What all trainings have in common: the files beside the output, progress, and when what is saved.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use allaprima::{
    files::check_place,
    frame::Picture,
    models::ModelStore,
    pipeline::Control,
    style::{StyleChoice, StylePack},
    train::{Painters, Photos, Plan, SPEED_SIZE, measure_flicker, measure_speed},
};
use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value, json};

use crate::cli::{
    Aborted,
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
    pub log: PathBuf,
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

    /// Whether the log is all that is there, and a training's: one that was killed before it wrote anything else left it.
    pub fn is_log_of_nothing(&self) -> bool {
        let others = self.all().into_iter().filter(|path| *path != self.log);
        let alone = others.into_iter().all(|path| !path.exists());
        alone && std::fs::read_to_string(&self.log).is_ok_and(|text| begins_as_log(&text))
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

/// Whether a text begins as the log of a training does, or is empty.
fn begins_as_log(text: &str) -> bool {
    text.lines().next().is_none_or(|line| {
        let entry: Option<Value> = serde_json::from_str(line).ok();
        entry.is_some_and(|entry| ["step", "start"].iter().any(|key| !entry[key].is_null()))
    })
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
    log: Log,
    resume: bool,
    quiet: bool,
    control: Arc<Control>,
}

/// The log of a training. It is there, and in the place of one that was, from the first step on.
enum Log {
    /// What it will begin with.
    Planned(String),
    Open(File),
}

impl Session {
    /// Goes on with the log, or begins it anew.
    pub fn new(files: Files, resume: bool, quiet: bool, control: Arc<Control>) -> Result<Self> {
        check_place(&files.log)
            .with_context(|| format!("{} cannot be written", files.log.display()))?;
        Ok(Self {
            files,
            log: Log::Planned(String::new()),
            resume,
            quiet,
            control,
        })
    }

    /// Makes all steps of `plan`, or as many as there are before Ctrl-C, and saves now and then and at the end. Where there are
    /// none before Ctrl-C nothing is written.
    pub fn run(&mut self, trainee: &mut dyn Trainee, plan: Plan) -> Result<()> {
        let (mut saved, mut shown, mut steps) = (Instant::now(), Instant::now(), 0_u32);
        while trainee.done(plan) < 1.0 && !self.control.is_stopping() {
            let started = Instant::now();
            trainee.step(plan)?;
            trainee.spend(started.elapsed());
            steps += 1;
            self.open_log()?;
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
        if matches!(self.log, Log::Planned(_)) {
            if trainee.done(plan) < 1.0 {
                return Err(Aborted("stopped before there was anything to write").into());
            }
            self.open_log()?;
        }
        trainee.save(self, true)
    }

    fn open_log(&mut self) -> Result<()> {
        if let Log::Planned(text) = &self.log {
            let text = text.clone();
            self.log = Log::Open(self.files.log(self.resume)?);
            self.add_to_log(text)?;
        }
        Ok(())
    }

    /// Adds an entry to the log.
    pub fn note(&mut self, entry: &Value) -> Result<()> {
        self.add_to_log(format!("{entry}\n"))
    }

    fn add_to_log(&mut self, text: String) -> Result<()> {
        match &mut self.log {
            Log::Planned(planned) => {
                planned.push_str(&text);
                Ok(())
            }
            Log::Open(file) => file
                .write_all(text.as_bytes())
                .with_context(|| format!("{} cannot be written", self.files.log.display())),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_alone_is_told_from_other_files_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(&folder.path().join("mine.safetensors")).unwrap();
        assert!(!files.is_log_of_nothing());
        for (text, is_log) in [
            ("", true),
            ("{\"loss\":1.5,\"step\":3}\n{\"lo", true),
            (
                "{\"loss\":1.5,\"start\":{\"ink\":1.0},\"style\":\"mine\"}\n",
                true,
            ),
            ("{\"name\":\"Vincent\"}\n", false),
            ("3\n", false),
            ("precious", false),
        ] {
            std::fs::write(&files.log, text).unwrap();
            assert_eq!(files.is_log_of_nothing(), is_log, "{text}");
        }
        std::fs::write(&files.log, "").unwrap();
        std::fs::write(&files.checkpoint, "").unwrap();
        assert!(!files.is_log_of_nothing());
    }

    /// Steps of no work.
    struct Steps {
        made: u32,
        saved: bool,
    }

    impl Trainee for Steps {
        fn done(&self, plan: Plan) -> f32 {
            match plan {
                Plan::Steps(steps) => self.made as f32 / steps as f32,
                Plan::Time(_) => 0.0,
            }
        }

        fn step(&mut self, _: Plan) -> Result<()> {
            self.made += 1;
            Ok(())
        }

        fn spend(&mut self, _: Duration) {}

        fn line(&mut self) -> (Value, String) {
            (json!({}), String::new())
        }

        fn save(&mut self, _: &mut Session, _: bool) -> Result<()> {
            self.saved = true;
            Ok(())
        }
    }

    #[test]
    fn what_is_stopped_before_the_first_step_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(&folder.path().join("mine.safetensors")).unwrap();
        std::fs::write(&files.log, "old").unwrap();
        let run = |stopped: bool| {
            let control = Arc::new(Control::default());
            if stopped {
                control.stop();
            }
            let mut session = Session::new(files.clone(), false, true, control).unwrap();
            session.note(&json!({"step": 0})).unwrap();
            let mut trainee = Steps {
                made: 0,
                saved: false,
            };
            let result = session.run(&mut trainee, Plan::Steps(2));
            (result, trainee.saved)
        };
        let (result, saved) = run(true);
        assert!(result.unwrap_err().is::<Aborted>() && !saved);
        assert_eq!(std::fs::read_to_string(&files.log).unwrap(), "old");
        let (result, saved) = run(false);
        assert!(result.is_ok() && saved);
        let log = std::fs::read_to_string(&files.log).unwrap();
        assert_eq!(log, "{\"step\":0}\n");
    }
}

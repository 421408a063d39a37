//! What a person and a log hear of `--engine optimize` while it works.

use std::{
    fs::{File, OpenOptions, remove_file},
    io::{ErrorKind, LineWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use allaprima::{picture_file::PictureFile, pipeline::Control, stylize::optimize::Step};
use anyhow::{Context, Result, anyhow, bail};

use super::{
    apart::are_same,
    print::{Status, warn},
    tally::Tally,
};

/// Prints and logs each step's loss, writes unfinished paintings if wanted, and ends the picture on Ctrl-C.
pub struct Follow {
    pub control: Arc<Control>,
    pub quiet: bool,
    /// Where unfinished paintings are written, if anywhere.
    pub save: Option<Saving>,
    /// What it comes to.
    pub tally: Tally,
    log: Option<LossLog>,
    begun: Instant,
    status: Status,
}

impl Follow {
    /// Follows silently; logs to the file `log`, `overwrite` also over an older one.
    ///
    /// # Errors
    /// When the log cannot be written, or exists and shall not be overwritten.
    pub fn new(control: Arc<Control>, log: Option<&Path>, overwrite: bool) -> Result<Self> {
        Ok(Self {
            control,
            quiet: true,
            save: None,
            tally: Tally::default(),
            log: log.map(|path| LossLog::open(path, overwrite)).transpose()?,
            begun: Instant::now(),
            status: Status::default(),
        })
    }

    /// To be called after each step.
    pub fn step(&mut self, step: &Step<'_>) -> bool {
        self.tally.step(step);
        if !self.quiet {
            self.print(step);
        }
        if let Some(log) = &mut self.log
            && let Err(error) = log.write(&log_line(step, self.begun.elapsed()))
        {
            warn(format!("the losses are no longer logged: {error}"));
            self.log = None;
        }
        if let Some(save) = &mut self.save
            && let Err(error) = save.step(step)
        {
            // A picture in between is no reason to lose the last one.
            warn(format!(
                "{error:#}; no more unfinished paintings of this picture are written"
            ));
            save.given_up = true;
        }
        !self.control.is_stopping()
    }

    fn print(&mut self, step: &Step<'_>) {
        if step.iteration == step.iterations && step.is_full_size {
            self.status.conclude(&line(step));
        } else {
            self.status.show(|| line(step));
        }
    }
}

/// The losses of all steps, in a file. A log without a step leaves things as they were.
struct LossLog {
    path: PathBuf,
    file: LineWriter<File>,
    /// It was not there before.
    is_new: bool,
    begun: bool,
}

impl LossLog {
    fn open(path: &Path, overwrite: bool) -> Result<Self> {
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        options.write(true);
        let file = match overwrite {
            true => options.create(true).truncate(false).open(path),
            false => options.create_new(true).open(path),
        };
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                anyhow!("{} exists: use --overwrite to replace it", path.display())
            }
            _ => anyhow::Error::from(error).context(format!("cannot write {}", path.display())),
        })?;
        Ok(Self {
            path: path.into(),
            file: LineWriter::new(file),
            is_new,
            begun: false,
        })
    }

    fn write(&mut self, line: &str) -> std::io::Result<()> {
        if !self.begun {
            self.begun = true;
            let file = self.file.get_ref();
            if file.metadata()?.is_file() {
                file.set_len(0)?;
            }
            writeln!(self.file, "{LOG_HEADER}")?;
        }
        writeln!(self.file, "{line}")
    }
}

impl Drop for LossLog {
    fn drop(&mut self) {
        if self.is_new && !self.begun {
            // An empty file that stays is no harm.
            let _ = remove_file(&self.path);
        }
    }
}

/// Writes an unfinished painting every few steps, beside the output.
pub struct Saving {
    kept: Vec<PathBuf>,
    every: u32,
    overwrite: bool,
    output: Arc<Mutex<PathBuf>>,
    /// The output of the step before, and how many steps it has had.
    before: (PathBuf, u32),
    /// Something went wrong with this output.
    given_up: bool,
}

impl Saving {
    /// `output` is the file that is being painted, now and later; those `kept`, which are read or painted too, are not replaced.
    pub fn new(
        every: u32,
        output: Arc<Mutex<PathBuf>>,
        overwrite: bool,
        kept: Vec<PathBuf>,
    ) -> Self {
        Self {
            kept,
            every,
            overwrite,
            output,
            before: (PathBuf::new(), 0),
            given_up: false,
        }
    }

    fn step(&mut self, step: &Step<'_>) -> Result<()> {
        let output = self
            .output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if self.before.0 != output {
            self.before = (output, 0);
            self.given_up = false;
        }
        self.before.1 += 1;
        let (output, steps) = &self.before;
        if self.given_up || !steps.is_multiple_of(self.every) {
            return Ok(());
        }
        let path = numbered(output, *steps);
        if !self.overwrite && path.exists() {
            bail!("{} exists: use --overwrite to replace it", path.display());
        }
        if self.kept.iter().any(|kept| are_same(&path, kept)) {
            bail!("{} is read or painted in this run", path.display());
        }
        PictureFile::new(step.picture()?)
            .write(&path, self.overwrite)
            .context("an unfinished painting was not written")?;
        Ok(())
    }
}

/// What the columns of the log are.
const LOG_HEADER: &str = "frame,size,step,seconds,loss,content,style,variation,temporal";

fn log_line(step: &Step<'_>, elapsed: Duration) -> String {
    let losses = step.losses;
    format!(
        "{},{},{},{:.3},{:.6},{:.6},{:.6},{:.6},{:.6}",
        step.frame,
        step.scale,
        step.iteration,
        elapsed.as_secs_f64(),
        losses.total,
        losses.content,
        losses.style,
        losses.variation,
        losses.temporal,
    )
}

fn line(step: &Step<'_>) -> String {
    let losses = step.losses;
    let temporal = match losses.temporal {
        0.0 => String::new(),
        temporal => format!(", temporal {temporal:.4}"),
    };
    format!(
        "size {:.0} %, step {}/{}: loss {:.4} (content {:.4}, style {:.4}, variation {:.4}{temporal})",
        100.0 * step.scale,
        step.iteration,
        step.iterations,
        losses.total,
        losses.content,
        losses.style,
        losses.variation,
    )
}

/// `painted.png` becomes `painted-0040.png`.
fn numbered(output: &Path, step: u32) -> PathBuf {
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    let extension = output.extension().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!("{stem}-{step:04}.{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_paintings_are_numbered() {
        assert_eq!(
            numbered(Path::new("x/a.b.png"), 40),
            Path::new("x/a.b-0040.png")
        );
    }
}

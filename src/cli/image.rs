//! `allaprima image`: pictures become painted ones. One that fails does not stop the rest.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use allaprima::{
    files,
    picture_file::{
        self, PictureError, PictureFile, is_animated, is_picture_path, pictures_in, writable_format,
    },
    pipeline::{Control, StageStats, StageSummary},
    source::Sizing,
    stylize::{Stylizer, optimize::Step},
};
use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

use super::{
    apart::keep_apart,
    args::ImageArgs,
    follow::Saving,
    interrupt,
    optimize::Film,
    painter::{Painter, early_end},
    print,
    summary::peak_rss_mib,
    tally::{Optimized, Tally},
    usage,
};

/// A picture to read and where its painting goes.
#[derive(Debug, PartialEq)]
struct Job {
    input: PathBuf,
    output: PathBuf,
}

#[derive(Serialize)]
struct ImageSummary<'a> {
    frames: usize,
    failed: usize,
    seconds: f64,
    fps: f64,
    dropped: u64,
    peak_rss_mib: Option<f64>,
    stages: BTreeMap<&'static str, StageSummary>,
    stopped: bool,
    /// Of each picture that was painted.
    paintings: Vec<Painting<'a>>,
    /// Absent with `--engine fast`.
    #[serde(skip_serializing_if = "Option::is_none")]
    optimized: Option<Optimized>,
    notes: Vec<String>,
    errors: &'a [String],
}

/// As text: names that are none are written as near as can be.
#[derive(Serialize)]
struct Painting<'a> {
    input: Cow<'a, str>,
    output: Cow<'a, str>,
}

pub fn run(args: &ImageArgs) -> Result<()> {
    let optimizes = args.optimize.is_chosen();
    args.optimize
        .check(&[("--save-every", args.save_every.is_some())])?;
    let (jobs, folder) = plan(&args.inputs, &args.output)?;
    let mut read = args.paint.files();
    read.extend(jobs.iter().map(|job| job.input.clone()));
    for job in &jobs {
        keep_apart(&args.optimize.written(Some(("-o", &job.output))), &read)?;
    }
    let folder = folder.map(|folder| MadeFolder::new(&folder)).transpose()?;
    for input in args.inputs.iter().filter(|input| input.is_dir()) {
        let left_out = left_out(input);
        let count = left_out.len();
        if let Some(first) = left_out.iter().min() {
            note!(
                "{count} in {} {} no picture and left out, such as {} (folders in it are, too)",
                input.display(),
                if count == 1 { "is" } else { "are" },
                first.file_name().unwrap_or_default().display()
            );
        }
    }
    let control = Arc::new(Control::default());
    let mut tally = Tally::default();
    // That of the picture which is being painted.
    let output = Arc::new(Mutex::new(PathBuf::new()));
    let mut painter = None;
    let mut stylizer: Box<dyn Stylizer> = if optimizes {
        let mut follow = args.optimize.follow(&control, args.overwrite)?;
        follow.quiet = args.talk.quiet;
        tally = follow.tally.clone();
        let paintings = jobs.iter().map(|job| job.output.clone());
        let kept: Vec<_> = read.iter().cloned().chain(paintings).collect();
        follow.save = args
            .save_every
            .map(|every| Saving::new(every, output.clone(), args.overwrite, kept));
        let watch = Box::new(move |step: &Step<'_>| follow.step(step));
        args.optimize
            .stylizer(&args.paint, Film::default(), |painter| {
                painter.watched(watch)
            })?
    } else {
        let painter = painter.insert(Painter::for_pictures(&args.paint)?);
        painter.tell_notes();
        painter.stylizer()?
    };
    interrupt::install(control.clone(), args.talk.quiet)?;

    let started = Instant::now();
    let (mut paintings, mut errors) = (Vec::new(), Vec::new());
    let mut times = Times::default();
    for job in &jobs {
        if control.is_stopping() {
            break;
        }
        *output.lock().unwrap_or_else(PoisonError::into_inner) = job.output.clone();
        match paint(
            job,
            &mut *stylizer,
            args.paint.sizing(),
            args.overwrite,
            &mut times,
        ) {
            Ok(notes) => {
                paintings.push(Painting {
                    input: job.input.to_string_lossy(),
                    output: job.output.to_string_lossy(),
                });
                if !args.talk.quiet {
                    tell!("{} → {}", job.input.display(), job.output.display());
                }
                notes.into_iter().for_each(print::note);
                if let Some(note) = painter.as_ref().and_then(Painter::mask_note) {
                    note!("{}: {note}", job.input.display());
                }
            }
            Err(error) => {
                // Of a single picture the cause is the program's, printed at its end.
                if jobs.len() > 1 {
                    tell!("error: {error:#}");
                }
                errors.push(error);
            }
        }
    }
    drop(folder);
    let wall = started.elapsed();
    let seconds = wall.as_secs_f64();
    let painted = paintings.len();
    if args.talk.json {
        let errors: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
        let summary = ImageSummary {
            frames: painted,
            failed: errors.len(),
            seconds,
            fps: painted as f64 / seconds.max(1e-9),
            dropped: 0,
            peak_rss_mib: peak_rss_mib(),
            stages: times.summary(wall),
            stopped: control.is_stopping(),
            paintings,
            optimized: tally.result(),
            notes: print::notes(),
            errors: &errors,
        };
        put!("{}", serde_json::to_string(&summary)?);
    }
    if !args.talk.quiet && jobs.len() > 1 {
        tell!(
            "painted {painted} of {} pictures in {seconds:.1} s",
            jobs.len()
        );
    }
    match errors.len() {
        0 => Ok(()),
        1 if jobs.len() == 1 => Err(errors.remove(0)),
        failed => bail!(
            "{failed} of {} pictures failed (each is named above)",
            jobs.len()
        ),
    }
}

/// Times of the three steps of a picture.
#[derive(Default)]
struct Times {
    decode: StageStats,
    paint: StageStats,
    encode: StageStats,
}

impl Times {
    fn summary(&self, wall: Duration) -> BTreeMap<&'static str, StageSummary> {
        let stages = [
            ("decode", &self.decode),
            ("paint", &self.paint),
            ("encode", &self.encode),
        ];
        stages
            .map(|(name, stats)| (name, stats.summary(wall)))
            .into()
    }
}

fn paint(
    job: &Job,
    stylizer: &mut dyn Stylizer,
    size: Sizing,
    overwrite: bool,
    times: &mut Times,
) -> Result<Vec<String>> {
    check_format(job)?;
    check_place(&job.output, overwrite)?;
    let mut file = times
        .decode
        .time_frame(|| PictureFile::read(&job.input, size))
        .map_err(|error| match error {
            PictureError::Decode { .. } if is_film(&job.input) => film(&job.input),
            error => error.into(),
        })?;
    let (width, height) = (file.picture.width(), file.picture.height());
    picture_file::check_format(&job.output, width, height)?;
    stylizer.reset();
    times
        .paint
        .time_frame(|| stylizer.paint(&mut file.picture))
        .with_context(|| format!("{} was not painted", job.input.display()))?;
    let note = times
        .encode
        .time_frame(|| file.write(&job.output, overwrite))?;
    let animated = is_animated(&job.input).then(|| {
        format!(
            "{} is animated: only its first picture was painted",
            job.input.display()
        )
    });
    let notes = early_end(&job.input).into_iter().chain(animated);
    Ok(notes.chain(note).collect())
}

/// Which picture goes where, and the folder that this needs. A single picture goes to the file `output`, or into it if it
/// is a folder; several, and those of a folder, go into the folder `output` under their own names.
fn plan(inputs: &[PathBuf], output: &Path) -> Result<(Vec<Job>, Option<PathBuf>)> {
    let into_folder =
        inputs.len() > 1 || inputs.iter().any(|i| i.is_dir()) || names_a_folder(output);
    let mut pictures = Vec::new();
    for input in inputs {
        if input.is_dir() {
            let found = pictures_in(input)
                .with_context(|| format!("cannot read the folder {}", input.display()))?;
            pictures.extend(found);
        } else {
            pictures.push(input.clone());
        }
    }
    if pictures.is_empty() {
        bail!(
            "no pictures (.png, .jpg, .jpeg, .webp) in {}",
            inputs[0].display()
        );
    }
    if into_folder && !names_a_folder(output) && writable_format(output).is_ok() {
        return Err(usage(anyhow!(
            "several pictures need a folder for -o, and {0} is the name of one picture: write {0}/ if it is a folder",
            output.display()
        )));
    }
    if into_folder && output.exists() && !output.is_dir() {
        return Err(usage(anyhow!(
            "{} is a file: several pictures need a folder for -o",
            output.display()
        )));
    }
    let jobs: Vec<Job> = pictures
        .into_iter()
        .map(|input| {
            let output = match input.file_name().filter(|_| into_folder) {
                Some(name) => output.join(name),
                None => output.to_owned(),
            };
            Job { input, output }
        })
        .collect();
    check(&jobs)?;
    let folder = if into_folder {
        Some(output)
    } else {
        output.parent().filter(|p| !p.as_os_str().is_empty())
    };
    Ok((jobs, folder.map(Path::to_owned)))
}

/// A folder for paintings. If it was not there before, and nothing came into it, it is gone again in the end.
struct MadeFolder {
    /// What was made, the innermost first.
    made: Vec<PathBuf>,
}

impl MadeFolder {
    fn new(folder: &Path) -> Result<Self> {
        let missing = folder.ancestors().take_while(|path| !path.exists());
        let made: Vec<_> = missing.map(Path::to_owned).collect();
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        made.iter()
            .for_each(|folder| files::unfinished_folder(folder));
        Ok(Self { made })
    }
}

impl Drop for MadeFolder {
    fn drop(&mut self) {
        for folder in &self.made {
            // One that is not empty stays, and those around it.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Refuses to paint for nothing: what cannot be written in the end.
fn check_place(output: &Path, overwrite: bool) -> Result<()> {
    // A link that leads nowhere is there as well.
    if !overwrite && fs::symlink_metadata(output).is_ok() {
        bail!("{} exists: use --overwrite to replace it", output.display());
    }
    files::check_place(output).with_context(|| format!("{} cannot be written", output.display()))
}

/// Refuses what would be wrong for every picture, before the first is painted.
fn check(jobs: &[Job]) -> Result<()> {
    if let [job] = jobs {
        check_format(job).map_err(usage)?;
    }
    let mut taken: HashMap<&Path, &Path> = HashMap::new();
    for job in jobs {
        if let Some(other) = taken.insert(&job.output, &job.input) {
            return Err(usage(anyhow!(
                "{} and {} would both be written to {}: paint them one after the other",
                other.display(),
                job.input.display(),
                job.output.display()
            )));
        }
    }
    Ok(())
}

/// Refuses an output of a format that is not written; a film has that of films.
fn check_format(job: &Job) -> Result<()> {
    match writable_format(&job.output) {
        Err(_) if is_film(&job.input) => Err(film(&job.input)),
        Err(_) if !job.input.exists() => Err(anyhow!("{} does not exist", job.input.display())),
        checked => Ok(checked.map(|_| ())?),
    }
}

fn film(path: &Path) -> anyhow::Error {
    anyhow!("{} is a film: allaprima video paints it", path.display())
}

/// Whether the extension is one of films.
fn is_film(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    ["mp4", "mkv", "mov", "webm", "avi", "m4v", "ts", "gif"]
        .iter()
        .any(|film| extension.eq_ignore_ascii_case(film))
}

/// What else lies in a folder of pictures.
fn left_out(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    names
        .map(|entry| entry.path())
        .filter(|path| !path.is_file() || !is_picture_path(path))
        .filter(|path| {
            !path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
        })
        .collect()
}

fn names_a_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_picture_to_a_file_and_several_into_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.png"), folder.path().join("b.JPG"));
        for path in [&a, &b, &folder.path().join("notes.txt")] {
            fs::write(path, "x").unwrap();
        }
        let out = folder.path().join("out");
        let single = plan(std::slice::from_ref(&a), &folder.path().join("x.webp"))
            .unwrap()
            .0;
        assert_eq!(
            single,
            [Job {
                input: a.clone(),
                output: folder.path().join("x.webp")
            }]
        );
        let expected = || {
            [
                Job {
                    input: a.clone(),
                    output: out.join("a.png"),
                },
                Job {
                    input: b.clone(),
                    output: out.join("b.JPG"),
                },
            ]
        };
        for inputs in [vec![folder.path().to_owned()], vec![a.clone(), b.clone()]] {
            let (jobs, needed) = plan(&inputs, &out).unwrap();
            assert_eq!(jobs, expected());
            assert_eq!(needed.as_ref(), Some(&out));
        }
    }

    #[test]
    fn folders_are_made_and_stay_if_something_came_into_them() {
        let folder = tempfile::tempdir().unwrap();
        let (outer, inner) = (folder.path().join("a"), folder.path().join("a/b"));
        drop(MadeFolder::new(&inner).unwrap());
        assert!(!outer.exists() && folder.path().is_dir());
        let made = MadeFolder::new(&inner).unwrap();
        fs::write(outer.join("picture"), "x").unwrap();
        drop(made);
        assert!(outer.is_dir() && !inner.exists());
        drop(MadeFolder::new(&outer).unwrap());
        assert!(outer.join("picture").exists());
    }

    #[test]
    fn nothing_is_written_twice_or_in_an_unknown_format() {
        let folder = tempfile::tempdir().unwrap();
        let a = folder.path().join("a.png");
        fs::write(&a, "x").unwrap();
        for (inputs, output) in [
            (vec![a.clone(), a.clone()], folder.path().join("out")),
            (vec![a.clone(), a.clone()], a.clone()),
            (vec![a.clone()], folder.path().join("a.gif")),
        ] {
            let error = plan(&inputs, &output).unwrap_err();
            assert!(error.is::<super::super::Usage>(), "{error:#}");
        }
        assert_eq!(fs::read(&a).unwrap(), b"x");
    }
}

//! `allaprima live`: a camera, painted while it moves.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use allaprima::{
    files,
    live::{Desk, DeskSettings, LivePainter, SizeWish},
    picture_file::PictureFile,
    pipeline::{
        Control,
        live::{self, LiveConfig, LiveError, LiveParts, Notice},
    },
    sink::{self, Screen, SinkError},
    source::{self, CameraOpener, ClipCamera, Sizing, TestCamera},
    style::{Gallery, StyleChoice},
    stylize::{Region, Stylizer, optimize::Step},
};
use anyhow::{Context, Result, anyhow};

use super::{
    apart::keep_apart,
    args::{LiveArgs, WindowChoice},
    interrupt,
    live_summary::LiveSummary,
    painter::Painter,
    print,
    settings::threads,
    tally::Tally,
    usage,
};

/// The size of the test card when none is asked for.
const CARD: (usize, usize) = (640, 360);
/// Frames per second when none are asked for.
const RATE_HZ: f64 = 30.0;
/// The same for --engine optimize: the size is chosen so that so many are painted.
const OPTIMIZED_HZ: f64 = 5.0;
/// The smallest size that --engine optimize chooses, and starts at.
const OPTIMIZED_SIZE: (usize, usize) = (160, 90);

pub fn run(args: LiveArgs) -> Result<()> {
    if args.list {
        return list(args.talk.json);
    }
    args.optimize.check(&[])?;
    let quiet = args.talk.quiet;
    let control = Arc::new(Control::default());
    let Paint {
        gallery,
        choice,
        stylizer,
        region,
        tally,
    } = paint(&args, &control)?;
    let rate_hz = args.fps.unwrap_or(RATE_HZ);
    let (size, largest_side) = match args.paint.sizing() {
        Sizing::Native => (SizeWish::Auto, usize::MAX),
        Sizing::Exact { width, height } => (SizeWish::Fixed((width, height)), usize::MAX),
        Sizing::MaxSide(side) => (SizeWish::Auto, side),
    };
    let (camera, is_real) = camera(&args)?;
    // Others would read everything backwards.
    let for_others = args.no_mirror || args.virtual_camera.is_some();
    let mirror = args.mirror || (is_real && !for_others);
    let desk = Desk::new(
        gallery.clone(),
        DeskSettings {
            style: choice,
            strength: args.paint.strength,
            opacity: args.paint.opacity,
            colors: args.paint.colors(),
            saturation: args.paint.saturation,
            steady: args.steady.steady.0,
            size,
            mirror,
        },
    )
    .map_err(usage)?;
    if let Some(path) = &args.record {
        sink::check_recording(path, args.overwrite).map_err(of_sink)?;
    }
    let mut read = args.paint.files();
    read.push(PathBuf::from(&args.camera));
    let record = args.record.as_deref().map(|path| ("--record", path));
    keep_apart(&args.optimize.written(record), &read)?;
    let microphone = match &args.microphone {
        Some(name) => Some(source::open_microphone(name)?),
        None => None,
    };
    let optimizes = args.optimize.is_chosen();
    let pack = (!optimizes).then(|| gallery.pack().origin().to_owned());
    let threads = threads(args.paint.threads);
    let painted_hz = match args.fps {
        None if optimizes => OPTIMIZED_HZ,
        _ => rate_hz,
    };
    let mut live_painter = LivePainter::new(stylizer, desk.wanted(), painted_hz, threads)
        .with_largest_side(largest_side)
        .with_region(region);
    if optimizes {
        live_painter = live_painter.steady_by_itself().from_size(OPTIMIZED_SIZE);
    }
    let virtual_camera = match &args.virtual_camera {
        Some(path) => Some(sink::open_virtual_camera(path)?),
        None => None,
    };
    // Large pictures take their time there.
    let patience = args.patience.max(if optimizes { 60.0 } else { 0.0 });
    let config = LiveConfig {
        rate_hz,
        duration: args.duration.map(Duration::from_secs_f64),
        record: args.record.is_some(),
        full_screen: args.window == WindowChoice::Full,
        wait_for_camera: args.wait,
        paint_limit: Duration::from_secs_f64(patience),
        ..LiveConfig::default()
    };
    let (overwrite, saving) = (args.overwrite, Mutex::new(()));
    let asked = args.record.clone();
    let parts = LiveParts {
        camera,
        painter: live_painter,
        desk,
        screen: screen(args.window)?,
        virtual_camera,
        microphone,
        open_recording: Arc::new(move |path, info, track| {
            // Only the name that was asked for is meant to be replaced.
            let overwrite = overwrite && asked.as_deref() == Some(path);
            sink::open_recording(path, info, track, overwrite, threads)
        }),
        recording_name: names(args.record.clone()),
        save_screenshot: Arc::new(move |picture| {
            // One at a time, or two would choose the same name.
            let _turn = saving.lock().unwrap_or_else(PoisonError::into_inner);
            let path = stamped("png", Path::new(""));
            let file = PictureFile::new(picture.clone());
            file.write(&path, false)
                .map_err(|error| SinkError::Failed(format!("{:#}", anyhow::Error::from(error))))?;
            Ok(path)
        }),
        on_stuck: Box::new(abandon),
    };

    let seen = parts.screen.is_some() || parts.virtual_camera.is_some() || args.record.is_some();
    if !seen && !args.talk.json {
        note!(
            "what is painted is seen nowhere: --window off is for --record, --virtual-camera and measuring"
        );
    }
    interrupt::install(control.clone(), quiet)?;
    let mut report = live::run(parts, &config, &control, &mut |notice| {
        if quiet {
            return;
        }
        match notice {
            Notice::Info(text) | Notice::Recovered(text) => tell!("{text}"),
            Notice::Trouble(text) | Notice::CameraGone(text) => tell!("warning: {text}"),
        }
    })?;

    if !report.recordings.is_empty() && args.microphone.is_none() {
        report.notes.extend(lost_sound(&args));
    }
    std::mem::take(&mut report.notes)
        .into_iter()
        .for_each(print::note);
    let summary = LiveSummary::new(&report, pack.as_deref(), tally.result());
    if args.talk.json {
        put!("{}", serde_json::to_string(&summary)?);
    }
    if !quiet {
        tell!("{}", summary.sentence());
    }
    // The session went on without it, but it was asked for.
    match report.failures.into_iter().next() {
        Some(failure) => Err(failure.into()),
        None => Ok(()),
    }
}

/// What paints, and the styles to choose among.
struct Paint {
    gallery: Arc<Gallery>,
    choice: StyleChoice,
    stylizer: Box<dyn Stylizer>,
    region: Option<Region>,
    tally: Tally,
}

fn paint(args: &LiveArgs, control: &Arc<Control>) -> Result<Paint> {
    if args.optimize.is_chosen() {
        let mut follow = args.optimize.follow(control, args.overwrite)?;
        let tally = follow.tally.clone();
        let watch = Box::new(move |step: &Step<'_>| follow.step(step));
        let live = args
            .optimize
            .live(&args.paint, |painter| painter.watched(watch))?;
        return Ok(Paint {
            gallery: Arc::new(live.gallery),
            choice: live.choice,
            stylizer: live.stylizer,
            region: live.region,
            tally,
        });
    }
    let painter = Painter::for_camera(&args.paint)?;
    painter.tell_notes();
    Ok(Paint {
        gallery: painter.gallery().clone(),
        choice: painter.choice().clone(),
        stylizer: painter.unfinished_stylizer()?,
        region: painter.region()?,
        tally: Tally::default(),
    })
}

/// Wrong usage of an output is told apart from a disk that fails.
fn of_sink(error: SinkError) -> anyhow::Error {
    if error.is_usage() {
        usage(error)
    } else {
        error.into()
    }
}

/// The camera that is meant, and whether it is a real one.
fn camera(args: &LiveArgs) -> Result<(Box<dyn CameraOpener>, bool)> {
    let asked = match args.camera_size {
        Some(Sizing::Exact { width, height }) => Some((width, height)),
        _ => None,
    };
    // What neither the test card nor a clip knows is no reason to guess what was meant.
    let none = |given: bool, option: &str, takes: &str| match given {
        true => Err(usage(anyhow!(
            "{option} belongs to {takes}: leave it out with --camera {}",
            args.camera
        ))),
        false => Ok(()),
    };
    if args.camera == "test" {
        none(args.camera_format.is_some(), "--camera-format", "a camera")?;
        none(args.repeat, "--loop", "a video file")?;
        let (width, height) = asked
            .or(match args.paint.size {
                Some(Sizing::Exact { width, height }) => Some((width, height)),
                _ => None,
            })
            .unwrap_or(CARD);
        let rate_hz = args.fps.unwrap_or(RATE_HZ);
        return Ok((Box::new(TestCamera::new(width, height, rate_hz)), false));
    }
    let path = Path::new(&args.camera);
    if path.is_file() {
        none(args.camera_format.is_some(), "--camera-format", "a camera")?;
        none(asked.is_some(), "--camera-size", "a camera")?;
        let clip = ClipCamera::new(path, args.repeat, threads(args.paint.threads));
        return Ok((Box::new(clip), false));
    }
    none(args.repeat, "--loop", "a video file")?;
    if looks_like_a_file(path) {
        return Err(usage(anyhow!(
            "there is no file {}: --camera takes a video file, the number or name of a camera (--list shows them), or test",
            args.camera
        )));
    }
    let wish = source::CameraWish {
        size: asked,
        rate_hz: args.fps.unwrap_or(RATE_HZ),
        format: args.camera_format.clone(),
    };
    Ok((source::device_camera(&args.camera, wish)?, true))
}

/// What to say of the sound of a clip that is the camera: nothing records it.
fn lost_sound(args: &LiveArgs) -> Option<String> {
    let path = Path::new(&args.camera);
    if args.camera == "test" || !path.is_file() {
        return None;
    }
    let clip = ClipCamera::new(path, args.repeat, threads(args.paint.threads));
    clip.has_sound().unwrap_or(false).then(|| {
        format!(
            "The sound of {} is not recorded: allaprima video keeps that of a film, --microphone records what it hears.",
            args.camera
        )
    })
}

/// Whether a name that no file has was rather meant for one than for a camera.
fn looks_like_a_file(path: &Path) -> bool {
    const VIDEOS: [&str; 8] = ["mp4", "mkv", "mov", "webm", "avi", "m4v", "mpg", "gif"];
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| VIDEOS.contains(&extension.to_lowercase().as_str()))
        || path.starts_with("./")
        || path.starts_with("../")
}

fn screen(choice: WindowChoice) -> Result<Option<Box<dyn Screen>>> {
    if choice == WindowChoice::Off {
        return Ok(None);
    }
    let screen = sink::open_window("allaprima", CARD)
        .context("no window can be opened; --window off runs without one")?;
    Ok(Some(screen))
}

fn list(json: bool) -> Result<()> {
    let cameras = source::cameras()?;
    let microphones = source::microphones();
    if json {
        let found = serde_json::json!({"cameras": cameras, "microphones": microphones});
        put!("{found}");
        return Ok(());
    }
    if cameras.is_empty() {
        tell!("no cameras (--camera test and --camera FILE work without one)");
    }
    for camera in cameras {
        put!("{camera}");
    }
    if !microphones.is_empty() {
        put!("microphones (for --microphone):");
    }
    for microphone in microphones {
        put!("  {microphone}");
    }
    Ok(())
}

/// Names for recordings: the one that was asked for, then that with the next number that is not taken; else by the clock.
fn names(asked: Option<PathBuf>) -> Box<dyn FnMut() -> PathBuf> {
    let (mut count, mut last) = (0, PathBuf::new());
    Box::new(move || {
        count += 1;
        match &asked {
            Some(path) if count == 1 => path.clone(),
            Some(path) => {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                let extension = path.extension().unwrap_or_default().to_string_lossy();
                loop {
                    let name = path.with_file_name(format!("{stem}-{count}.{extension}"));
                    if !is_taken(&name) {
                        return name;
                    }
                    count += 1;
                }
            }
            None => {
                // The one before may not have its name yet.
                last = stamped("mkv", &last);
                last.clone()
            }
        }
    })
}

/// Whether anything has this name, a link that leads nowhere included.
fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A name in the current folder that is not taken and is not `last`, by the seconds since 1970 (which sort as they come).
fn stamped(extension: &str, last: &Path) -> PathBuf {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    (0..)
        .map(|i| {
            let again = if i == 0 {
                String::new()
            } else {
                format!("-{i}")
            };
            PathBuf::from(format!("allaprima-{seconds}{again}.{extension}"))
        })
        .find(|path| path != last && !is_taken(path))
        .unwrap_or_default()
}

/// The window hangs and with it the main thread: say why and leave, there is nothing to wait for.
#[expect(
    clippy::disallowed_methods,
    reason = "the main thread hangs in the window system and can return no exit code"
)]
fn abandon(error: LiveError) {
    tell!("error: {:#}", anyhow::Error::from(error));
    files::remove_unfinished();
    std::process::exit(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recording_has_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let name = |name: &str| folder.path().join(name);
        std::fs::write(name("b-3.mkv"), "a film").unwrap();
        std::fs::write(name("b-5.mkv"), "another").unwrap();
        let mut next = names(Some(name("b.mkv")));
        // The first is what was asked for; none that is there is replaced, and none is given twice.
        for expected in ["b.mkv", "b-2.mkv", "b-4.mkv", "b-6.mkv"] {
            assert_eq!(next(), name(expected));
        }

        // No file of the first is there yet.
        let mut next = names(None);
        assert_ne!(next(), next());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("b-2.mkv");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        let mut next = names(Some(folder.path().join("b.mkv")));
        next();
        assert_eq!(next(), folder.path().join("b-3.mkv"));
    }
}

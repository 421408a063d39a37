//! `allaprima video`: a video with sound becomes a painted one.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use allaprima::{
    numbered::Numbered,
    picture_file::is_picture_path,
    pipeline::{self, Control, Steadying},
    sink::{FrameSink, Numbering, PicturesSink, SinkError, VideoFileSink, VideoSinkSettings},
    source::{FrameSource, PICTURE_RATE, StreamInfo, VideoFileSource, VideoSourceSettings},
    style::PackQuality,
    stylize::{
        Finishing, MAX_PIXELS, Stylizer,
        optimize::{Optimize, Step, forget_paintings, kept_paintings},
    },
    temporal::{
        flow::{FlowPreset, FlowScale, FlowSettings},
        steady::{MOST_PASSES, SteadySettings},
    },
};
use anyhow::{Context, Result, anyhow, bail};

use super::{
    apart::{files_in, keep_apart},
    args::VideoArgs,
    interrupt,
    optimize::Film,
    painter::Painter,
    passes, print,
    progress::Progress,
    settings::{QualityChoice, SteadyChoice, threads},
    summary::Summary,
    tally::Tally,
    usage,
};

/// Pixels up to which motion is found at full size. At 1280x720 it would take 107 ms a frame on two cores and 110 MiB;
/// at half size 15 ms and a quarter of the memory, for twice the error (0.3 pixels).
const FULL_SIZE_FLOW: usize = 1024 * 576;

/// How motion is found for a file, where half a second of delay is nothing and every frame is kept.
pub(super) fn file_flow(width: usize, height: usize, threads: usize) -> FlowSettings {
    let scale = match width * height {
        ..=FULL_SIZE_FLOW => FlowScale::Full,
        _ => FlowScale::Half,
    };
    FlowSettings {
        preset: FlowPreset::Medium,
        scale,
        threads,
    }
}

/// What paints the film.
enum Plan {
    /// One picture after the other.
    Painter(Box<dyn Stylizer>),
    /// All of it several times, once the output is known to be writable.
    Passes(Box<Optimize>),
}

pub fn run(args: &VideoArgs) -> Result<()> {
    args.optimize.check(&[("--resume", args.resume)])?;
    let mut read = args.paint.files();
    read.extend(args.style_at.iter().flat_map(|text| files_in(text)));
    read.push(args.input.clone());
    keep_apart(&args.optimize.written(Some(("-o", &args.output))), &read)?;
    let numbers = Numbers::of(args, &read)?;
    let quiet = args.talk.quiet;
    let threads = threads(args.paint.threads);
    let control = Arc::new(Control::default());
    let sink_settings = VideoSinkSettings {
        codec: args.codec,
        crf: args.crf,
        preset: args.preset.clone(),
        lossless: args.lossless,
        overwrite: args.overwrite,
        threads,
        live: false,
    };
    let open = |keep_tracks: bool| {
        let settings = VideoSourceSettings {
            size: args.paint.sizing(),
            start: args.start,
            duration: args.duration,
            keep_tracks,
            threads,
            picture_rate: args.fps,
        };
        VideoFileSource::open(&args.input, settings)
    };
    let source = open(!args.no_audio)?;
    check_pixels(source.info().width, source.info().height)?;
    let flow = file_flow(source.info().width, source.info().height, threads);
    let passes = passes(args)?;
    let left_out = left_out(args)?;
    let mut pack = None;
    // What is done to paintings that nothing steadies.
    let mut unsteady = None;
    let mut tally = Tally::default();
    let mut taken_up = Arc::default();
    let mut painter = None;
    let (plan, steadying) = if args.optimize.is_chosen() {
        if args.style_at.is_some() {
            return Err(usage(anyhow!(
                "--style-at belongs to --engine fast: --engine optimize paints the whole film in one style"
            )));
        }
        let strength = args.steady.steady.0.unwrap_or(0.0);
        let film = Film {
            start: args.start,
            steady: strength,
        };
        let mut follow = args.optimize.follow(&control, args.overwrite)?;
        tally = follow.tally.clone();
        let watch = Box::new(move |step: &Step<'_>| follow.step(step));
        let (painter, finish) = args.optimize.unfinished(&args.paint, film)?;
        let painter = painter.keeping(frames_folder(args)).watched(watch);
        taken_up = painter.taken_up().unwrap_or_default();
        let plan = if passes > 1 && painter.changes_pictures() {
            Plan::Passes(Box::new(painter))
        } else {
            Plan::Painter(Box::new(painter))
        };
        // Paintings that start from the one before flicker by what their steps change.
        let steadying = match strength {
            0.0 => {
                unsteady = Some(finish);
                None
            }
            _ => Some(Steadying {
                settings: SteadySettings::new(strength, threads).map_err(usage)?,
                flow,
                passes: usual_passes(args.paint.style.quality),
                left_out,
                finish,
                measured: args.talk.json,
            }),
        };
        (plan, steadying)
    } else {
        let seconds = seconds(source.info());
        let painter = painter.insert(Painter::for_film(
            &args.paint,
            args.style_at.as_deref(),
            args.start,
            seconds,
        )?);
        painter.tell_notes();
        pack = painter.pack().map(str::to_owned);
        let (stylizer, steadying) = painter.steady_stylizer(args.steady.steady, flow, passes)?;
        let steadying = steadying.map(|rest| Steadying {
            measured: args.talk.json,
            left_out,
            ..rest
        });
        (Plan::Painter(stylizer), steadying)
    };
    interrupt::install(control.clone(), quiet)?;
    let sink = sink(args, numbers, &source, sink_settings).map_err(|error| {
        if error.is_usage() {
            usage(error)
        } else {
            error.into()
        }
    })?;

    let before = match args.optimize.is_chosen() {
        true => check_frames(args)?,
        false => Vec::new(),
    };

    let started = Instant::now();
    let mut stylizer: Box<dyn Stylizer> = match plan {
        Plan::Painter(stylizer) => stylizer,
        Plan::Passes(painter) => {
            let film = passes::paint(open(false)?, *painter, passes, &control, quiet)
                .with_context(|| format!("{} was not painted", args.input.display()))?;
            Box::new(film)
        }
    };
    if let Some(finish) = unsteady {
        stylizer = Box::new(Finishing::new(stylizer, finish));
    }
    let progress = Progress::follow(control.clone(), source.info().expected_frames, quiet)?;
    let report = pipeline::run_steady(source, stylizer, steadying, sink, &control);
    drop(progress);
    let mut report = report.with_context(|| format!("{} was not painted", args.input.display()))?;

    report.wall = started.elapsed();

    let mut notes = std::mem::take(&mut report.notes);
    let masked = painter.as_ref().and_then(Painter::mask_note);
    notes.extend(masked.map(str::to_owned));
    if args.optimize.is_chosen() {
        let others = match taken_up.load(Ordering::Relaxed) {
            0 => before,
            _ => Vec::new(),
        };
        notes.extend(end_frames(args, &others, report.stopped)?);
    }

    if left_out > 0 && args.paint_every.is_some() {
        notes.push(format!(
            "Of {} pictures {} were painted; the others have the strokes of those before and behind.",
            report.frames,
            report.frames.saturating_sub(report.between)
        ));
    }

    notes.into_iter().for_each(print::note);
    let summary =
        Summary::new(&report, &args.output, pack.as_deref()).with_optimized(tally.result());
    if args.talk.json {
        put!("{}", serde_json::to_string(&summary)?);
    }
    if !quiet {
        tell!("{}", summary.sentence());
    }
    Ok(())
}

/// Numbered pictures that are written.
struct Numbers {
    names: Numbered,
    first: u64,
    numbering: Numbering,
}

impl Numbers {
    /// Those that the output names, if it does; they replace none of the files `read`.
    fn of(args: &VideoArgs, read: &[PathBuf]) -> Result<Option<Self>> {
        let input = Numbered::parse(&args.input).filter(|_| !args.input.exists());
        if let (Some(_), None) = (args.fps, &input) {
            return Err(usage(anyhow!(
                "--fps says how fast numbered pictures follow one another (frames/%04d.png): {} has a rate of its own",
                args.input.display()
            )));
        }
        // Other extensions are for the sink to refuse.
        let names = Numbered::parse(&args.output).filter(|_| is_picture_path(&args.output));
        let Some(names) = names else {
            return Ok(None);
        };
        let for_files = [
            ("--crf", args.crf.is_some()),
            ("--codec", args.codec.is_some()),
            ("--preset", args.preset.is_some()),
            ("--lossless", args.lossless),
        ];
        if let Some((option, _)) = for_files.iter().find(|(_, given)| *given) {
            return Err(usage(anyhow!(
                "{option} is for video files: numbered pictures are what their extension says (PNG loses nothing)"
            )));
        }
        let numbers = input
            .as_ref()
            .map(|input| input.existing().unwrap_or_default());
        let numbers = numbers.unwrap_or_default();
        let pictures = input
            .iter()
            .flat_map(|input| numbers.iter().map(|&n| input.path(n)));
        let read: Vec<_> = read.iter().cloned().chain(pictures).collect();
        // By their names, and through links, which are written through.
        let real = |path: &PathBuf| path.canonicalize().ok();
        let there = names.existing().unwrap_or_default();
        let there = there.into_iter().map(|number| names.path(number));
        let there: HashSet<_> = there.filter_map(|path| real(&path)).collect();
        let is_written = |read: &&PathBuf| {
            names.holds(read) || real(read).is_some_and(|read| there.contains(&read))
        };
        if let Some(read) = read.iter().find(is_written) {
            return Err(usage(anyhow!(
                "-o {} would replace {}, which is read: give it another name",
                args.output.display(),
                read.display()
            )));
        }
        // Paintings have the numbers of their pictures.
        let skipped = args.start.unwrap_or(0.0) * args.fps.unwrap_or(PICTURE_RATE);
        let skipped = skipped.round() as u64;
        let first = numbers.first().map_or(1, |first| first + skipped);
        let numbering = match numbers.is_empty() {
            true => Numbering::Counted,
            false => Numbering::ByTime,
        };
        Ok(Some(Self {
            names,
            first,
            numbering,
        }))
    }
}

/// Where the film is written.
fn sink(
    args: &VideoArgs,
    numbers: Option<Numbers>,
    source: &VideoFileSource,
    settings: VideoSinkSettings,
) -> Result<Box<dyn FrameSink>, SinkError> {
    let (output, description) = (&args.output, source.description());
    if let Some(Numbers {
        names,
        first,
        numbering,
    }) = numbers
    {
        let has_tracks = !description.tracks.is_empty();
        let sink = PicturesSink::create(
            output,
            names,
            (first, numbering),
            args.overwrite,
            has_tracks,
        )?;
        return Ok(Box::new(sink));
    }
    let sink = VideoFileSink::create(output, source.info(), description, settings)?;
    Ok(Box::new(sink))
}

/// Passes over a film of paintings where none are asked for: who wants the cheapest network wants no second pass either, which
/// takes a quarter of its frames per second.
pub(super) fn usual_passes(quality: QualityChoice) -> usize {
    match quality {
        QualityChoice::Pack(PackQuality::Swift) => 1,
        _ => 2,
    }
}

/// Pictures between two paintings that need not be painted where nothing is asked for: as for [`usual_passes`], the cheapest network
/// paints no more of a film than it must, a third at least.
pub(super) fn usually_left_out(quality: QualityChoice, steady: SteadyChoice) -> usize {
    let held = steady.0.is_some_and(|strength| strength >= 0.5);
    match quality {
        QualityChoice::Pack(PackQuality::Swift) if held => 2,
        _ => 0,
    }
}

/// Pictures between two paintings that need not be painted.
fn left_out(args: &VideoArgs) -> Result<usize> {
    let steady = args.steady.steady;
    let wanted = match args.paint_every {
        Some(every) => usize::from(every) - 1,
        None if args.optimize.is_chosen() => 0,
        None => usually_left_out(args.paint.style.quality, steady),
    };
    if wanted > 0 && args.optimize.is_chosen() {
        return Err(usage(anyhow!(
            "--paint-every belongs to --engine fast: --engine optimize paints every picture"
        )));
    }
    if wanted > 0 && steady.0.is_none_or(|strength| strength <= 0.0) {
        return Err(usage(anyhow!(
            "--paint-every carries strokes along the motion: it does nothing with --steady off"
        )));
    }
    Ok(wanted)
}

/// How often the film is gone through.
fn passes(args: &VideoArgs) -> Result<usize> {
    let wanted = args.passes.map(usize::from);
    if wanted > Some(1) && args.steady.steady.0.is_none_or(|strength| strength <= 0.0) {
        return Err(usage(anyhow!(
            "further --passes hold paintings to those before and behind: they do nothing with --steady off"
        )));
    }
    if args.optimize.is_chosen() {
        return Ok(wanted.unwrap_or(1));
    }
    let passes = wanted.unwrap_or_else(|| usual_passes(args.paint.style.quality));
    if passes > MOST_PASSES {
        return Err(usage(anyhow!(
            "--passes takes 1 to {MOST_PASSES} with --engine fast: more of them make no film steadier"
        )));
    }
    Ok(passes)
}

/// How long the film is, as far as its file says.
fn seconds(info: &StreamInfo) -> Option<f64> {
    let rate = info.frame_rate?.value();
    Some(info.expected_frames? as f64 / rate).filter(|seconds| seconds.is_finite())
}

/// The folder in which --engine optimize keeps what is painted until the film is complete.
fn frames_folder(args: &VideoArgs) -> PathBuf {
    let mut name = args.output.clone().into_os_string();
    name.push(".frames");
    name.into()
}

/// What an interrupted run painted; it is not deleted unless that was asked for.
fn check_frames(args: &VideoArgs) -> Result<Vec<PathBuf>> {
    let folder = frames_folder(args);
    let kept = kept_paintings(&folder)
        .with_context(|| format!("the folder {} cannot be read", folder.display()))?;
    match kept.len() {
        0 => Ok(kept),
        _ if args.resume => Ok(kept),
        _ if args.overwrite => forget(&folder, &[]).map(|()| Vec::new()),
        count => bail!(
            "{} holds {count} paintings of a run that was interrupted: --resume takes them up, --overwrite deletes them",
            folder.display()
        ),
    }
}

/// Deletes the paintings that were kept of a film that is complete, but not `others`, which are of another run. Returns what
/// the user should know.
fn end_frames(args: &VideoArgs, others: &[PathBuf], stopped: bool) -> Result<Option<String>> {
    let folder = frames_folder(args);
    if stopped {
        return Ok(Some(format!(
            "The paintings are kept in {}: the same command with --resume --overwrite goes on from there.",
            folder.display()
        )));
    }
    forget(&folder, others)?;
    Ok((!others.is_empty()).then(|| {
        format!(
            "The paintings that {} held are of another film, style or setting: none was taken up, and they are still there.",
            folder.display()
        )
    }))
}

fn forget(folder: &Path, others: &[PathBuf]) -> Result<()> {
    forget_paintings(folder, others).with_context(|| format!("cannot delete {}", folder.display()))
}

/// Refuses pictures that memory does not hold.
pub(super) fn check_pixels(width: usize, height: usize) -> Result<()> {
    if width * height > MAX_PIXELS {
        bail!(
            "pictures of {width}x{height} are more than is painted at once ({} megapixels): use a smaller --size or --max-size",
            MAX_PIXELS / 1_000_000
        );
    }
    Ok(())
}

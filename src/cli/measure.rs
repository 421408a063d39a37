//! `allaprima measure`: how steady a painted video is.

use std::{collections::VecDeque, iter, path::Path};

use allaprima::{
    frame::{Frame, Packet, Picture},
    picture_file::writable_format,
    source::{FrameSource, Sizing, VideoFileSource, VideoSourceSettings},
    temporal::{
        flow::{FlowEstimator, FlowPreset, FlowScale, FlowSettings, Luma},
        measure::{Measure, Measured},
    },
};
use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::{
    apart::keep_apart,
    args::MeasureArgs,
    plot::{self, Curve, Plot},
    print,
    settings::threads,
    sheet, usage,
};

/// Consecutive frames on a strip.
const STRIP: usize = 4;

pub fn run(args: &MeasureArgs) -> Result<()> {
    let threads = threads(args.threads);
    check_outputs(args)?;
    let mut stylised = Film::open(&args.stylised, Sizing::Native, None, threads)?;
    let (width, height) = stylised.size();
    // The input may be larger: the video was painted at another size.
    let size = Sizing::Exact { width, height };
    let mut input = Film::open(&args.input, size, args.start, threads)?;
    let mut baseline = args
        .baseline
        .as_deref()
        .map(|path| Film::open(path, Sizing::Native, None, threads))
        .transpose()?;
    if let Some(baseline) = &baseline
        && baseline.size() != (width, height)
    {
        bail!(
            "{} is {}x{} and {} is {width}x{height}: the baseline of --baseline must have the size of the painting",
            baseline.path.display(),
            baseline.size().0,
            baseline.size().1,
            args.stylised.display(),
        );
    }
    if let Some(own) = own_size(&args.input, threads)
        && !is_same_shape((width, height), own)
    {
        note!(
            "{} is {}x{} and {} is {width}x{height}, of another shape: the input is stretched to it, which is right \
             only if the video was painted so (`video --size`)",
            args.input.display(),
            own.0,
            own.1,
            args.stylised.display(),
        );
    }

    let mut flow = FlowEstimator::new(FlowSettings {
        preset: FlowPreset::Medium,
        scale: FlowScale::Full,
        threads,
    });
    let mut measure = Measure::default();
    let mut strip = Vec::new();
    let mut frames = 0;
    while args.frames.is_none_or(|most| frames < most) {
        let (now, painted) = (input.frame()?, stylised.frame()?);
        let unsteady = baseline.as_mut().map(Film::frame).transpose()?;
        let (now, painted, unsteady) = match (now, painted, unsteady) {
            (Some(now), Some(painted), None) => (now, painted, None),
            (Some(now), Some(painted), Some(Some(unsteady))) => {
                (now, painted, Some(unsteady.picture))
            }
            (now, painted, unsteady) => {
                if now.is_some() != painted.is_some() {
                    let longer = if now.is_some() { &input } else { &stylised };
                    note!(
                        "{} goes on after {frames} frames, where the other video ends; a part that was painted with \
                         `video --start` is measured with the same --start",
                        longer.path.display()
                    );
                }
                if let (Some(baseline), Some(unsteady)) = (&baseline, &unsteady)
                    && unsteady.is_some() != painted.is_some()
                {
                    let path = baseline.path.display();
                    match unsteady {
                        Some(_) => note!(
                            "{path} goes on after {frames} frames, where the painting ends; the baseline is the same \
                             part of the video, painted with `--steady off`"
                        ),
                        None => note!(
                            "{path} ends after {frames} frames and the painting goes on: no more frames are compared; \
                             the baseline is the same part of the video, painted with `--steady off`"
                        ),
                    }
                }
                break;
            }
        };
        if args.strip.is_some() && (args.strip_at..args.strip_at + STRIP as u64).contains(&frames) {
            strip.push((
                frames,
                [
                    Some(now.picture.clone()),
                    unsteady.clone(),
                    Some(painted.picture.clone()),
                ],
            ));
        }
        let motion = flow.push(&Luma::from_rgb(&now.picture));
        measure.push(now.picture, painted.picture, unsteady, motion.as_ref());
        if let Some(motion) = motion {
            flow.recycle(motion);
        }
        frames += 1;
    }
    for film in iter::once(&stylised).chain(&baseline) {
        if let Some(note) = film.rate_note(&input) {
            print::note(note);
        }
    }
    let measured = measure.finish().with_context(|| {
        format!(
            "{} and {} have no two frames that belong together",
            args.input.display(),
            args.stylised.display()
        )
    })?;

    // First, so that they are not lost with a picture that cannot be written.
    if args.json {
        let told = Told {
            measured: &measured,
            notes: print::notes(),
        };
        put!("{}", serde_json::to_string(&told)?);
    } else {
        print(&measured);
    }
    if let Some(path) = &args.plot {
        draw(&measured).write(path, args.overwrite)?;
    }
    if let Some(path) = &args.strip {
        if strip.is_empty() {
            bail!(
                "the videos end before frame {}: lower --strip-at",
                args.strip_at
            );
        }
        sheet::save(compose(strip)?, path, args.overwrite)?;
    }
    Ok(())
}

/// What was measured, and what there is to say about it.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    measured: &'a Measured,
    notes: Vec<String>,
}

/// Refuses outputs that could not be written before any work is done.
fn check_outputs(args: &MeasureArgs) -> Result<()> {
    if let Some(path) = &args.strip {
        writable_format(path).map_err(usage)?;
    }
    if let Some(path) = &args.plot {
        plot::check_format(path).map_err(usage)?;
    }
    let outputs = [("--plot", &args.plot), ("--strip", &args.strip)];
    let written: Vec<_> = outputs
        .iter()
        .filter_map(|(option, path)| Some((*option, path.as_deref()?)))
        .collect();
    let mut read = vec![args.input.clone(), args.stylised.clone()];
    read.extend(args.baseline.clone());
    keep_apart(&written, &read)?;
    for (_, path) in written {
        sheet::check_output(path, args.overwrite)?;
    }
    Ok(())
}

/// A film that is compared with others, frame by frame.
struct Film<'a> {
    path: &'a Path,
    source: VideoFileSource,
    /// Frames so far.
    frames: usize,
    /// When the first of them and the last are shown, in units of the source's time base.
    shown: Option<(i64, i64)>,
}

impl<'a> Film<'a> {
    fn open(path: &'a Path, size: Sizing, start: Option<f64>, threads: usize) -> Result<Self> {
        let settings = VideoSourceSettings {
            size,
            start,
            duration: None,
            keep_tracks: false,
            threads,
            picture_rate: None,
        };
        Ok(Self {
            path,
            source: VideoFileSource::open(path, settings)?,
            frames: 0,
            shown: None,
        })
    }

    /// Width and height of its pictures as they are compared.
    fn size(&self) -> (usize, usize) {
        let info = self.source.info();
        (info.width, info.height)
    }

    /// The next frame, if there is one.
    fn frame(&mut self) -> Result<Option<Frame>> {
        loop {
            match self.source.next()? {
                Packet::Frame(frame) => {
                    self.frames += 1;
                    let first = self.shown.map_or(frame.pts, |(first, _)| first);
                    self.shown = Some((first, frame.pts));
                    return Ok(Some(frame));
                }
                Packet::End => return Ok(None),
                Packet::Track(_) | Packet::Reset(_) => {}
            }
        }
    }

    /// Mean seconds from one frame to the next, so far. What headers say of it is a guess, above all where the rate varies.
    fn interval(&self) -> Option<f64> {
        let (first, last) = self.shown?;
        let pairs = self.frames.checked_sub(1).filter(|pairs| *pairs > 0)?;
        let seconds = last.checked_sub(first)? as f64 * self.source.info().time_base.value();
        Some(seconds / pairs as f64).filter(|interval| *interval > 0.0)
    }

    /// What to say of frames that follow one another faster or slower than those of the input.
    fn rate_note(&self, input: &Film<'_>) -> Option<String> {
        let (own, other) = (self.interval()?, input.interval()?);
        let pairs = self.frames.min(input.frames) - 1;
        (!is_same_rate(own, other, pairs)).then(|| {
            format!(
                "{} has {:.2} frames/s and {} has {:.2}; frames are compared by their number, which is right only if both \
                 films have the same frames",
                self.path.display(),
                1.0 / own,
                input.path.display(),
                1.0 / other,
            )
        })
    }
}

/// Whether two mean intervals are as good as equal. Containers round a time stamp to a millisecond.
fn is_same_rate(one: f64, other: f64, pairs: usize) -> bool {
    (one - other).abs() <= 0.02 * one.max(other) + 0.002 / pairs as f64
}

/// Width and height of the pictures of a video, before anything scales them. A pipe can only be read once: of that and the
/// like nothing is known.
fn own_size(path: &Path, threads: usize) -> Option<(usize, usize)> {
    if !path.is_file() {
        return None;
    }
    let film = Film::open(path, Sizing::Native, None, threads).ok()?;
    Some(film.size())
}

/// Whether a picture was scaled the same in both directions, but for sides that are rounded to even numbers.
fn is_same_shape((width, height): (usize, usize), own: (usize, usize)) -> bool {
    let (long, short, own) = match width >= height {
        true => (width, height, own),
        false => (height, width, (own.1, own.0)),
    };
    let expected = long as f64 * own.1 as f64 / own.0 as f64;
    (short as f64 - expected).abs() <= (0.02 * expected).max(2.0)
}

fn print(measured: &Measured) {
    let line = |name: &str, value: String| put!("{name:16} {value}");
    line("frames", measured.frames.to_string());
    line("cuts", measured.cuts.to_string());
    line("e_stab", format!("{:.4}", measured.e_stab));
    line("e_stab_input", format!("{:.4}", measured.e_stab_input));
    if let Some(against) = &measured.against {
        line("e_stab_baseline", format!("{:.4}", against.e_stab_baseline));
        line("ratio", format!("{:.3}", against.ratio));
        line(
            "texture",
            against
                .texture
                .map(|octave| format!("{octave:.3}"))
                .join("  "),
        );
        if let Some(lag) = against.lag {
            line("lag", format!("{lag:.2}"));
        }
    }
}

/// One row of frames per film.
fn compose(frames: Vec<(u64, [Option<Picture>; 3])>) -> Result<Picture> {
    let columns = frames.len();
    let mut rows: [VecDeque<(String, Picture)>; 3] = Default::default();
    for (number, pictures) in frames {
        for ((row, picture), name) in rows
            .iter_mut()
            .zip(pictures)
            .zip(["input", "baseline", "stylised"])
        {
            row.extend(picture.map(|picture| (format!("{name}, frame {number}"), picture)));
        }
    }
    let tiles: Vec<_> = rows.into_iter().flatten().collect();
    sheet::compose_rows(&tiles, columns)
}

/// Error over time, one curve per film.
fn draw(measured: &Measured) -> Plot {
    let curve = |name: &str, color, value: &dyn Fn(usize) -> Option<f64>| Curve {
        name: name.into(),
        color,
        points: (0..measured.series.len())
            .filter_map(|i| Some((measured.series[i].frame as f64, value(i)?)))
            .collect(),
    };
    let series = &measured.series;
    let mut curves = vec![
        curve("input", [120, 120, 120], &|i| Some(series[i].input)),
        curve("stylised", [20, 90, 190], &|i| Some(series[i].stylised)),
        curve("baseline", [200, 70, 40], &|i| series[i].baseline),
    ];
    curves.retain(|curve| !curve.points.is_empty());
    Plot {
        title: "Error along the motion".into(),
        across: "frame".into(),
        up: "error (0..1)".into(),
        curves,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_those_that_scaling_leaves() {
        for (size, own, same) in [
            ((640, 360), (1920, 1080), true),
            ((500, 166), (1000, 333), true),
            ((10, 256), (80, 1920), true),
            ((64, 48), (80, 48), false),
            ((48, 64), (64, 48), false),
            ((640, 480), (1280, 720), false),
        ] {
            assert_eq!(is_same_shape(size, own), same, "{size:?} of {own:?}");
        }
    }

    #[test]
    fn rates_are_compared_as_closely_as_time_stamps_allow() {
        // 60 frames/s whose second frame stands at 17 ms; 23.976 and 24 frames/s; 25 and 24, and 10.
        for (one, other, pairs, same) in [
            (1.0 / 60.0, 0.017, 1, true),
            (1001.0 / 24_000.0, 1.0 / 24.0, 1000, true),
            (0.04, 1.0 / 24.0, 1000, false),
            (0.04, 0.1, 3, false),
        ] {
            assert_eq!(is_same_rate(one, other, pairs), same, "{one} and {other}");
        }
    }
}

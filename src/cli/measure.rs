//! `allaprima measure`: how steady a painted video is.

use std::{collections::VecDeque, path::Path};

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

use super::{
    apart::keep_apart,
    args::MeasureArgs,
    plot::{Curve, Plot},
    settings::threads,
    sheet, usage,
};

/// Consecutive frames on a strip.
const STRIP: usize = 4;

pub fn run(args: &MeasureArgs) -> Result<()> {
    let threads = threads(args.threads);
    check_outputs(args)?;
    let open = |path: &Path, size, start| {
        let settings = VideoSourceSettings {
            size,
            start,
            duration: None,
            keep_tracks: false,
            threads,
        };
        VideoFileSource::open(path, settings)
    };
    let mut stylised = open(&args.stylised, Sizing::Native, None)?;
    let (width, height) = (stylised.info().width, stylised.info().height);
    // The input may be larger: the video was painted at another size.
    let mut input = open(&args.input, Sizing::Exact { width, height }, args.start)?;
    let mut baseline = args
        .baseline
        .as_deref()
        .map(|path| open(path, Sizing::Native, None))
        .transpose()?;
    if let Some(baseline) = &baseline
        && (baseline.info().width, baseline.info().height) != (width, height)
    {
        bail!(
            "{} is {}x{} and {} is {width}x{height}: the baseline of --baseline must have the size of the painting",
            args.baseline.as_deref().unwrap_or(Path::new("")).display(),
            baseline.info().width,
            baseline.info().height,
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
        let (now, painted) = (frame(&mut input)?, frame(&mut stylised)?);
        let unsteady = baseline.as_mut().map(frame).transpose()?;
        let (now, painted) = match (now, painted) {
            (Some(now), Some(painted)) => (now, painted),
            (None, None) => break,
            (now, _) => {
                let longer = if now.is_some() {
                    &args.input
                } else {
                    &args.stylised
                };
                tell!(
                    "note: {} goes on after {frames} frames, where the other video ends; a part that was painted with \
                     `video --start` is measured with the same --start",
                    longer.display()
                );
                break;
            }
        };
        let unsteady = match unsteady {
            Some(None) => break,
            Some(Some(frame)) => Some(frame.picture),
            None => None,
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
    let measured = measure.finish().with_context(|| {
        format!(
            "{} and {} have no two frames that belong together",
            args.input.display(),
            args.stylised.display()
        )
    })?;

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
    if args.json {
        put!("{}", serde_json::to_string(&measured)?);
    } else {
        print(&measured);
    }
    Ok(())
}

/// Refuses outputs that could not be written before any work is done.
fn check_outputs(args: &MeasureArgs) -> Result<()> {
    if let Some(path) = &args.strip {
        writable_format(path).map_err(usage)?;
    }
    if let Some(path) = &args.plot
        && path.extension().is_none_or(|extension| extension != "svg")
    {
        writable_format(path).map_err(usage)?;
    }
    let outputs = [("--plot", &args.plot), ("--strip", &args.strip)];
    let written: Vec<_> = outputs
        .iter()
        .filter_map(|(option, path)| Some((*option, path.as_deref()?)))
        .collect();
    let mut read = vec![args.input.clone(), args.stylised.clone()];
    read.extend(args.baseline.clone());
    keep_apart(&written, &read)?;
    for path in [&args.plot, &args.strip].into_iter().flatten() {
        if path.exists() && !args.overwrite {
            bail!("{} exists: use --overwrite to replace it", path.display());
        }
    }
    Ok(())
}

/// The next frame of a source, if it has one.
fn frame(source: &mut VideoFileSource) -> Result<Option<Frame>> {
    loop {
        match source.next()? {
            Packet::Frame(frame) => return Ok(Some(frame)),
            Packet::End => return Ok(None),
            Packet::Track(_) | Packet::Reset(_) => {}
        }
    }
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
        for ((row, picture), name) in
            rows.iter_mut()
                .zip(pictures)
                .zip(["input", "per frame", "steady"])
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

//! `allaprima video`: a video with sound becomes a painted one.

use std::sync::Arc;

use allaprima::{
    pipeline::{self, Control},
    sink::{VideoFileSink, VideoSinkSettings},
    source::{FrameSource, StreamInfo, VideoFileSource, VideoSourceSettings},
    stylize::MAX_PIXELS,
    temporal::flow::{FlowPreset, FlowScale},
};
use anyhow::{Context, Result, bail};

use super::{
    args::VideoArgs,
    interrupt,
    progress::Progress,
    settings::{Painter, threads},
    summary::Summary,
    usage,
};

/// Pixels up to which motion is found at full size. At 1280x720 it would take 107 ms a frame on two cores and 110 MiB;
/// at half size 15 ms and a quarter of the memory, for twice the error (0.3 pixels).
const FULL_SIZE_FLOW: usize = 1024 * 576;

/// How motion is found for a file, where half a second of delay is nothing and every frame is kept.
pub(super) fn file_flow(width: usize, height: usize) -> (FlowPreset, FlowScale) {
    let scale = match width * height {
        ..=FULL_SIZE_FLOW => FlowScale::Full,
        _ => FlowScale::Half,
    };
    (FlowPreset::Medium, scale)
}

pub fn run(args: VideoArgs) -> Result<()> {
    let quiet = args.talk.quiet;
    let painter = Painter::from_args(&args.paint)?;
    let threads = threads(args.paint.threads);
    let sink_settings = VideoSinkSettings {
        codec: args.codec,
        crf: args.crf,
        preset: args.preset,
        lossless: args.lossless,
        overwrite: args.overwrite,
        threads,
        live: false,
    };
    let source = VideoFileSource::open(
        &args.input,
        VideoSourceSettings {
            size: args.paint.sizing(),
            start: args.start,
            duration: args.duration,
            keep_tracks: !args.no_audio,
            threads,
        },
    )?;
    check_pixels(source.info())?;
    let sink = VideoFileSink::create(
        &args.output,
        source.info(),
        source.description(),
        sink_settings,
    )
    .map_err(|error| {
        if error.is_usage() {
            usage(error)
        } else {
            error.into()
        }
    })?;

    let control = Arc::new(Control::default());
    interrupt::install(
        control.clone(),
        sink.temporary_path().map(ToOwned::to_owned),
        quiet,
    )?;
    let progress = Progress::follow(control.clone(), source.info().expected_frames, quiet)?;
    let flow = file_flow(source.info().width, source.info().height);
    let (stylizer, steadying) = painter.steady_stylizer(args.steady.steady, flow)?;
    let report = pipeline::run_steady(source, Box::new(stylizer), steadying, sink, &control);
    drop(progress);
    let report = report.with_context(|| format!("{} was not painted", args.input.display()))?;

    if !quiet {
        for note in &report.notes {
            eprintln!("note: {note}");
        }
    }
    let summary = Summary::new(&report, &args.output);
    if args.talk.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    if !quiet {
        eprintln!("{}", summary.sentence());
    }
    Ok(())
}

/// Refuses pictures that memory does not hold.
fn check_pixels(info: &StreamInfo) -> Result<()> {
    if info.width * info.height > MAX_PIXELS {
        bail!(
            "pictures of {}x{} are more than is painted at once ({} megapixels): use --max-size",
            info.width,
            info.height,
            MAX_PIXELS / 1_000_000
        );
    }
    Ok(())
}

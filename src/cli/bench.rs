//! `allaprima bench`: frames per second of each step alone and of the whole pipeline.
//!
//! Each step is measured by itself (one thread drives it, it uses what threads it has), then everything at once, since
//! on a machine of few cores the steps take time from one another.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use allaprima::{
    frame::{Frame, Packet},
    pipeline::{self, Control, StageStats, StageSummary, Steadying},
    sink::{Discard, FrameSink, VideoFileSink, VideoSinkSettings},
    source::{FrameSource, Sizing, TestCard, VideoFileSource, VideoSourceSettings},
    style::{Gallery, PackQuality},
    stylize::{
        Along, FeedForward, FeedForwardSettings, Finisher, Passthrough, Stylizer, motion_finder,
    },
    temporal::{
        flow::{FlowEstimator, Luma},
        steady::{Steady, SteadySettings},
    },
};
use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::{
    args::BenchArgs,
    painter::Styles,
    settings::{SteadyChoice, threads},
    summary::peak_rss_mib,
    usage,
    video::{check_pixels, file_flow, usual_passes, usually_left_out},
};

/// Frames kept in memory to paint and encode from; longer runs go round.
const KEPT_FRAMES: u64 = 30;

/// One row of the table.
#[derive(Serialize)]
struct Row {
    width: usize,
    height: usize,
    decode: Step,
    /// Finding the motion, both ways, with its masks.
    motion: Option<Step>,
    paint: Step,
    steady: Option<Step>,
    encode: Step,
    pipeline: Whole,
}

/// A step measured alone.
#[derive(Serialize)]
struct Step {
    fps: f64,
    p50_ms: f64,
    p95_ms: f64,
}

/// Everything at once.
#[derive(Serialize)]
struct Whole {
    frames: u64,
    fps: f64,
    stages: std::collections::BTreeMap<&'static str, StageSummary>,
}

impl Step {
    /// Of a step that was measured between others.
    fn alone(stats: &StageStats) -> Self {
        let second = Duration::from_secs(1);
        let summary = stats.summary(second);
        Self::new(summary, summary.busy)
    }

    fn new(summary: StageSummary, seconds: f64) -> Self {
        Self {
            fps: summary.frames as f64 / seconds.max(1e-9),
            p50_ms: summary.p50_ms,
            p95_ms: summary.p95_ms,
        }
    }
}

struct Bench<'a> {
    args: &'a BenchArgs,
    gallery: Arc<Gallery>,
    settings: FeedForwardSettings,
    folder: tempfile::TempDir,
}

pub fn run(args: &BenchArgs) -> Result<()> {
    let device = args.device.resolve().map_err(usage)?;
    let styles =
        Styles::open(&args.style, &args.models, PackQuality::Reference, &[])?.without_playlist()?;
    let settings = FeedForwardSettings {
        style: styles.gallery.mix(&styles.choice)?,
        match_colors: false,
        paint_bars: false,
        device,
        threads: threads(args.threads),
        precision: args.precision,
    };
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let bench = Bench {
        args,
        gallery: Arc::new(styles.gallery),
        settings,
        folder,
    };
    if args.layers {
        return layers(&bench);
    }
    let mut rows = Vec::new();
    for &size in &args.sizes {
        let row = bench.size(size)?;
        if !args.json {
            if rows.is_empty() {
                head(&bench);
            }
            let cell = |step: &Step| format!("{:.1} ({:.1} ms)", step.fps, step.p50_ms);
            let optional = |step: &Option<Step>| step.as_ref().map_or("off".into(), cell);
            put!(
                "{:>11} {:>18} {:>18} {:>18} {:>18} {:>18} {:>10.1}",
                format!("{}x{}", row.width, row.height),
                cell(&row.decode),
                optional(&row.motion),
                cell(&row.paint),
                match (&row.motion, &row.steady) {
                    (Some(_), None) => "with paint".into(),
                    (_, steady) => optional(steady),
                },
                cell(&row.encode),
                row.pipeline.fps
            );
        }
        rows.push(row);
    }
    if args.json {
        put!(
            "{}",
            serde_json::json!({
                "sizes": rows,
                "pack": bench.gallery.pack().origin(),
                "peak_rss_mib": peak_rss_mib(),
            })
        );
    }
    Ok(())
}

/// Heads the table.
fn head(bench: &Bench<'_>) {
    put!(
        "frames per second (median ms per frame), {} threads, device {}, pack {}",
        bench.settings.threads,
        bench.settings.device.description(),
        bench.gallery.pack().origin()
    );
    put!(
        "{:>11} {:>18} {:>18} {:>18} {:>18} {:>18} {:>10}",
        "size",
        "decode",
        "motion",
        "paint",
        "steady",
        "encode",
        "all"
    );
}

/// The layers on an NVIDIA card.
#[cfg(feature = "cuda")]
fn layers(bench: &Bench<'_>) -> Result<()> {
    let allaprima::device::PaintDevice::Cuda(device) = &bench.settings.device else {
        bail!(
            "--layers is for --device cuda: no NVIDIA card works here (`allaprima doctor` says why)"
        );
    };
    use allaprima::models::ModelStore;
    let style = &bench.settings.style;
    let Some(parameters) = style.parameters(allaprima::style::NetworkKind::Pack) else {
        bail!("--layers takes a style of a pack");
    };
    let mut sizes = Vec::new();
    for &size in &bench.args.sizes {
        let Sizing::Exact { width, height } = size else {
            bail!("sizes are written as WIDTHxHEIGHT")
        };
        let frames = match &bench.args.input {
            Some(clip) => bench.keep(bench.open(clip, size)?)?.0,
            None => bench.keep(TestCard::new(width, height, 2))?.0,
        };
        sizes.push((width, height, frames[0].picture.rgb().to_vec()));
    }
    super::bench_card::run(
        bench.gallery.pack().network(),
        &parameters,
        device,
        &sizes,
        (
            bench.args,
            &ModelStore::open(bench.args.models.models.as_deref())?,
        ),
    )
}

#[cfg(not(feature = "cuda"))]
fn layers(_bench: &Bench<'_>) -> Result<()> {
    bail!("--layers is for NVIDIA cards, and this program was built without the feature `cuda`")
}

impl Bench<'_> {
    fn size(&self, size: Sizing) -> Result<Row> {
        let Sizing::Exact { width, height } = size else {
            bail!("sizes are written as WIDTHxHEIGHT")
        };
        check_pixels(width, height)?;
        let (encode, card_file) = match &self.args.input {
            Some(clip) => {
                let (frames, info) = self.keep(self.open(clip, size)?)?;
                (self.encode(&frames, &info)?.0, clip.clone())
            }
            None => {
                let card = TestCard::new(width, height, self.args.frames.min(KEPT_FRAMES));
                let (frames, info) = self.keep(card)?;
                self.encode(&frames, &info)?
            }
        };
        let (frames, _) = self.keep(self.open(&card_file, size)?)?;
        let decode = self.decode(&card_file, size)?;
        let (paint, motion) = self.paint(&frames)?;
        let (motion, steady) = match motion {
            Some(motion) => (Some(motion), None),
            None => self.steady(&frames)?,
        };
        let pipeline = self.whole(&card_file, size)?;
        Ok(Row {
            width,
            height,
            decode,
            motion,
            paint,
            steady,
            encode,
            pipeline,
        })
    }

    fn open(&self, clip: &Path, size: Sizing) -> Result<VideoFileSource> {
        let settings = VideoSourceSettings {
            size,
            start: None,
            duration: None,
            keep_tracks: false,
            threads: self.settings.threads,
            picture_rate: None,
        };
        Ok(VideoFileSource::open(clip, settings)?)
    }

    /// The first frames of `source`, and what it says of them.
    fn keep(
        &self,
        mut source: impl FrameSource,
    ) -> Result<(Vec<Frame>, allaprima::source::StreamInfo)> {
        let mut frames = Vec::new();
        while (frames.len() as u64) < self.args.frames.min(KEPT_FRAMES) {
            match source.next()? {
                Packet::Frame(frame) => frames.push(frame),
                Packet::End => break,
                Packet::Track(_) | Packet::Reset(_) => {}
            }
        }
        if frames.is_empty() {
            bail!("the clip has no frames");
        }
        Ok((frames, source.info().clone()))
    }

    fn decode(&self, clip: &Path, size: Sizing) -> Result<Step> {
        let control = Control::default();
        let report = pipeline::run(
            self.open(clip, size)?,
            Box::new(Passthrough),
            Discard,
            &control,
        )?;
        Ok(Step::new(report.stages[0].1, report.wall.as_secs_f64()))
    }

    /// Painting, and finding the motion where the stylizer steadies what it paints.
    fn paint(&self, frames: &[Frame]) -> Result<(Step, Option<Step>)> {
        let picture = &frames[0].picture;
        let mut stylizer = self.stylizer()?;
        let mut flow = match self.steadying(picture.width(), picture.height())? {
            Some(steadying) if stylizer.steady(Some(steadying.settings))? => {
                Some(motion_finder(&mut stylizer, steadying.flow)?)
            }
            _ => None,
        };
        let mut stats = [StageStats::default(), StageStats::default()];
        // The first two are not counted: one starts the history, one goes on.
        for i in 0..self.args.frames as usize + 2 {
            let mut picture = frames[i % frames.len()].picture.clone();
            let started = Instant::now();
            let along = match &mut flow {
                Some(flow) => flow.find(&picture)?.0,
                None => Along::nothing(),
            };
            let found = Instant::now();
            if let Some(pending) = stylizer.paint_along(&mut picture, &along)? {
                pending(&mut picture)?;
            }
            if i >= 2 {
                stats[0].frame(found.elapsed());
                stats[1].frame(found - started);
            }
        }
        let [paint, motion] = stats.map(|stats| Step::alone(&stats));
        Ok((paint, flow.map(|_| motion)))
    }

    /// How paintings of a size are steadied, as `video` does it.
    fn steadying(&self, width: usize, height: usize) -> Result<Option<Steadying>> {
        let SteadyChoice(Some(strength)) = self.args.steady.steady else {
            return Ok(None);
        };
        let threads = self.settings.threads;
        Ok(Some(Steadying {
            settings: SteadySettings::new(strength, threads).map_err(usage)?,
            flow: file_flow(width, height, threads),
            passes: usual_passes(self.args.style.quality),
            left_out: usually_left_out(self.args.style.quality, self.args.steady.steady),
            finish: Finisher::default(),
            measured: false,
        }))
    }

    /// Finding the motion and steadying on the processor; the frames stand for their own paintings.
    fn steady(&self, frames: &[Frame]) -> Result<(Option<Step>, Option<Step>)> {
        let picture = &frames[0].picture;
        let Some(steadying) = self.steadying(picture.width(), picture.height())? else {
            return Ok((None, None));
        };
        let mut flow = FlowEstimator::new(steadying.flow).backward_only();
        let mut steady = Steady::new(steadying.settings)?;
        let mut stats = [StageStats::default(), StageStats::default()];
        for i in 0..=self.args.frames as usize {
            let painting = frames[i % frames.len()].picture.clone();
            let started = Instant::now();
            let luma = Luma::from_rgb(&painting);
            let motion = flow.push(&luma);
            let found = Instant::now();
            steady.push(painting, &luma, motion.as_ref());
            if i > 0 {
                stats[0].frame(found - started);
                stats[1].frame(found.elapsed());
            }
            if let Some(motion) = motion {
                flow.recycle(motion);
            }
        }
        let [motion, steady] = stats.map(|stats| Step::alone(&stats));
        Ok((Some(motion), Some(steady)))
    }

    fn encode(
        &self,
        frames: &[Frame],
        info: &allaprima::source::StreamInfo,
    ) -> Result<(Step, std::path::PathBuf)> {
        let path = self
            .folder
            .path()
            .join(format!("card-{}x{}.mp4", info.width, info.height));
        let mut sink = self.sink(&path, info)?;
        let mut stats = StageStats::default();
        let started = Instant::now();
        let step =
            (frames[frames.len() - 1].pts - frames[0].pts) / (frames.len() as i64 - 1).max(1);
        for i in 0..self.args.frames {
            let mut frame = frames[i as usize % frames.len()].clone();
            frame.pts = i as i64 * step.max(1);
            stats.time_frame(|| sink.frame(frame))?;
        }
        stats.busy(|| sink.finish())?;
        let wall = started.elapsed();
        Ok((Step::new(stats.summary(wall), wall.as_secs_f64()), path))
    }

    fn whole(&self, clip: &Path, size: Sizing) -> Result<Whole> {
        let source = self.open(clip, size)?;
        let sink = self.sink(&self.folder.path().join("painted.mp4"), source.info())?;
        let control = Arc::new(Control::default());
        let (width, height) = (source.info().width, source.info().height);
        let steadying = self.steadying(width, height)?;
        let stylizer = Box::new(self.stylizer()?);
        let report = pipeline::run_steady(source, stylizer, steadying, sink, &control)?;
        let fps = report.frames as f64 / report.wall.as_secs_f64();
        Ok(Whole {
            frames: report.frames,
            fps,
            stages: report.stages.into_iter().collect(),
        })
    }

    fn stylizer(&self) -> Result<FeedForward> {
        Ok(FeedForward::new(
            self.gallery.clone(),
            self.settings.clone(),
        )?)
    }

    fn sink(&self, path: &Path, info: &allaprima::source::StreamInfo) -> Result<VideoFileSink> {
        let settings = VideoSinkSettings {
            overwrite: true,
            threads: self.settings.threads,
            ..VideoSinkSettings::default()
        };
        Ok(VideoFileSink::create(
            path,
            info,
            &allaprima::source::SourceDescription::default(),
            settings,
        )?)
    }
}

//! What `video` and `image` may be told.

use std::path::PathBuf;

use allaprima::sink::Codec;

use super::{OptimizeArgs, PaintArgs, SteadyArgs, TalkArgs};
use crate::cli::settings;

#[derive(Debug, clap::Args)]
pub struct VideoArgs {
    /// Video to paint: any file that FFmpeg opens, or numbered pictures (frames/%04d.png)
    pub input: PathBuf,

    /// Where to: .mp4, .mkv, .mov or .webm, or numbered pictures (painted/%04d.png)
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    #[command(flatten)]
    pub paint: PaintArgs,

    #[command(flatten)]
    pub optimize: OptimizeArgs,

    /// Take up what an interrupted --engine optimize left in OUTPUT.frames (without it, that is only deleted with
    /// --overwrite)
    #[arg(long, help_heading = "Optimizing")]
    pub resume: bool,

    #[command(flatten)]
    pub steady: SteadyArgs,

    /// Go through the film so many times, in turn forwards and backwards: steadier and slower. --engine fast: 1 to 3
    /// [default: 2, with --quality swift 1], --engine optimize: 1 to 20 [default: 1]
    #[arg(long, value_name = "N", help_heading = "Painting", value_parser = clap::value_parser!(u8).range(1..=20))]
    pub passes: Option<u8>,

    /// Paint every Nth picture only (1 to 4), as long as the motion is understood, and carry the strokes along it to those
    /// between: faster, and as steady [default: 1, with --quality swift 3]
    #[arg(long, value_name = "N", help_heading = "Painting", value_parser = clap::value_parser!(u8).range(1..=4))]
    pub paint_every: Option<u8>,

    /// Constant rate factor: lower is better and larger [default: 20 for h264, 23 for hevc, 30 for vp9, 30 or (SVT) 35 for av1]
    #[arg(
        long,
        value_name = "N",
        help_heading = "Video",
        conflicts_with = "lossless"
    )]
    pub crf: Option<u8>,

    /// Codec: h264, hevc, vp9, av1 or ffv1 [default: by the container]
    #[arg(long, value_name = "NAME", help_heading = "Video")]
    pub codec: Option<Codec>,

    /// Speed of the encoder: ultrafast to placebo for h264 and hevc, a number for vp9 and av1
    #[arg(long, value_name = "NAME", help_heading = "Video")]
    pub preset: Option<String>,

    /// Keep every bit of the painting (ffv1 in .mkv)
    #[arg(long, help_heading = "Video")]
    pub lossless: bool,

    /// Styles over time, such as 0:starry,10:wave,20:painting.jpg: the second of the painted film, then the style (";" in place of "," where
    /// one is a blend). Each fades into the next
    #[arg(long, value_name = "TIME:STYLE,...", help_heading = "Painting", conflicts_with_all = ["style", "style_image"])]
    pub style_at: Option<String>,

    /// Start here: seconds, or [HH:]MM:SS
    #[arg(long, value_name = "TIME", help_heading = "Video", value_parser = settings::parse_time)]
    pub start: Option<f64>,

    /// Paint this much: seconds, or [HH:]MM:SS
    #[arg(long, value_name = "TIME", help_heading = "Video", value_parser = settings::parse_duration)]
    pub duration: Option<f64>,

    /// Frames per second of an input of numbered pictures [default: 25]
    #[arg(long, value_name = "N", help_heading = "Video", value_parser = settings::parse_rate)]
    pub fps: Option<f64>,

    /// Leave the sound (and subtitles) out
    #[arg(long, help_heading = "Video")]
    pub no_audio: bool,

    /// Replace an existing output
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,

    #[command(flatten)]
    pub talk: TalkArgs,
}

#[derive(Debug, clap::Args)]
pub struct ImageArgs {
    /// Pictures (PNG, JPEG, WebP) or folders of them
    #[arg(required = true)]
    pub inputs: Vec<PathBuf>,

    /// File to write, or folder for several pictures
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,

    #[command(flatten)]
    pub paint: PaintArgs,

    #[command(flatten)]
    pub optimize: OptimizeArgs,

    /// Write the unfinished painting every so many steps of --engine optimize, beside the output
    #[arg(
        long,
        value_name = "STEPS",
        help_heading = "Optimizing",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub save_every: Option<u32>,

    /// Replace existing outputs
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,

    #[command(flatten)]
    pub talk: TalkArgs,
}

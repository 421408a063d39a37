//! What the commands that list, measure and look after things may be told.

use std::path::PathBuf;

use allaprima::{device::DeviceChoice, kernels::Precision, source::Sizing};

use super::{ModelArgs, SteadyArgs, StyleArgs};
use crate::cli::settings;

#[derive(Debug, clap::Args)]
pub struct StylesArgs {
    /// Style pack to list [default: the one of 26 styles]
    pub pack: Option<PathBuf>,

    /// Paint this picture in every style, as one contact sheet
    #[arg(long, value_name = "PHOTO", requires = "output")]
    pub sheet: Option<PathBuf>,

    /// Where the contact sheet goes (.png, .jpg or .webp)
    #[arg(short, long, value_name = "FILE", requires = "sheet")]
    pub output: Option<PathBuf>,

    /// Longest side of each painting on the sheet, in pixels
    #[arg(long, value_name = "N", default_value_t = 320, value_parser = clap::value_parser!(u32).range(64..=2048))]
    pub tile: u32,

    /// Replace an existing sheet
    #[arg(long)]
    pub overwrite: bool,

    /// Print the list as JSON, with --sheet too
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub models: ModelArgs,
}

#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Clip to measure with [default: a moving test card]
    pub input: Option<PathBuf>,

    /// Sizes to measure at
    #[arg(long, value_name = "WxH,...", value_delimiter = ',', default_value = "320x180,640x360,1280x720",
        value_parser = settings::parse_size)]
    pub sizes: Vec<Sizing>,

    /// Frames at each size, at least 3; the whole pipeline runs over all of a clip
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(3..=100_000))]
    pub frames: u64,

    #[command(flatten)]
    pub style: StyleArgs,

    #[command(flatten)]
    pub steady: SteadyArgs,

    /// Where to paint: auto, cpu, cuda, metal or vulkan, with a number where there are several (cuda:1)
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,

    /// Threads to paint with [default: one per core]
    #[arg(long, value_name = "N", value_parser = settings::parse_threads)]
    pub threads: Option<usize>,

    /// Arithmetic of the processor: auto, f32, bf16 or int8
    #[arg(long, default_value = "auto", value_name = "NAME")]
    pub precision: Precision,

    /// On an NVIDIA card: compare its paintings with the processor's, then time each layer and a step of --engine optimize on it
    #[arg(long)]
    pub layers: bool,

    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub models: ModelArgs,
}

#[derive(Debug, clap::Args)]
pub struct MeasureArgs {
    /// Video that was painted: its motion is what the painting is judged by
    pub input: PathBuf,

    /// The painted video, of as many frames (lossless: an encoder smooths what is measured)
    pub stylised: PathBuf,

    /// The same video painted with `--steady off`: adds ratio, texture and lag
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,

    /// Where in the input the painted part starts (as `video --start`): seconds, or [HH:]MM:SS
    #[arg(long, value_name = "TIME", value_parser = settings::parse_time)]
    pub start: Option<f64>,

    /// Compare this many frames at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    pub frames: Option<u64>,

    /// Draw the error of each frame (.svg, .png, .jpg or .webp)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub plot: Option<PathBuf>,

    /// Put consecutive frames side by side: the input, the baseline, the painting (.png, .jpg or .webp)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub strip: Option<PathBuf>,

    /// First frame of the strip
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        requires = "strip",
        help_heading = "Output"
    )]
    pub strip_at: u64,

    /// Threads to find motion with [default: one per core]
    #[arg(long, value_name = "N", value_parser = settings::parse_threads)]
    pub threads: Option<usize>,

    /// Replace existing outputs
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,

    /// Print the figures as JSON
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub models: ModelArgs,
}

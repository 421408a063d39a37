//! The options of `allaprima train`.

use std::path::PathBuf;

use allaprima::nn::student_net::{StudentConfig, Upsampling};
use allaprima::train::Start;
use clap::value_parser;

use crate::cli::{args::ModelArgs, settings};

#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    /// Train a small network to paint what the network of 26 styles paints
    #[arg(long, required_unless_present = "style", conflicts_with = "style")]
    pub distil: bool,

    /// Train the style of this picture, for a network that stays as it is (may be given several times)
    #[arg(long, value_name = "PICTURE")]
    pub style: Vec<PathBuf>,

    /// Folder of photos to train with (and in folders below it)
    #[arg(long, value_name = "FOLDER")]
    pub data: PathBuf,

    /// Only these of the 26 styles, by name
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        conflicts_with = "style"
    )]
    pub styles: Vec<String>,

    /// The style pack (.safetensors); beside it lie the checkpoint, a log, its plot and a preview
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Train this long, in minutes [default: 60; with --style 6 per style]
    #[arg(long, value_name = "MINUTES", conflicts_with = "steps", value_parser = parse_minutes)]
    pub minutes: Option<f64>,

    /// Train for this many steps instead; a repeated run gives the same result
    #[arg(long, value_name = "STEPS", value_parser = value_parser!(u64).range(1..))]
    pub steps: Option<u64>,

    /// Go on from the checkpoint beside the output
    #[arg(long)]
    pub resume: bool,

    /// First weights: teacher (layers shared with the network of 26 styles) or random
    #[arg(long, value_name = "FROM", default_value = "teacher", value_parser = parse_start, conflicts_with_all = ["style", "from"])]
    pub start: Start,

    /// With --style, the network that the style is for: a style pack's file, or swift, fine or reference [default: the first
    /// that there is of fine, swift, reference]. With --distil, a student (a file, swift or fine) that goes on learning, by
    /// how its paintings look: as much texture as its teacher's, and steadier
    #[arg(long, value_name = "PACK")]
    pub from: Option<String>,

    /// What the style is called, once for each --style [default: the picture's file name]
    #[arg(
        long,
        value_name = "NAME",
        requires = "style",
        help_heading = "Styles of pictures"
    )]
    pub name: Vec<String>,

    /// Keep the styles that the network has beside the new ones
    #[arg(long, requires = "style", help_heading = "Styles of pictures")]
    pub keep_styles: bool,

    /// Breadth of the brush strokes: 2 is twice as broad, 0.5 half
    #[arg(long, visible_alias = "style-scale", value_name = "0.5..4", default_value = "1", value_parser = settings::parse_brush, requires = "style", help_heading = "Styles of pictures")]
    pub brush: f32,

    /// How much the style counts against the content, 0.01 to 100; also with --distil --from
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = crate::cli::optimize::parse_weight, help_heading = "Styles of pictures")]
    pub style_weight: f32,

    /// Channels at a quarter of the picture's size: 16 or 32
    #[arg(long, value_name = "N", default_value_t = StudentConfig::SWIFT.width, conflicts_with_all = ["style", "from"], help_heading = "Network")]
    pub width: usize,

    /// Convolutions before the residual blocks: 1 or 2
    #[arg(long, value_name = "N", default_value_t = StudentConfig::SWIFT.entry as u8, conflicts_with_all = ["style", "from"], value_parser = value_parser!(u8).range(1..=2), help_heading = "Network")]
    pub entry: u8,

    /// Kernel size of a last convolution at full size, 5 or 9; 0: none
    #[arg(
        long,
        value_name = "N",
        default_value_t = 9,
        conflicts_with_all = ["style", "from"],
        help_heading = "Network"
    )]
    pub refine: usize,

    /// Residual blocks
    #[arg(long, value_name = "N", default_value_t = StudentConfig::SWIFT.blocks as u8, conflicts_with_all = ["style", "from"], value_parser = value_parser!(u8).range(1..=16), help_heading = "Network")]
    pub blocks: u8,

    /// Channels at half size: 8 or 16
    #[arg(long, value_name = "N", default_value_t = StudentConfig::SWIFT.detail, conflicts_with_all = ["style", "from"], help_heading = "Network")]
    pub detail: usize,

    /// How half and full size are reached: nearest or shuffle, with a comma between if not both are the same
    #[arg(long, value_name = "HOW", default_value = "nearest", conflicts_with_all = ["style", "from"], value_parser = parse_upsampling, help_heading = "Network")]
    pub upsampling: [Upsampling; 2],

    /// Largest learning rate [default: 0.002; 0.02 with --style; 0.0015 with --distil --from]
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = "Training")]
    pub learning_rate: Option<f32>,

    /// Crops of photos per step [default: 4; 2 with --style or --from]
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(1..=64), help_heading = "Training")]
    pub batch: Option<u8>,

    /// Side of a crop in pixels, a multiple of 8 from 64 to 1024
    #[arg(long, value_name = "PIXELS", default_value_t = 192, value_parser = parse_crop, help_heading = "Training")]
    pub crop: usize,

    /// How much it counts that two frames of the same thing are painted alike [default: 10; 20 with --style; 80 with --distil --from]
    #[arg(long, value_name = "WEIGHT", value_parser = parse_steadiness, help_heading = "Training")]
    pub steadiness: Option<f32>,

    /// Do not measure the speed: what is in the file then depends on the training only
    #[arg(long, help_heading = "Training")]
    pub no_speed: bool,

    /// Seed of the random numbers
    #[arg(
        long,
        value_name = "SEED",
        default_value_t = 1,
        help_heading = "Training"
    )]
    pub seed: u64,

    #[command(flatten)]
    pub models: ModelArgs,

    /// Threads to train with [default: one per core]
    #[arg(long, value_name = "N", value_parser = settings::parse_threads)]
    pub threads: Option<usize>,

    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,

    /// Replace existing outputs
    #[arg(long)]
    pub overwrite: bool,
}

fn parse_upsampling(text: &str) -> Result<[Upsampling; 2], String> {
    let one = |name: &str| match name.trim() {
        "nearest" => Ok(Upsampling::Nearest),
        "shuffle" => Ok(Upsampling::Shuffle),
        _ => Err("write nearest or shuffle, or two of them with a comma between".to_owned()),
    };
    let (first, second) = text.split_once(',').unwrap_or((text, text));
    Ok([one(first)?, one(second)?])
}

fn parse_start(text: &str) -> Result<Start, String> {
    [Start::Teacher, Start::Random]
        .into_iter()
        .find(|start| start.name() == text)
        .ok_or_else(|| "write teacher or random".into())
}

fn parse_minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok();
    minutes
        .filter(|minutes| (0.01..=100_000.0).contains(minutes))
        .ok_or_else(|| "write minutes, from 0.01 to 100000".into())
}

fn parse_rate(text: &str) -> Result<f32, String> {
    let rate = text.parse().ok();
    rate.filter(|rate| (1e-6..=1.0).contains(rate))
        .ok_or_else(|| "write a number from 0.000001 to 1".into())
}

fn parse_steadiness(text: &str) -> Result<f32, String> {
    let weight = text.parse().ok();
    weight
        .filter(|weight| (0.0..=1e4).contains(weight))
        .ok_or_else(|| "write a number from 0 to 10000".into())
}

fn parse_crop(text: &str) -> Result<usize, String> {
    let side = text.parse().ok();
    side.filter(|side| (64..=1024).contains(side) && side % 8 == 0)
        .ok_or_else(|| "write a multiple of 8 from 64 to 1024".into())
}

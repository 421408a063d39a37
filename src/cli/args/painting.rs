//! What every command that paints, or most of them, may be told.

use std::path::PathBuf;

use allaprima::{device::DeviceChoice, kernels::Precision, source::Sizing, stylize::Colors};
use clap::{
    ArgGroup,
    builder::{OsStringValueParser, TypedValueParser as _},
};

use crate::cli::settings::{self, QualityChoice};

/// Which style.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Painting")]
pub struct StyleArgs {
    /// Style: a name, a number, the path of a picture, or a blend such as starry:0.6,painting.jpg:0.4 (see `allaprima
    /// styles`); of a style pack of your own pack.safetensors:NAME
    #[arg(short, long, value_name = "STYLE", default_value = settings::DEFAULT_STYLE)]
    pub style: String,

    /// Paint in the style of this picture; with live and video also of a folder of pictures, one after the other
    #[arg(long, value_name = "FILE", conflicts_with = "style")]
    pub style_image: Option<PathBuf>,

    /// Network: reference (the original), fine (half the cost) or swift (less than half); auto is swift for live on the processor,
    /// else reference. With --engine optimize, the amount of work: draft, good or best
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub quality: QualityChoice,
}

/// How to paint.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Painting")]
#[command(group = ArgGroup::new("sizing").args(["size", "max_size"]))]
pub struct PaintArgs {
    #[command(flatten)]
    pub style: StyleArgs,

    /// Strength of the style: 1 is the style, 0 the picture as it is
    #[arg(long, value_name = "0..1", default_value = "1", value_parser = settings::parse_strength)]
    pub strength: f32,

    /// Opacity of the painting over the original, 0 to 1
    #[arg(long, value_name = "0..1", default_value_t = 1.0)]
    pub opacity: f32,

    /// Colours: style (as painted), keep (the original's; only light and dark are painted) or match (the style picture's
    /// palette)
    #[arg(long, value_name = "WHICH", default_value = "style")]
    pub colors: Colors,

    /// The same as --colors keep
    #[arg(long, conflicts_with = "colors")]
    pub keep_colors: bool,

    /// Saturation of the painting: 0 is grey, 1 as painted, 4 the most
    #[arg(long, value_name = "0..4", default_value_t = 1.0)]
    pub saturation: f32,

    /// Breadth of the brush strokes: 2 is twice as broad, 0.5 half
    #[arg(long, visible_alias = "style-scale", value_name = "0.5..4", default_value = "1", value_parser = settings::parse_brush)]
    pub brush: f32,

    /// Paint only a part: a picture or a film (white is painted), or person (whoever is in the picture)
    #[arg(long, value_name = "FILE|person")]
    pub mask: Option<PathBuf>,

    /// Paint what the mask leaves out
    #[arg(long, requires = "mask")]
    pub mask_invert: bool,

    /// Paint the rest in this style, in place of leaving it as it is
    #[arg(long, value_name = "STYLE", requires = "mask")]
    pub background: Option<String>,

    /// Paint black bars around the picture as well, which are left black otherwise (--engine optimize always paints them)
    #[arg(long)]
    pub paint_bars: bool,

    /// Size to paint at, which is that of the output (of `live` the window and recordings keep the camera's), such as
    /// 640x360: pictures are stretched to it
    #[arg(long, value_name = "WxH", value_parser = settings::parse_size)]
    pub size: Option<Sizing>,

    /// Longest side to paint at, in pixels; smaller pictures stay as they are
    #[arg(long, value_name = "N", value_parser = settings::parse_max_size)]
    pub max_size: Option<Sizing>,

    /// Where to paint: auto, cpu, cuda, metal or vulkan, with a number where there are several (cuda:1)
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,

    /// Threads to paint with [default: one per core]
    #[arg(long, value_name = "N", value_parser = settings::parse_threads)]
    pub threads: Option<usize>,

    /// Arithmetic of the processor: auto, f32, bf16 or int8 (auto is never visibly different from f32)
    #[arg(long, default_value = "auto", value_name = "NAME")]
    pub precision: Precision,

    #[command(flatten)]
    pub models: ModelArgs,
}

impl PaintArgs {
    /// Where colours come from.
    pub fn colors(&self) -> Colors {
        if self.keep_colors {
            Colors::Keep
        } else {
            self.colors
        }
    }

    /// The size asked for.
    pub fn sizing(&self) -> Sizing {
        self.size.or(self.max_size).unwrap_or(Sizing::Native)
    }
}

/// How still the painting stays.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Painting")]
pub struct SteadyArgs {
    /// Keep brush strokes where they are from frame to frame: from 0 (off: as painted) to 1 (steadiest)
    #[arg(long, value_name = "0..1|off", default_value = "1", value_parser = settings::parse_steady)]
    pub steady: settings::SteadyChoice,
}

/// Where the models are.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelArgs {
    /// Folder of the model files [default: beside the program, else built in]
    #[arg(
        long,
        env = "ALLAPRIMA_MODELS",
        // Set but empty, it is as if it were not set.
        value_parser = OsStringValueParser::new().map(PathBuf::from),
        value_name = "DIR",
        help_heading = "Painting"
    )]
    pub models: Option<PathBuf>,
}

/// What to say.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct TalkArgs {
    /// Print a machine-readable summary to standard output
    #[arg(long)]
    pub json: bool,

    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

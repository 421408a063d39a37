//! What was typed.

use std::path::PathBuf;

use super::{optimize::OptimizeArgs, settings::QualityChoice, train::TrainArgs};
use allaprima::{
    device::DeviceChoice, kernels::Precision, sink::Codec, source::Sizing, stylize::Colors,
};
use clap::{ArgGroup, Parser, Subcommand};

/// Paints videos and pictures in the style of a painting, by neural style transfer.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 110,
    propagate_version = true,
    args_override_self = true,
    arg_required_else_help = true
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Paint a video, with its sound, into an MP4 (or MKV, MOV, WebM)
    Video(Box<VideoArgs>),
    /// Paint what a camera sees, at once: in a window, a recording, a virtual camera
    Live(Box<LiveArgs>),
    /// Paint pictures, or a folder of them
    Image(Box<ImageArgs>),
    /// List the styles, or paint a contact sheet of all of them
    Styles(StylesArgs),
    /// Measure frames per second: decoding, painting, encoding, and all of it
    Bench(BenchArgs),
    /// Measure how steady a painted video is, and how much texture it kept
    Measure(MeasureArgs),
    /// Train a network, or a style, of one's own
    Train(TrainArgs),
    /// Say what this machine has: processor, GPU, codecs, models
    Doctor(DoctorArgs),
}

/// Which style.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Painting")]
pub struct StyleArgs {
    /// Style: a name, a number, the path of a picture, or a blend such as starry:0.6,painting.jpg:0.4 (see `allaprima
    /// styles`); of a style pack of your own pack.safetensors:NAME
    #[arg(short, long, value_name = "STYLE", default_value = super::settings::DEFAULT_STYLE)]
    pub style: String,

    /// Paint in the style of this picture; with live and video also of a folder of pictures, one after the other
    #[arg(long, value_name = "FILE", conflicts_with = "style")]
    pub style_image: Option<PathBuf>,

    /// Which network paints: swift (at less than half the cost), fine or reference; auto is swift for live on the processor, else
    /// reference. With --engine optimize how much work: draft, good or best
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

    /// Strength of the style: 1 is the style, 0 the picture as it is (as well as the network can paint it)
    #[arg(long, value_name = "0..1", default_value = "1", value_parser = super::settings::parse_strength)]
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
    #[arg(long, visible_alias = "style-scale", value_name = "0.5..4", default_value = "1", value_parser = super::settings::parse_brush)]
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

    /// Size to paint at, such as 640x360
    #[arg(long, value_name = "WxH", value_parser = super::settings::parse_size)]
    pub size: Option<Sizing>,

    /// Longest side to paint at, in pixels; smaller pictures stay as they are
    #[arg(long, value_name = "N", value_parser = super::settings::parse_max_size)]
    pub max_size: Option<Sizing>,

    /// Where to paint: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,

    /// Threads to paint with [default: one per core]
    #[arg(long, value_name = "N", value_parser = super::settings::parse_threads)]
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
    /// Keep brush strokes where they are from frame to frame: 0 (as painted) to 1 (steadiest), or off
    #[arg(long, value_name = "0..1|off", default_value = "1", value_parser = super::settings::parse_steady)]
    pub steady: super::settings::SteadyChoice,
}

/// Where the models are.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelArgs {
    /// Folder of the model files [default: beside the program, else built in]
    #[arg(
        long,
        env = "ALLAPRIMA_MODELS",
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

#[derive(Debug, clap::Args)]
pub struct VideoArgs {
    /// Video to paint: anything FFmpeg opens
    pub input: PathBuf,

    /// Where to: .mp4, .mkv, .mov or .webm
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
    #[arg(long, value_name = "TIME", help_heading = "Video", value_parser = super::settings::parse_time)]
    pub start: Option<f64>,

    /// Paint this much: seconds, or [HH:]MM:SS
    #[arg(long, value_name = "TIME", help_heading = "Video", value_parser = super::settings::parse_duration)]
    pub duration: Option<f64>,

    /// Leave the sound (and subtitles) out
    #[arg(long, help_heading = "Video")]
    pub no_audio: bool,

    /// Replace an existing output
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,

    #[command(flatten)]
    pub talk: TalkArgs,
}

/// Whether there is a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WindowChoice {
    /// A window
    On,
    /// No window
    Off,
    /// A window that fills the screen
    Full,
}

#[derive(Debug, clap::Args)]
pub struct LiveArgs {
    /// Camera: a number, a name or part of it, a device path, `test` (a moving card), or a video file
    #[arg(
        short,
        long,
        value_name = "CAMERA",
        default_value = "0",
        help_heading = "Camera"
    )]
    pub camera: String,

    /// List the cameras and what they offer, and the microphones
    #[arg(long, help_heading = "Camera")]
    pub list: bool,

    /// Size to take from the camera [default: near 640x360 to 1280x720, whatever it offers at 30 frames/s]
    #[arg(long, value_name = "WxH", help_heading = "Camera", value_parser = super::settings::parse_size)]
    pub camera_size: Option<Sizing>,

    /// Pixel format to take from the camera: yuyv, nv12, mjpeg, rgb, bgr or gray [default: the cheapest]
    #[arg(long, value_name = "NAME", help_heading = "Camera")]
    pub camera_format: Option<String>,

    /// Frames per second [default: 30; --engine optimize chooses a size at which it paints 5 of them]
    #[arg(long, value_name = "N", help_heading = "Camera", value_parser = super::settings::parse_rate)]
    pub fps: Option<f64>,

    /// Play a video file again and again
    #[arg(long = "loop", help_heading = "Camera")]
    pub repeat: bool,

    /// Flip left to right, like a mirror [default for cameras, without --virtual-camera]
    #[arg(long, overrides_with = "no_mirror", help_heading = "Camera")]
    pub mirror: bool,

    /// Do not flip [default for the test card, files, and with --virtual-camera]
    #[arg(long, overrides_with = "mirror", help_heading = "Camera")]
    pub no_mirror: bool,

    /// Wait for a camera that is missing or in use, instead of failing
    #[arg(long, help_heading = "Camera")]
    pub wait: bool,

    #[command(flatten)]
    pub paint: PaintArgs,

    #[command(flatten)]
    pub optimize: OptimizeArgs,

    #[command(flatten)]
    pub steady: SteadyArgs,

    /// Where to show it
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "on",
        help_heading = "Output"
    )]
    pub window: WindowChoice,

    /// Record what is painted: .mkv, .mp4, .mov or .webm. The file is whole even if the program is killed
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub record: Option<PathBuf>,

    /// Record the sound of a microphone too: the default one, a device's name, or SYSTEM:NAME (pulse, alsa)
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        default_missing_value = "default",
        help_heading = "Output"
    )]
    pub microphone: Option<String>,

    /// Feed a video device that other programs take for a camera (v4l2loopback)
    #[arg(long, value_name = "DEVICE", help_heading = "Output")]
    pub virtual_camera: Option<PathBuf>,

    /// End after this much: seconds, or [HH:]MM:SS
    #[arg(long, value_name = "TIME", help_heading = "Output", value_parser = super::settings::parse_duration)]
    pub duration: Option<f64>,

    /// Give up when one picture takes longer than this to paint, in seconds
    #[arg(long, value_name = "TIME", hide = true, default_value = "10", value_parser = super::settings::parse_duration)]
    pub patience: f64,

    /// Replace an existing recording
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

    /// Print the list as JSON
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
        value_parser = super::settings::parse_size)]
    pub sizes: Vec<Sizing>,

    /// Frames at each size
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(3..=100_000))]
    pub frames: u64,

    #[command(flatten)]
    pub style: StyleArgs,

    #[command(flatten)]
    pub steady: SteadyArgs,

    /// Where to paint: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: DeviceChoice,

    /// Threads to paint with [default: one per core]
    #[arg(long, value_name = "N", value_parser = super::settings::parse_threads)]
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
    #[arg(long, value_name = "TIME", value_parser = super::settings::parse_time)]
    pub start: Option<f64>,

    /// Compare this many frames at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    pub frames: Option<u64>,

    /// Draw the error of each frame (.svg or .png)
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
    #[arg(long, value_name = "N", value_parser = super::settings::parse_threads)]
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Args::command().debug_assert();
    }
}

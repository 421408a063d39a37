//! What `live` may be told.

use std::path::PathBuf;

use allaprima::source::Sizing;

use super::{OptimizeArgs, PaintArgs, SteadyArgs, TalkArgs};
use crate::cli::settings;

/// Whether there is a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WindowChoice {
    On,
    Off,
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
    #[arg(long, value_name = "WxH", help_heading = "Camera", value_parser = settings::parse_size)]
    pub camera_size: Option<Sizing>,

    /// Pixel format to take from the camera: yuyv, nv12, mjpeg, rgb, bgr or gray [default: the cheapest]
    #[arg(long, value_name = "NAME", help_heading = "Camera")]
    pub camera_format: Option<String>,

    /// Frames per second [default: 30; --engine optimize chooses a size at which it paints 5 of them]
    #[arg(long, value_name = "N", help_heading = "Camera", value_parser = settings::parse_rate)]
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

    /// Show it in a window: on, off or full (the whole screen)
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
    #[arg(long, value_name = "TIME", help_heading = "Output", value_parser = settings::parse_duration)]
    pub duration: Option<f64>,

    /// Give up when one picture takes longer than this to paint, in seconds
    #[arg(long, value_name = "TIME", hide = true, default_value = "10", value_parser = settings::parse_duration)]
    pub patience: f64,

    /// Replace an existing recording
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,

    #[command(flatten)]
    pub talk: TalkArgs,
}

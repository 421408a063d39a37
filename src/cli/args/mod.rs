//! What was typed.

mod files;
mod live;
mod painting;
mod tools;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use super::{optimize::OptimizeArgs, train::TrainArgs};
pub use files::{ImageArgs, VideoArgs};
pub use live::{LiveArgs, WindowChoice};
pub use painting::{ModelArgs, PaintArgs, SteadyArgs, StyleArgs, TalkArgs};
pub use tools::{BenchArgs, DoctorArgs, MeasureArgs, StylesArgs};

/// Paints videos, pictures and webcams in the style of a painting, by neural style transfer.
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
    /// Train a network, or a style, of your own
    Train(TrainArgs),
    /// Say what this machine has: processor, GPU, codecs, models
    Doctor(DoctorArgs),
    /// Print a script by which a shell completes what is typed: bash, zsh, fish, elvish or powershell
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Command {
    /// Whether nothing but errors is to be printed.
    pub fn is_quiet(&self) -> bool {
        match self {
            Self::Video(args) => args.talk.quiet,
            Self::Live(args) => args.talk.quiet,
            Self::Image(args) => args.talk.quiet,
            Self::Train(args) => args.quiet,
            _ => false,
        }
    }

    /// Whether a program reads what is printed.
    pub fn is_json(&self) -> bool {
        match self {
            Self::Video(args) => args.talk.json,
            Self::Live(args) => args.talk.json,
            Self::Image(args) => args.talk.json,
            Self::Styles(args) => args.json,
            Self::Bench(args) => args.json,
            Self::Measure(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Train(_) | Self::Completions { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Args::command().debug_assert();
    }
}

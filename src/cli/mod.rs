//! The command line: what was typed ([`args`]) becomes what is meant ([`settings`]), which a command carries out.
//!
//! Only this module prints. What a program wants (JSON, lists) goes to standard output, everything a person reads
//! while it runs to standard error. Exit status: 0 done, 1 failed, 2 wrong usage, 130 aborted, or stopped
//! before there was anything to write.

// First, for its macros.
#[macro_use]
mod print;

mod apart;
mod args;
mod bench;
#[cfg(feature = "cuda")]
mod bench_card;
#[cfg(feature = "cuda")]
mod bench_steps;
mod doctor;
mod follow;
mod image;
mod interrupt;
mod live;
mod live_summary;
mod measure;
mod optimize;
mod painter;
mod passes;
mod plot;
mod progress;
mod settings;
mod sheet;
mod styles;
mod summary;
mod tally;
mod train;
mod video;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use allaprima::pipeline;
use args::{Args, Command};

/// Wrong usage that only shows once the arguments are looked at together, or against the models.
#[derive(Debug)]
struct Usage(anyhow::Error);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Usage {}

/// Marks an error as wrong usage (exit status 2).
fn usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    Usage(error.into()).into()
}

/// A run that was stopped before there was anything to write.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Aborted(&'static str);

fn is_aborted(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<Aborted>()
        || matches!(
            cause.downcast_ref(),
            Some(pipeline::PipelineError::NothingPainted)
        )
}

/// Runs the program.
pub fn main() -> ExitCode {
    let args = parse();
    init_log();
    if args.command.is_quiet() {
        print::be_quiet();
    }
    let json = args.command.is_json();
    let result = match args.command {
        Command::Video(args) => video::run(&args),
        Command::Live(args) => live::run(*args),
        Command::Image(args) => image::run(&args),
        Command::Styles(args) => styles::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Measure(args) => measure::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions { shell } => completions(shell),
    };
    let written = print::failure().map(|error| {
        anyhow::Error::from(error).context("standard output does not take the results")
    });
    match result.and(written.map_or(Ok(()), Err)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell!("error: {error:#}");
            // A program that reads summaries is told, too.
            if json && print::is_silent() {
                let summary = serde_json::json!({
                    "error": format!("{error:#}"),
                    "notes": print::notes(),
                });
                put!("{summary}");
            }
            if error.is::<Usage>() {
                ExitCode::from(2)
            } else if error.chain().any(is_aborted) {
                ExitCode::from(130)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// What was typed. A number below zero is a value, which its option refuses in its own words, and no option.
fn parse() -> Args {
    let command = Args::command().mut_subcommands(|command| {
        command.mut_args(|arg| {
            let has_value = arg.get_long().is_some() && arg.get_action().takes_values();
            arg.allow_negative_numbers(has_value)
        })
    });
    Args::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

/// Prints how `shell` completes a command line.
fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "allaprima", &mut script);
    put!("{}", String::from_utf8(script)?.trim_end());
    Ok(())
}

/// `ALLAPRIMA_LOG=debug` shows what the program does.
fn init_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("ALLAPRIMA_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stopped_is_told_from_what_failed() {
        let stopped = [
            anyhow::Error::from(pipeline::PipelineError::NothingPainted),
            anyhow::Error::from(Aborted("stopped before all passes were done")),
        ];
        for error in stopped {
            assert!(error.context("clip.mp4").chain().any(is_aborted));
        }
        let failed = anyhow::Error::from(pipeline::PipelineError::CutOff("paint"));
        assert!(!failed.chain().any(is_aborted));
    }
}

//! The command line: what was typed ([`args`]) becomes what is meant ([`settings`]), which a command carries out.
//!
//! Only this module prints. What a program wants (JSON, lists) goes to standard output, everything a person reads
//! while it runs to standard error. Exit status: 0 done, 1 failed, 2 wrong usage, 130 aborted.

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

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::{CommandFactory, Parser};

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

/// Runs the program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    init_log();
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
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<Usage>() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Prints how `shell` completes a command line.
fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "allaprima", &mut script);
    std::io::stdout()
        .write_all(&script)
        .context("the script cannot be written")
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

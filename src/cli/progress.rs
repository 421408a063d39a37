//! A bar on a terminal, a plain line now and then elsewhere.

use std::{
    fmt::Write,
    io::{IsTerminal, stderr},
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use std::sync::Arc;

use allaprima::pipeline::Control;
use anyhow::{Context, Result};
use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

/// Shows how far a pipeline is until it is dropped.
pub struct Progress {
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Follows `control` towards `expected` frames, an estimate. Shows nothing when `quiet`.
    pub fn follow(control: Arc<Control>, expected: Option<u64>, quiet: bool) -> Result<Self> {
        if quiet {
            return Ok(Self { thread: None });
        }
        let (stop, stopped) = sync_channel(1);
        let terminal = stderr().is_terminal();
        let interval = Duration::from_millis(if terminal { 100 } else { 5000 });
        let thread = thread::Builder::new()
            .name("progress".into())
            .spawn(move || {
                let started = Instant::now();
                let bar = if terminal {
                    bar(expected)
                } else {
                    ProgressBar::hidden()
                };
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                    let frames = control.frames_painted();
                    if terminal {
                        // A header that promised too little must not show 110 %.
                        bar.set_length(expected.unwrap_or(0).max(frames));
                        bar.set_position(frames);
                    } else {
                        tell!("{}", line(frames, expected, started.elapsed()));
                    }
                }
                bar.finish_and_clear();
            })
            .context("cannot start the progress display")?;
        Ok(Self {
            thread: Some((stop, thread)),
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            // The display failing is no reason to fail.
            let _ = thread.join();
        }
    }
}

fn bar(expected: Option<u64>) -> ProgressBar {
    let template = match expected {
        Some(_) => "{wide_bar} {pos}/{len} frames{per_sec}{left}",
        None => "{spinner} {pos} frames{per_sec} · {elapsed}",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    // Before the first frame neither is known. The only error of writing is a full string.
    let style = style.with_key("per_sec", |state: &ProgressState, out: &mut dyn Write| {
        if state.pos() > 0 {
            let _ = write!(out, " · {:.1} frames/s", state.per_sec());
        }
    });
    let style = style.with_key("left", |state: &ProgressState, out: &mut dyn Write| {
        if state.pos() > 0 {
            let _ = write!(out, " · {:#} left", HumanDuration(state.eta()));
        }
    });
    ProgressBar::new(expected.unwrap_or(0)).with_style(style)
}

fn line(frames: u64, expected: Option<u64>, elapsed: Duration) -> String {
    let rate = frames as f64 / elapsed.as_secs_f64().max(1e-3);
    match expected.filter(|&expected| expected >= frames) {
        Some(expected) if rate > 0.0 => {
            let left = (expected - frames) as f64 / rate;
            format!("{frames}/{expected} frames, {rate:.1} frames/s, {left:.0} s left")
        }
        Some(expected) => format!("{frames}/{expected} frames"),
        None if frames > 0 => format!("{frames} frames, {rate:.1} frames/s"),
        None => "no frame yet".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_say_what_is_left_unless_the_header_lied() {
        assert_eq!(
            line(50, Some(100), Duration::from_secs(5)),
            "50/100 frames, 10.0 frames/s, 5 s left"
        );
        assert_eq!(
            line(150, Some(100), Duration::from_secs(5)),
            "150 frames, 30.0 frames/s"
        );
        assert_eq!(line(0, Some(100), Duration::from_secs(5)), "0/100 frames");
        assert_eq!(line(0, None, Duration::from_secs(5)), "no frame yet");
    }
}

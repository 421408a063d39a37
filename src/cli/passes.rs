//! `allaprima video --engine optimize --passes N`: the film is painted, and gone through again, before it is written.

use std::{
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

use allaprima::{
    frame::Packet,
    pipeline::Control,
    source::{FrameSource, VideoFileSource},
    stylize::optimize::{Optimize, PaintedFilm, Passes},
};
use anyhow::{Result, bail};

/// Says how far a pass is.
struct Told {
    quiet: bool,
    passes: usize,
    last: Option<Instant>,
}

impl Told {
    fn tell(&mut self, pass: usize, count: usize, of: Option<u64>) {
        let terminal = stderr().is_terminal();
        let pause = Duration::from_millis(if terminal { 100 } else { 5000 });
        if self.quiet || self.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        self.last = Some(Instant::now());
        let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
        let line = format!("pass {pass} of {}: picture {count}{of}", self.passes);
        if terminal {
            eprint!("\r\x1b[K{line}");
            // A display that fails is no reason to fail.
            let _ = stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    fn end(&self) {
        if !self.quiet && stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}

/// Paints all of `source` in so many passes.
pub fn paint(
    mut source: VideoFileSource,
    painter: Optimize,
    passes: usize,
    control: &Control,
    quiet: bool,
) -> Result<PaintedFilm> {
    let mut told = Told {
        quiet,
        passes,
        last: None,
    };
    let expected = source.info().expected_frames;
    let mut film = Passes::new(painter);
    let mut goes_on = true;
    while goes_on && !control.is_stopping() {
        match source.next()? {
            Packet::Frame(frame) => {
                goes_on = film.push(&frame.picture)?;
                told.tell(1, film.len(), expected);
            }
            Packet::Reset(_) => film.reset(),
            Packet::Track(_) => {}
            Packet::End => break,
        }
    }
    let count = film.len() as u64;
    for pass in 2..=passes {
        if !goes_on || control.is_stopping() {
            break;
        }
        goes_on = film.pass(pass, |painted| told.tell(pass, painted, Some(count)))?;
    }
    told.end();
    if !goes_on || control.is_stopping() {
        bail!("stopped before all passes were done: --resume goes on from there");
    }
    Ok(film.into_film())
}

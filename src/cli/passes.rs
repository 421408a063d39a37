//! `allaprima video --engine optimize --passes N`: the film is painted, and gone through again, before it is written.

use allaprima::{
    frame::Packet,
    pipeline::Control,
    source::{FrameSource, VideoFileSource},
    stylize::optimize::{Optimize, PaintedFilm, Passes},
};
use anyhow::{Result, bail};

use super::{Aborted, print::Status};

/// Says how far a pass is.
struct Told {
    quiet: bool,
    passes: usize,
    status: Status,
}

impl Told {
    fn tell(&mut self, pass: usize, count: usize, of: Option<u64>) {
        if self.quiet {
            return;
        }
        let passes = self.passes;
        self.status.show(|| {
            let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
            format!("pass {pass} of {passes}: picture {count}{of}")
        });
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
        status: Status::default(),
    };
    let (expected, time_base) = (source.info().expected_frames, source.info().time_base);
    let mut first = None;
    let mut film = Passes::new(painter);
    let mut goes_on = true;
    while goes_on && !control.is_stopping() {
        match source.next()? {
            Packet::Frame(frame) => {
                let since = frame.pts - *first.get_or_insert(frame.pts);
                film.set_time(since as f64 * time_base.value())?;
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
    told.status.clear();
    if (!goes_on || control.is_stopping()) && film.is_empty() {
        bail!(Aborted("stopped before the first picture was painted"));
    }
    if !goes_on || control.is_stopping() {
        bail!(Aborted(
            "stopped before all passes were done: --resume goes on from there"
        ));
    }
    Ok(film.into_film())
}

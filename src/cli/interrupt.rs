//! Ctrl-C: once ends the run properly, twice ends it now.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use allaprima::{files::remove_unfinished, pipeline::Control};
use anyhow::{Context, Result};

/// Makes the first interrupt (Ctrl-C, or a request to terminate) stop `control`, and the second remove unfinished files and
/// leave with status 130.
pub fn install(control: Arc<Control>, quiet: bool) -> Result<()> {
    let asked = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            remove_unfinished();
            tell!("\naborted");
            abort();
        }
        control.stop();
        if !quiet {
            tell!("\nending with what is done so far (Ctrl-C again aborts)");
        }
    })
    .context("cannot listen for Ctrl-C")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the second Ctrl-C ends the program at once, from the handler's thread"
)]
fn abort() -> ! {
    std::process::exit(130)
}

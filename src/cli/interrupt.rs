//! Ctrl-C: once ends the run properly, twice ends it now.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use allaprima::pipeline::Control;
use anyhow::{Context, Result};

/// Makes the first interrupt (Ctrl-C, or a request to terminate) stop `control`, and the second remove `temporary` and
/// leave with status 130. What is temporary may be named later: it is made only when somebody listens.
pub fn install(
    control: Arc<Control>,
    temporary: Arc<OnceLock<PathBuf>>,
    quiet: bool,
) -> Result<()> {
    let asked = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            if let Some(path) = temporary.get() {
                // It may be gone already, and there is nobody left to tell if it is not.
                let _ = std::fs::remove_file(path);
            }
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

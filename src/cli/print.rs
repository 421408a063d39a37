//! What is printed: lines for a person to standard error, results to standard output.
//!
//! Neither may end the work: `println!` and `eprintln!` panic where the reader has left (`| head`) or the disk is full.
//! Somebody who no longer reads messages loses nothing else; somebody who reads no more results has enough of them. Results
//! that could not be written for another reason make the program fail at its end ([`failure`]).

use std::{
    fmt::Arguments,
    io::{self, ErrorKind, IsTerminal, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// What the user was told, for the summary.
static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Whether there was anything on standard output.
static PUT: AtomicBool = AtomicBool::new(false);

/// Whether the user wants nothing but errors.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Leaves notes out from now on.
pub(super) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Tells what a user should know, where that is wanted, and keeps it for the summary ([`notes`]).
pub(super) fn note(words: String) {
    if !QUIET.load(Ordering::Relaxed) {
        tell(format_args!("note: {words}"), "\n");
    }
    lock(&NOTES).push(words);
}

/// Tells of something that was asked for and will not be done, whatever is wanted, and keeps it for the summary.
pub(super) fn warn(words: String) {
    tell(format_args!("warning: {words}"), "\n");
    lock(&NOTES).push(words);
}

/// All notes so far.
pub(super) fn notes() -> Vec<String> {
    lock(&NOTES).clone()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints a line to standard error, if it takes one.
macro_rules! tell {
    ($($words:tt)*) => {
        $crate::cli::print::tell(format_args!($($words)*), "\n")
    };
}

/// Tells what a user should know; a summary has it, too.
macro_rules! note {
    ($($words:tt)*) => {
        $crate::cli::print::note(format!($($words)*))
    };
}

/// Prints a line to standard output.
macro_rules! put {
    ($($words:tt)*) => {
        $crate::cli::print::put(format_args!($($words)*))
    };
}

/// Writes to standard error, at once.
pub(super) fn tell(words: Arguments<'_>, end: &str) {
    let mut output = io::stderr().lock();
    // A display that fails is no reason to fail.
    let _ = write!(output, "{words}{end}").and_then(|()| output.flush());
}

/// A line that is printed again and again: over itself on a terminal, now and then elsewhere.
#[derive(Default)]
pub(super) struct Status {
    printed: Option<Instant>,
}

impl Status {
    /// Prints `line`, unless the one before was printed a moment ago.
    pub(super) fn show(&mut self, line: impl FnOnce() -> String) {
        let pause = Duration::from_millis(if is_terminal() { 100 } else { 5000 });
        if self
            .printed
            .is_none_or(|printed| printed.elapsed() >= pause)
        {
            self.printed = Some(Instant::now());
            match is_terminal() {
                true => tell(format_args!("{CLEAR}{}", line()), ""),
                false => tell(format_args!("{}", line()), "\n"),
            }
        }
    }

    /// Prints `line` to stay.
    pub(super) fn conclude(&mut self, line: &str) {
        self.clear();
        tell(format_args!("{line}"), "\n");
    }

    /// Takes away what stands on the terminal.
    pub(super) fn clear(&mut self) {
        if self.printed.take().is_some() && is_terminal() {
            tell(format_args!("{CLEAR}"), "");
        }
    }
}

/// To the line's beginning, and nothing in it.
const CLEAR: &str = "\r\x1b[K";

fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Writes a line to standard output, and remembers the first failure.
pub(super) fn put(words: Arguments<'_>) {
    PUT.store(true, Ordering::Relaxed);
    let mut failure = lock(&FAILURE);
    if failure.is_none()
        && let Err(error) = writeln!(io::stdout().lock(), "{words}")
    {
        *failure = Some(error);
    }
}

/// Whether nothing was written to standard output.
pub(super) fn is_silent() -> bool {
    !PUT.load(Ordering::Relaxed)
}

/// Why standard output did not take everything, if that is a failure.
pub(super) fn failure() -> Option<io::Error> {
    let mut output = io::stdout().lock();
    let flushed = output.flush().err();
    lock(&FAILURE)
        .take()
        .or(flushed)
        .filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

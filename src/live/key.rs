//! The keys there are.

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter (lower case), digit or sign, as on a keyboard without shift.
    Char(char),
    /// The arrow.
    Left,
    /// The arrow.
    Right,
    /// The arrow.
    Up,
    /// The arrow.
    Down,
    /// Escape.
    Escape,
    /// The eleventh function key.
    F11,
}

/// What a key asks for beyond the painting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// End the program.
    Quit,
    /// Start or stop recording.
    Record,
    /// Save what is shown as a picture.
    Screenshot,
    /// Full screen on or off.
    FullScreen,
    /// Leave full screen, or else the session.
    Leave,
}

/// Every key and what it does, in the order of the overlay.
pub const HELP: [(&str, &str); 18] = [
    ("Left Right", "previous, next style"),
    ("0 … 9", "style by number (1 2 is 12)"),
    ("B", "another style to blend towards"),
    ("[ ]", "less, more of it"),
    ("Up Down", "strength of the style"),
    ("L O", "opacity: less, more"),
    (", .", "steadiness: less, more"),
    ("C", "colours: painted, kept, matched"),
    ("V", "split view: original | painted"),
    ("- =", "painting size down, up"),
    ("A", "automatic size"),
    ("Space", "freeze"),
    ("M", "mirror"),
    ("R", "record on, off"),
    ("P", "screenshot"),
    ("F", "full screen"),
    ("I", "frames per second and latency"),
    ("H · Q", "this help · quit"),
];

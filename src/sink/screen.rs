//! Windows and devices that take live pictures. Each has a fake in the tests.

use super::SinkError;
use crate::{
    frame::Picture,
    live::{Canvas, Key},
};

/// A window. It belongs to the main thread, which some systems insist on.
pub trait Screen {
    /// Inner width and height in pixels, as they are now.
    fn size(&self) -> (usize, usize);

    /// Lets the system deliver its events. Returns the keys that were pressed since the last time, or `None` when the
    /// window was closed.
    ///
    /// # Errors
    /// When the system took the window away.
    fn pump(&mut self) -> Result<Option<Vec<Key>>, SinkError>;

    /// Shows pixels; they are as large as [`Screen::size`] was.
    ///
    /// # Errors
    /// As [`Screen::pump`].
    fn show(&mut self, canvas: &Canvas) -> Result<(), SinkError>;

    /// Fills the screen, or stops to. Returns whether that was possible.
    fn full_screen(&mut self, on: bool) -> bool;
}

/// A video device that other programs read as a camera.
pub trait VirtualCamera: Send {
    /// What it is called, for messages.
    fn name(&self) -> String;

    /// Opens it for pictures of this size.
    ///
    /// # Errors
    /// When it is missing, busy or no output device.
    fn open(&mut self, width: usize, height: usize, rate_hz: f64) -> Result<(), SinkError>;

    /// Writes a picture of that size.
    ///
    /// # Errors
    /// When the device is gone.
    fn write(&mut self, picture: &Picture) -> Result<(), SinkError>;
}

//! Cameras: what gives pictures at its own pace, and may go away and come back.
//!
//! A [`CameraOpener`] knows which camera is meant, a [`Camera`] is an open one. What it yields carries the time at which
//! it was captured. A camera that is missing, busy or was pulled out is told apart from one that can never work
//! ([`CameraError::is_recoverable`]), because the first may come back.

use std::time::Instant;

use super::SourceError;
use crate::frame::Picture;

/// A picture and when it was taken.
#[derive(Debug)]
pub struct Captured {
    /// The pixels, as the camera sees them (not mirrored).
    pub picture: Picture,
    /// When the camera took it, as far as the system says; else when it arrived.
    pub at: Instant,
    /// Whether this is the last picture once more, because the next is not due for long.
    pub is_repeated: bool,
}

/// What an open camera yields.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraMode {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Frames per second; `None` when nobody knows.
    pub rate_hz: Option<f64>,
    /// Pixel format, in words (`YUYV`).
    pub format: String,
}

impl std::fmt::Display for CameraMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{} {}", self.width, self.height, self.format)?;
        match self.rate_hz {
            Some(rate_hz) => write!(f, " at {} frames/s", (rate_hz * 100.0).round() / 100.0),
            None => Ok(()),
        }
    }
}

/// An open camera. It stays on the thread that opened it.
pub trait Camera {
    /// What it yields.
    fn mode(&self) -> &CameraMode;

    /// Waits for the next picture; `None` when none will ever follow (the end of a file).
    ///
    /// # Errors
    /// When the camera was pulled out or fails.
    fn next(&mut self) -> Result<Option<Captured>, CameraError>;
}

/// Opens one camera, again and again if it must.
pub trait CameraOpener: Send {
    /// What it is called, for messages.
    fn name(&self) -> String;

    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be opened now; [`CameraError::is_recoverable`] says whether to try again.
    fn open(&mut self) -> Result<Box<dyn Camera>, CameraError>;
}

/// Why a camera gives no pictures. Every text says what to try.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// No camera has this number, name or path.
    #[error("there is no camera {camera}: {found}")]
    Missing {
        /// What was asked for.
        camera: String,
        /// Which there are, or what to try.
        found: String,
    },
    /// Another program has it.
    #[error(
        "camera {camera} is in use by another program; close that program, or choose another --camera"
    )]
    Busy {
        /// The camera.
        camera: String,
    },
    /// The user may not open it.
    #[error(
        "no permission to open camera {camera}; join the group that owns it (sudo usermod -aG video $USER, then log in again)"
    )]
    Denied {
        /// The camera.
        camera: String,
    },
    /// It was pulled out, or switched off.
    #[error("camera {camera} went away: {detail}; plug it in again")]
    Unplugged {
        /// The camera.
        camera: String,
        /// What the system said.
        detail: String,
    },
    /// It is no camera, or offers nothing that can be used.
    #[error("camera {camera} cannot be used: {detail}")]
    Unusable {
        /// The camera.
        camera: String,
        /// Why.
        detail: String,
    },
    /// It does not offer what was asked for.
    #[error("camera {camera} does not offer {wanted}; it offers {offered}")]
    NoMode {
        /// The camera.
        camera: String,
        /// What was asked for, with the option.
        wanted: String,
        /// What it has.
        offered: String,
    },
    /// The program was built without cameras.
    #[error(
        "this program was built without cameras (cargo feature `camera`); use --camera test or --camera FILE"
    )]
    NotBuilt,
    /// The file that stands for a camera cannot be played.
    #[error(transparent)]
    File(#[from] SourceError),
}

impl CameraError {
    /// Whether the camera may come back by itself.
    pub fn is_recoverable(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::Busy { .. } | Self::Unplugged { .. }
        )
    }
}

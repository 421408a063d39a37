//! Cameras of this machine, by nokhwa.
//!
//! nokhwa streams; what it leaves open is done here. On Linux the device is looked at first: what it really offers
//! (nokhwa rounds frame rates), and why it cannot be opened (nokhwa gives only text). The wanted mode is set before nokhwa
//! opens the device, because nokhwa fails on a device that was left in a format that it does not know.

use super::{CameraError, CameraOpener, modes::CameraWish};

/// The camera that `wanted` means: a number, a device path, or a name or part of it.
///
/// # Errors
/// When the program was built without cameras, or the wish names no format that is understood.
pub fn device_camera(wanted: &str, wish: CameraWish) -> Result<Box<dyn CameraOpener>, CameraError> {
    #[cfg(feature = "camera")]
    return with_nokhwa::opener(wanted, wish);
    #[cfg(not(feature = "camera"))]
    {
        let _ = (wanted, wish);
        Err(CameraError::NotBuilt)
    }
}

/// The cameras of this machine, each with what it offers, one line each.
///
/// # Errors
/// As [`device_camera`].
pub fn cameras() -> Result<Vec<String>, CameraError> {
    #[cfg(feature = "camera")]
    return Ok(with_nokhwa::list());
    #[cfg(not(feature = "camera"))]
    Err(CameraError::NotBuilt)
}

#[cfg(feature = "camera")]
mod with_nokhwa;

#[cfg(all(feature = "camera", target_os = "linux"))]
mod linux;

#[cfg(all(feature = "camera", not(target_os = "linux")))]
mod elsewhere;

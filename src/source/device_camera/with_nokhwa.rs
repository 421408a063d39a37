//! Opening a camera, its modes tried from the best on, and its pictures, by nokhwa.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nokhwa::{
    NokhwaError,
    utils::{
        CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType, Resolution,
    },
};

use super::{CameraError, CameraOpener, CameraWish};
use crate::source::{
    Camera, CameraMode, Captured,
    modes::{Decoder, Layout, Mode, candidates, describe},
};

#[cfg(not(target_os = "linux"))]
use super::elsewhere as system;
#[cfg(target_os = "linux")]
use super::linux as system;

/// How many modes are tried before giving up.
const TRIES: usize = 6;
/// Torn pictures in a row that are skipped.
const TORN: usize = 60;

pub(super) fn opener(wanted: &str, wish: CameraWish) -> Result<Box<dyn CameraOpener>, CameraError> {
    if let Some(format) = &wish.format
        && !Layout::ALL
            .iter()
            .any(|layout| layout.name().eq_ignore_ascii_case(format))
    {
        return Err(CameraError::NoMode {
            camera: wanted.into(),
            wanted: format!("--camera-format {format}"),
            offered: "yuyv, nv12, mjpeg, rgb, bgr or gray, as far as the camera has them".into(),
        });
    }
    Ok(Box::new(Opener {
        wanted: wanted.to_owned(),
        wish,
    }))
}

pub(super) fn list() -> Vec<String> {
    system::cameras()
        .into_iter()
        .map(|(number, name)| {
            let offers = match system::modes(number) {
                Ok(modes) => describe(&modes),
                Err(error) => error.to_string(),
            };
            format!("{number}: {name}: {offers}")
        })
        .collect()
}

struct Opener {
    wanted: String,
    wish: CameraWish,
}

impl Opener {
    fn number(&self) -> Result<u32, CameraError> {
        if let Ok(number) = self.wanted.parse() {
            return Ok(number);
        }
        if let Some(number) = system::number_of_path(&self.wanted) {
            return Ok(number);
        }
        let lower = self.wanted.to_lowercase();
        let cameras = system::cameras();
        let named = |exact: bool| {
            cameras.iter().find(|(_, name)| {
                let name = name.to_lowercase();
                name == lower || (!exact && name.contains(&lower))
            })
        };
        match named(true).or_else(|| named(false)) {
            Some((number, _)) => Ok(*number),
            None => Err(missing(&self.wanted)),
        }
    }

    fn try_mode(&self, number: u32, mode: Mode) -> Result<DeviceCamera, CameraError> {
        let fail = |error: NokhwaError| classify(&self.wanted, &error.to_string());
        system::prepare(number, mode)
            .map_err(|error| classify(&self.wanted, &error.to_string()))?;
        let format = frame_format(mode.layout);
        let resolution = Resolution::new(mode.width as u32, mode.height as u32);
        let exact = CameraFormat::new(resolution, format, mode.rate_hz.round() as u32);
        let formats = [format];
        let request = RequestedFormat::with_formats(RequestedFormatType::Exact(exact), &formats);
        let mut device = nokhwa::Camera::new(CameraIndex::Index(number), request).map_err(fail)?;
        device.open_stream().map_err(fail)?;
        let decoder = Decoder::new(mode).map_err(|error| CameraError::Unusable {
            camera: self.wanted.clone(),
            detail: format!("decoding {} is not possible: {error}", mode.layout.name()),
        })?;
        Ok(DeviceCamera {
            name: self.wanted.clone(),
            device: Some(device),
            decoder,
            mode: mode.into(),
        })
    }
}

impl CameraOpener for Opener {
    fn name(&self) -> String {
        self.wanted.clone()
    }

    fn open(&mut self) -> Result<Box<dyn Camera>, CameraError> {
        let number = self.number()?;
        let modes =
            system::modes(number).map_err(|error| classify(&self.wanted, &error.to_string()))?;
        let fitting = candidates(&modes, &self.wish);
        if fitting.is_empty() {
            let size = self
                .wish
                .size
                .map(|(w, h)| format!("--camera-size {w}x{h}"));
            let format = self
                .wish
                .format
                .as_ref()
                .map(|format| format!("--camera-format {format}"));
            let wanted: Vec<_> = size.into_iter().chain(format).collect();
            return Err(CameraError::NoMode {
                camera: self.wanted.clone(),
                wanted: if wanted.is_empty() {
                    "pictures".into()
                } else {
                    wanted.join(" with ")
                },
                offered: describe(&modes),
            });
        }
        let mut first = None;
        for mode in fitting.into_iter().take(TRIES) {
            match self.try_mode(number, mode) {
                Ok(camera) => return Ok(Box::new(camera)),
                // Another mode would not help.
                Err(error) if error.is_recoverable() => return Err(error),
                Err(error @ CameraError::Denied { .. }) => return Err(error),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| missing(&self.wanted)))
    }
}

struct DeviceCamera {
    name: String,
    device: Option<nokhwa::Camera>,
    decoder: Decoder,
    mode: CameraMode,
}

impl Camera for DeviceCamera {
    fn mode(&self) -> &CameraMode {
        &self.mode
    }

    fn next(&mut self) -> Result<Option<Captured>, CameraError> {
        let Some(device) = &mut self.device else {
            return Ok(None);
        };
        for _ in 0..TORN {
            let buffer = device
                .frame()
                .map_err(|error| classify(&self.name, &error.to_string()))?;
            let at = captured_at(buffer.capture_timestamp());
            if let Some(picture) = self.decoder.decode(buffer.buffer()) {
                return Ok(Some(Captured {
                    picture,
                    at,
                    is_repeated: false,
                }));
            }
        }
        Err(CameraError::Unplugged {
            camera: self.name.clone(),
            detail: "it delivers only torn pictures".into(),
        })
    }
}

impl Drop for DeviceCamera {
    fn drop(&mut self) {
        let device = self.device.take();
        // Stopping a stream panics inside when the driver refuses, which a device that fails does.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(device)));
    }
}

/// The camera's own time stamp, if it is believable.
fn captured_at(stamp: Option<Duration>) -> Instant {
    let now = Instant::now();
    let age = stamp.and_then(|stamp| {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        wall.checked_sub(stamp)
    });
    match age {
        Some(age) if age < Duration::from_secs(1) => now.checked_sub(age).unwrap_or(now),
        _ => now,
    }
}

fn frame_format(layout: Layout) -> FrameFormat {
    match layout {
        Layout::Yuyv => FrameFormat::YUYV,
        Layout::Nv12 => FrameFormat::NV12,
        Layout::Mjpeg => FrameFormat::MJPEG,
        Layout::Rgb => FrameFormat::RAWRGB,
        Layout::Bgr => FrameFormat::RAWBGR,
        Layout::Gray => FrameFormat::GRAY,
    }
}

fn missing(camera: &str) -> CameraError {
    let cameras = system::cameras();
    let found = if cameras.is_empty() {
        "this machine has none; plug one in, or use --camera test or --camera FILE".into()
    } else {
        let names: Vec<_> = cameras
            .iter()
            .map(|(number, name)| format!("{number} ({name})"))
            .collect();
        format!("there is {}", names.join(", "))
    };
    CameraError::Missing {
        camera: camera.into(),
        found,
    }
}

/// What the system's words mean.
fn classify(camera: &str, text: &str) -> CameraError {
    let camera = camera.to_owned();
    let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    if has(&["os error 16)", "busy", "in use"]) {
        CameraError::Busy { camera }
    } else if has(&["os error 13)", "os error 1)", "ermission"]) {
        CameraError::Denied { camera }
    } else if has(&["os error 2)", "os error 6)", "No such file"]) {
        missing(&camera)
    } else if has(&[
        "os error 19)",
        "os error 5)",
        "os error 32)",
        "capture frame",
    ]) {
        CameraError::Unplugged {
            camera,
            detail: text.into(),
        }
    } else {
        CameraError::Unusable {
            camera,
            detail: text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drivers_say_is_understood() {
        let class = |text| classify("0", text);
        assert!(matches!(
            class("Could not set device property X: Device or resource busy (os error 16)"),
            CameraError::Busy { .. }
        ));
        assert!(matches!(
            class("Could not capture frame: No such device (os error 19)"),
            CameraError::Unplugged { .. }
        ));
        assert!(matches!(
            class("No such file or directory (os error 2)"),
            CameraError::Missing { .. }
        ));
        assert!(matches!(
            class("Permission denied (os error 13)"),
            CameraError::Denied { .. }
        ));
        assert!(matches!(class("strange"), CameraError::Unusable { .. }));
    }

    #[test]
    fn an_unknown_format_is_wrong_usage_at_once() {
        let wish = CameraWish {
            format: Some("h264".into()),
            ..CameraWish::default()
        };
        assert!(matches!(opener("0", wish), Err(CameraError::NoMode { .. })));
    }
}

//! What Linux says of a camera (Video4Linux) that nokhwa does not.

use std::{io, path::Path};

use v4l::{
    Device, Format, FourCC,
    capability::Flags,
    context,
    frameinterval::FrameIntervalEnum,
    framesize::FrameSizeEnum,
    video::{Capture, capture::Parameters},
};

use crate::source::modes::{Layout, Mode};

fn fourcc(layout: Layout) -> FourCC {
    FourCC::new(match layout {
        Layout::Yuyv => b"YUYV",
        Layout::Nv12 => b"NV12",
        Layout::Mjpeg => b"MJPG",
        Layout::Rgb => b"RGB3",
        Layout::Bgr => b"BGR3",
        Layout::Gray => b"GRAY",
    })
}

/// Numbers and names of the devices that capture.
pub(super) fn cameras() -> Vec<(u32, String)> {
    let mut found: Vec<_> = context::enum_devices()
        .iter()
        .filter_map(|node| {
            let device = Device::with_path(node.path()).ok()?;
            let capabilities = device.query_caps().ok()?;
            capabilities
                .capabilities
                .contains(Flags::VIDEO_CAPTURE)
                .then_some((node.index() as u32, capabilities.card))
        })
        .collect();
    found.sort_unstable();
    found
}

/// The number of `/dev/video2`, or of a link to it.
pub(super) fn number_of_path(text: &str) -> Option<u32> {
    let path = Path::new(text);
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let number = real.to_str()?.strip_prefix("/dev/video")?;
    number.parse().ok()
}

/// What a device offers, with exact rates.
pub(super) fn modes(number: u32) -> io::Result<Vec<Mode>> {
    let device = Device::with_path(format!("/dev/video{number}"))?;
    let capabilities = device.query_caps()?;
    if !capabilities.capabilities.contains(Flags::VIDEO_CAPTURE) {
        return Err(io::Error::other(
            "it takes pictures and gives none (`allaprima live --list` lists the cameras)",
        ));
    }
    let offered: Vec<_> = device.enum_formats()?;
    let mut modes = Vec::new();
    for layout in Layout::ALL {
        let code = fourcc(layout);
        if !offered.iter().any(|format| format.fourcc == code) {
            continue;
        }
        for size in device.enum_framesizes(code).unwrap_or_default() {
            let sizes = match size.size {
                FrameSizeEnum::Discrete(size) => vec![(size.width, size.height)],
                FrameSizeEnum::Stepwise(range) => [(640, 360), (640, 480), (1280, 720)]
                    .into_iter()
                    .filter(|&(width, height)| {
                        (range.min_width..=range.max_width).contains(&width)
                            && (range.min_height..=range.max_height).contains(&height)
                    })
                    .collect(),
            };
            for (width, height) in sizes {
                for rate_hz in rates(&device, code, width, height) {
                    modes.push(Mode {
                        layout,
                        width: width as usize,
                        height: height as usize,
                        rate_hz,
                    });
                }
            }
        }
    }
    Ok(modes)
}

/// The rates of a mode that nokhwa can stream: whole numbers.
fn rates(device: &Device, code: FourCC, width: u32, height: u32) -> Vec<f64> {
    let intervals = device
        .enum_frameintervals(code, width, height)
        .unwrap_or_default();
    let mut rates = Vec::new();
    for interval in intervals {
        match interval.interval {
            FrameIntervalEnum::Discrete(fraction) => {
                if fraction.numerator > 0 && fraction.denominator % fraction.numerator == 0 {
                    rates.push(f64::from(fraction.denominator / fraction.numerator));
                }
            }
            FrameIntervalEnum::Stepwise(range) => {
                let hz = |numerator: u32, denominator: u32| {
                    f64::from(denominator) / f64::from(numerator.max(1))
                };
                let slow = hz(range.max.numerator, range.max.denominator);
                let fast = hz(range.min.numerator, range.min.denominator);
                rates.extend(
                    [5.0, 10.0, 15.0, 20.0, 24.0, 25.0, 30.0, 60.0]
                        .into_iter()
                        .filter(|rate| (slow..=fast).contains(rate)),
                );
            }
        }
    }
    // Loopback devices name no rates at all.
    if rates.is_empty()
        && let Ok(parameters) = device.params()
        && parameters.interval.numerator > 0
    {
        let exact =
            f64::from(parameters.interval.denominator) / f64::from(parameters.interval.numerator);
        rates.push(exact.round());
    }
    rates
}

/// Brings the device to a mode.
pub(super) fn prepare(number: u32, mode: Mode) -> io::Result<()> {
    let device = Device::with_path(format!("/dev/video{number}"))?;
    let format = Format::new(mode.width as u32, mode.height as u32, fourcc(mode.layout));
    device.set_format(&format)?;
    device.set_params(&Parameters::with_fps(mode.rate_hz.round() as u32))?;
    Ok(())
}

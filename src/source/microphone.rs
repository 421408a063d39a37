//! Microphones: sound that is captured while pictures are, for recordings.
//!
//! FFmpeg's device library captures it (PulseAudio or ALSA on Linux, AVFoundation on macOS, DirectShow on Windows). The
//! clocks of sound card and camera have nothing in common, so each packet is dated on the clock that pictures are dated
//! on: a packet's first sample was taken one packet length before it arrived, and because arrivals are uneven while
//! samples are not, the dates follow the count of samples and are drawn towards the arrivals only slowly.

use std::time::{Duration, Instant};

use ffmpeg_next::{Error, Packet, codec::Parameters, format::context, media};

use crate::{
    media::{Track, TrackKind, device, sound},
    source::Ratio,
};

/// Sound and when it was taken.
#[derive(Clone)]
pub struct CapturedSound {
    /// The samples, coded as [`Microphone::track`] says. Its time stamps mean nothing.
    pub packet: Packet,
    /// When its first sample was taken.
    pub at: Instant,
}

/// An open microphone.
pub trait Microphone: Send {
    /// What its packets hold; the time base is a microsecond.
    fn track(&self) -> &Track;

    /// Waits for the next packet; `None` when none will ever follow.
    ///
    /// # Errors
    /// When it was pulled out or fails.
    fn next(&mut self) -> Result<Option<CapturedSound>, MicrophoneError>;
}

/// Why there is no sound.
#[derive(Debug, thiserror::Error)]
pub enum MicrophoneError {
    /// It cannot be opened.
    #[error("microphone {name} cannot be opened: {detail}; {hint}")]
    Open {
        /// What was asked for.
        name: String,
        /// What FFmpeg said.
        detail: String,
        /// What to try.
        hint: String,
    },
    /// It gave sound, and then failed.
    #[error("microphone {name} went away; recordings go on without sound")]
    Lost {
        /// What was asked for.
        name: String,
        /// What FFmpeg said.
        #[source]
        source: Error,
    },
}

/// The systems that are tried for a name without one, the best first.
const SYSTEMS: &[&str] = if cfg!(target_os = "macos") {
    &["avfoundation"]
} else if cfg!(target_os = "windows") {
    &["dshow"]
} else {
    &["pulse", "alsa"]
};

/// Opens a microphone: `default`, a device's name, or `SYSTEM:NAME` with one of FFmpeg's sound systems (`alsa:hw:1`).
///
/// # Errors
/// [`MicrophoneError::Open`].
pub fn open_microphone(wanted: &str) -> Result<Box<dyn Microphone>, MicrophoneError> {
    let built_in = device::sound_systems();
    let (systems, name) = match wanted.split_once(':') {
        Some((system, name)) if built_in.iter().any(|known| known == system) => {
            (vec![system], name)
        }
        _ => (SYSTEMS.to_vec(), wanted),
    };
    let mut failures = Vec::new();
    for system in systems {
        match open(system, name) {
            Ok((input, track)) => {
                let rate = sound::sample_rate(&track.parameters);
                return Ok(Box::new(DeviceMicrophone {
                    name: wanted.to_owned(),
                    input,
                    track,
                    rate: f64::from(rate.max(1)),
                    clock: SampleClock::default(),
                }));
            }
            Err(error) => failures.push(format!("{system}: {error}")),
        }
    }
    let known = microphones();
    Err(MicrophoneError::Open {
        name: wanted.to_owned(),
        detail: failures.join(", "),
        hint: if known.is_empty() {
            "no microphone is known; is one plugged in, and is a sound server running?".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        },
    })
}

/// The microphones that the sound systems name, as [`open_microphone`] takes them.
pub fn microphones() -> Vec<String> {
    SYSTEMS
        .iter()
        .flat_map(|system| {
            device::sources(system)
                .into_iter()
                .map(move |(name, description)| {
                    if description.is_empty() {
                        format!("{system}:{name}")
                    } else {
                        format!("{system}:{name} ({description})")
                    }
                })
        })
        .collect()
}

/// An input and what it holds.
fn open(system: &str, name: &str) -> Result<(context::Input, Track), Error> {
    let url = match system {
        // The part before the colon would be a camera.
        "avfoundation" => format!(":{name}"),
        "dshow" => format!("audio={name}"),
        _ => name.to_owned(),
    };
    let mut opened = device::open(system, &url, &[]);
    if opened.is_err() && system == "alsa" {
        // Devices without a converter in front have the channels that they have.
        opened = device::open(system, &url, &[("channels", "1")]);
    }
    let input = opened?;
    let parameters: Parameters = input
        .streams()
        .find(|stream| stream.parameters().medium() == media::Type::Audio)
        .ok_or(Error::StreamNotFound)?
        .parameters();
    let track = Track {
        kind: TrackKind::Audio,
        parameters,
        time_base: Ratio {
            num: 1,
            den: 1_000_000,
        },
        metadata: Vec::new(),
        disposition: 0,
        lead_in: 0,
    };
    Ok((input, track))
}

struct DeviceMicrophone {
    name: String,
    input: context::Input,
    track: Track,
    /// Samples per second.
    rate: f64,
    clock: SampleClock,
}

impl Microphone for DeviceMicrophone {
    fn track(&self) -> &Track {
        &self.track
    }

    fn next(&mut self) -> Result<Option<CapturedSound>, MicrophoneError> {
        let mut packet = Packet::empty();
        match packet.read(&mut self.input) {
            Ok(()) => {}
            Err(Error::Eof) => return Ok(None),
            Err(source) => {
                return Err(MicrophoneError::Lost {
                    name: self.name.clone(),
                    source,
                });
            }
        }
        let samples = sound::samples_in(&mut self.track.parameters, &packet);
        let length = Duration::from_secs_f64(f64::from(samples.max(0)) / self.rate);
        let at = self.clock.date(Instant::now(), length);
        Ok(Some(CapturedSound { packet, at }))
    }
}

/// Dates packets by the samples before them, and by when they arrive.
#[derive(Debug, Default)]
struct SampleClock {
    /// When the next packet's first sample is expected to be taken.
    next: Option<Instant>,
}

/// An arrival this far from what was expected is a gap in the sound, not unevenness.
const GAP: Duration = Duration::from_millis(250);
/// The part of the difference to the arrival that one packet corrects.
const PULL: f64 = 0.02;

impl SampleClock {
    /// When the first sample of a packet of this length was taken that arrives at `now`.
    fn date(&mut self, now: Instant, length: Duration) -> Instant {
        let seen = now.checked_sub(length).unwrap_or(now);
        let at = match self.next {
            Some(expected) if seen > expected => {
                let late = seen - expected;
                if late > GAP {
                    seen
                } else {
                    expected + late.mul_f64(PULL)
                }
            }
            Some(expected) => {
                let early = expected - seen;
                if early > GAP {
                    seen
                } else {
                    expected.checked_sub(early.mul_f64(PULL)).unwrap_or(seen)
                }
            }
            None => seen,
        };
        self.next = Some(at + length);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 20 ms whose arrival is uneven by up to 10 ms, from a card that runs 100 ppm fast, with a pause.
    #[test]
    fn sound_is_dated_evenly_and_does_not_drift() {
        let start = Instant::now();
        let length = Duration::from_millis(20);
        let mut clock = SampleClock::default();
        let mut taken = start;
        let mut last: Option<Instant> = None;
        let mut worst_step = 0.0_f64;
        let mut worst_error = 0.0_f64;
        for i in 0..60_000_u64 {
            let gap = i == 30_000;
            if gap {
                taken += Duration::from_secs(3);
            }
            let uneven = Duration::from_micros(i * 7919 % 10_000);
            let at = clock.date(taken + length + uneven, length);
            // The mean unevenness is 5 ms.
            let error = at.duration_since(start).as_secs_f64()
                - taken.duration_since(start).as_secs_f64()
                - 0.005;
            if let Some(last) = last
                && !gap
            {
                let step = at.duration_since(last).as_secs_f64() - 0.020;
                worst_step = worst_step.max(step.abs());
            }
            worst_error = worst_error.max(error.abs());
            last = Some(at);
            taken += Duration::from_nanos(19_998_000);
        }
        assert!(worst_step < 0.000_3, "{worst_step}");
        assert!(worst_error < 0.006, "{worst_error}");
    }

    #[test]
    fn a_microphone_that_is_not_there_says_what_there_is() {
        let error = open_microphone("alsa:no-such-microphone").err().unwrap();
        let text = error.to_string();
        assert!(text.contains("alsa:no-such-microphone"), "{text}");
        assert!(
            text.contains("is one plugged in") || text.contains("there are"),
            "{text}"
        );
    }
}

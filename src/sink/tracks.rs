//! What becomes of the tracks beside the pictures: copied as they are where the container takes them, encoded
//! anew where it takes only another coding, left out where it takes none.

use ffmpeg_next::{Error, Packet, Rational, Rescale, codec::Parameters};

use super::{
    container::{Container, lasting_tags},
    sound::{SoundTranscoder, can_be_opened},
};
use crate::media::{
    SourceDescription, Track, TrackKind,
    mux::{self, Muxer, StreamSettings, WriteError},
    sound::{self, NO_STAMP},
    words::WordsTranscoder,
};

/// One track of the output.
pub(super) enum OutputTrack {
    /// Packets go through unchanged but for their clock.
    Copied(Copied),
    /// Sound is decoded and encoded anew.
    Transcoded {
        /// The stream's number in the output.
        stream: usize,
        /// Samples by which its stamps are moved.
        delay: i64,
        /// Boxed: it is large, and most tracks are copied.
        transcoder: Box<SoundTranscoder>,
    },
    /// Subtitles are turned into another kind of text.
    Converted {
        /// The stream's number in the output.
        stream: usize,
        /// From packet to packet.
        transcoder: Box<WordsTranscoder>,
        /// Packets that could not be converted.
        broken: u64,
    },
    /// The container has no place for it.
    Left,
}

/// Sound that lies further before zero than this part of a second is no run-up of a decoder but cut away by an edit list,
/// which Matroska has not.
const LONGEST_LEAD_IN: i64 = 10;

/// Converted subtitles count in milliseconds.
const WORDS_TIME_BASE: Rational = Rational(1, 1000);

impl OutputTrack {
    /// Decides what becomes of a track, and adds its stream to the muxer. What is not simply copied is noted.
    ///
    /// # Errors
    /// When memory is short.
    pub(super) fn add(
        muxer: &mut Muxer,
        container: Container,
        track: &Track,
        notes: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let time_base = Rational::from(track.time_base);
        let tags = container.stream_tags(&track.metadata);
        let settings = |time_base| StreamSettings {
            time_base,
            frame_rate: None,
            metadata: &tags,
            disposition: track.disposition,
            tag: None,
        };
        let name = track.codec_name();
        let extension = container.extension();
        if track.kind == TrackKind::Audio && sound::sample_rate(&track.parameters) == 0 {
            notes.push(format!(
                "A track of sound ({name}) was left out: nothing of it was found where the film begins, so what it is is not known."
            ));
            return Ok(Self::Left);
        }
        if track.kind == TrackKind::Audio && !can_be_opened(track) {
            notes.push(format!(
                "A track of sound ({name}) was left out: its header is damaged, so nothing would open the film."
            ));
            return Ok(Self::Left);
        }
        if mux::takes(container.format(), &track.parameters, time_base) {
            let mut parameters = track.parameters.clone();
            let rate = sound::sample_rate(&parameters);
            let mut drops_cut = false;
            if rate > 0 && container.stores_codec_delay() {
                let lead_in = track.lead_in.rescale(time_base, Rational(1, rate));
                drops_cut = lead_in > i64::from(rate) / LONGEST_LEAD_IN;
                sound::set_lead_in(&mut parameters, if drops_cut { 0 } else { lead_in });
            }
            let stream = muxer.add_stream(&parameters, &settings(time_base))?;
            return Ok(Self::Copied(Copied {
                stream,
                delay: container.delay_to_add(&parameters),
                time_base,
                parameters,
                drops_cut,
                is_sound: track.kind == TrackKind::Audio,
                carried: NO_STAMP,
                next: None,
            }));
        }
        if track.kind == TrackKind::Subtitle {
            let Ok(transcoder) =
                WordsTranscoder::open(&track.parameters, time_base, container.words_encoder())
            else {
                notes.push(format!(
                    "A track of subtitles ({name}) was left out: {extension} does not take it, .mkv would."
                ));
                return Ok(Self::Left);
            };
            let parameters = mux::parameters_of(transcoder.encoder())?;
            notes.push(format!(
                "A track of subtitles was converted from {name} to {}: {extension} does not take it as it is.",
                parameters.id().name()
            ));
            let stream = muxer.add_stream(&parameters, &settings(WORDS_TIME_BASE))?;
            return Ok(Self::Converted {
                stream,
                transcoder: Box::new(transcoder),
                broken: 0,
            });
        }
        match Self::encode(muxer, container, track) {
            Ok((transcoded, codec)) => {
                notes.push(format!(
                    "A track of sound was encoded anew, from {name} to {codec}: {extension} does not take it as it is."
                ));
                Ok(transcoded)
            }
            Err(error) => {
                notes.push(format!(
                    "A track of sound ({name}) was left out: {extension} does not take it, and it could not be encoded anew ({error}); .mkv may take it."
                ));
                Ok(Self::Left)
            }
        }
    }

    /// Adds a stream for a track of sound that is encoded anew. Returns it and the codec's name.
    ///
    /// # Errors
    /// FFmpeg's, when there is no decoder or no encoder.
    pub(super) fn encode(
        muxer: &mut Muxer,
        container: Container,
        track: &Track,
    ) -> Result<(Self, &'static str), Error> {
        let transcoder = SoundTranscoder::open(
            track,
            container.sound_encoders(),
            muxer.wants_global_header(),
        )?;
        let parameters = transcoder.parameters()?;
        let stream = muxer.add_stream(
            &parameters,
            &StreamSettings {
                time_base: transcoder.time_base(),
                frame_rate: None,
                metadata: &container.stream_tags(&track.metadata),
                disposition: track.disposition,
                tag: None,
            },
        )?;
        let transcoded = Self::Transcoded {
            stream,
            delay: container.delay_to_add(&parameters),
            transcoder: Box::new(transcoder),
        };
        Ok((transcoded, parameters.id().name()))
    }

    /// Writes a packet (`None`: the track is at its end).
    ///
    /// # Errors
    /// The muxer's.
    pub(super) fn write(
        &mut self,
        muxer: &mut Muxer,
        packet: Option<Packet>,
    ) -> Result<(), WriteError> {
        match self {
            Self::Copied(copied) => match packet {
                Some(packet) => copied.write(muxer, packet),
                None => Ok(()),
            },
            Self::Transcoded {
                stream,
                delay,
                transcoder,
            } => {
                let from = transcoder.time_base();
                transcoder.push(packet.as_ref(), WriteError::Refused, |mut packet| {
                    packet.set_stream(*stream);
                    packet.set_pts(packet.pts().map(|pts| pts + *delay));
                    packet.set_dts(packet.dts().map(|dts| dts + *delay));
                    packet.rescale_ts(from, muxer.time_base(*stream));
                    muxer.write(&mut packet)
                })
            }
            Self::Converted {
                stream,
                transcoder,
                broken,
            } => {
                let Some(packet) = packet else {
                    return Ok(());
                };
                match transcoder.convert(&packet) {
                    Ok(Some(mut converted)) => {
                        converted.set_stream(*stream);
                        converted.rescale_ts(WORDS_TIME_BASE, muxer.time_base(*stream));
                        muxer.write(&mut converted)
                    }
                    Ok(None) => Ok(()),
                    Err(_) => {
                        *broken += 1;
                        Ok(())
                    }
                }
            }
            Self::Left => Ok(()),
        }
    }

    /// Packets of a converted track that could not be decoded.
    pub(super) fn broken(&self) -> u64 {
        match self {
            Self::Transcoded { transcoder, .. } => transcoder.broken,
            Self::Converted { broken, .. } => *broken,
            _ => 0,
        }
    }
}

/// A track whose packets go through unchanged but for their clock.
pub(super) struct Copied {
    stream: usize,
    /// Samples by which its stamps are moved.
    delay: i64,
    time_base: Rational,
    parameters: Parameters,
    /// Packets that the file's edit list cuts away are left out.
    drops_cut: bool,
    is_sound: bool,
    /// The carry of the sample-exact rescaling.
    carried: i64,
    /// The least decoding stamp that the next packet may have.
    next: Option<i64>,
}

impl Copied {
    /// Writes a packet.
    pub(super) fn write(
        &mut self,
        muxer: &mut Muxer,
        mut packet: Packet,
    ) -> Result<(), WriteError> {
        let is_cut = self.drops_cut && mux::is_hidden(&packet);
        if is_cut || mux::is_hollow(&packet) {
            return Ok(());
        }
        let to = muxer.time_base(self.stream);
        let stamp = packet.dts().or(packet.pts());
        let ahead = match (packet.pts(), packet.dts()) {
            (Some(pts), Some(dts)) => (pts - dts).rescale(self.time_base, to),
            _ => 0,
        };
        let rate = sound::sample_rate(&self.parameters);
        let mut duration = packet.duration().rescale(self.time_base, to);
        let mut dts = match stamp {
            Some(stamp) if self.is_sound && rate > 0 => {
                let mut samples = sound::samples_in(&mut self.parameters, &packet);
                if samples == 0 {
                    let given = packet.duration().rescale(self.time_base, Rational(1, rate));
                    samples = given.clamp(0, i64::from(i32::MAX)) as i32;
                }
                duration = i64::from(samples).rescale(Rational(1, rate), to);
                sound::rescale_sound(stamp, self.time_base, rate, samples, &mut self.carried, to)
                    + self.delay.rescale(Rational(1, rate), to)
            }
            Some(stamp) => stamp.rescale(self.time_base, to),
            None => self.next.unwrap_or(0),
        };
        if let Some(least) = self.next {
            dts = dts.max(least);
        }
        self.next = Some(dts + i64::from(!muxer.allows_equal_stamps()));
        packet.set_dts(Some(dts));
        packet.set_pts(Some(dts + ahead.max(0)));
        packet.set_duration(duration);
        packet.set_stream(self.stream);
        muxer.write(&mut packet)
    }
}

/// Copies tags and chapters of the whole file.
pub(super) fn add_container_tags(
    muxer: &mut Muxer,
    description: &SourceDescription,
) -> Result<(), Error> {
    muxer.set_tags(&lasting_tags(&description.metadata))?;
    for (number, chapter) in description.chapters.iter().enumerate() {
        let millis = |seconds: f64| (seconds * 1000.0).round() as i64;
        muxer.add_chapter(
            number + 1,
            millis(chapter.start),
            millis(chapter.end),
            &chapter.title,
        )?;
    }
    Ok(())
}

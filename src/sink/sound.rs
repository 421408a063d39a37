//! Sound that the container does not take as it is: decoded, and encoded as something that it takes.

use ffmpeg_next::{
    Codec, Error, Packet, Rational, Rescale, codec, codec::Parameters, decoder, encoder,
    error::EAGAIN, frame,
};

use crate::media::{
    Track, mux,
    sound::{self, SoundFormat, SoundGraph},
};

/// Bits per second for each channel: transparent for AAC, generous for Opus.
const BITS_PER_CHANNEL: i64 = 96_000;

/// Packets of one coding in, packets of another out.
pub(super) struct SoundTranscoder {
    decoder: decoder::Audio,
    encoder: encoder::audio::Encoder,
    time_base: Rational,
    /// What the encoder wants.
    wanted: SoundFormat,
    graph: Option<(SoundFormat, SoundGraph)>,
    decoded: frame::Audio,
    /// Packets that could not be decoded.
    pub(super) broken: u64,
}

impl SoundTranscoder {
    /// Opens a decoder for the track, and the first of the named encoders that can be opened: with the track's own
    /// channels, or else in stereo.
    ///
    /// # Errors
    /// FFmpeg's, when there is no decoder or no encoder.
    pub(super) fn open(
        track: &Track,
        encoders: &[&str],
        global_header: bool,
    ) -> Result<Self, Error> {
        let mut parameters = track.parameters.clone();
        let (channels, layout) = sound::channels(&mut parameters);
        let rate = sound::sample_rate(&parameters);
        let time_base = Rational::from(track.time_base);
        let mut context = codec::Context::from_parameters(parameters)?.decoder();
        context.set_packet_time_base(time_base);
        let decoder = context.audio()?;
        let mut failure = Error::EncoderNotFound;
        for found in encoders
            .iter()
            .filter_map(|name| encoder::find_by_name(name))
        {
            for (channels, layout) in layouts(channels, &layout) {
                let bit_rate = i64::from(channels.clamp(1, 6)) * BITS_PER_CHANNEL;
                match open_encoder(found, rate, layout, bit_rate, global_header) {
                    Ok((encoder, wanted)) => {
                        return Ok(Self {
                            decoder,
                            encoder,
                            time_base,
                            wanted,
                            graph: None,
                            decoded: frame::Audio::empty(),
                            broken: 0,
                        });
                    }
                    Err(error) => failure = error,
                }
            }
        }
        Err(failure)
    }

    /// What its packets are.
    ///
    /// # Errors
    /// When memory is short.
    pub(super) fn parameters(&self) -> Result<Parameters, Error> {
        mux::parameters_of(&self.encoder)
    }

    /// Seconds per unit of its packets' time stamps.
    pub(super) fn time_base(&self) -> Rational {
        Rational(1, self.wanted.rate)
    }

    /// Takes a packet (`None`: nothing follows) and hands what comes out to `write`.
    ///
    /// # Errors
    /// What `write` returns, and FFmpeg's through `fail`.
    pub(super) fn push<E>(
        &mut self,
        packet: Option<&Packet>,
        fail: impl Fn(Error) -> E,
        mut write: impl FnMut(Packet) -> Result<(), E>,
    ) -> Result<(), E> {
        let sent = match packet {
            Some(packet) => self.decoder.send_packet(packet),
            None => self.decoder.send_eof(),
        };
        self.broken += u64::from(sent.is_err());
        loop {
            match self.decoder.receive_frame(&mut self.decoded) {
                Ok(()) => {
                    self.convert().map_err(&fail)?;
                    self.encode(&fail, &mut write)?;
                }
                Err(Error::Eof | Error::Other { errno: EAGAIN }) => break,
                Err(_) => self.broken += 1,
            }
        }
        if packet.is_none() {
            self.end_graph(&fail, &mut write)?;
            self.encoder.send_eof().map_err(&fail)?;
            self.drain(&fail, &mut write)?;
        }
        Ok(())
    }

    /// Puts the frame in `decoded` into the graph, which is built anew when its format changed.
    fn convert(&mut self) -> Result<(), Error> {
        let pts = self.decoded.timestamp().or(self.decoded.pts());
        self.decoded.set_pts(pts);
        let format = sound::format_of(&mut self.decoded);
        if self.graph.as_ref().is_none_or(|(old, _)| *old != format) {
            let graph = SoundGraph::new(
                &format,
                self.time_base,
                &self.wanted,
                self.encoder.frame_size(),
            )?;
            self.graph = Some((format, graph));
        }
        match &mut self.graph {
            Some((_, graph)) => graph.push(&self.decoded),
            None => Ok(()),
        }
    }

    fn encode<E>(
        &mut self,
        fail: &impl Fn(Error) -> E,
        write: &mut impl FnMut(Packet) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((_, graph)) = &mut self.graph {
            let Some((mut frame, base)) = graph.pull().map_err(fail)? else {
                break;
            };
            let pts = frame.pts().map(|pts| pts.rescale(base, self.time_base()));
            frame.set_pts(pts);
            self.encoder.send_frame(&frame).map_err(fail)?;
            self.drain(fail, write)?;
        }
        Ok(())
    }

    fn end_graph<E>(
        &mut self,
        fail: &impl Fn(Error) -> E,
        write: &mut impl FnMut(Packet) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some((_, graph)) = &mut self.graph {
            graph.end().map_err(fail)?;
        }
        self.encode(fail, write)
    }

    fn drain<E>(
        &mut self,
        fail: &impl Fn(Error) -> E,
        write: &mut impl FnMut(Packet) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => write(packet)?,
                Err(Error::Eof | Error::Other { errno: EAGAIN }) => return Ok(()),
                Err(error) => return Err(fail(error)),
            }
        }
    }
}

/// Whether players can open the track's sound: where FFmpeg knows the codec, and its decoder refuses the track's header, most
/// refuse the whole file.
pub(super) fn can_be_opened(track: &Track) -> bool {
    if decoder::find(track.parameters.id()).is_none() {
        return true;
    }
    codec::Context::from_parameters(track.parameters.clone())
        .and_then(|context| context.decoder().audio())
        .is_ok()
}

/// Layouts to try, the best first, each with its number of channels. Loudspeakers beside the listener, as DVDs have them, are
/// the same to films as those behind, and only the latter have a number in every format.
fn layouts(channels: i32, own: &str) -> Vec<(i32, &str)> {
    let usual = match channels {
        3 => "3.0",
        4 => "quad",
        5 => "5.0",
        6 => "5.1",
        7 => "6.1",
        8 => "7.1",
        _ => own,
    };
    let mut layouts = vec![
        (channels, own),
        (channels, usual),
        (2, "stereo"),
        (1, "mono"),
    ];
    if own.ends_with("(side)") {
        layouts.swap(0, 1);
    }
    layouts
}

fn open_encoder(
    found: Codec,
    rate: i32,
    layout: &str,
    bit_rate: i64,
    global_header: bool,
) -> Result<(encoder::audio::Encoder, SoundFormat), Error> {
    let mut context = codec::Context::new_with_codec(found);
    let wanted = sound::set_up_encoder(&mut context, found, rate, layout, bit_rate)?;
    let mut audio = context.encoder().audio()?;
    if global_header {
        audio.set_flags(codec::Flags::GLOBAL_HEADER);
    }
    Ok((audio.open_as(found)?, wanted))
}

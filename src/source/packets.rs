//! The clock of a file's packets, before anything is decoded.
//!
//! Sound and pictures share one clock, and it must be mended for all of them at once, or they drift apart: where a
//! recording was glued behind another without being restamped, every track jumps back by the same amount, and the same
//! amount is added to all that follows. Formats with an absolute clock (MPEG-TS) may also jump ahead by hours.

use ffmpeg_next::{Packet, Rational, Rescale};

/// Mends the common clock of all tracks.
pub(super) struct PacketClock {
    /// The unit of `offset`: the time base of the video.
    unit: Rational,
    /// Ticks per second of that unit.
    second: i64,
    /// Added to every stamp.
    offset: i64,
    /// May the clock jump ahead?
    absolute: bool,
    /// Where the next packet of each stream is expected, in `unit`.
    expected: Vec<Option<i64>>,
    /// How often the clock jumped.
    pub(super) jumps: u64,
}

/// A jump ahead of an absolute clock by more seconds than this is closed (FFmpeg's own threshold).
const LONGEST_GAP_SECONDS: i64 = 10;

/// By so many pictures a time of decoding that FFmpeg has guessed may fall back and be no jump.
const REORDERED: i64 = 8;

impl PacketClock {
    pub(super) fn new(unit: Rational, absolute: bool) -> Self {
        let second = (1.0 / f64::from(unit)).round() as i64;
        Self {
            unit,
            second: second.max(1),
            offset: 0,
            absolute,
            expected: Vec::new(),
            jumps: 0,
        }
    }

    /// Restamps a packet of a sound or video stream in place.
    pub(super) fn mend(&mut self, packet: &mut Packet, time_base: Rational) {
        let stream = packet.stream();
        if self.expected.len() <= stream {
            self.expected.resize(stream + 1, None);
        }
        // Times of presentation go back and forth where pictures are reordered: Matroska's first packets have no others.
        if let Some(stamp) = packet.dts() {
            let mut at = stamp
                .rescale(time_base, self.unit)
                .saturating_add(self.offset);
            let duration = packet.duration().max(0).rescale(time_base, self.unit);
            if let Some(expected) = self.expected[stream] {
                // Of an absolute clock every packet has a stamp of its own.
                let reordered = if self.absolute {
                    0
                } else {
                    REORDERED * duration
                };
                let back = expected.saturating_sub(at) > (self.second / 2).max(reordered);
                let ahead = self.absolute
                    && self.is_far_behind(expected, at)
                    && !self.has_gone_on(stream, at);
                if back || ahead {
                    self.offset = self.offset.saturating_add(expected.saturating_sub(at));
                    self.jumps += 1;
                    at = expected;
                }
            }
            self.expected[stream] = Some(at.saturating_add(duration));
        }
        self.follow(packet, time_base);
    }

    fn is_far_behind(&self, expected: i64, at: i64) -> bool {
        at.saturating_sub(expected) > LONGEST_GAP_SECONDS * self.second
    }

    /// Whether another stream than `stream` has come to `at` by itself: then that one has paused, as a picture that stays.
    fn has_gone_on(&self, stream: usize, at: i64) -> bool {
        let others = self.expected.iter().enumerate();
        let mut others = others.filter(|(other, _)| *other != stream);
        others
            .any(|(_, expected)| expected.is_some_and(|at_there| !self.is_far_behind(at_there, at)))
    }

    /// Moves a packet of subtitles as sound and pictures are moved: their stamps come too seldom to tell a jump by.
    pub(super) fn follow(&self, packet: &mut Packet, time_base: Rational) {
        let offset = self.offset.rescale(self.unit, time_base);
        packet.set_pts(packet.pts().map(|pts| pts.saturating_add(offset)));
        packet.set_dts(packet.dts().map(|dts| dts.saturating_add(offset)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(stream: usize, dts: i64, duration: i64) -> Packet {
        let mut packet = Packet::empty();
        packet.set_stream(stream);
        packet.set_pts(Some(dts));
        packet.set_dts(Some(dts));
        packet.set_duration(duration);
        packet
    }

    #[test]
    fn both_tracks_are_moved_by_the_same_amount() {
        let unit = Rational(1, 100);
        let sound = Rational(1, 1000);
        let mut clock = PacketClock::new(unit, true);
        let mut mend = |stream, dts, duration, base| {
            let mut packet = packet(stream, dts, duration);
            clock.mend(&mut packet, base);
            packet.dts().unwrap()
        };
        assert_eq!(mend(0, 1000, 4, unit), 1000);
        assert_eq!(mend(1, 10_000, 40, sound), 10_000);
        // The second recording starts at 1 s: the video notices first, the sound follows.
        assert_eq!(mend(0, 100, 4, unit), 1004);
        assert_eq!(mend(1, 1010, 40, sound), 10_050);
        // Subtitles are moved as well, and tell no jump by their own gaps.
        let mut words = packet(2, 2000, 10);
        clock.follow(&mut words, sound);
        assert_eq!((words.dts(), clock.jumps), (Some(11_040), 1));
    }

    #[test]
    fn a_picture_that_stays_while_the_sound_goes_on_is_no_jump() {
        let unit = Rational(1, 100);
        let mut clock = PacketClock::new(unit, true);
        clock.mend(&mut packet(0, 0, 4), unit);
        for at in 0..15 {
            clock.mend(&mut packet(1, 100 * at, 100), unit);
        }
        let mut late = packet(0, 1500, 4);
        clock.mend(&mut late, unit);
        assert_eq!((late.dts(), clock.jumps), (Some(1500), 0));
    }

    #[test]
    fn pictures_in_another_order_tell_no_jump() {
        let unit = Rational(1, 100);
        let mut clock = PacketClock::new(unit, false);
        // One picture a second, the second to come shown six seconds later.
        for (dts, pts) in [(None, 0), (None, 600), (Some(300), 300), (Some(100), 100)] {
            let mut packet = packet(0, 0, 100);
            packet.set_pts(Some(pts));
            packet.set_dts(dts);
            clock.mend(&mut packet, unit);
            assert_eq!((packet.pts(), packet.dts()), (Some(pts), dts));
        }
        assert_eq!(clock.jumps, 0);
    }

    #[test]
    fn a_gap_stays_unless_the_clock_is_absolute() {
        let unit = Rational(1, 100);
        for (absolute, wanted) in [(false, 9000), (true, 4)] {
            let mut clock = PacketClock::new(unit, absolute);
            clock.mend(&mut packet(0, 0, 4), unit);
            let mut late = packet(0, 9000, 4);
            clock.mend(&mut late, unit);
            assert_eq!(late.dts(), Some(wanted));
        }
    }
}

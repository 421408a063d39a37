//! What was met on the way and the user should know, in full sentences.

use ffmpeg_next::Error;

use super::timeline::Timeline;

/// What was met on the way, for the notes.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) broken_packets: u64,
    pub(super) damaged_frames: u64,
    pub(super) read_error: Option<Error>,
    /// One of the numbered pictures is missing, and it was said.
    pub(super) gap: bool,
    pub(super) size_changes: u64,
    /// Pictures of another shape than the first have bars beside them.
    pub(super) bars: bool,
    pub(super) interlaced: bool,
    pub(super) alpha: bool,
    pub(super) hdr: Option<&'static str>,
    pub(super) wide_gamut: Option<&'static str>,
    /// Where the last wanted frame ends.
    pub(super) last_end: i64,
    /// A frame was met that lies behind the wanted part.
    pub(super) beyond_end: bool,
    /// The file was read to its end.
    pub(super) file_ended: bool,
    /// The seconds that the header promises and the seconds that came, when much is missing.
    pub(super) cut_off: Option<(f64, f64)>,
    pub(super) fixed: Vec<String>,
}

impl Seen {
    /// What was met on the way, in full sentences.
    pub(super) fn told(&self, timeline: &Timeline, clock_jumps: u64) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(transfer) = self.hdr {
            notes.push(format!(
                "The input is HDR ({transfer}); its colours were mapped to the range of an ordinary screen."
            ));
        }
        if let Some(name) = self.wide_gamut {
            notes.push(format!(
                "The input has the wide colours of {name}; they were mapped to BT.709."
            ));
        }
        if self.interlaced {
            notes.push(
                "The input is interlaced; each frame was deinterlaced, one picture per frame."
                    .to_owned(),
            );
        }
        if self.alpha {
            notes.push(
                "Parts of the input are transparent; they were painted as if over black."
                    .to_owned(),
            );
        }
        if self.size_changes > 0 {
            let bars = match self.bars {
                true => ", with black bars where their shape is another",
                false => "",
            };
            notes.push(format!(
                "The size or shape of the input's pictures changes {} in mid-stream; all pictures were scaled to the first size{bars}.",
                times(self.size_changes)
            ));
        }
        if self.broken_packets > 0 {
            notes.push(match self.broken_packets {
                1 => "One broken picture could not be decoded and was skipped.".to_owned(),
                count => format!("{count} broken pictures could not be decoded and were skipped."),
            });
        }
        if self.damaged_frames > 0 {
            notes.push(format!(
                "{} pictures of the input are damaged and were painted as the decoder mended them.",
                self.damaged_frames
            ));
        }
        if let Some((promised, came)) = self.cut_off {
            notes.push(format!(
                "The header of the input promises {promised:.1} s and only {came:.1} s are there; all that could be read was painted."
            ));
        }
        if let Some(error) = self.read_error.filter(|_| !self.gap) {
            notes.push(format!(
                "Reading ended early ({error}); what was read until then was painted."
            ));
        }
        if timeline.missing > 0 {
            notes.push(format!(
                "{} frames had no time stamp and were placed by the frame rate.",
                timeline.missing
            ));
        }
        if timeline.repaired > 0 {
            notes.push(format!(
                "{} frames had a repeated or falling time stamp and were moved by the least that makes it rise.",
                timeline.repaired
            ));
        }
        let jumps = timeline.jumps + clock_jumps;
        if jumps > 0 {
            notes.push(format!(
                "The clock of the input jumps {}; the parts were joined.",
                times(jumps)
            ));
        }
        notes
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        n => format!("{n} times"),
    }
}

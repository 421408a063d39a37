//! Where each frame stands in time.
//!
//! A file's own time stamps are kept: nothing is rounded, a variable frame rate stays variable. What cannot be kept is
//! repaired as little as possible and counted: a stamp that is missing is put one frame behind its predecessor, one that
//! does not rise is put one tick behind it, and after a large jump back (a clip that was glued behind another without
//! being restamped) the clock goes on from where it was.

/// Turns the time stamps that a decoder reports into ones that rise.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Ticks in which a frame of the average rate is shown; at least 1.
    step: i64,
    /// A jump back by this many ticks or more is a new beginning, not a wrong stamp.
    jump: i64,
    /// Added to what the decoder reports.
    offset: i64,
    last: Option<i64>,
    /// Stamps that had to be changed because they did not rise.
    pub(super) repaired: u64,
    /// Stamps that were missing.
    pub(super) missing: u64,
    /// Times that the clock jumped back.
    pub(super) jumps: u64,
}

impl Timeline {
    /// `step`: ticks per frame at the average rate; `ticks_per_second`: of the time base.
    pub(super) fn new(step: i64, ticks_per_second: f64) -> Self {
        Self {
            step: step.max(1),
            jump: (ticks_per_second as i64).max(2),
            offset: 0,
            last: None,
            repaired: 0,
            missing: 0,
            jumps: 0,
        }
    }

    /// Ticks per frame at the average rate.
    pub(super) fn step(&self) -> i64 {
        self.step
    }

    /// Moves the zero point: `ticks` are taken from every stamp that follows.
    pub(super) fn shift(&mut self, ticks: i64) {
        self.offset -= ticks;
    }

    /// The time stamp of the next frame, from what the decoder reports.
    pub(super) fn place(&mut self, reported: Option<i64>) -> i64 {
        let Some(last) = self.last else {
            self.missing += u64::from(reported.is_none());
            let first = reported.unwrap_or(0).saturating_add(self.offset);
            self.last = Some(first);
            return first;
        };
        let next = match reported.map(|pts| pts.saturating_add(self.offset)) {
            None => {
                self.missing += 1;
                last.saturating_add(self.step)
            }
            Some(pts) if pts > last => pts,
            Some(pts) if last.saturating_sub(pts) >= self.jump => {
                self.jumps += 1;
                let next = last.saturating_add(self.step);
                self.offset = self.offset.saturating_add(next.saturating_sub(pts));
                next
            }
            Some(_) => {
                self.repaired += 1;
                last.saturating_add(1)
            }
        };
        self.last = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_all(reported: &[Option<i64>]) -> (Vec<i64>, Timeline) {
        let mut timeline = Timeline::new(10, 100.0);
        let placed = reported.iter().map(|pts| timeline.place(*pts)).collect();
        (placed, timeline)
    }

    #[test]
    fn rising_stamps_are_kept() {
        let stamps = [Some(-5), Some(7), Some(8), Some(500)];
        let (placed, timeline) = place_all(&stamps);
        assert_eq!(placed, [-5, 7, 8, 500]);
        assert_eq!(
            (timeline.repaired, timeline.missing, timeline.jumps),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_missing_stamp_is_one_frame_behind() {
        let (placed, timeline) = place_all(&[None, None, Some(25), None]);
        assert_eq!(placed, [0, 10, 25, 35]);
        assert_eq!(timeline.missing, 3);
    }

    #[test]
    fn a_repeated_stamp_moves_one_tick_and_no_other_moves() {
        let (placed, timeline) = place_all(&[Some(0), Some(10), Some(10), Some(20)]);
        assert_eq!(placed, [0, 10, 11, 20]);
        assert_eq!(timeline.repaired, 1);
    }

    #[test]
    fn after_a_large_jump_back_the_clock_goes_on() {
        let (placed, timeline) = place_all(&[Some(0), Some(10), Some(200), Some(0), Some(10)]);
        assert_eq!(placed, [0, 10, 200, 210, 220]);
        assert_eq!((timeline.jumps, timeline.repaired), (1, 0));
    }
}

//! How long each stage worked on each frame, in constant memory.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Times of one stage: a histogram of work per frame (microseconds, three significant digits) and the sum of it.
#[derive(Debug)]
pub struct StageStats {
    histogram: Histogram<u32>,
    busy: Duration,
}

impl Default for StageStats {
    fn default() -> Self {
        // An hour a frame is out of any use; longer times are counted as an hour.
        let histogram =
            Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("bounds are valid constants");
        Self {
            histogram,
            busy: Duration::ZERO,
        }
    }
}

impl StageStats {
    /// Runs `work` and adds its time to the stage's busy time without counting a frame.
    pub fn busy<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.spend(started.elapsed());
        result
    }

    /// Adds `time` to the stage's busy time without counting a frame.
    pub fn spend(&mut self, time: Duration) {
        self.busy += time;
    }

    /// Runs `work` and counts it as one frame.
    pub fn time_frame<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.frame(started.elapsed());
        result
    }

    /// Adds one frame that took `time`; the time counts as busy.
    pub fn frame(&mut self, time: Duration) {
        self.busy += time;
        self.histogram
            .saturating_record(time.as_micros().try_into().unwrap_or(u64::MAX));
    }

    /// Frames counted so far.
    pub fn frames(&self) -> u64 {
        self.histogram.len()
    }

    /// What the times come to, `wall` being how long the pipeline ran.
    pub fn summary(&self, wall: Duration) -> StageSummary {
        let quantile = |q| self.histogram.value_at_quantile(q) as f64 / 1000.0;
        let busy = self.busy.as_secs_f64() / wall.as_secs_f64().max(1e-9);
        StageSummary {
            frames: self.histogram.len(),
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            busy,
        }
    }
}

/// Times of one stage over a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StageSummary {
    /// Frames that the stage worked on.
    #[serde(skip)]
    pub frames: u64,
    /// Median time per frame, in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile of the time per frame, in milliseconds.
    pub p95_ms: f64,
    /// Share of the run in which the stage worked, 0..1.
    pub busy: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_tail_of_known_times() {
        let mut stats = StageStats::default();
        for millis in 1..=100 {
            stats.frame(Duration::from_millis(millis));
        }
        let summary = stats.summary(Duration::from_millis(10_100));
        assert_eq!(summary.frames, 100);
        assert!((summary.p50_ms - 50.0).abs() < 0.1, "{summary:?}");
        assert!((summary.p95_ms - 95.0).abs() < 0.1, "{summary:?}");
        assert!((summary.busy - 0.5).abs() < 1e-3, "{summary:?}"); // 5.05 s of 10.1 s
    }

    #[test]
    fn a_stage_without_frames_has_zeros() {
        let summary = StageStats::default().summary(Duration::from_secs(1));
        assert_eq!(
            summary,
            StageSummary {
                frames: 0,
                p50_ms: 0.0,
                p95_ms: 0.0,
                busy: 0.0
            }
        );
    }
}

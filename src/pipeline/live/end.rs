//! The end of a session: all stages are waited for, with a limit, and what they came to becomes a report or a cause.

use std::{sync::atomic::Ordering, time::Instant};

use crossbeam_channel::Sender;

use super::{
    CAPTURE, FEED, LiveError, LiveReport, Notice, PAINT, PRESENT, RECORD,
    present::Present,
    record::Recorded,
    stages::{Painted, Tee},
};
use crate::pipeline::{Outcome, StageStats, stage::FreeStage};

impl Present<'_> {
    /// Ends all stages, waits for them with a limit, and finds out what it all came to.
    pub(super) fn shut_down(
        mut self,
        presented: Outcome<(), LiveError>,
        capture: FreeStage<StageStats, LiveError>,
        paint: FreeStage<Painted, LiveError>,
        watch: FreeStage<(), LiveError>,
        watch_done: &Sender<()>,
        tell: &mut dyn FnMut(&Notice),
    ) -> Result<LiveReport, LiveError> {
        let shared = self.shared.clone();
        // First the watch: the main thread has left its loop, not stalled.
        let _ = watch_done.try_send(());
        shared.stopping.store(true, Ordering::Relaxed);
        // A painter that works step by step looks at this after each of them.
        self.control.stop();
        let deadline = Instant::now() + self.config.shut_down;
        let wall = self.started.elapsed();
        // The window goes at once, whatever else takes its time.
        self.screen = None;
        // Until painting has ended its receiver must live, or painting would take it for a failure.
        let painted = paint.wait(deadline);
        let (not_recorded, unheard) = {
            let mut tee = shared.tee();
            let Tee {
                not_recorded,
                unheard,
                ..
            } = std::mem::take(&mut *tee);
            (not_recorded, unheard)
        };
        // What painting took is not theirs.
        let finished = Instant::now() + self.config.finish;
        let recordings: Vec<_> = std::mem::take(&mut self.recordings)
            .into_iter()
            .chain(self.recording.take().map(|recording| recording.stage))
            .map(|stage| stage.wait(finished))
            .collect();
        let deadline = Instant::now() + self.config.shut_down;
        for screenshot in std::mem::take(&mut self.screenshots) {
            self.saved(screenshot, deadline, tell);
        }
        let fed = self.feed.take().map(|stage| stage.wait(deadline));
        // Last, since it is the most likely to hang, and nothing waits for it.
        let captured = capture.wait(deadline);
        drop(watch);
        while let Ok(notice) = self.notices.try_recv() {
            tell(&notice);
        }

        let mut report = LiveReport {
            captured: shared.captured.load(Ordering::Relaxed),
            dropped: shared.dropped.load(Ordering::Relaxed),
            painted: shared.painted.load(Ordering::Relaxed),
            shown: self.shown,
            not_recorded,
            fed: self.fed.load(Ordering::Relaxed),
            wall,
            failures: std::mem::take(&mut self.failures),
            ..LiveReport::default()
        };
        if let (Some(first), Some(last)) = (self.first_shown, self.last_shown)
            && self.shown > 1
        {
            report.rate_hz = (self.shown - 1) as f64 / (last - first).as_secs_f64().max(1e-9);
        }
        let latency = self.latency.summary(wall);
        report.latency_ms = (latency.p50_ms, latency.p95_ms);
        report.latency_p95_ms_by_minute = std::mem::take(&mut self.latency_p95_ms_by_minute);

        let mut blame = Blame::default();
        match captured {
            Some(captured) => {
                if let Some(stats) = blame.take(CAPTURE, captured) {
                    report.stages.push((CAPTURE, stats.summary(wall)));
                }
            }
            // Only noted: its work is not wanted any more.
            None => report.notes.push(format!(
                "Stage {CAPTURE} hung at the end and was left behind."
            )),
        }
        let was_painting = painted.is_none();
        if let Some(painted) = painted.and_then(|painted| blame.take(PAINT, painted)) {
            report.stages.push((PAINT, painted.stats.summary(wall)));
            report.sizes = painted.sizes.into_iter().collect();
        }
        blame.take(PRESENT, presented);
        report.stages.push((PRESENT, self.stats.summary(wall)));
        if let Some(error) = blame.cause() {
            return Err(error);
        }
        self.report_outputs(&mut report, recordings, fed);
        if was_painting {
            report.notes.extend(unfinished_painting(&report));
        }
        if unheard > 0 {
            report.notes.push(format!(
                "{unheard} packets of sound were left out because recording was too slow."
            ));
        }
        Ok(report)
    }

    fn report_outputs(
        &self,
        report: &mut LiveReport,
        recordings: Vec<Option<Outcome<Recorded, LiveError>>>,
        fed: Option<Option<Outcome<StageStats, LiveError>>>,
    ) {
        let wall = report.wall;
        for recording in recordings {
            match recording {
                Some(Outcome::Finished(recorded)) => {
                    report.notes.extend(recorded.notes);
                    // Without a picture there is no file.
                    if recorded.stats.frames() > 0 {
                        report.recorded += recorded.stats.frames();
                        report.stages.push((RECORD, recorded.stats.summary(wall)));
                        report.recordings.push(recorded.path);
                    }
                }
                Some(outcome) => report.failures.extend(ended(RECORD, Some(outcome))),
                None => report.failures.push(LiveError::Stalled {
                    stage: RECORD,
                    seconds: self.config.finish.as_secs_f64(),
                    hint: "the disk or the processor does not keep up; the file, if there is one, holds what was written until then",
                }),
            }
        }
        if self.config.record && report.recordings.is_empty() && report.failures.is_empty() {
            report.failures.push(LiveError::NothingRecorded);
        }
        match fed {
            Some(Some(Outcome::Finished(stats))) => {
                report.stages.push((FEED, stats.summary(wall)));
            }
            Some(Some(outcome)) => report.failures.extend(ended(FEED, Some(outcome))),
            Some(None) => report.failures.push(LiveError::Stalled {
                stage: FEED,
                seconds: self.config.shut_down.as_secs_f64(),
                hint: "the video device takes no pictures",
            }),
            None => {}
        }
    }
}

/// The error of a stage that ended before it should.
pub(super) fn ended<T>(
    stage: &'static str,
    outcome: Option<Outcome<T, LiveError>>,
) -> Option<LiveError> {
    match outcome? {
        Outcome::Finished(_) => None,
        Outcome::Failed(error) => Some(error),
        Outcome::Panicked(message) => Some(LiveError::Panicked { stage, message }),
        Outcome::Disconnected => Some(LiveError::CutOff(stage)),
    }
}

/// What to say of a painting that was left behind at the end. Its stage hardly hangs: the first painting of a film takes
/// seconds with some painters, and a painter that hangs was reported before.
fn unfinished_painting(report: &LiveReport) -> Option<String> {
    let is_told = |failure: &LiveError| matches!(failure, LiveError::NothingRecorded);
    if report.painted > 0 {
        Some("The last painting was not complete when the session ended and was left out.".into())
    } else if report.failures.iter().any(is_told) {
        None
    } else {
        Some("Nothing was painted: the first painting was not complete when the session ended; give it more time, or a smaller --size.".into())
    }
}

/// Finds the stage that is most to blame; of equals the first, since what follows is a consequence.
#[derive(Default)]
struct Blame {
    worst: Option<(u8, LiveError)>,
}

impl Blame {
    /// What a stage finished with; of the others the blame is kept.
    fn take<T>(&mut self, stage: &'static str, outcome: Outcome<T, LiveError>) -> Option<T> {
        let rank = outcome.rank();
        let error = match outcome {
            Outcome::Finished(value) => return Some(value),
            Outcome::Failed(error) => error,
            Outcome::Panicked(message) => LiveError::Panicked { stage, message },
            Outcome::Disconnected => LiveError::CutOff(stage),
        };
        if self.worst.as_ref().is_none_or(|(worst, _)| rank > *worst) {
            self.worst = Some((rank, error));
        }
        None
    }

    fn cause(self) -> Option<LiveError> {
        self.worst.map(|(_, error)| error)
    }
}

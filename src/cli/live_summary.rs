//! What a live session came to, for people and for programs.

use std::{borrow::Cow, collections::BTreeMap};

use allaprima::pipeline::{StageSummary, live::LiveReport};
use serde::Serialize;

use super::{print, summary::peak_rss_mib, tally::Optimized};

/// The JSON summary of a session. `frames` is `shown`, as every command has it.
#[derive(Debug, Serialize)]
pub struct LiveSummary<'a> {
    frames: u64,
    seconds: f64,
    fps: f64,
    captured: u64,
    dropped: u64,
    painted: u64,
    shown: u64,
    recorded: u64,
    not_recorded: u64,
    virtual_camera_frames: u64,
    latency_ms: Latency<'a>,
    sizes: Vec<PaintedAt>,
    peak_rss_mib: Option<f64>,
    stages: BTreeMap<&'static str, StageSummary>,
    /// As text: names that are none are written as near as can be.
    recordings: Vec<Cow<'a, str>>,
    /// The style pack, a quality or a file; absent with `--engine optimize`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pack: Option<&'a str>,
    /// Absent with `--engine fast`.
    #[serde(skip_serializing_if = "Option::is_none")]
    optimized: Option<Optimized>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Latency<'a> {
    p50: f64,
    p95: f64,
    /// 95th percentile of each whole minute.
    p95_by_minute: &'a [f64],
}

#[derive(Debug, Serialize)]
struct PaintedAt {
    width: usize,
    height: usize,
    frames: u64,
}

impl<'a> LiveSummary<'a> {
    /// Of a session that painted with `pack`, or `optimized`.
    pub fn new(
        report: &'a LiveReport,
        pack: Option<&'a str>,
        optimized: Option<Optimized>,
    ) -> Self {
        let sizes = report
            .sizes
            .iter()
            .map(|&((width, height), frames)| PaintedAt {
                width,
                height,
                frames,
            })
            .collect();
        Self {
            frames: report.shown,
            seconds: report.wall.as_secs_f64(),
            fps: report.rate_hz,
            captured: report.captured,
            dropped: report.dropped,
            painted: report.painted,
            shown: report.shown,
            recorded: report.recorded,
            not_recorded: report.not_recorded,
            virtual_camera_frames: report.fed,
            latency_ms: Latency {
                p50: report.latency_ms.0,
                p95: report.latency_ms.1,
                p95_by_minute: &report.latency_p95_ms_by_minute,
            },
            sizes,
            peak_rss_mib: peak_rss_mib(),
            stages: report.stages.iter().copied().collect(),
            pack,
            optimized,
            recordings: report
                .recordings
                .iter()
                .map(|path| path.to_string_lossy())
                .collect(),
            notes: print::notes(),
        }
    }

    /// The sentence for a person.
    pub fn sentence(&self) -> String {
        if self.painted == 0 {
            return format!(
                "nothing was painted in {:.1} s, {} pictures came from the camera",
                self.seconds, self.captured
            );
        }
        let sizes: Vec<_> = self
            .sizes
            .iter()
            .map(|size| format!("{}x{}", size.width, size.height))
            .collect();
        format!(
            "{} frame{} in {:.1} s ({:.1} frames/s, {} dropped), latency {:.0} ms (95 % under {:.0} ms), painted at {}",
            self.shown,
            if self.shown == 1 { "" } else { "s" },
            self.seconds,
            self.fps,
            self.dropped,
            self.latency_ms.p50,
            self.latency_ms.p95,
            if sizes.is_empty() {
                "no size".into()
            } else {
                sizes.join(", ")
            }
        )
    }
}

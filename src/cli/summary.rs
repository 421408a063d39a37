//! What a run came to, for people and for programs.

use std::{borrow::Cow, collections::BTreeMap, fs, path::Path};

use allaprima::pipeline::{Report, StageSummary, Steadiness};
use serde::Serialize;

use super::{print, tally::Optimized};

/// The JSON summary of a run.
#[derive(Debug, Serialize)]
pub struct Summary<'a> {
    frames: u64,
    seconds: f64,
    fps: f64,
    dropped: u64,
    /// Frames that were not painted, but have the strokes of those before and behind.
    between: u64,
    peak_rss_mib: Option<f64>,
    stages: BTreeMap<&'static str, StageSummary>,
    /// Error along the motion of result and input; absent with `--steady off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    steadiness: Option<Steadiness>,
    /// As text: a name that is none is written as near as can be.
    output: Cow<'a, str>,
    /// The style pack, a quality or a file; absent where none of its styles is painted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pack: Option<&'a str>,
    /// Absent with `--engine fast`.
    #[serde(skip_serializing_if = "Option::is_none")]
    optimized: Option<Optimized>,
    stopped: bool,
    notes: Vec<String>,
}

impl<'a> Summary<'a> {
    /// Of the run that wrote `output`, with the styles of `pack`.
    pub fn new(report: &'a Report, output: &'a Path, pack: Option<&'a str>) -> Self {
        let seconds = report.wall.as_secs_f64();
        Self {
            frames: report.frames,
            seconds,
            fps: report.frames as f64 / seconds.max(1e-9),
            dropped: 0,
            between: report.between,
            peak_rss_mib: peak_rss_mib(),
            stages: report.stages.iter().copied().collect(),
            steadiness: report.steadiness,
            output: output.to_string_lossy(),
            pack,
            optimized: None,
            stopped: report.stopped,
            notes: print::notes(),
        }
    }

    /// The same with what the optimisation came to.
    pub fn with_optimized(mut self, optimized: Option<Optimized>) -> Self {
        self.optimized = optimized;
        self
    }

    /// The sentence for a person.
    pub fn sentence(&self) -> String {
        format!(
            "{} {} frame{} in {:.1} s ({:.*} frames/s) → {}",
            if self.stopped {
                "stopped after"
            } else {
                "painted"
            },
            self.frames,
            if self.frames == 1 { "" } else { "s" },
            self.seconds,
            // A slow painter's speed is no 0.
            if self.fps < 1.0 { 3 } else { 1 },
            self.fps,
            self.output
        )
    }
}

/// The most memory the program has held so far, in MiB, where the system says.
pub fn peak_rss_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_held_is_known() {
        let before = super::peak_rss_mib().unwrap();
        let block = vec![1u8; 64 << 20];
        assert!(block.iter().map(|&b| u64::from(b)).sum::<u64>() > 0);
        let after = super::peak_rss_mib().unwrap();
        assert!(after >= before && after >= 64.0, "{before} → {after} MiB");
    }
}

//! Which size to paint at so that the wanted frame rate is held.
//!
//! Sizes form a ladder. The painting goes a step down soon after frames take too long, and a step up only when there has
//! long been room for it; a step up that had to be taken back makes the next try wait twice as long. So the size
//! settles instead of swinging.

use std::time::{Duration, Instant};

/// Frames that are looked at before a step.
const WINDOW: usize = 12;
/// Share of a frame's time that painting may take. The rest is for capturing, showing and what else the machine does.
const FULL: f64 = 0.92;
/// Share of a frame's time that painting may take after a step up.
const ROOMY: f64 = 0.78;
/// How long there has to be room before the first step up.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest that a step up is put off.
const LONGEST_PATIENCE: Duration = Duration::from_secs(120);
/// A step up that is taken back within this time was a mistake.
const REGRET: Duration = Duration::from_secs(8);

/// Painting after which the size is judged, however few the pictures are.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Sides in pixels.
pub type Size = (usize, usize);

/// Chooses the size to paint at. See the module's text.
#[derive(Clone, Debug)]
pub struct Quality {
    ladder: Vec<Size>,
    level: usize,
    period: Duration,
    times: Vec<Duration>,
    /// Since when there has been room for the next larger size.
    roomy_since: Option<Instant>,
    patience: Duration,
    stepped_up: Option<Instant>,
}

impl Quality {
    /// `ladder` is in rising order and not empty; painting starts at the size nearest to `start` pixels. `period` is the
    /// time between two frames of the wanted rate.
    pub fn new(ladder: Vec<Size>, start: Size, period: Duration) -> Self {
        let pixels = |(width, height): Size| (width * height) as f64;
        let level = (0..ladder.len())
            .min_by(|&a, &b| {
                let off = |i: usize| (pixels(ladder[i]) / pixels(start)).ln().abs();
                off(a).total_cmp(&off(b))
            })
            .unwrap_or(0);
        Self {
            ladder,
            level,
            period,
            times: Vec::with_capacity(WINDOW),
            roomy_since: None,
            patience: PATIENCE,
            stepped_up: None,
        }
    }

    /// The size to paint at.
    pub fn size(&self) -> Size {
        self.ladder[self.level]
    }

    /// Learns that the last frame took `time` to paint. Returns whether [`Quality::size`] changed.
    pub fn observe(&mut self, time: Duration, now: Instant) -> bool {
        self.times.push(time);
        // Where each picture takes a second nobody should wait for twelve of them.
        let waited = self.times.iter().sum::<Duration>();
        if self.times.len() < WINDOW && (self.times.len() < 2 || waited < LONGEST_WAIT) {
            return false;
        }
        self.times.sort_unstable();
        // Two thirds of the frames: one hiccup of the machine is no reason, every third frame late is.
        let typical = self.times[self.times.len() * 2 / 3].as_secs_f64();
        self.times.clear();
        let period = self.period.as_secs_f64();
        if typical > FULL * period {
            self.roomy_since = None;
            return self.down(typical / period, now);
        }
        let Some(&larger) = self.ladder.get(self.level + 1) else {
            return false;
        };
        let growth = (larger.0 * larger.1) as f64 / (self.size().0 * self.size().1) as f64;
        if typical * growth > ROOMY * period {
            self.roomy_since = None;
            return false;
        }
        let since = *self.roomy_since.get_or_insert(now);
        if now.saturating_duration_since(since) < self.patience {
            return false;
        }
        self.roomy_since = None;
        self.level += 1;
        self.stepped_up = Some(now);
        true
    }

    fn down(&mut self, overload: f64, now: Instant) -> bool {
        if self.level == 0 {
            return false;
        }
        if self
            .stepped_up
            .take()
            .is_some_and(|up| now.saturating_duration_since(up) < REGRET)
        {
            self.patience = (self.patience * 2).min(LONGEST_PATIENCE);
        }
        // Far too slow: go at once to the size that fits, not through all between.
        let pixels = |level: usize| (self.ladder[level].0 * self.ladder[level].1) as f64;
        let fits = pixels(self.level) * ROOMY / overload;
        self.level = (0..self.level)
            .rev()
            .find(|&level| pixels(level) <= fits)
            .unwrap_or(0)
            .max(if overload < 1.5 { self.level - 1 } else { 0 });
        true
    }

    /// A step up or down by hand. Returns whether there was one.
    pub fn step(&mut self, up: bool) -> bool {
        let level = if up {
            (self.level + 1).min(self.ladder.len() - 1)
        } else {
            self.level.saturating_sub(1)
        };
        let changed = level != self.level;
        self.level = level;
        self.times.clear();
        self.roomy_since = None;
        self.stepped_up = None;
        changed
    }
}

/// Pixels under which hardly anything can be recognised in a painting.
pub const FEWEST: usize = 240 * 134;

/// Sizes to paint pictures of a camera at, in rising order, the camera's own the last, or one whose longest side has
/// `longest` pixels; only that last one may have fewer than `fewest` pixels, or else so few that nothing can be recognised
/// in a painting.
/// Sides are multiples of 4, which the networks like, and keep the aspect closely.
pub fn ladder(camera: Size, longest: usize, fewest: Option<usize>) -> Vec<Size> {
    const AREAS: [f64; 13] = [
        0.01, 0.0156, 0.025, 0.04, 0.0625, 0.09, 0.14, 0.19, 0.25, 0.36, 0.5, 0.7, 1.0,
    ];
    // Rounded sides may be a little under what was meant.
    let fewest = fewest.map_or(FEWEST, |fewest| fewest * 9 / 10);
    let shrink = (longest as f64 / camera.0.max(camera.1) as f64).min(1.0);
    let round = |side: f64| ((side / 4.0).round() as usize * 4).max(crate::stylize::MIN_SIDE);
    let scaled = |area: f64| {
        let scale = area.sqrt() * shrink;
        (
            round(camera.0 as f64 * scale),
            round(camera.1 as f64 * scale),
        )
    };
    let sizes = AREAS.iter().map(|area| scaled(*area));
    let mut sizes: Vec<Size> = sizes
        .filter(|&(width, height)| width * height >= fewest)
        .collect();
    if sizes.is_empty() {
        sizes.push(scaled(1.0));
    }
    if let Some(last) = sizes.last_mut()
        && last.0.abs_diff(camera.0) < 4
        && last.1.abs_diff(camera.1) < 4
    {
        *last = camera;
    }
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(33);

    /// Runs a machine that paints `pixels_per_ms`, frame by frame, for some seconds.
    fn run(quality: &mut Quality, now: &mut Instant, seconds: u64, pixels_per_ms: f64) -> u32 {
        let end = *now + Duration::from_secs(seconds);
        let mut changes = 0;
        while *now < end {
            let (width, height) = quality.size();
            let time = Duration::from_secs_f64((width * height) as f64 / pixels_per_ms / 1000.0);
            *now += time.max(PERIOD);
            changes += u32::from(quality.observe(time, *now));
        }
        changes
    }

    #[test]
    fn two_very_slow_pictures_are_enough() {
        let mut quality = Quality::new(ladder((640, 360), usize::MAX, None), (640, 360), PERIOD);
        let now = Instant::now();
        assert!(!quality.observe(Duration::from_millis(1100), now));
        assert!(quality.observe(Duration::from_millis(1100), now));
        assert!(quality.size().0 <= 256, "{:?}", quality.size());
    }

    #[test]
    fn it_goes_down_within_a_second_and_comes_back_slowly() {
        let mut quality = Quality::new(ladder((640, 360), usize::MAX, None), (640, 360), PERIOD);
        let mut now = Instant::now();
        assert_eq!(quality.size(), (640, 360));
        run(&mut quality, &mut now, 2, 10_000.0); // 23 ms: fits
        assert_eq!(quality.size(), (640, 360));
        run(&mut quality, &mut now, 2, 5_000.0); // 46 ms: does not
        let small = quality.size();
        assert!(
            small.0 < 640 && (small.0 * small.1) as f64 / 5_000.0 < 33.0,
            "{small:?}"
        );
        run(&mut quality, &mut now, 2, 20_000.0);
        assert_eq!(quality.size(), small, "two seconds of room are too few");
        run(&mut quality, &mut now, 20, 20_000.0);
        assert_eq!(quality.size(), (640, 360));
    }

    #[test]
    fn it_settles_instead_of_swinging() {
        // For every speed: a minute to settle, then it may try a larger size only rarely.
        for speed in 1..40 {
            let mut quality =
                Quality::new(ladder((1280, 720), usize::MAX, None), (640, 360), PERIOD);
            let mut now = Instant::now();
            run(&mut quality, &mut now, 60, f64::from(speed) * 1000.0);
            let changes = run(&mut quality, &mut now, 60, f64::from(speed) * 1000.0);
            assert!(changes <= 2, "{changes} changes at {speed}");
        }
    }

    #[test]
    fn one_hiccup_changes_nothing() {
        let mut quality = Quality::new(ladder((640, 360), usize::MAX, None), (640, 360), PERIOD);
        let now = Instant::now();
        for i in 0..200 {
            let time = if i % 12 == 3 { 300 } else { 20 };
            assert!(!quality.observe(Duration::from_millis(time), now));
        }
    }

    #[test]
    fn a_far_too_slow_machine_is_there_in_one_step() {
        let mut quality = Quality::new(ladder((1280, 720), usize::MAX, None), (1280, 720), PERIOD);
        let now = Instant::now();
        let changed = (0..WINDOW).any(|_| quality.observe(Duration::from_millis(330), now));
        assert!(changed);
        assert!(quality.size().0 <= 400, "{:?}", quality.size());
    }

    #[test]
    fn ladders_rise_and_keep_the_aspect() {
        for camera in [(640, 360), (640, 480), (1280, 720), (320, 180), (37, 33)] {
            let sizes = ladder(camera, usize::MAX, None);
            assert!(
                sizes
                    .windows(2)
                    .all(|pair| pair[0].0 * pair[0].1 < pair[1].0 * pair[1].1),
                "{sizes:?}"
            );
            assert_eq!(sizes.last(), Some(&camera));
        }
        assert_eq!(*ladder((3840, 2160), 960, None).last().unwrap(), (960, 540));
        assert_eq!(ladder((640, 360), 200, None), [(200, 112)]);
        assert_eq!(ladder((160, 90), usize::MAX, None), [(160, 90)]);
    }
}

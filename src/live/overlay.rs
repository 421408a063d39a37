//! What stands over the picture: the style's name, messages, the keys, the read-out.

use std::time::{Duration, Instant};

use super::{Canvas, Desk, HELP, Lettering, canvas::Rectangle};

const WHITE: u32 = 0xFF_FFFF;
const SOFT: u32 = 0xD8_D8D8;
const KEYS: u32 = 0xFF_D27A;
const RED: u32 = 0xFF_4040;
/// Letters are not made smaller than this, in pixels, to fit.
const SMALLEST: usize = 11;

/// Figures for the read-out.
#[derive(Clone, Debug, Default)]
pub struct Readout {
    /// Frames shown per second, of late.
    pub rate_hz: f64,
    /// Age of the frames when they were shown, of late.
    pub latency: Duration,
    /// The size painted at.
    pub size: (usize, usize),
    /// Frames dropped right after capture so far.
    pub dropped: u64,
    /// How long the recording is, if one runs.
    pub recording: Option<Duration>,
    /// What is wrong for as long as it is (no camera).
    pub trouble: Option<String>,
}

/// Draws everything over the picture on `canvas`.
pub fn draw(
    canvas: &mut Canvas,
    lettering: &mut Lettering,
    desk: &Desk,
    readout: &Readout,
    now: Instant,
) {
    // Letters grow with the window, within what can be read and what fits.
    let unit = (canvas.height() / 22)
        .min(canvas.width() / 24)
        .clamp(SMALLEST, 34);
    if let Some((name, opacity)) = desk.title(now) {
        // Names of files have no spaces.
        let name = name.replace('_', " ");
        let mut height = unit * 2;
        while height > SMALLEST && lettering.width(&name, height) > canvas.width() * 19 / 20 {
            height -= 1;
        }
        let width = lettering.width(&name, height);
        let left = (canvas.width() as i64 - width as i64) / 2;
        let top = canvas.height() as i64 - height as i64 * 3 / 2;
        for (dx, dy) in [(1, 1), (-1, 1), (1, -1), (-1, -1)] {
            lettering.write(canvas, &name, height, (left + dx, top + dy), 0, opacity);
        }
        lettering.write(canvas, &name, height, (left, top), WHITE, opacity);
    }
    let (right, bottom) = match desk.readout {
        true => figures(canvas, lettering, readout, unit),
        false => (0, 0),
    };
    let bottom = match readout.recording {
        Some(length) => recording_sign(canvas, lettering, length, unit, (right, bottom)),
        None => bottom,
    };
    if let Some(trouble) = &readout.trouble {
        banner(canvas, lettering, trouble, unit, RED);
    } else if let Some((text, opacity)) = desk.message(now) {
        line(canvas, lettering, text, unit, bottom, opacity);
    } else if desk.wanted().frozen {
        line(canvas, lettering, "frozen", unit, bottom, 255);
    }
    if desk.help {
        help(canvas, lettering);
    }
}

/// The figures in the upper left corner, in smaller letters or several lines where they do not fit. Returns the right and
/// the lower edge.
fn figures(
    canvas: &mut Canvas,
    lettering: &mut Lettering,
    readout: &Readout,
    mut unit: usize,
) -> (usize, usize) {
    let text = format!(
        "{:.1} frames/s · {:.0} ms · {}x{} · {} dropped",
        readout.rate_hz,
        readout.latency.as_secs_f64() * 1000.0,
        readout.size.0,
        readout.size.1,
        readout.dropped
    );
    while unit > SMALLEST && lettering.width(&text, unit) + unit > canvas.width() {
        unit -= 1;
    }
    let lines = broken(lettering, &text, unit, canvas.width().saturating_sub(unit));
    let widths = lines.iter().map(|line| lettering.width(line, unit));
    let width = widths.max().unwrap_or(0) + unit;
    let pitch = unit * 5 / 4;
    let height = pitch * lines.len() + unit / 4;
    canvas.shade(area(0, 0, width, height), 150);
    for (i, line) in lines.iter().enumerate() {
        let place = (unit as i64 / 2, (unit / 5 + i * pitch) as i64);
        lettering.write(canvas, line, unit, place, WHITE, 255);
    }
    (width, height)
}

/// The sign that a recording runs in the upper right corner, below the figures (which end at these edges) where there is
/// no room beside them. Returns the lower edge of both.
fn recording_sign(
    canvas: &mut Canvas,
    lettering: &mut Lettering,
    length: Duration,
    unit: usize,
    (right, bottom): (usize, usize),
) -> usize {
    let seconds = length.as_secs();
    // The built-in font has no dot; a square does.
    let text = format!(" REC {}:{:02}", seconds / 60, seconds % 60);
    let width = lettering.width(&text, unit);
    let left = canvas.width().saturating_sub(width + 2 * unit);
    let box_left = left.saturating_sub(unit);
    let box_width = canvas.width().saturating_sub(box_left + unit / 2);
    let box_top = unit / 2 - unit / 5 + if box_left < right { bottom } else { 0 };
    let box_height = unit * 7 / 5;
    canvas.shade(area(box_left, box_top, box_width, box_height), 170);
    let top = box_top + unit / 5;
    fill(
        canvas,
        left.saturating_sub(unit / 2),
        top + unit / 4,
        unit * 2 / 3,
        RED,
    );
    let place = ((left + unit / 2) as i64, top as i64);
    lettering.write(canvas, &text, unit, place, WHITE, 255);
    bottom.max(box_top + box_height)
}

fn area(left: usize, top: usize, width: usize, height: usize) -> Rectangle {
    Rectangle {
        left,
        top,
        width,
        height,
    }
}

/// The keys in a panel in the middle, as large as fits.
fn help(canvas: &mut Canvas, lettering: &mut Lettering) {
    let rows = HELP.len() + 1;
    let mut unit = (canvas.height() * 4 / 5 / (rows + 1)).clamp(8, 30);
    let widths = |lettering: &Lettering, unit: usize| {
        let widest = |texts: &mut dyn Iterator<Item = &'static str>| {
            texts.map(|text| lettering.width(text, unit)).max()
        };
        (
            widest(&mut HELP.iter().map(|(key, _)| *key)).unwrap_or(0),
            widest(&mut HELP.iter().map(|(_, does)| *does)).unwrap_or(0),
        )
    };
    let (mut keys, mut texts) = widths(lettering, unit);
    while unit > 8 && keys + texts + 3 * unit > canvas.width() {
        unit -= 1;
        (keys, texts) = widths(lettering, unit);
    }
    let pitch = unit * 6 / 5;
    let (width, height) = (keys + texts + 3 * unit, pitch * rows + unit / 2);
    let left = canvas.width().saturating_sub(width) / 2;
    let top = canvas.height().saturating_sub(height) / 2;
    canvas.shade(area(left, top, width, height), 190);
    for (i, (key, does)) in HELP.iter().enumerate() {
        let y = (top + unit / 2 + i * pitch) as i64;
        lettering.write(canvas, key, unit, ((left + unit) as i64, y), KEYS, 255);
        let x = (left + 2 * unit + keys) as i64;
        lettering.write(canvas, does, unit, (x, y), SOFT, 255);
    }
}

/// Lines that fit into a width; words that are wider themselves (paths) are cut.
fn broken(lettering: &Lettering, text: &str, unit: usize, room: usize) -> Vec<String> {
    let fits = |line: &str| lettering.width(line, unit) <= room;
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_whitespace() {
        let space = if line.is_empty() { "" } else { " " };
        let longer = format!("{line}{space}{word}");
        if fits(&longer) {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for letter in word.chars() {
            line.push(letter);
            if line.chars().count() > 1 && !fits(&line) {
                line.pop();
                lines.push(std::mem::replace(&mut line, letter.into()));
            }
        }
    }
    lines.push(line);
    lines
}

/// Lines near the top that fade, below what stands there down to `above`.
fn line(
    canvas: &mut Canvas,
    lettering: &mut Lettering,
    text: &str,
    unit: usize,
    above: usize,
    opacity: u8,
) {
    let lines = broken(lettering, text, unit, canvas.width().saturating_sub(unit));
    let widths: Vec<usize> = lines
        .iter()
        .map(|line| lettering.width(line, unit))
        .collect();
    let (pitch, top) = (unit * 5 / 4, above.max(unit * 2));
    let width = widths.iter().copied().max().unwrap_or(0) + unit;
    let left = canvas.width().saturating_sub(width) / 2;
    let height = pitch * lines.len() + unit / 4;
    let shade = (u32::from(opacity) * 150 / 255) as u8;
    canvas.shade(area(left, top, width, height), shade);
    for (i, (line, width)) in lines.iter().zip(widths).enumerate() {
        let left = canvas.width().saturating_sub(width) / 2;
        let place = (left as i64, (top + unit / 5 + i * pitch) as i64);
        lettering.write(canvas, line, unit, place, WHITE, opacity);
    }
}

/// Lines in the middle that stay.
fn banner(canvas: &mut Canvas, lettering: &mut Lettering, text: &str, unit: usize, colour: u32) {
    let lines = broken(
        lettering,
        text,
        unit,
        canvas.width().saturating_sub(2 * unit),
    );
    let pitch = unit * 5 / 4;
    let height = pitch * lines.len() + unit;
    let top = canvas.height().saturating_sub(height) / 2;
    let width = canvas.width();
    canvas.shade(area(0, top, width, height), 190);
    for (i, line) in lines.iter().enumerate() {
        let left = width.saturating_sub(lettering.width(line, unit)) / 2;
        let place = (left as i64, (top + unit / 2 + i * pitch) as i64);
        lettering.write(canvas, line, unit, place, colour, 255);
    }
}

fn fill(canvas: &mut Canvas, left: usize, top: usize, side: usize, colour: u32) {
    for y in top..top + side {
        for x in left..left + side {
            canvas.blend(x as i64, y as i64, colour, 255);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_into_lines_that_fit() {
        let lettering = Lettering::new().unwrap();
        let text = "the picture /a/very/long/path/that/fits/nowhere/at/all.png cannot be written";
        for room in [1, 40, 150, 5000] {
            let lines = broken(&lettering, text, 16, room);
            let fits = |line: &String| lettering.width(line, 16) <= room;
            assert!(
                lines
                    .iter()
                    .all(|line| fits(line) || line.chars().count() == 1)
            );
            let kept: String = lines.concat().split_whitespace().collect();
            assert_eq!(kept, text.split_whitespace().collect::<String>());
        }
        assert_eq!(broken(&lettering, text, 16, 5000).len(), 1);
    }

    #[test]
    fn figures_and_the_sign_of_a_recording_stand_side_by_side_or_one_below_the_other() {
        let mut lettering = Lettering::new().unwrap();
        let readout = Readout {
            size: (1280, 720),
            dropped: 1234,
            ..Readout::default()
        };
        for (width, height) in [(1280, 720), (640, 360), (320, 1400), (200, 800), (90, 500)] {
            let mut canvas = Canvas::default();
            canvas.resize(width, height);
            let unit = (height / 22).min(width / 24).clamp(SMALLEST, 34);
            let (right, bottom) = figures(&mut canvas, &mut lettering, &readout, unit);
            assert!(right <= width, "{width}x{height}: {right}");
            let figures = canvas.pixels().to_vec();
            let length = Duration::from_secs(700);
            let end = recording_sign(&mut canvas, &mut lettering, length, unit, (right, bottom));
            assert!(end > unit && end < height / 2, "{width}x{height}: {end}");
            // What was written stays.
            let written = figures.iter().zip(canvas.pixels());
            let changed = written.filter(|&(before, now)| *before != 0 && before != now);
            assert_eq!(changed.count(), 0, "{width}x{height}");
            assert!(figures != canvas.pixels());
        }
    }
}

//! A plot of a few curves, as SVG or as a picture.

use std::{fmt::Write as _, path::Path};

use ab_glyph::FontRef;
use allaprima::{frame::Picture, picture_file::writable_format};
use anyhow::{Context, Result, bail};

use super::sheet;

const WIDTH: usize = 900;
const HEIGHT: usize = 420;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const LETTERS: f32 = 15.0;

/// A line through points.
pub struct Curve {
    pub name: String,
    pub color: [u8; 3],
    pub points: Vec<(f64, f64)>,
}

/// Refuses a name of whose extension no plot is written.
pub fn check_format(path: &Path) -> Result<()> {
    if !is_svg(path) && writable_format(path).is_err() {
        bail!(
            "{} has no extension that a plot is written in: use .svg, .png, .jpg or .webp",
            path.display()
        );
    }
    Ok(())
}

fn is_svg(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("svg"))
}

/// Curves over one pair of axes; the upward one starts at 0.
pub struct Plot {
    pub title: String,
    pub across: String,
    pub up: String,
    pub curves: Vec<Curve>,
}

/// What a plot is drawn with, in pixels from the upper left corner.
enum Mark {
    Line {
        from: (f64, f64),
        to: (f64, f64),
        color: [u8; 3],
        width: f64,
    },
    /// Centred at the point, or beginning there.
    Text {
        at: (f64, f64),
        begins: bool,
        text: String,
        color: [u8; 3],
    },
}

const GRID: [u8; 3] = [225, 225, 225];
const INK: [u8; 3] = [30, 30, 30];

impl Plot {
    /// Writes an SVG or, by the extension, a picture.
    pub fn write(&self, path: &Path, overwrite: bool) -> Result<()> {
        if is_svg(path) {
            if path.exists() && !overwrite {
                bail!("{} exists: use --overwrite to replace it", path.display());
            }
            return std::fs::write(path, self.svg())
                .with_context(|| format!("cannot write {}", path.display()));
        }
        sheet::save(self.picture()?, path, overwrite)
    }

    fn marks(&self) -> Vec<Mark> {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let first = points().map(|p| p.0).fold(f64::INFINITY, f64::min).min(1e9);
        let last = points()
            .map(|p| p.0)
            .fold(f64::NEG_INFINITY, f64::max)
            .max(first + 1.0);
        let step_up = nice_step(points().map(|p| p.1).fold(1e-6, f64::max) / 5.0);
        let top = (points().map(|p| p.1).fold(1e-6, f64::max) / step_up).ceil() * step_up;
        let (width, height) = (WIDTH as f64, HEIGHT as f64);
        let place = |(x, y): (f64, f64)| {
            (
                LEFT + (x - first) / (last - first) * (width - LEFT - RIGHT),
                height - BOTTOM - y / top * (height - TOP - BOTTOM),
            )
        };
        let mut marks = Vec::new();
        let mut line = |from, to, color, width| {
            marks.push(Mark::Line {
                from,
                to,
                color,
                width,
            })
        };
        let mut labels = Vec::new();
        for i in 0..=(top / step_up).round() as usize {
            let value = i as f64 * step_up;
            line(place((first, value)), place((last, value)), GRID, 1.0);
            labels.push((
                (LEFT - 30.0, place((first, value)).1),
                format!("{value:.3}"),
            ));
        }
        let step = nice_step((last - first) / 10.0).max(1.0);
        let mut x = (first / step).ceil() * step;
        while x <= last {
            line(place((x, 0.0)), place((x, top)), GRID, 1.0);
            labels.push(((place((x, 0.0)).0, height - BOTTOM + 14.0), format!("{x}")));
            x += step;
        }
        for curve in &self.curves {
            for pair in curve.points.windows(2) {
                line(place(pair[0]), place(pair[1]), curve.color, 2.0);
            }
        }
        labels.push(((width / 2.0, height - 14.0), self.across.clone()));
        labels.push(((width / 2.0, 14.0), self.title.clone()));
        marks.extend(labels.into_iter().map(|(at, text)| Mark::Text {
            at,
            begins: false,
            text,
            color: INK,
        }));
        // Over the end of its axis.
        marks.push(Mark::Text {
            at: (LEFT, 31.0),
            begins: true,
            text: self.up.clone(),
            color: INK,
        });
        // A sample, a gap, the name in letters of about half their height, and a gap to the next.
        let room = |curve: &Curve| 42.0 + 7.5 * curve.name.chars().count() as f64;
        let mut left = width - RIGHT - self.curves.iter().map(room).sum::<f64>();
        for curve in &self.curves {
            // A picture has its texts in ink, which would not say which curve is which: a sample of each.
            marks.push(Mark::Line {
                from: (left, 31.0),
                to: (left + 16.0, 31.0),
                color: curve.color,
                width: 4.0,
            });
            marks.push(Mark::Text {
                at: (left + 22.0, 31.0),
                begins: true,
                text: curve.name.clone(),
                color: curve.color,
            });
            left += room(curve);
        }
        marks
    }

    fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"{LETTERS}\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        let hex = |[r, g, b]: [u8; 3]| format!("#{r:02x}{g:02x}{b:02x}");
        for mark in self.marks() {
            // Writing to a string cannot fail.
            let _ = match mark {
                Mark::Line {
                    from,
                    to,
                    color,
                    width,
                } => writeln!(
                    svg,
                    "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{}\" stroke-width=\"{width}\" stroke-linecap=\"round\"/>",
                    from.0,
                    from.1,
                    to.0,
                    to.1,
                    hex(color)
                ),
                Mark::Text {
                    at,
                    begins,
                    text,
                    color,
                } => writeln!(
                    svg,
                    "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{}\" fill=\"{}\">{}</text>",
                    at.0,
                    at.1 + 5.0,
                    if begins { "start" } else { "middle" },
                    hex(color),
                    text.replace('&', "&amp;").replace('<', "&lt;")
                ),
            };
        }
        svg + "</svg>\n"
    }

    fn picture(&self) -> Result<Picture> {
        let mut picture = Picture::new(WIDTH, HEIGHT, vec![255; WIDTH * HEIGHT * 3])?;
        let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT)?;
        for mark in self.marks() {
            match mark {
                Mark::Line {
                    from,
                    to,
                    color,
                    width,
                } => stroke(&mut picture, from, to, color, width),
                Mark::Text {
                    at, begins, text, ..
                } => {
                    let half = match begins {
                        true => f64::from(sheet::length(&font, &text, LETTERS)) / 2.0,
                        false => 0.0,
                    };
                    let middle = at.0 + half;
                    // The writer centres in a strip of 26 pixels.
                    let corner = (
                        (middle - 200.0).max(0.0) as usize,
                        (at.1 - 13.0).max(0.0) as usize,
                    );
                    let width = 2 * (middle as usize - corner.0);
                    sheet::write(&mut picture, &font, &text, corner, width, LETTERS);
                }
            }
        }
        Ok(picture)
    }
}

/// A line with soft edges: each pixel is covered by how near its centre is.
fn stroke(picture: &mut Picture, from: (f64, f64), to: (f64, f64), color: [u8; 3], width: f64) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length2 = (dx * dx + dy * dy).max(1e-9);
    let reach = width / 2.0 + 1.0;
    let range = |a: f64, b: f64, size: usize| {
        let low = (a.min(b) - reach).max(0.0) as usize;
        low..((a.max(b) + reach + 1.0).max(0.0) as usize).min(size)
    };
    let stride = picture.width();
    for y in range(from.1, to.1, picture.height()) {
        for x in range(from.0, to.0, stride) {
            let (px, py) = (x as f64 + 0.5 - from.0, y as f64 + 0.5 - from.1);
            let along = ((px * dx + py * dy) / length2).clamp(0.0, 1.0);
            let distance = (px - along * dx).hypot(py - along * dy);
            let coverage = (width / 2.0 + 0.5 - distance).clamp(0.0, 1.0);
            let at = (y * stride + x) * 3;
            for (value, ink) in picture.rgb_mut()[at..at + 3].iter_mut().zip(color) {
                *value = (f64::from(*value) + (f64::from(ink) - f64::from(*value)) * coverage)
                    .round() as u8;
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, not below `rough`.
fn nice_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_numbers() {
        for (rough, step) in [(0.013, 0.02), (1.0, 1.0), (3.0, 5.0), (0.7, 1.0)] {
            assert!((nice_step(rough) - step).abs() < 1e-9, "{rough}");
        }
    }

    #[test]
    fn the_formats_of_a_plot_are_named() {
        for name in ["a.svg", "a.SVG", "a.png", "a.jpg", "a.webp"] {
            assert!(check_format(Path::new(name)).is_ok(), "{name}");
        }
        for name in ["a.pdf", "a", ".svg"] {
            let error = check_format(Path::new(name)).unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains(".svg, .png"),
                "{error}"
            );
        }
    }

    #[test]
    fn both_kinds_of_plot_show_the_curves() {
        let plot = Plot {
            title: "a < b".into(),
            across: "frame".into(),
            up: "error".into(),
            curves: vec![Curve {
                name: "one".into(),
                color: [250, 0, 0],
                points: vec![(1.0, 0.1), (2.0, 0.3), (9.0, 0.0)],
            }],
        };
        let svg = plot.svg();
        assert!(svg.contains("#fa0000"), "{svg}");
        for text in ["a &lt; b", "error", "frame", "one"] {
            assert!(svg.contains(&format!(">{text}</text>")), "{text}: {svg}");
        }
        let picture = plot.picture().unwrap();
        let red = picture
            .rgb()
            .chunks_exact(3)
            .filter(|rgb| rgb == &[250, 0, 0])
            .count();
        assert!(red > 400, "{red} pixels of the curve");
    }
}

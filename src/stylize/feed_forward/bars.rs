//! Black bars above and below a picture, or beside it, which belong to the film's shape and not to what it shows.
//!
//! Painted, a bar is an even area of the style's colour whose edge bleeds into the picture. Bars are looked for where a scene
//! begins, as soon as it is light: a pair of them, about equally broad, black throughout; black on all four sides is more likely
//! a title, or a picture of the moon. What is written on a bar later (subtitles) stays as it is. Where the picture reaches into a bar, or a
//! few pictures in a row would have others, it is looked again.

use super::MIN_SIDE;
use crate::frame::Picture;

/// The largest value of a black pixel: decoded black with a little noise.
const BLACK: u8 = 20;
/// The same a few rows away from the picture, once a bar is known.
const STILL_BLACK: u8 = 40;
/// How much the values of a bar may differ: bars are made, and the dark in a night is not so even.
const EVEN: u8 = 10;
/// The share of values that may differ by more: a picture that was resized rings into its bars by a few rows.
const UNEVEN: f32 = 0.002;
/// A picture without such a value is too dark to tell bars from it.
const LIGHT: u8 = 96;
/// Pictures after which what they show is certain.
const LASTING: u32 = 5;
/// Rows next to the picture that it may spread into when it is compressed, and rows looked at behind them.
const RIM: [usize; 2] = [3, 2];
/// The least breadth of a bar, in pixels and as a share of the picture's side, and the most of both together.
const BREADTH: (usize, f32, f32) = (RIM[0] + RIM[1], 0.02, 0.7);
/// By how much the two may differ, as a share of the side.
const UNEQUAL: f32 = 0.02;
/// Black beside a picture, as a share of its width, from which black above and below it is no bar either: all of it surrounds a
/// title. A dark scene between bars is black to its sides too, seldom so far.
const SURROUNDED: f32 = 0.1;

/// The part of a picture that is no bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Part {
    /// A picture of this part.
    pub(super) fn cut(&self, picture: &Picture) -> Picture {
        let mut part = Picture::black(self.width, self.height);
        let lines = part.rgb_mut().chunks_exact_mut(self.width * 3);
        for (line, from) in lines.zip(self.lines(picture.width())) {
            line.copy_from_slice(&picture.rgb()[from]);
        }
        part
    }

    /// Puts a picture of this part into its place.
    pub(super) fn put(&self, part: &Picture, picture: &mut Picture) {
        let lines = part.rgb().chunks_exact(self.width * 3);
        for (line, to) in lines.zip(self.lines(picture.width())) {
            picture.rgb_mut()[to].copy_from_slice(line);
        }
    }

    /// Where its lines are among the values of a picture.
    fn lines(&self, width: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let Self { x, y, .. } = *self;
        let length = self.width;
        (y..y + self.height).map(move |y| {
            let first = (y * width + x) * 3;
            first..first + length * 3
        })
    }

    /// Whether what lies around it is of one black, but for where the picture spreads into it.
    fn is_in_even_bars(&self, picture: &Picture) -> bool {
        let (width, height) = (picture.width(), picture.height());
        let beyond = |at: usize| at.saturating_sub(RIM[0]);
        let (left, above) = (beyond(self.x), beyond(self.y));
        let right = (self.x + self.width + RIM[0]).min(width);
        let below = (self.y + self.height + RIM[0]).min(height);
        let around = [
            (0, 0, width, above),
            (0, below, width, height - below),
            (0, self.y, left, self.height),
            (right, self.y, width - right, self.height),
        ];
        let mut counts = [0_usize; 256];
        for (x, y, width, height) in around {
            let part = Self {
                x,
                y,
                width,
                height,
            };
            for line in part.lines(picture.width()) {
                for &value in &picture.rgb()[line] {
                    counts[usize::from(value)] += 1;
                }
            }
        }
        let least = counts.iter().position(|&count| count > 0).unwrap_or(0);
        let others: usize = counts.iter().skip(least + 1 + usize::from(EVEN)).sum();
        others as f32 <= UNEVEN * counts.iter().sum::<usize>() as f32
    }

    /// Whether the bars reach as far as they did, but for what is written across the edge of one of them.
    fn is_bordered(&self, picture: &Picture) -> bool {
        let (width, height) = (picture.width(), picture.height());
        let black = |x, y, width, height| {
            let part = Self {
                x,
                y,
                width,
                height,
            };
            part.lines(picture.width()).all(|line| {
                picture.rgb()[line]
                    .iter()
                    .all(|&value| value <= STILL_BLACK)
            })
        };
        let behind = RIM[0] + RIM[1];
        let rows = RIM[1];
        // Of both bars the rows next to the picture, and those at the edge of the frame.
        let (near, far) = if self.width == width {
            let below = self.y + self.height + RIM[0];
            let near = [self.y - behind, below].map(|y| black(0, y, width, rows));
            (near, [0, height - rows].map(|y| black(0, y, width, rows)))
        } else {
            let beside = self.x + self.width + RIM[0];
            let near = [self.x - behind, beside].map(|x| black(x, 0, rows, height));
            (near, [0, width - rows].map(|x| black(x, 0, rows, height)))
        };
        match near {
            [true, true] => true,
            [false, false] => false,
            _ => far == [true, true],
        }
    }
}

/// Finds bars, one picture after the other.
#[derive(Debug, Default)]
pub(super) struct Bars {
    size: (usize, usize),
    found: Option<Part>,
    /// Whether the scene has shown a picture that was light enough to tell.
    told: bool,
    /// For how many pictures `found` has held.
    held: u32,
    /// What other pictures of the scene would have, and how many in a row.
    other: (Option<Part>, u32),
}

impl Bars {
    /// The part of `picture` between its bars, if there are bars.
    pub(super) fn see(&mut self, picture: &Picture) -> Option<Part> {
        let size = (picture.width(), picture.height());
        if self.size != size {
            *self = Self {
                size,
                ..Self::default()
            };
        }
        let holds = self.found.is_some_and(|part| part.is_bordered(picture));
        if self.told && holds {
            self.held += 1;
            return self.found;
        }
        let between = between(picture);
        if !picture.rgb().iter().any(|&value| value >= LIGHT) {
            // Black on all sides, or nearly: too dark to tell.
            self.other = (None, 0);
            let inside = || between.or_else(|| inside(picture));
            return self.found.filter(|_| holds).or_else(inside);
        }
        let settled = self.told && self.found.is_none();
        self.other = match between {
            Some(part) if self.other.0 == Some(part) => (between, self.other.1 + 1),
            _ => (between, 1),
        };
        // What was there for long, and has letters on it now, is still there.
        let lasts = holds && self.held >= LASTING && between.is_none();
        if !(lasts || settled && self.other.1 < LASTING) {
            (self.found, self.held) = (between, 1);
        }
        self.told = true;
        self.found
    }

    /// Another scene begins: it may have bars, or others.
    pub(super) fn reset(&mut self) {
        self.told = false;
        self.other = (None, 0);
    }
}

/// Black rows above and below, and columns to the left and to the right.
fn black_around(picture: &Picture) -> [usize; 4] {
    let width = picture.width();
    let is_black = |values: &[u8]| values.iter().all(|&value| value <= BLACK);
    let lines = || picture.rgb().chunks_exact(width * 3);
    let above = lines().take_while(|line| is_black(line)).count();
    let below = lines().rev().take_while(|line| is_black(line)).count();
    let (mut left, mut right) = (width, width);
    for line in lines() {
        let pixels = || line.chunks_exact(3);
        left = pixels().take(left).take_while(|p| is_black(p)).count();
        right = pixels()
            .rev()
            .take(right)
            .take_while(|p| is_black(p))
            .count();
    }
    [above, below, left, right]
}

/// What is left of a dark picture without what is black on two sides, or all, equally far.
fn inside(picture: &Picture) -> Option<Part> {
    let [above, below, left, right] = black_around(picture);
    let bar = |a: usize, b: usize| Some(a.min(b)).filter(|&bar| bar >= BREADTH.0).unwrap_or(0);
    let (x, y) = (bar(left, right), bar(above, below));
    let (width, height) = (
        picture.width().saturating_sub(2 * x),
        picture.height().saturating_sub(2 * y),
    );
    let part = Part {
        x,
        y,
        width,
        height,
    };
    ((x, y) != (0, 0) && width.min(height) >= MIN_SIDE && part.is_in_even_bars(picture))
        .then_some(part)
}

/// What lies between a pair of bars.
fn between(picture: &Picture) -> Option<Part> {
    let (width, height) = (picture.width(), picture.height());
    let [above, below, left, right] = black_around(picture);
    let pair = |a: usize, b: usize, side: usize| {
        let share = |part: usize| part as f32 / side as f32;
        a.min(b) >= BREADTH.0
            && share(a.min(b)) >= BREADTH.1
            && share(a + b) <= BREADTH.2
            && (a.abs_diff(b) <= 2 || share(a.abs_diff(b)) <= UNEQUAL)
            && side - a - b >= MIN_SIDE
    };
    let beside = left.min(right);
    let surrounded = above.min(below) >= BREADTH.0
        && beside >= BREADTH.0
        && beside as f32 >= SURROUNDED * width as f32;
    if surrounded {
        return None;
    }
    let part = match (pair(above, below, height), pair(left, right, width)) {
        (true, false) if width >= MIN_SIDE => Part {
            x: 0,
            y: above,
            width,
            height: height - above - below,
        },
        (false, true) if height >= MIN_SIDE => Part {
            x: left,
            y: 0,
            width: width - left - right,
            height,
        },
        _ => return None,
    };
    part.is_in_even_bars(picture).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bright between bars of these breadths: above, below, left, right.
    fn barred([above, below, left, right]: [usize; 4]) -> Picture {
        let (width, height) = (160, 120);
        let mut picture = Picture::black(width, height);
        for y in above..height - below {
            for x in left..width - right {
                let at = (y * width + x) * 3;
                picture.rgb_mut()[at..at + 3].copy_from_slice(&[90, 120, (x + y) as u8]);
            }
        }
        picture
    }

    #[test]
    fn a_pair_of_bars_is_found_and_nothing_else() {
        let found = |bars| Bars::default().see(&barred(bars));
        let part = |x, y, width, height| {
            Some(Part {
                x,
                y,
                width,
                height,
            })
        };
        assert_eq!(found([20, 21, 0, 0]), part(0, 20, 160, 79));
        assert_eq!(found([0, 0, 40, 40]), part(40, 0, 80, 120));
        // What lies between is dark beside.
        assert_eq!(found([20, 20, 40, 8]), part(0, 20, 160, 80));
        for none in [
            [0, 0, 0, 0],
            [4, 4, 0, 0],
            [20, 0, 0, 0],
            [20, 30, 0, 0],
            [20, 20, 30, 30],
            [45, 45, 0, 0],
            // A title in the middle or elsewhere, a moon.
            [54, 54, 30, 30],
            [80, 20, 40, 41],
            [20, 20, 20, 60],
            [10, 50, 50, 50],
        ] {
            assert_eq!(found(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_part_comes_back_to_its_place() {
        let mut picture = barred([20, 20, 0, 0]);
        let whole = picture.clone();
        let part = Bars::default().see(&picture).unwrap();
        let cut = part.cut(&picture);
        assert_eq!((cut.width(), cut.height()), (160, 80));
        assert_eq!(cut.rgb(), &whole.rgb()[20 * 160 * 3..100 * 160 * 3]);
        picture.rgb_mut().fill(0);
        part.put(&cut, &mut picture);
        assert_eq!(picture.rgb(), whole.rgb());
    }

    /// The picture of these bars, darkened.
    fn faded(bars: [usize; 4], light: f32) -> Picture {
        let rgb = barred(bars)
            .rgb()
            .iter()
            .map(|&v| (f32::from(v) * light) as u8)
            .collect();
        Picture::new(160, 120, rgb).unwrap()
    }

    /// Letters in the middle of the lower bar.
    fn written(bars: [usize; 4]) -> Picture {
        let mut picture = barred(bars);
        picture.rgb_mut()[(110 * 160 + 60) * 3..][..30].fill(255);
        picture
    }

    const FILM: [usize; 4] = [20, 20, 0, 0];

    #[test]
    fn bars_outlast_subtitles_and_end_where_the_picture_reaches_into_them() {
        let mut bars = Bars::default();
        assert_eq!(bars.see(&Picture::black(160, 120)), None);
        let part = bars.see(&barred(FILM));
        assert!(part.is_some());
        for _ in 0..LASTING {
            assert_eq!(bars.see(&written(FILM)), part);
        }
        // Letters across the edge of the picture.
        let mut across = barred(FILM);
        for y in 96..108 {
            across.rgb_mut()[(y * 160 + 60) * 3..][..90].fill(255);
        }
        assert_eq!(bars.see(&across), part);
        bars.reset();
        assert_eq!(bars.see(&written(FILM)), part);
        assert_eq!(bars.see(&Picture::black(160, 120)), part);
        // The picture grows, and is small again.
        assert_eq!(bars.see(&barred([0; 4])), None);
        for _ in 1..LASTING {
            assert_eq!(bars.see(&barred(FILM)), None);
        }
        assert_eq!(bars.see(&barred(FILM)), part);
        // Another scene has other bars.
        bars.reset();
        assert_eq!(bars.see(&barred([30, 30, 0, 0])).unwrap().height, 60);
    }

    #[test]
    fn a_scene_that_fades_in_shows_its_bars_late() {
        let mut bars = Bars::default();
        for step in 0..=10 {
            let light = step as f32 / 10.0;
            let part = bars.see(&faded(FILM, light));
            assert!(part.is_some() || light < 0.2, "{light}");
        }
    }

    #[test]
    fn what_is_black_around_a_dark_picture_is_left_out() {
        let part = |x, y, width, height| {
            Some(Part {
                x,
                y,
                width,
                height,
            })
        };
        let dark = |bars| Bars::default().see(&faded(bars, 0.3));
        assert_eq!(dark([20, 30, 40, 35]), part(35, 20, 90, 80));
        assert_eq!(dark([0, 30, 0, 0]), None);
        assert_eq!(Bars::default().see(&barred([20, 30, 40, 35])), None);
    }

    #[test]
    fn nothing_is_known_from_a_single_picture_before() {
        let mut bars = Bars::default();
        assert!(bars.see(&barred(FILM)).is_some());
        bars.reset();
        assert_eq!(bars.see(&written(FILM)), None);
        // A subtitle that ends.
        for _ in 1..LASTING {
            assert_eq!(bars.see(&barred(FILM)), None);
        }
        assert!(bars.see(&barred(FILM)).is_some());
    }

    /// As films have them that were resized: what a decoder makes of 270 rows of *bunny* between bars.
    #[test]
    fn a_picture_that_rings_into_its_bars_has_bars_all_the_same() {
        let mut ringing = barred(FILM);
        let mut light = |row: usize, value: u8| {
            for (at, own) in ringing.rgb_mut()[row * 480..(row + 1) * 480]
                .iter_mut()
                .enumerate()
            {
                *own = if at % 3 == 0 { value } else { value / 2 };
            }
        };
        for (row, value) in [
            (17, 2),
            (18, 6),
            (19, 12),
            (100, 9),
            (101, 13),
            (102, 8),
            (103, 5),
        ] {
            light(row, value);
        }
        assert_eq!(Bars::default().see(&ringing).unwrap().height, 80);
    }

    #[test]
    fn the_dark_of_a_night_is_no_bar() {
        let mut night = barred(FILM);
        for (at, value) in night.rgb_mut()[..20 * 160 * 3].iter_mut().enumerate() {
            *value = (at % 19) as u8;
        }
        assert_eq!(Bars::default().see(&night), None);
    }
}

//! Where a film cuts to another scene.
//!
//! Strokes carried over a cut would smear one scene into the next, and a false cut shows as one frame of flicker. Three
//! cues must agree. *Flow consistency*: between unrelated pictures the two directions of the flow contradict each other
//! nearly everywhere. *Colours*: the histogram jumps. A flash jumps in its colours but flow, which looks at structure,
//! mostly follows it; a pan too fast for flow keeps its colours; a fade does neither from one frame to the next. *Layout*:
//! where a flash is so bright that flow fails too, light and dark still lie where they lay. A cut fails all three. Between an
//! even picture (black, white) and another flow finds nothing that contradicts it: there the colours decide, and a scene that
//! fades away ends when nothing of it is left.

use crate::frame::Picture;

/// Bins of each of R, G and B.
const BINS: usize = 8;

/// Pixels that are counted along the shorter side: one of four at 640×360, one of eight at 1280×720.
const COUNTED: usize = 90;

/// Consistency below which flow has failed. Cuts have 0.01 to 0.15, pans of up to a tenth of the picture 0.7 and more.
const CONSISTENT: f32 = 0.4;

/// Change of the histogram that is no jump in any film, and one that always is. Between them a jump is what exceeds
/// twice the usual: a pan of a fifth of the picture per frame recolours 0.2 all the time, a cut between two shots of
/// the same street 0.2 once.
const RECOLOURED: [f32; 2] = [0.12, 0.3];

/// Correlation of the layouts from which they are the same scene. In a film of 35 shots of twelve clips cuts had up to
/// 0.57, a flash that flow did not survive 0.94.
const ALIKE: f32 = 0.8;

/// The same where there is no motion to ask.
const ALIKE_ALONE: f32 = 0.5;

/// Deviation of the luma of a layout's cells, and of the pixels of each colour, under which a picture is even, of 255: a fine
/// pattern has cells that are all alike.
const EVEN: [f32; 2] = [1.0, 8.0];

/// Cells of a layout, across and down.
const CELLS: [usize; 2] = [32, 18];

/// Weight of the newest frame in what is usual.
const NEWEST: f32 = 0.4;

/// What two pictures of one scene and two of different scenes looked like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cues {
    /// Share of the pixels whose motion is consistent, 0..1, where there is a motion.
    pub consistency: Option<f32>,
    /// Share of the pixels that changed to another bin of the colour histogram, 0..1.
    pub recoloured: f32,
    /// What that share was of late.
    pub usual: f32,
    /// Correlation of the coarse distribution of light, −1..1.
    pub alike: f32,
    /// Whether each of the two is even.
    pub even: [bool; 2],
}

impl Cues {
    /// Whether a scene ends between the two pictures.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        let (jump, alike) = match self.consistency {
            Some(_) => {
                let jump = (2.0 * self.usual).clamp(RECOLOURED[0], RECOLOURED[1]);
                (jump, ALIKE)
            }
            // Colours and layout alone.
            None => (RECOLOURED[1], ALIKE_ALONE),
        };
        match self.even {
            [true, false] => return self.recoloured > RECOLOURED[1],
            [false, true] => return true,
            _ => {}
        }
        self.consistency.unwrap_or(0.0) < CONSISTENT && self.recoloured > jump && self.alike < alike
    }
}

/// Finds cuts, one picture after the other.
#[derive(Debug, Default)]
pub struct SceneCuts {
    before: Option<Seen>,
    usual: f32,
}

type Histogram = Box<[f32; BINS * BINS * BINS]>;

/// What is kept of a picture.
#[derive(Debug)]
struct Seen {
    histogram: Histogram,
    layout: Layout,
    is_even: bool,
}

/// Luma of each cell, less the mean of all.
type Layout = [f32; CELLS[0] * CELLS[1]];

impl SceneCuts {
    /// Whether `picture` starts another scene; `consistency` is the share of its pixels, 0..1, whose motion from the picture of
    /// the call before is consistent, if there is a motion; without one fewer cuts are found, those between scenes of other colours.
    pub fn push(&mut self, picture: &Picture, consistency: Option<f32>) -> bool {
        self.cues(picture, consistency)
            .is_some_and(|cues| cues.is_cut())
    }

    /// What [`SceneCuts::push`] decides by; `None` for a first picture.
    pub fn cues(&mut self, picture: &Picture, consistency: Option<f32>) -> Option<Cues> {
        let (histogram, is_varied) = histogram(picture);
        let layout = layout(picture);
        let is_even = !is_varied && is_even(&layout);
        let seen = Seen {
            histogram,
            layout,
            is_even,
        };
        let before = self.before.replace(seen)?;
        let now = self.before.as_ref()?;
        let recoloured = 0.5
            * before
                .histogram
                .iter()
                .zip(now.histogram.iter())
                .map(|(a, b)| (a - b).abs())
                .sum::<f32>();
        let cues = Cues {
            consistency,
            recoloured,
            usual: self.usual,
            alike: correlation(&before.layout, &now.layout),
            even: [before.is_even, now.is_even],
        };
        self.usual = if cues.is_cut() {
            0.0
        } else {
            self.usual + NEWEST * (recoloured - self.usual)
        };
        Some(cues)
    }

    /// Forgets the picture before.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Every how many pixels one is counted.
fn step(picture: &Picture) -> usize {
    (picture.width().min(picture.height()) / COUNTED).max(1)
}

/// Shares of the colours of a picture, smoothed over neighbouring bins so that a small change of light moves a colour
/// only partly to the next one; and whether the pixels of any colour differ by more than those of an even picture.
fn histogram(picture: &Picture) -> (Histogram, bool) {
    let (mut sums, mut squares) = ([0.0_f64; 3], [0.0_f64; 3]);
    let mut counts = Box::new([0.0_f32; BINS * BINS * BINS]);
    let row = picture.width() * 3;
    let mut pixels = 0.0;
    let step = step(picture);
    for line in picture.rgb().chunks_exact(row).step_by(step) {
        for rgb in line.chunks_exact(3).step_by(step) {
            for (channel, &value) in rgb.iter().enumerate() {
                let value = f64::from(value);
                sums[channel] += value;
                squares[channel] += value * value;
            }
            // Each channel is shared between the two bins whose centres surround it.
            let split = |value: u8| {
                let position = (f32::from(value) / 32.0 - 0.5).clamp(0.0, (BINS - 1) as f32);
                let low = (position as usize).min(BINS - 2);
                (low, position - low as f32)
            };
            let [(r, fr), (g, fg), (b, fb)] = [rgb[0], rgb[1], rgb[2]].map(split);
            for (dr, wr) in [(0, 1.0 - fr), (1, fr)] {
                for (dg, wg) in [(0, 1.0 - fg), (1, fg)] {
                    for (db, wb) in [(0, 1.0 - fb), (1, fb)] {
                        counts[((r + dr) * BINS + g + dg) * BINS + b + db] += wr * wg * wb;
                    }
                }
            }
            pixels += 1.0;
        }
    }
    for count in counts.iter_mut() {
        *count /= pixels;
    }
    let pixels = f64::from(pixels.max(1.0));
    let varied = sums.iter().zip(squares).any(|(sum, squares)| {
        let mean = sum / pixels;
        squares / pixels - mean * mean > f64::from(EVEN[1] * EVEN[1])
    });
    (counts, varied)
}

/// Mean luma of the cells of a picture, less the mean of all; a cell that no counted pixel falls into is 0.
fn layout(picture: &Picture) -> Layout {
    let (width, height) = (picture.width(), picture.height());
    let mut sums = [[0.0_f32; 2]; CELLS[0] * CELLS[1]];
    let lines = picture.rgb().chunks_exact(3 * width).enumerate();
    let step = step(picture);
    for (y, line) in lines.step_by(step) {
        let row = y * CELLS[1] / height * CELLS[0];
        for (x, rgb) in line.chunks_exact(3).enumerate().step_by(step) {
            let sum = &mut sums[row + x * CELLS[0] / width];
            sum[0] += f32::from(rgb[0]) + 2.0 * f32::from(rgb[1]) + f32::from(rgb[2]);
            sum[1] += 1.0;
        }
    }
    let counted = sums.iter().filter(|[_, count]| *count > 0.0);
    let (total, cells) = counted.fold((0.0, 0.0_f32), |(total, cells), [sum, count]| {
        (total + sum / count, cells + 1.0)
    });
    let mean = total / cells.max(1.0);
    sums.map(|[sum, count]| if count > 0.0 { sum / count - mean } else { 0.0 })
}

/// Correlation of two layouts, −1..1; 0 if one of them is even.
fn correlation(a: &Layout, b: &Layout) -> f32 {
    let product = |a: &Layout, b: &Layout| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let scale = (product(a, a) * product(b, b)).sqrt();
    if scale > 0.0 {
        product(a, b) / scale
    } else {
        0.0
    }
}

/// Whether light is the same everywhere.
fn is_even(layout: &Layout) -> bool {
    let squares = layout.iter().map(|light| light * light).sum::<f32>();
    // Luma counts four times in a layout.
    (squares / layout.len() as f32).sqrt() < 4.0 * EVEN[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::flow::{FlowEstimator, FlowPreset, FlowScale, FlowSettings, Luma, Motion};

    const SIZE: (usize, usize) = (192, 128);

    fn photo(name: &str) -> image::RgbImage {
        let path = format!("{}/samples/{name}", env!("CARGO_MANIFEST_DIR"));
        let image = image::open(path).unwrap().to_rgb8();
        // A large picture to move over.
        image::imageops::resize(&image, 640, 430, image::imageops::FilterType::Triangle)
    }

    /// What a camera at (`x`, `y`) sees, with `light` added.
    fn view(photo: &image::RgbImage, x: u32, y: u32, light: i32) -> Picture {
        let mut rgb = Vec::new();
        for row in 0..SIZE.1 as u32 {
            for column in 0..SIZE.0 as u32 {
                let pixel = photo.get_pixel((x + column).min(639), (y + row).min(429));
                rgb.extend(pixel.0.map(|v| (i32::from(v) + light).clamp(0, 255) as u8));
            }
        }
        Picture::new(SIZE.0, SIZE.1, rgb).unwrap()
    }

    /// A film of shots with pans, flashes and fades, and the numbers of the frames that start a shot.
    fn film() -> (Vec<Picture>, Vec<usize>) {
        let mut frames = Vec::new();
        let mut cuts = Vec::new();
        let names = [
            "coffee.jpg",
            "astronaut.jpg",
            "chelsea.png",
            "paintings/van_gogh_cafe_terrace_at_night.jpg",
            "paintings/van_gogh_harvest_at_la_crau.jpg",
            "paintings/van_gogh_church_at_auvers.jpg",
            "paintings/van_gogh_night_cafe.jpg",
        ];
        for (shot, name) in names.iter().enumerate() {
            let photo = photo(name);
            if shot > 0 {
                cuts.push(frames.len());
            }
            for t in 0..10_u32 {
                // Pans of 2, 8, 20 and 40 pixels a frame: a fifth of the picture.
                let speed = [2, 8, 20, 40][shot % 4];
                // A flash in the fifth frame of every second shot, a fade at the end of every third.
                let flash = if t == 5 && shot % 2 == 0 { 90 } else { 0 };
                let fade = if shot % 3 == 1 { -(t as i32) * 9 } else { 0 };
                frames.push(view(&photo, 20 + speed * t, 60 + t, flash + fade));
            }
        }
        (frames, cuts)
    }

    #[test]
    fn a_flash_that_flow_does_not_survive_is_no_cut() {
        let photo = photo("coffee.jpg");
        let pictures = [0, 130, 60, 0].map(|light| view(&photo, 40, 60, light));
        let lost = crate::temporal::flow::Flow {
            width: SIZE.0,
            height: SIZE.1,
            u: vec![0.0; SIZE.0 * SIZE.1],
            v: vec![0.0; SIZE.0 * SIZE.1],
        };
        let motion = Motion {
            backward: lost.clone(),
            forward: lost,
            consistent: vec![0; SIZE.0 * SIZE.1],
            boundary: vec![0; SIZE.0 * SIZE.1],
            confidence: vec![0.0; SIZE.0 * SIZE.1],
        };
        let mut cuts = SceneCuts::default();
        for (t, picture) in pictures.iter().enumerate() {
            let cues = cuts.cues(picture, Some(motion.consistency()));
            assert!(cues.is_none_or(|cues| !cues.is_cut()), "{t}: {cues:?}");
            assert!(t != 1 || cues.is_some_and(|cues| cues.recoloured > 0.3));
        }
    }

    #[test]
    fn a_fine_pattern_is_no_leader() {
        // Whose light tilts a little, now more, now less.
        let pattern = |tilt: f32| {
            let pixels = (0..SIZE.0 * SIZE.1).flat_map(|i| {
                let (x, y) = (i % SIZE.0, i / SIZE.0);
                let wave = if (x + y) % 6 < 3 { 50.0 } else { -50.0 };
                [(128.0 + wave + tilt * x as f32 / SIZE.0 as f32) as u8; 3]
            });
            Picture::new(SIZE.0, SIZE.1, pixels.collect()).unwrap()
        };
        let mut cuts = SceneCuts::default();
        for t in 0..20 {
            let tilt = if t % 2 == 0 { 6.0 } else { 1.0 };
            assert!(!cuts.push(&pattern(tilt), Some(0.9)), "{t}");
        }
    }

    #[test]
    fn without_motion_other_colours_are_another_scene_and_no_pan_is() {
        let (frames, cuts) = film();
        let mut found = SceneCuts::default();
        let seen = frames.iter().enumerate();
        let seen: Vec<usize> = seen
            .filter(|(_, picture)| found.push(picture, None))
            .map(|(t, _)| t)
            .collect();
        assert!(cuts.iter().all(|t| seen.contains(t)), "{seen:?}");
        // But for a flash in a pan of a tenth of the picture a frame.
        let others = seen.iter().filter(|t| !cuts.contains(t));
        assert!(others.clone().all(|t| [25, 26].contains(t)), "{seen:?}");
    }

    #[test]
    fn black_and_white_leaders_are_scenes_of_their_own() {
        let shot = view(&photo("coffee.jpg"), 40, 60, 0);
        let even = |value| Picture::new(SIZE.0, SIZE.1, vec![value; SIZE.0 * SIZE.1 * 3]).unwrap();
        let film = [
            even(0),
            even(0),
            shot.clone(),
            shot.clone(),
            even(0),
            shot.clone(),
            even(255),
            even(253),
            shot,
        ];
        let mut flow = FlowEstimator::new(FlowSettings {
            preset: FlowPreset::Medium,
            scale: FlowScale::Full,
            threads: 1,
        });
        let mut cuts = SceneCuts::default();
        let found: Vec<usize> = film
            .iter()
            .enumerate()
            .filter(|(_, picture)| {
                let motion = flow.push(&Luma::from_rgb(picture));
                cuts.push(picture, motion.map(|motion| motion.consistency()))
            })
            .map(|(t, _)| t)
            .collect();
        assert_eq!(found, [2, 4, 5, 6, 8]);
        // A scene that fades to black over 30 frames ends where it is black.
        let mut cuts = SceneCuts::default();
        let mut ended = 0;
        for t in 0..=30 {
            let rgb = film[2]
                .rgb()
                .iter()
                .map(|&v| (u32::from(v) * (30 - t) / 30) as u8);
            let faded = Picture::new(SIZE.0, SIZE.1, rgb.collect()).unwrap();
            let motion = flow.push(&Luma::from_rgb(&faded));
            let cues = cuts.cues(&faded, motion.map(|motion| motion.consistency()));
            let dark = cues.is_some_and(|cues| cues.even == [false, true]);
            assert_eq!(
                cues.is_some_and(|cues| cues.is_cut()),
                dark,
                "{t}: {cues:?}"
            );
            ended += u32::from(dark);
            assert!(!dark || t > 25, "{t}");
        }
        assert_eq!(ended, 1);
    }

    #[test]
    fn every_cut_is_found_and_no_pan_flash_or_fade_is_taken_for_one() {
        let (frames, cuts) = film();
        for (preset, scale) in [
            (FlowPreset::Medium, FlowScale::Full),
            (FlowPreset::Fast, FlowScale::Half),
        ] {
            let mut flow = FlowEstimator::new(FlowSettings {
                preset,
                scale,
                threads: 1,
            });
            let mut found = SceneCuts::default();
            let seen: Vec<Option<Cues>> = frames
                .iter()
                .map(|picture| {
                    let motion = flow.push(&Luma::from_rgb(picture));
                    found.cues(picture, motion.map(|motion| motion.consistency()))
                })
                .collect();
            for (t, cues) in seen.iter().enumerate() {
                let Some(cues) = cues else { continue };
                assert_eq!(
                    cues.is_cut(),
                    cuts.contains(&t),
                    "frame {t}, {preset:?} {scale:?}: {cues:?}"
                );
            }
        }
    }
}

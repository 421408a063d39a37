//! How far the history can be trusted, seen in the *input*: a painting cannot mislead it.
//!
//! Three things make a pixel's history useless: it was hidden, it comes from outside the picture, or the flow is wrong.
//! All but the second show in that the input there does not look like the input before, carried along the flow; where the
//! two directions of the flow contradict each other, far less of a difference is suffered. But the input may also differ because the scene's light changed; then the
//! strokes are where they were and only their brightness is old. The two are told apart by scale: light changes over
//! wide areas. The wide part of the difference makes the coarsest octave of the history follow the painting at once,
//! only the rest costs trust.
//!
//! All of it is done at half size, where noise is smaller and the work a quarter.

use rayon::prelude::*;

use super::grid::{CELL, Grid};
use crate::{
    kernels::vectorised,
    temporal::flow::{Luma, Motion},
};

/// Difference of the inputs that costs no trust yet, and the one that costs all of it, 0..255, where the two directions
/// of the flow agree. Between a film's noise (2 to 5 after smoothing) and two unrelated surfaces (40 and more; dark clothes
/// before a dark wall are nearer, and keep their strokes too long beyond 30).
const DOUBT: [f32; 2] = [8.0, 30.0];

/// The same where they contradict each other. Most such places are not uncovered but blurred, or too fast for flow, and
/// painted anew they would flicker in every frame; what looks the same as before may be what was there before.
const DOUBT_CONTRADICTED: [f32; 2] = [0.0, 1.5];

/// What was uncovered is painted beside what covered it, and changes as that goes on: until it has been seen for so many
/// frames, only so much of the history counts, all of it after as many as the second number.
const YOUNG: f32 = 0.75;
const RIPE: [f32; 2] = [12.0, 24.0];

/// Speeds between which a place counts from resting to moving, in pixels a frame. What moves is hardly ever seen for so long
/// without a doubt, and would flicker; there the next strokes hide what is left of old ones.
const AT_REST: [f32; 2] = [0.5, 1.5];

/// Trust under which a place counts as new.
const NEW: f32 = 0.5;

/// Change of the scene's light between two frames (0..255) of which one half is followed at once.
const LIGHT: f32 = 2.0;

/// Rounds of smoothing of the light: each round has a standard deviation of 0.7 cells of 16 pixels.
const LIGHT_ROUNDS: usize = 6;

/// Rows of a strip that one thread takes.
const STRIP: usize = CELL / 2;

/// Trust in the history, with what it needs to remember.
#[derive(Debug, Default)]
pub(super) struct Trust {
    width: usize,
    height: usize,
    current: Vec<f32>,
    previous: Vec<f32>,
    difference: Vec<f32>,
    weight: Vec<f32>,
    rows: Vec<Vec<f32>>,
    map: Vec<f32>,
    /// Frames for which what is there has been seen, up to the last of [`RIPE`]; now and before.
    age: [Vec<f32>; 2],
    light: Grid,
    light_weight: Grid,
}

impl Trust {
    /// Takes the half size of `width` by `height` pixels.
    pub(super) fn fit(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width.div_ceil(2), height.div_ceil(2));
        let area = self.width * self.height;
        for plane in [
            &mut self.current,
            &mut self.previous,
            &mut self.difference,
            &mut self.weight,
            &mut self.map,
        ] {
            plane.resize(area, 0.0);
        }
        self.age = [(); 2].map(|()| vec![RIPE[1]; area]);
        self.rows.resize(self.height.div_ceil(STRIP), Vec::new());
        for row in &mut self.rows {
            row.resize(2 * self.width + 2, 0.0);
        }
        self.light.fit(width, height);
        self.light_weight.fit(width, height);
    }

    /// Remembers an input.
    pub(super) fn see(&mut self, input: &Luma) {
        std::mem::swap(&mut self.current, &mut self.previous);
        let width = self.width;
        self.current
            .par_chunks_mut(width * STRIP)
            .enumerate()
            .for_each(|(strip, rows)| {
                halve(
                    &input.pixels,
                    input.width,
                    input.height,
                    strip * STRIP,
                    rows,
                );
            });
    }

    /// Trust (0..1, at half size) between the last two inputs seen, the second so many `pictures` after the first.
    pub(super) fn judge(&mut self, motion: &Motion, pictures: f32) -> &[f32] {
        let (width, height) = (self.width, self.height);
        let strip = width * STRIP;
        let previous = &self.previous;
        (
            self.difference.par_chunks_mut(strip),
            self.weight.par_chunks_mut(strip),
            self.current.par_chunks(strip),
            self.light.cells.par_chunks_mut(self.light.width),
            self.light_weight
                .cells
                .par_chunks_mut(self.light_weight.width),
        )
            .into_par_iter()
            .enumerate()
            .for_each(|(i, (difference, weight, current, light, light_weight))| {
                compare(
                    motion,
                    i * STRIP,
                    width,
                    height,
                    current,
                    previous,
                    difference,
                    weight,
                    light,
                    light_weight,
                );
            });
        for _ in 0..LIGHT_ROUNDS {
            self.light.smooth();
            self.light_weight.smooth();
        }
        for (light, weight) in self.light.cells.iter_mut().zip(&self.light_weight.cells) {
            *light /= weight + 1e-3;
        }
        let (difference, weight, light) = (&self.difference, &self.weight, &self.light);
        (self.map.par_chunks_mut(strip), self.rows.par_iter_mut())
            .into_par_iter()
            .enumerate()
            .for_each(|(i, (map, row))| {
                let (row, sums) = row.split_at_mut(width);
                doubt(
                    i * STRIP,
                    motion,
                    width,
                    height,
                    difference,
                    weight,
                    light,
                    map,
                    row,
                    sums,
                );
            });
        self.age.swap(0, 1);
        let [age, before] = &mut self.age;
        let before = &*before;
        (age.par_chunks_mut(strip), self.map.par_chunks_mut(strip))
            .into_par_iter()
            .enumerate()
            .for_each(|(i, (age, map))| {
                ripen(
                    i * STRIP,
                    motion,
                    [width, height],
                    pictures,
                    before,
                    age,
                    map,
                );
            });
        &self.map
    }

    /// What was seen last is where a film begins: nothing in it is new.
    pub(super) fn forget(&mut self) {
        self.age.iter_mut().for_each(|age| age.fill(RIPE[1]));
    }

    /// What [`Trust::judge`] found last.
    pub(super) fn map(&self) -> &[f32] {
        &self.map
    }

    /// The last two inputs seen, the earlier first, at half size.
    pub(super) fn inputs(&self) -> [&[f32]; 2] {
        [&self.previous, &self.current]
    }

    /// How far the light of the scene changed between the last two inputs, 0..255, averaged over the picture.
    pub(super) fn light(&self) -> f32 {
        let cells = &self.light.cells;
        cells.iter().map(|light| light.abs()).sum::<f32>() / cells.len() as f32
    }

    /// How much of the coarsest octave of the history gives way to the painting's, 0..1 per cell of 16 pixels.
    pub(super) fn follow(&self) -> impl Iterator<Item = f32> {
        self.light.cells.iter().map(|light| {
            let square = light * light;
            square / (square + LIGHT * LIGHT)
        })
    }
}

/// What was seen before, and where a pixel of row `y` comes from.
#[derive(Clone, Copy)]
struct Seen<'a> {
    /// Age before, `width` by `height`.
    before: &'a [f32],
    width: usize,
    height: usize,
    y: usize,
    /// Pictures since then, and what counts of a young place.
    pictures: f32,
    young: f32,
}

impl Seen<'_> {
    /// Carries the age of pixel `x`, which moved by (`u`, `v`) pixels of the full size; takes from its trust if it is young.
    #[inline(always)]
    fn ripen(self, x: usize, [u, v]: [f32; 2], age: &mut f32, trust: &mut f32) {
        let from = |place: usize, moved: f32, size: usize| {
            let nearest = place as i32 as f32 + 0.5 * moved + 0.5;
            let inside = nearest.max(0.0).min((size - 1) as f32);
            // SAFETY: between 0 and the size, and no NaN, which `max` has replaced.
            unsafe { inside.to_int_unchecked::<i32>() }
        };
        let at = from(self.y, v, self.height) * self.width as i32 + from(x, u, self.width);
        // SAFETY: both places are inside, and `before` has as many pixels as that (see the caller).
        let before = unsafe { *self.before.get_unchecked(at as usize) };
        *age = match *trust < NEW {
            true => 0.0,
            false => (before + self.pictures).min(RIPE[1]),
        };
        let ripe = ((*age - RIPE[0]) / (RIPE[1] - RIPE[0])).clamp(0.0, 1.0);
        let speed = (u * u + v * v).sqrt() / self.pictures;
        let moves = ((speed - AT_REST[0]) / (AT_REST[1] - AT_REST[0])).clamp(0.0, 1.0);
        *trust *= self.young + (1.0 - self.young) * ripe.max(moves);
    }
}

/// 1 up to a difference of `none`, 0 from `all` on.
#[inline(always)]
fn belief(off: f32, [none, all]: [f32; 2]) -> f32 {
    let rest = 1.0 - ((off - none) * (1.0 / (all - none))).clamp(0.0, 1.0);
    rest * rest * (3.0 - 2.0 * rest)
}

/// Trust where the input differs by `off`, as far as the two directions of the flow agree (`weight`).
#[inline(always)]
fn trusted(off: f32, weight: f32, inside: bool) -> f32 {
    let contradicted = (1.0 - weight) * belief(off, DOUBT_CONTRADICTED);
    weight * belief(off, DOUBT) + if inside { contradicted } else { 0.0 }
}

/// Places in the input before for a cell's row of pixels.
#[derive(Default)]
struct Looked {
    /// Index of the pixel left of and above the place.
    at: [i32; STRIP],
    /// How far the place is to the right of and below that pixel, 0..1.
    fraction: [[f32; STRIP]; 2],
}

impl Looked {
    /// The `k`th place is (`x`, `y`) of a plane of 2×2 pixels or more.
    #[inline(always)]
    fn place(&mut self, k: usize, [x, y]: [f32; 2], (width, height): (usize, usize)) {
        let (x, right) = before(x, width);
        let (y, down) = before(y, height);
        self.at[k] = y * width as i32 + x;
        (self.fraction[0][k], self.fraction[1][k]) = (right, down);
    }

    /// What `plane` shows at the first `count` places.
    #[inline(always)]
    fn read(&self, plane: &[f32], width: usize, count: usize) -> [f32; STRIP] {
        let mut found = [[0.0_f32; STRIP]; 4];
        for (k, at) in self.at[..count].iter().enumerate() {
            let at = *at as usize;
            let (above, below) = (&plane[at..at + 2], &plane[at + width..at + width + 2]);
            (found[0][k], found[1][k]) = (above[0], above[1]);
            (found[2][k], found[3][k]) = (below[0], below[1]);
        }
        let mut read = [0.0_f32; STRIP];
        for (k, read) in read.iter_mut().enumerate() {
            let [right, down] = [self.fraction[0][k], self.fraction[1][k]];
            let top = found[0][k] + right * (found[1][k] - found[0][k]);
            let bottom = found[2][k] + right * (found[3][k] - found[2][k]);
            *read = top + down * (bottom - top);
        }
        read
    }
}

/// As [`split`](crate::temporal::warp::split), in a form that becomes vectors: the checked conversion does not.
#[inline(always)]
fn before(position: f32, size: usize) -> (i32, f32) {
    let inside = position.max(0.0).min((size - 1) as f32);
    // SAFETY: between 0 and the size, and no NaN, which `max` has replaced.
    let before = unsafe { inside.to_int_unchecked::<i32>() }.min(size as i32 - 2);
    (before, inside - before as f32)
}

/// Places and weights of eight pixels from `x` of row `y`; the full size has their first 2×2 pixels at `rows`.
#[inline(always)]
fn look_up(
    motion: &Motion,
    rows: [usize; 2],
    (x, y): (usize, usize),
    size: (usize, usize),
    weight: &mut [f32; STRIP],
    looked: &mut Looked,
) {
    let [above, below] = rows;
    let (u, v) = (&motion.backward.u, &motion.backward.v);
    let (ua, ub) = (&u[above..][..2 * STRIP], &u[below..][..2 * STRIP]);
    let (va, vb) = (&v[above..][..2 * STRIP], &v[below..][..2 * STRIP]);
    let ca = &motion.consistent[above..][..2 * STRIP];
    let cb = &motion.consistent[below..][..2 * STRIP];
    for (k, weight) in weight.iter_mut().enumerate() {
        let (left, right) = (2 * k, 2 * k + 1);
        let u = (ua[left] + ua[right] + ub[left] + ub[right]) * 0.125;
        let v = (va[left] + va[right] + vb[left] + vb[right]) * 0.125;
        looked.place(k, [(x + k) as i32 as f32 + u, y as i32 as f32 + v], size);
        let consistent = i32::from(ca[left]) + i32::from(ca[right]);
        *weight = (consistent + i32::from(cb[left]) + i32::from(cb[right])) as f32 * 0.25;
    }
}

vectorised! {
    /// Carries the age of what is seen along the motion, and takes from the trust of what is young; for rows from `first`.
    fn ripen(first: usize, motion: &Motion, size: [usize; 2], pictures: f32, before: &[f32], age: &mut [f32], map: &mut [f32]) {
        let ([width, height], young) = (size, YOUNG.powf(pictures));
        assert!(before.len() == width * height && before.len() < i32::MAX as usize);
        let full = motion.backward.width;
        let rows = age.chunks_exact_mut(width).zip(map.chunks_exact_mut(width));
        for (i, (age, map)) in rows.enumerate() {
            let y = first + i;
            let seen = Seen { before, width, height, y, pictures, young };
            let (u, v) = (&motion.backward.u[2 * y * full..][..full], &motion.backward.v[2 * y * full..][..full]);
            let moved = u.as_chunks::<2>().0.iter().zip(v.as_chunks::<2>().0);
            for (x, ((age, trust), (u, v))) in age.iter_mut().zip(map.iter_mut()).zip(moved).enumerate() {
                seen.ripen(x, [u[0], v[0]], age, trust);
            }
            // Of an odd row the last pixel has no partner.
            if let (1, Some(age), Some(trust)) = (full % 2, age.last_mut(), map.last_mut()) {
                seen.ripen(width - 1, [u[full - 1], v[full - 1]], age, trust);
            }
        }
    }

    /// Rows of a picture at half size, from row `first`.
    fn halve(pixels: &[u8], width: usize, height: usize, first: usize, rows: &mut [f32]) {
        let narrow = width.div_ceil(2);
        for (i, row) in rows.chunks_exact_mut(narrow).enumerate() {
            let y = 2 * (first + i);
            let [a, b] = [y, (y + 1).min(height - 1)].map(|y| &pixels[y * width..][..width]);
            for ((out, a), b) in row.iter_mut().zip(a.chunks_exact(2)).zip(b.chunks_exact(2)) {
                *out = 0.25 * (f32::from(a[0]) + f32::from(a[1]) + f32::from(b[0]) + f32::from(b[1]));
            }
            if width % 2 == 1 {
                row[narrow - 1] = 0.5 * (f32::from(a[width - 1]) + f32::from(b[width - 1]));
            }
        }
    }

    /// The input's difference to the input before along the flow, and the share of consistent pixels, for one row of
    /// cells; per cell the sums of both.
    fn compare(motion: &Motion, first: usize, width: usize, height: usize, current: &[f32], previous: &[f32], difference: &mut [f32], weight: &mut [f32], light: &mut [f32], light_weight: &mut [f32]) {
        assert!(previous.len() == width * height && width > 1 && height > 1);
        let full = motion.backward.width;
        light.fill(0.0);
        light_weight.fill(0.0);
        for (i, current) in current.chunks_exact(width).enumerate() {
            let y = first + i;
            let (above, below) = (2 * y * full, (2 * y + 1).min(motion.backward.height - 1) * full);
            let row = i * width..(i + 1) * width;
            let cells = difference[row.clone()].chunks_mut(STRIP).zip(weight[row].chunks_mut(STRIP)).zip(current.chunks(STRIP));
            for (cell, ((difference, weight), current)) in cells.enumerate() {
                let left = STRIP * cell;
                let mut looked = Looked::default();
                // Eight pixels at once, but for a row's end.
                if let (Ok(weight), true) = (<&mut [f32; STRIP]>::try_from(&mut *weight), 2 * (left + STRIP) <= full) {
                    look_up(motion, [above + 2 * left, below + 2 * left], (left, y), (width, height), weight, &mut looked);
                } else {
                    for (k, weight) in weight.iter_mut().enumerate() {
                        let x = left + k;
                        let columns = [2 * x, (2 * x + 1).min(full - 1)];
                        let four = [above + columns[0], above + columns[1], below + columns[0], below + columns[1]];
                        let sum = |plane: &[f32]| four.iter().map(|&at| plane[at]).sum::<f32>();
                        looked.place(k, [x as f32 + 0.125 * sum(&motion.backward.u), y as f32 + 0.125 * sum(&motion.backward.v)], (width, height));
                        *weight = 0.25 * four.iter().map(|&at| f32::from(motion.consistent[at])).sum::<f32>();
                    }
                }
                let before = looked.read(previous, width, current.len());
                for (k, (difference, &now)) in difference.iter_mut().zip(current).enumerate() {
                    *difference = now - before[k];
                    light[cell] += weight[k] * *difference;
                    light_weight[cell] += weight[k];
                }
            }
        }
    }

    /// Trust in rows from `first`; `light_row` is scratch of one row, `sums` of two numbers more.
    fn doubt(first: usize, motion: &Motion, width: usize, height: usize, difference: &[f32], weight: &[f32], light: &Grid, trust: &mut [f32], light_row: &mut [f32], sums: &mut [f32]) {
        let full = motion.backward.width;
        let (right_edge, bottom_edge) = ((full - 1) as f32, (motion.backward.height - 1) as f32);
        for (i, trust) in trust.chunks_exact_mut(width).enumerate() {
            let y = first + i;
            light.row(y, STRIP, light_row);
            let row = |y: usize| &difference[y * width..][..width];
            let (above, here, below) = (row(y.saturating_sub(1)), row(y), row((y + 1).min(height - 1)));
            // Sums of the three rows, with the ends repeated.
            for (((sum, a), b), c) in sums[1..].iter_mut().zip(above).zip(here).zip(below) {
                *sum = a + 2.0 * b + c;
            }
            (sums[0], sums[width + 1]) = (sums[1], sums[width]);
            let (left, middle, right) = (&sums[..width], &sums[1..][..width], &sums[2..][..width]);
            let weight = &weight[y * width..][..width];
            let (u, v) = (&motion.backward.u[2 * y * full..][..full], &motion.backward.v[2 * y * full..][..full]);
            let sums = left.iter().zip(middle).zip(right).zip(&*light_row).zip(weight);
            let pairs = trust.iter_mut().zip(sums).zip(u.as_chunks::<2>().0.iter().zip(v.as_chunks::<2>().0));
            for (x, ((trust, ((((left, middle), right), light), weight)), (u, v))) in pairs.enumerate() {
                let off = ((left + 2.0 * middle + right) * 0.0625 - light).abs();
                let (px, py) = ((2 * x as i32) as f32 + u[0], (2 * y as i32) as f32 + v[0]);
                let inside = (px >= 0.0) & (px <= right_edge) & (py >= 0.0) & (py <= bottom_edge);
                *trust = trusted(off, *weight, inside);
            }
            // Of an odd row the last pixel has no partner.
            if let (1, Some(trust)) = (full % 2, trust.last_mut()) {
                let off = ((left[width - 1] + 2.0 * middle[width - 1] + right[width - 1]) * 0.0625 - light_row[width - 1]).abs();
                let (px, py) = (right_edge + u[full - 1], (2 * y as i32) as f32 + v[full - 1]);
                let inside = (px >= 0.0) & (px <= right_edge) & (py >= 0.0) & (py <= bottom_edge);
                *trust = trusted(off, weight[width - 1], inside);
            }
        }
    }
}

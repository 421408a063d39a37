//! Which pictures of a film need no painting.
//!
//! Those whose motion is understood: what the last painting has not seen of them may not be much ([`UNSEEN`]). And since what they
//! have not from there they have from the next painting, the picture behind has to be there before one is left out for
//! good. Then nothing of it may be missing on both sides, be it ever so small ([`PATCH`]), or it would be gone for a moment; and the light
//! may not have changed ([`LIGHT`]), or a flash would be seen before it comes.

use rayon::ThreadPool;

use super::{MIN_SIDE, SteadyError, between::pool, trust::Trust};
use crate::temporal::flow::{Found, Luma, Motion};

/// The most pictures between two paintings.
pub const MOST_BETWEEN: usize = 3;

/// Share of the pixels that the last painting has not seen, up to which a picture may be left out.
const UNSEEN: f32 = 0.05;

/// Change of the scene's light since the last painting (0..255, averaged over the picture) up to which a picture may be left
/// out: its painting has the light of the one before.
const LIGHT: f32 = 1.5;

/// Side of the squares in which is counted what is missing on both sides, in pixels of half the size, and how many of them make
/// a patch that is seen to be gone: a 22nd of the picture's height, two at least.
const SQUARE: usize = 4;
const PATCH: (usize, usize) = (2, 22);

/// Difference of luma (0..255) from which a place is not what its motion says.
const OTHER: f32 = 20.0;

/// Says which pictures need no painting.
pub struct LeavingOut {
    most: usize,
    pool: ThreadPool,
    trust: Trust,
    size: (usize, usize),
    /// Pictures that were left out since the last painting, and what it has not seen of them.
    count: usize,
    unseen: f32,
    light: f32,
    /// The same for each square of the last picture, and of the one that has come.
    squares: Vec<f32>,
    next_squares: Vec<f32>,
}

impl LeavingOut {
    /// At most so many pictures between two paintings, 1 to [`MOST_BETWEEN`].
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(most: usize, threads: usize) -> Result<Self, SteadyError> {
        Ok(Self {
            most: most.clamp(1, MOST_BETWEEN),
            pool: pool(threads)?,
            trust: Trust::default(),
            size: (0, 0),
            count: 0,
            unseen: 0.0,
            light: 0.0,
            squares: Vec::new(),
            next_squares: Vec::new(),
        })
    }

    /// Looks at the next picture, `motion` being that from the one before and `found` what is behind it. Whether the one before, if it
    /// was to be left out, has to be painted after all.
    pub fn see(&mut self, input: &Luma, motion: Option<&Motion>, found: Option<&Found>) -> bool {
        let size = (input.width, input.height);
        if size.0.min(size.1) < MIN_SIDE {
            return false;
        }
        if self.size != size {
            self.reset();
            self.size = size;
            self.trust.fit(size.0, size.1);
        }
        let motion = motion.filter(|motion| motion.backward.width == size.0);
        self.pool.install(|| {
            self.trust.see(input);
            self.trust.forget();
            if let Some(motion) = motion {
                self.trust.judge(motion, 1.0);
            }
        });
        let Some(found) = found.filter(|_| motion.is_some()) else {
            // Nothing leads on from the one before.
            let is_last = self.count > 0;
            self.restart();
            return is_last;
        };
        let (width, height) = (size.0.div_ceil(2), size.1.div_ceil(2));
        let map = self.trust.map();
        let before = squares((width, height), |x, y| 1.0 - map[y * width + x]);
        self.unseen += 1.0 - map.iter().sum::<f32>() / map.len() as f32;
        self.light += self.trust.light();
        let columns = width.div_ceil(SQUARE);
        let mut paint = false;
        if self.count > 0 {
            let behind = self.unseen_behind(found);
            let both = self.squares.iter().zip(&behind).map(|(a, b)| a.min(*b));
            paint = self.light > LIGHT || has_patch(&both.collect::<Vec<_>>(), columns);
        }
        if paint || self.count == 0 {
            // What follows, follows on that one.
            self.next_squares = before;
            self.count = 0;
        } else {
            // What was missing is missing still, wherever it has gone.
            let spread = spread(&self.squares, columns);
            let sums = spread.iter().zip(&before).map(|(a, b)| (a + b).min(1.0));
            self.next_squares = sums.collect();
        }
        if paint {
            self.unseen = 1.0 - map.iter().sum::<f32>() / map.len() as f32;
            self.light = self.trust.light();
        }
        paint
    }

    /// Whether the picture that was looked at may be left out, as long as one comes behind it; it is `resting` where nothing but the
    /// motion matters. Where it may not it is to be painted, and the next ones follow on it.
    pub fn may_leave_out(&mut self, resting: bool) -> bool {
        let known = !self.next_squares.is_empty();
        let little = self.unseen <= UNSEEN && self.light <= LIGHT;
        if !(resting && known && little && self.count < self.most) {
            self.restart();
            return false;
        }
        self.count += 1;
        std::mem::swap(&mut self.squares, &mut self.next_squares);
        true
    }

    /// What comes next follows on nothing.
    pub fn reset(&mut self) {
        self.size = (0, 0);
        self.restart();
    }

    fn restart(&mut self) {
        (self.count, self.unseen, self.light) = (0, 0.0, 0.0);
        self.squares.clear();
        self.next_squares.clear();
    }

    /// The share of each square of the picture before that is not seen in this one.
    fn unseen_behind(&self, found: &Found) -> Vec<f32> {
        let [back, onwards] = found.directions();
        let (level, [earlier, later]) = (found.level(), self.trust.inputs());
        let (width, height) = (self.size.0.div_ceil(2), self.size.1.div_ceil(2));
        let [to_level, to_half] = [level.0 as f32 / width as f32, width as f32 / level.0 as f32];
        let nearest = |position: f32, size: usize| (position.max(0.0) as usize).min(size - 1);
        let at_level = |x: f32, y: f32| {
            nearest(y * to_level, level.1) * level.0 + nearest(x * to_level, level.0)
        };
        squares((width, height), |x, y| {
            let at = at_level(x as f32, y as f32);
            let [u, v] = [0, 1].map(|axis| to_half * onwards[axis][at]);
            let (to_x, to_y) = (x as f32 + u, y as f32 + v);
            let inside = to_x > -0.5
                && to_y > -0.5
                && to_x < width as f32 - 0.5
                && to_y < height as f32 - 0.5;
            if !inside {
                return 1.0;
            }
            let there = at_level(to_x, to_y);
            let [back_u, back_v] = [0, 1].map(|axis| to_half * back[axis][there]);
            let apart = (u + back_u).powi(2) + (v + back_v).powi(2);
            let lengths = u * u + v * v + back_u * back_u + back_v * back_v;
            // Ruder et al. 2016, at half the size.
            let consistent = apart <= 0.01 * lengths + 0.125;
            let to = nearest(to_y + 0.5, height) * width + nearest(to_x + 0.5, width);
            let same = (earlier[y * width + x] - later[to]).abs() <= OTHER;
            f32::from(u8::from(!(consistent && same)))
        })
    }
}

/// Means over squares of what `value` says of every second pixel.
fn squares((width, height): (usize, usize), value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let columns = width.div_ceil(SQUARE);
    let mut squares = vec![(0.0, 0.0); columns * height.div_ceil(SQUARE)];
    for y in (0..height).step_by(2) {
        for x in (0..width).step_by(2) {
            let square = &mut squares[y / SQUARE * columns + x / SQUARE];
            *square = (square.0 + value(x, y), square.1 + 1.0);
        }
    }
    let means = squares.into_iter().map(|(sum, count)| sum / count);
    means.collect()
}

/// Of each square and those around it the largest.
fn spread(squares: &[f32], columns: usize) -> Vec<f32> {
    let rows = squares.len() / columns.max(1);
    let around = |at: usize, size: usize| at.saturating_sub(1)..(at + 2).min(size);
    let of = |x: usize, y: usize| {
        let near = around(y, rows).flat_map(|y| around(x, columns).map(move |x| y * columns + x));
        near.map(|at| squares[at]).fold(0.0, f32::max)
    };
    (0..squares.len())
        .map(|at| of(at % columns, at / columns))
        .collect()
}

/// Whether more than half of a patch is missing somewhere.
fn has_patch(missing: &[f32], columns: usize) -> bool {
    let rows = missing.len() / columns.max(1);
    let side = (rows / PATCH.1).max(PATCH.0);
    if columns < side || rows < side {
        return false;
    }
    // Sums over the rows of a patch, then over its columns.
    (0..=rows - side).any(|y| {
        let sums: Vec<f32> = (0..columns)
            .map(|x| (y..y + side).map(|y| missing[y * columns + x]).sum())
            .collect();
        let half = 0.5 * (side * side) as f32;
        sums.windows(side)
            .any(|sums| sums.iter().sum::<f32>() > half)
    })
}

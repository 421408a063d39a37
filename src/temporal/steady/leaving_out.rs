//! Which pictures of a film need no painting.
//!
//! Those whose motion is understood: what the last painting has not seen of them may not be much ([`UNSEEN`]), nor may
//! the light have changed since ([`LIGHT`]), which a painting of the pictures before and behind does not have.

use rayon::ThreadPool;

use super::{MIN_SIDE, SteadyError, between::pool, trust::Trust};
use crate::temporal::flow::{Luma, Motion};

/// The most pictures between two paintings.
pub const MOST_BETWEEN: usize = 3;

/// Share of the pixels that the last painting has not seen, up to which a picture may be left out.
const UNSEEN: f32 = 0.05;

/// Change of the scene's light since the last painting (0..255, averaged over the picture) up to which a picture may be left
/// out: its painting has the light of the one before.
const LIGHT: f32 = 1.5;

/// Says which pictures need no painting.
pub struct LeavingOut {
    most: usize,
    pool: ThreadPool,
    trust: Trust,
    size: (usize, usize),
    /// Since the last painting: pictures that were left out, what it has not seen, and how far the light has changed.
    since: (usize, f32, f32),
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
            since: (0, 0.0, 0.0),
        })
    }

    /// Takes the next picture, `motion` being that from the one before; whether it may be left out. Where it may not it is to be
    /// painted, and the next ones follow on it.
    pub fn next(&mut self, input: &Luma, motion: Option<&Motion>) -> bool {
        let size = (input.width, input.height);
        if size.0.min(size.1) < MIN_SIDE {
            return false;
        }
        let motion = motion.filter(|motion| self.size == size && motion.backward.width == size.0);
        if self.size != size {
            self.size = size;
            self.trust.fit(size.0, size.1);
        }
        let (trust, (count, unseen, light)) = (&mut self.trust, self.since);
        let since = self.pool.install(|| {
            trust.see(input);
            let motion = motion.filter(|_| count < self.most)?;
            trust.forget();
            let map = trust.judge(motion, 1.0);
            let seen = map.iter().sum::<f32>() / map.len() as f32;
            Some((count + 1, unseen + 1.0 - seen, light + trust.light()))
        });
        let since = since.filter(|&(_, unseen, light)| unseen <= UNSEEN && light <= LIGHT);
        self.since = since.unwrap_or_default();
        since.is_some()
    }

    /// What comes next follows on nothing.
    pub fn reset(&mut self) {
        self.size = (0, 0);
        self.since = Default::default();
    }
}

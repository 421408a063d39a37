//! Motion kept for later, at the size at which it was found.
//!
//! Who goes over a film again, forwards or backwards, needs the motion between the same pictures again. Finding it is most
//! of the work, bringing it to the size of the pictures little, and at its own size it takes a few bytes a pixel.

use std::borrow::Cow;

use super::FlowEstimator;
use crate::temporal::flow::Motion;

/// Both directions of the flow between two pictures, before it is brought to their size.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Of the pictures.
    size: (usize, usize),
    /// Of the fields.
    level: (usize, usize),
    fields: Fields,
}

/// From the later picture to the earlier and back, in pixels of the level.
#[derive(Debug, Clone, PartialEq)]
enum Fields {
    /// u and v of each.
    Planes([[Vec<f32>; 2]; 2]),
    /// Pairs (u, v), the second direction's behind the first's, as a card takes them.
    #[cfg(any(test, feature = "cuda"))]
    Pairs(Vec<f32>),
}

impl Found {
    /// Of fields of pairs (u, v), the second direction's behind the first's; sizes are of the pictures and of the fields.
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn from_pairs(size: (usize, usize), level: (usize, usize), pairs: Vec<f32>) -> Self {
        Self {
            size,
            level,
            fields: Fields::Pairs(pairs),
        }
    }

    /// The fields as such pairs, for pictures and a level of these sizes; `reversed` the second direction's before the first's.
    ///
    /// # Panics
    /// When the sizes are others.
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn pairs(
        &self,
        size: (usize, usize),
        level: (usize, usize),
        reversed: bool,
    ) -> Cow<'_, [f32]> {
        assert!(
            self.size == size && self.level == level,
            "found with other settings"
        );
        match &self.fields {
            Fields::Pairs(pairs) if !reversed => Cow::Borrowed(pairs),
            Fields::Pairs(pairs) => {
                let (first, second) = pairs.split_at(pairs.len() / 2);
                Cow::Owned([second, first].concat())
            }
            Fields::Planes(fields) => {
                let order = if reversed { [1, 0] } else { [0, 1] };
                let fields = order.iter().map(|&at| &fields[at]);
                fields
                    .flat_map(|[u, v]| u.iter().zip(v).flat_map(|(&u, &v)| [u, v]))
                    .collect()
            }
        }
    }

    /// The motion over this pair of pictures and the `next` one, which begins where this one ends; of one size and setting.
    ///
    /// # Panics
    /// When the sizes are others.
    #[must_use]
    pub fn join(&self, next: &Self) -> Self {
        assert!(
            self.size == next.size && self.level == next.level,
            "found with other settings"
        );
        let both = [[next, self], [self, next]];
        let fields = [0, 1].map(|direction| {
            let [first, rest] = both[direction].map(|found| found.planes(direction));
            follow(first, rest, self.level)
        });
        Self {
            size: self.size,
            level: self.level,
            fields: Fields::Planes(fields),
        }
    }

    /// Width and height of the fields.
    pub(crate) fn level(&self) -> (usize, usize) {
        self.level
    }

    /// u and v from the later picture to the earlier, and those from the earlier to the later.
    pub(crate) fn directions(&self) -> [[Cow<'_, [f32]>; 2]; 2] {
        [self.planes(0), self.planes(1)]
    }

    /// u and v of the first direction or the second.
    fn planes(&self, direction: usize) -> [Cow<'_, [f32]>; 2] {
        match &self.fields {
            Fields::Planes(fields) => fields[direction]
                .each_ref()
                .map(|plane| Cow::Borrowed(&plane[..])),
            #[cfg(any(test, feature = "cuda"))]
            Fields::Pairs(pairs) => {
                let half = pairs.len() / 2;
                let pairs = &pairs[direction * half..][..half];
                [0, 1].map(|at| pairs.iter().skip(at).step_by(2).copied().collect())
            }
        }
    }
}

/// Along `first`, and from there on along `rest`.
fn follow(
    first: [Cow<'_, [f32]>; 2],
    rest: [Cow<'_, [f32]>; 2],
    (width, height): (usize, usize),
) -> [Vec<f32>; 2] {
    let [mut u, mut v] = first.map(Cow::into_owned);
    let rows = u.chunks_exact_mut(width).zip(v.chunks_exact_mut(width));
    for (y, (u, v)) in rows.enumerate() {
        for (x, (u, v)) in u.iter_mut().zip(v).enumerate() {
            let (left, right) = split(x as f32 + *u, width);
            let (above, below) = split(y as f32 + *v, height);
            let at = |plane: &[f32]| {
                let across = |y: usize| {
                    let (a, b) = (plane[y * width + left.0], plane[y * width + right]);
                    a + left.1 * (b - a)
                };
                let (upper, lower) = (across(above.0), across(below));
                upper + above.1 * (lower - upper)
            };
            (*u, *v) = (*u + at(&rest[0]), *v + at(&rest[1]));
        }
    }
    [u, v]
}

/// The pixel before a position, with the distance to it, and the one behind, both inside of `size`.
fn split(position: f32, size: usize) -> ((usize, f32), usize) {
    let inside = position.clamp(0.0, (size - 1) as f32);
    let before = inside as usize;
    ((before, inside - before as f32), (before + 1).min(size - 1))
}

impl FlowEstimator {
    /// What is behind the motion that was handed out last; `None` when there was none, or none was looked for.
    #[must_use]
    pub fn found(&self) -> Option<Found> {
        let size = self.size?;
        let [first, second] = &self.directions;
        let known = first.width > 0 && (first.width, first.height) == (second.width, second.height);
        (known && self.plan.levels(size).1 > 0).then(|| Found {
            size,
            level: (first.width, first.height),
            fields: Fields::Planes(
                [first, second].map(|direction| [direction.u.clone(), direction.v.clone()]),
            ),
        })
    }

    /// The motion once more: the very one that was handed out, or `reversed`, that of the same two pictures in a film played
    /// in reverse. The estimator must be of the same settings; it forgets the picture before.
    ///
    /// # Panics
    /// When the settings are others.
    pub fn again(&mut self, found: &Found, reversed: bool) -> Motion {
        self.reset();
        let factor = 1 << self.plan.levels(found.size).0;
        let (width, height) = found.level;
        assert_eq!(
            (width, height),
            (found.size.0.div_ceil(factor), found.size.1.div_ceil(factor)),
            "found with other settings"
        );
        for (at, direction) in self.directions.iter_mut().enumerate() {
            let [u, v] = found.planes(if reversed { 1 - at } else { at });
            direction.u.clear();
            direction.u.extend_from_slice(&u);
            direction.v.clear();
            direction.v.extend_from_slice(&v);
            // The masks are made in these.
            direction.start_u.resize(u.len(), 0.0);
            direction.start_v.resize(v.len(), 0.0);
            (direction.width, direction.height) = found.level;
        }
        let mut motion = self.spare.take().unwrap_or_default();
        self.complete(found.size, &mut motion);
        motion
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::flow::{FlowPreset, FlowScale, FlowSettings, Luma};

    /// A smooth texture that slides, its right half another way.
    fn scene(t: usize, (width, height): (usize, usize)) -> Luma {
        let pixels = (0..width * height).map(|at| {
            let (x, y, t) = ((at % width) as f32, (at / width) as f32, t as f32);
            let slide = if x < width as f32 / 2.0 {
                1.5 * t
            } else {
                -2.0 * t
            };
            let value =
                ((x + slide) * 0.31).sin() + (y * 0.23 + t).cos() + ((x + slide + y) * 0.11).sin();
            (127.0 + 40.0 * value) as u8
        });
        Luma::new(width, height, pixels.collect()).unwrap()
    }

    #[test]
    fn kept_motion_is_the_same_again_and_backwards_that_of_the_reversed_film() {
        for (size, preset, scale) in [
            ((131, 97), FlowPreset::Medium, FlowScale::Full),
            ((160, 90), FlowPreset::UltraFast, FlowScale::Half),
        ] {
            let settings = FlowSettings {
                preset,
                scale,
                threads: 2,
            };
            let mut estimator = FlowEstimator::new(settings);
            estimator.push(&scene(0, size));
            let motion = estimator.push(&scene(1, size)).unwrap();
            let found = estimator.found().unwrap();
            let mut reversed = FlowEstimator::new(settings);
            reversed.push(&scene(1, size));
            let backwards = reversed.push(&scene(0, size)).unwrap();

            let mut other = FlowEstimator::new(settings);
            assert_eq!(other.again(&found, false), motion);
            assert_eq!(other.again(&found, true), backwards);
            assert_ne!(motion, backwards);
        }
        assert_eq!(FlowEstimator::new(FlowSettings::default()).found(), None);
    }
}

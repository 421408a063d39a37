//! Further passes over steady pictures, for films in files.
//!
//! [`Steady`] knows only what came before: where something has just been uncovered, strokes are fresh and change until they
//! have settled, and a little of each painting's flicker comes through everywhere. A file has what comes after as well. So
//! its steady pictures go through another [`Steady`] from the last to the first, as if they were the paintings of a film
//! played in reverse: fresh strokes become those they will settle into, and what flickers is averaged once more. A third
//! pass, forwards again, averages what is left.
//!
//! No film has to be in memory as a whole. Pictures wait until there are enough of them; while others come, a run goes back
//! over all of them, the older ones are given out, and the newer ones wait to be gone over again from further behind. Where
//! two runs overlap one gives way to the other, picture by picture, so that no jump is seen.

use super::{Steady, SteadyError, SteadySettings};
use crate::{
    frame::Picture,
    kernels::vectorised,
    temporal::flow::{FlowEstimator, FlowSettings, Found, Luma},
};

/// The most passes that make a difference: a fourth takes another hundredth off the flicker.
pub const MOST_PASSES: usize = 3;

/// Pictures that a run goes back over, at least and at most; 64 were no steadier.
const RUN: [usize; 2] = [12, 32];

/// Pixels that the pictures of a run have together, as far as [`RUN`] allows; five to eight bytes wait for each.
const RUN_PIXELS: usize = 64_000_000;

/// The part of a run, one in so many, that the next run goes over again.
const OVERLAP: usize = 4;

/// How many pictures of this size wait before some are given out.
fn run_length((width, height): (usize, usize)) -> usize {
    let [least, most] = RUN;
    (RUN_PIXELS / (width * height).max(1)).clamp(least, most)
}

/// How many pictures of a size [`FurtherPasses::push`] gives out at once.
#[must_use]
pub fn given_out(size: (usize, usize)) -> usize {
    let length = run_length(size);
    length - length / OVERLAP
}

/// A picture that waits.
struct Waiting<T> {
    steadied: Picture,
    input: Luma,
    /// Motion from the picture before.
    found: Option<Found>,
    settings: SteadySettings,
    /// What the run before made of it.
    earlier: Option<Picture>,
    rest: T,
}

/// A steadier that is told the motion as it was found.
pub trait Pass: Send {
    /// The next picture, steadied; `found` is the motion between the pictures before and this one's `input`, without which a
    /// scene begins, `reversed` in a film played in reverse.
    ///
    /// # Errors
    /// When the device fails.
    fn push(
        &mut self,
        picture: Picture,
        input: &Luma,
        found: Option<&Found>,
        reversed: bool,
    ) -> Result<Picture, SteadyError>;

    /// Changes how much the pictures that follow are steadied; the history stays.
    fn set(&mut self, settings: SteadySettings);

    /// Forgets the pictures before.
    fn reset(&mut self);
}

/// A pass on the processor.
pub struct PassOnProcessor {
    flow: FlowEstimator,
    steady: Steady,
}

impl PassOnProcessor {
    /// A pass over motion that an estimator of the settings `flow` has found.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(settings: SteadySettings, flow: FlowSettings) -> Result<Self, SteadyError> {
        Ok(Self {
            flow: FlowEstimator::new(flow).backward_only(),
            steady: Steady::new(settings)?,
        })
    }
}

impl Pass for PassOnProcessor {
    fn push(
        &mut self,
        picture: Picture,
        input: &Luma,
        found: Option<&Found>,
        reversed: bool,
    ) -> Result<Picture, SteadyError> {
        let motion = found.map(|found| self.flow.again(found, reversed));
        let picture = self.steady.push(picture, input, motion.as_ref());
        if let Some(motion) = motion {
            self.flow.recycle(motion);
        }
        Ok(picture)
    }

    fn set(&mut self, settings: SteadySettings) {
        self.steady.set(settings);
    }

    fn reset(&mut self) {
        self.steady.reset();
    }
}

/// The passes after the first. Pictures come and go in order, each with something of the caller's.
pub struct FurtherPasses<T> {
    backwards: Box<dyn Pass>,
    /// What the present run goes back over; it has still to reach the first `ahead` of them.
    run: Vec<Waiting<T>>,
    ahead: usize,
    /// Pictures at the beginning of the run that the run before has gone over too.
    shared: usize,
    /// What has come since the run began.
    since: Vec<Waiting<T>>,
    forwards: Option<Box<dyn Pass>>,
}

impl<T> FurtherPasses<T> {
    /// So many `passes` in all, the first one counted: 2 or [`MOST_PASSES`]; the others come from `pass`.
    ///
    /// # Errors
    /// When `pass` fails.
    pub fn new<E>(
        passes: usize,
        mut pass: impl FnMut() -> Result<Box<dyn Pass>, E>,
    ) -> Result<Self, E> {
        let backwards = pass()?;
        let forwards = (passes > 2).then(pass);
        Ok(Self {
            backwards,
            run: Vec::new(),
            ahead: 0,
            shared: 0,
            since: Vec::new(),
            forwards: forwards.transpose()?,
        })
    }

    /// Takes the next steady picture of a scene with the luma of its input, the settings it was steadied with and, but for the
    /// first, the motion from the picture before; gives out what is done: mostly nothing, then many pictures at once. Every
    /// call does an equal part of the work.
    ///
    /// # Errors
    /// When a pass fails.
    pub fn push(
        &mut self,
        steadied: Picture,
        input: Luma,
        found: Option<Found>,
        settings: SteadySettings,
        rest: T,
    ) -> Result<Vec<(Picture, T)>, SteadyError> {
        let size = (input.width, input.height);
        self.since.push(Waiting {
            steadied,
            input,
            found,
            settings,
            earlier: None,
            rest,
        });
        if self.run.is_empty() {
            if self.since.len() >= run_length(size) {
                self.begin();
            }
            return Ok(Vec::new());
        }
        let done = given_out(size);
        let reached = self.run.len() * self.since.len() / done;
        self.go_back(self.run.len().saturating_sub(reached), done)?;
        if self.ahead > 0 {
            return Ok(Vec::new());
        }
        let pictures = self.take(done);
        self.begin();
        pictures
    }

    /// The scene ends here: gives out all that waits.
    ///
    /// # Errors
    /// When a pass fails.
    pub fn finish(&mut self) -> Result<Vec<(Picture, T)>, SteadyError> {
        let mut pictures = Vec::new();
        if !self.since.is_empty() {
            let done = self.run.len() - self.run.len() / OVERLAP;
            self.go_back(0, done)?;
            pictures = self.take(done)?;
            self.begin();
        }
        let done = self.run.len();
        self.go_back(0, done)?;
        pictures.extend(self.take(done)?);
        if let Some(forwards) = &mut self.forwards {
            forwards.reset();
        }
        Ok(pictures)
    }

    /// Begins a run over what is left of the last one and what has come since.
    fn begin(&mut self) {
        self.shared = self.run.len();
        self.run.append(&mut self.since);
        self.ahead = self.run.len();
        self.backwards.reset();
    }

    /// Goes on with the run until only the first `ahead` are left; only the first `done` are given out behind it.
    fn go_back(&mut self, ahead: usize, done: usize) -> Result<(), SteadyError> {
        while self.ahead > ahead {
            self.ahead -= 1;
            let (here, behind) = self.run.split_at_mut(self.ahead + 1);
            let waiting = &mut here[self.ahead];
            let found = behind.first().and_then(|behind| behind.found.as_ref());
            let steadied = if self.ahead < done {
                // Nobody looks at it again.
                std::mem::replace(&mut waiting.steadied, Picture::black(0, 0))
            } else {
                waiting.steadied.clone()
            };
            self.backwards.set(waiting.settings);
            let mut settled = self.backwards.push(steadied, &waiting.input, found, true)?;
            if let Some(earlier) = &waiting.earlier {
                let share = (self.ahead + 1) as f32 / (self.shared + 1) as f32;
                let share = (256.0 * share).round() as u32;
                mix(settled.rgb_mut(), earlier.rgb(), share);
            }
            waiting.earlier = Some(settled);
        }
        Ok(())
    }

    /// Takes the first `done` out of a run that is through, and lets the last pass go over them.
    fn take(&mut self, done: usize) -> Result<Vec<(Picture, T)>, SteadyError> {
        let forwards = &mut self.forwards;
        let taken = self.run.drain(..done).map(|waiting| {
            let picture = waiting.earlier.expect("the run has gone over it");
            let picture = match forwards {
                Some(pass) => {
                    pass.set(waiting.settings);
                    pass.push(picture, &waiting.input, waiting.found.as_ref(), false)?
                }
                None => picture,
            };
            Ok((picture, waiting.rest))
        });
        taken.collect()
    }
}

vectorised! {
    /// Gives `values` the share `share` of 256 of themselves and `others` the rest.
    fn mix(values: &mut [u8], others: &[u8], share: u32) {
        for (value, &other) in values.iter_mut().zip(others) {
            let sum = share * u32::from(*value) + (256 - share) * u32::from(other);
            *value = ((sum + 128) >> 8) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::steady::tests::noise;

    const SIZE: (usize, usize) = (96, 80);

    fn grey(value: impl Fn(usize, usize) -> f32) -> Picture {
        let pixels = (0..SIZE.0 * SIZE.1).flat_map(|at| [value(at % SIZE.0, at / SIZE.0) as u8; 3]);
        Picture::new(SIZE.0, SIZE.1, pixels.collect()).unwrap()
    }

    /// A scene that stands still, under a little noise.
    fn input(t: usize) -> Luma {
        Luma::from_rgb(&grey(|x, y| {
            60.0 + 130.0 * noise(x / 4, y / 4, 0) + 2.0 * noise(x, y, t as u64)
        }))
    }

    /// Its painting, which flickers.
    fn painting(t: usize) -> Picture {
        grey(|x, y| {
            60.0 + 100.0 * noise(x / 3, y / 3, 1) + 60.0 * noise(x / 3, y / 3, t as u64 + 9)
        })
    }

    fn processor(
        settings: SteadySettings,
        flow: FlowSettings,
    ) -> impl FnMut() -> Result<Box<dyn Pass>, SteadyError> {
        move || Ok(Box::new(PassOnProcessor::new(settings, flow)?))
    }

    /// A film after so many passes.
    fn film(length: usize, passes: usize) -> Vec<Picture> {
        let settings = SteadySettings::new(1.0, 1).unwrap();
        let flow = FlowSettings::default();
        let mut first = Steady::new(settings).unwrap();
        let mut estimator = FlowEstimator::new(flow);
        let mut further =
            (passes > 1).then(|| FurtherPasses::new(passes, processor(settings, flow)).unwrap());
        let mut pictures = Vec::new();
        for t in 0..length {
            let motion = estimator.push(&input(t));
            let found = motion.as_ref().and_then(|_| estimator.found());
            let picture = first.push(painting(t), &input(t), motion.as_ref());
            match &mut further {
                Some(further) => {
                    let size = (picture.width(), picture.height());
                    let given = further.push(picture, input(t), found, settings, t).unwrap();
                    // As many as the pipeline has places for.
                    assert!(given.is_empty() || given.len() == given_out(size));
                    pictures.extend(given);
                }
                None => pictures.push((picture, t)),
            }
        }
        pictures.extend(
            further
                .iter_mut()
                .flat_map(|further| further.finish().unwrap()),
        );
        let times: Vec<_> = pictures.iter().map(|&(_, t)| t).collect();
        assert_eq!(times, (0..length).collect::<Vec<_>>(), "{passes} passes");
        pictures.into_iter().map(|(picture, _)| picture).collect()
    }

    /// Root of the mean square from one picture to the next.
    fn flicker(film: &[Picture]) -> Vec<f64> {
        let between = film.windows(2).map(|pair| {
            let [a, b] = [&pair[0], &pair[1]].map(Picture::rgb);
            let square = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)).powi(2);
            (a.iter().zip(b).map(square).sum::<f64>() / a.len() as f64).sqrt()
        });
        between.collect()
    }

    #[test]
    fn every_picture_comes_back_in_its_order() {
        let [_, run] = RUN;
        for length in [
            0,
            1,
            run - 1,
            run,
            run + 1,
            run + run - run / OVERLAP,
            3 * run + 5,
        ] {
            for passes in [2, 3] {
                film(length, passes);
            }
        }
    }

    #[test]
    fn going_back_is_steadier_also_where_runs_meet() {
        let films = [1, 2, 3].map(|passes| flicker(&film(3 * RUN[1], passes)));
        let mean = |flicker: &[f64]| flicker.iter().sum::<f64>() / flicker.len() as f64;
        let [one, two, three] = films.each_ref().map(|flicker| mean(flicker));
        assert!(
            two < 0.85 * one && three < 1.02 * two,
            "{one} {two} {three}"
        );
        for flicker in &films[1..] {
            let worst = flicker.iter().copied().fold(0.0, f64::max);
            assert!(
                worst < 2.0 * mean(flicker),
                "{worst}, mean {}",
                mean(flicker)
            );
        }
    }

    #[test]
    fn a_scene_knows_nothing_of_the_one_before() {
        let settings = SteadySettings::new(1.0, 1).unwrap();
        let mut further =
            FurtherPasses::new(3, processor(settings, FlowSettings::default())).unwrap();
        let mut scene = || {
            let mut pictures = Vec::new();
            let mut estimator = FlowEstimator::new(FlowSettings::default());
            for t in 0..40 {
                let motion = estimator.push(&input(t));
                let found = motion.and_then(|_| estimator.found());
                let picture = further.push(painting(t), input(t), found, settings, ());
                pictures.extend(picture.unwrap());
            }
            pictures.extend(further.finish().unwrap());
            pictures
        };
        let (first, second) = (scene(), scene());
        assert!(first == second);
    }
}

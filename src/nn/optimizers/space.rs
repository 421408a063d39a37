//! What an optimiser does with its vectors, wherever they lie: on the processor, or on a device that holds all of them.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::vectors::{PIECE, add_scaled, dot, scale, sum_of};

/// A place for vectors of one length.
pub trait Space {
    /// So many numbers.
    type Vector;
    /// Why the place fails.
    type Error;

    /// Zeros.
    ///
    /// # Errors
    /// When there is no room.
    fn fresh(&mut self) -> Result<Self::Vector, Self::Error>;

    /// `to` = `from`.
    ///
    /// # Errors
    /// When the device fails, as for all that follows.
    fn copy(&mut self, to: &mut Self::Vector, from: &Self::Vector) -> Result<(), Self::Error>;

    /// `to` += `factor`·`x`.
    ///
    /// # Errors
    /// When the device fails.
    fn add_scaled(
        &mut self,
        to: &mut Self::Vector,
        factor: f64,
        x: &Self::Vector,
    ) -> Result<(), Self::Error>;

    /// `to` *= `factor`.
    ///
    /// # Errors
    /// When the device fails.
    fn scale(&mut self, to: &mut Self::Vector, factor: f64) -> Result<(), Self::Error>;

    /// `to` *= `factor`·`by`, number by number.
    ///
    /// # Errors
    /// When the device fails.
    fn multiply(
        &mut self,
        to: &mut Self::Vector,
        factor: f32,
        by: &Self::Vector,
    ) -> Result<(), Self::Error>;

    /// `to` = `kept`·`to` + `factor`·`x`², number by number.
    ///
    /// # Errors
    /// When the device fails.
    fn add_square(
        &mut self,
        to: &mut Self::Vector,
        kept: f32,
        factor: f32,
        x: &Self::Vector,
    ) -> Result<(), Self::Error>;

    /// The root of (a + `floors[0]`) / (b + `floors[1]`), number by number.
    ///
    /// # Errors
    /// When the device fails.
    fn root_of_ratio(
        &mut self,
        a: &Self::Vector,
        b: &Self::Vector,
        floors: [f32; 2],
    ) -> Result<Self::Vector, Self::Error>;

    /// Σ a·b.
    ///
    /// # Errors
    /// When the device fails.
    fn dot(&mut self, a: &Self::Vector, b: &Self::Vector) -> Result<f64, Self::Error>;

    /// Σ a.
    ///
    /// # Errors
    /// When the device fails.
    fn sum(&mut self, a: &Self::Vector) -> Result<f64, Self::Error>;

    /// Σ a²·b.
    ///
    /// # Errors
    /// When the device fails.
    fn dot_of_square(&mut self, a: &Self::Vector, b: &Self::Vector) -> Result<f64, Self::Error>;

    /// Adam's step, see [`AdamStep`].
    ///
    /// # Errors
    /// When the device fails.
    fn adam(
        &mut self,
        x: &mut Self::Vector,
        moments: [&mut Self::Vector; 2],
        gradient: &Self::Vector,
        step: AdamStep,
    ) -> Result<(), Self::Error>;

    /// How many numbers a vector has.
    fn length(&self) -> usize;
}

/// m = 0.9·m + 0.1·g, v = 0.999·v + 0.001·g², x -= `rate`·m / (√v / `root` + ε).
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// The rate, corrected for the means' beginning at 0.
    pub rate: f32,
    /// √(1 − 0.999ⁿ).
    pub root: f32,
}

/// Decays of Adam's means.
pub const DECAYS: [f32; 2] = [0.9, 0.999];
/// Adam's ε.
pub const EPSILON: f32 = 1e-8;

/// Vectors in memory, worked on by all threads; `E` is what evaluating a function fails with.
#[derive(Debug)]
pub struct Processor<E> {
    length: usize,
    error: PhantomData<E>,
}

impl<E> Processor<E> {
    /// For vectors of `length` numbers.
    #[must_use]
    pub fn new(length: usize) -> Self {
        Self {
            length,
            error: PhantomData,
        }
    }
}

impl<E> Space for Processor<E> {
    type Vector = Vec<f32>;
    type Error = E;

    fn fresh(&mut self) -> Result<Vec<f32>, E> {
        Ok(vec![0.0; self.length])
    }

    fn copy(&mut self, to: &mut Vec<f32>, from: &Vec<f32>) -> Result<(), E> {
        to.copy_from_slice(from);
        Ok(())
    }

    fn add_scaled(&mut self, to: &mut Vec<f32>, factor: f64, x: &Vec<f32>) -> Result<(), E> {
        add_scaled(to, factor, x);
        Ok(())
    }

    fn scale(&mut self, to: &mut Vec<f32>, factor: f64) -> Result<(), E> {
        scale(to, factor);
        Ok(())
    }

    fn multiply(&mut self, to: &mut Vec<f32>, factor: f32, by: &Vec<f32>) -> Result<(), E> {
        let pieces = to.par_chunks_mut(PIECE).zip(by.par_chunks(PIECE));
        pieces.for_each(|(to, by)| {
            to.iter_mut()
                .zip(by)
                .for_each(|(to, by)| *to *= factor * by)
        });
        Ok(())
    }

    fn add_square(
        &mut self,
        to: &mut Vec<f32>,
        kept: f32,
        factor: f32,
        x: &Vec<f32>,
    ) -> Result<(), E> {
        let pieces = to.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE));
        pieces.for_each(|(to, x)| {
            let pairs = to.iter_mut().zip(x);
            pairs.for_each(|(to, x)| *to = kept * *to + factor * x * x);
        });
        Ok(())
    }

    fn root_of_ratio(
        &mut self,
        a: &Vec<f32>,
        b: &Vec<f32>,
        floors: [f32; 2],
    ) -> Result<Vec<f32>, E> {
        let pairs = a.par_iter().zip(b).with_min_len(PIECE);
        let root = |(a, b): (&f32, &f32)| ((a + floors[0]) / (b + floors[1])).sqrt();
        Ok(pairs.map(root).collect())
    }

    fn dot(&mut self, a: &Vec<f32>, b: &Vec<f32>) -> Result<f64, E> {
        Ok(dot(a, b))
    }

    fn sum(&mut self, a: &Vec<f32>) -> Result<f64, E> {
        Ok(sum_of(a, a, |a, _| f64::from(a)))
    }

    fn dot_of_square(&mut self, a: &Vec<f32>, b: &Vec<f32>) -> Result<f64, E> {
        Ok(sum_of(a, b, |a, b| f64::from(a * a * b)))
    }

    fn adam(
        &mut self,
        x: &mut Vec<f32>,
        [mean, square]: [&mut Vec<f32>; 2],
        gradient: &Vec<f32>,
        AdamStep { rate, root }: AdamStep,
    ) -> Result<(), E> {
        x.par_iter_mut()
            .with_min_len(1 << 14)
            .zip(mean)
            .zip(square)
            .zip(gradient)
            .for_each(|(((x, mean), square), &gradient)| {
                *mean = DECAYS[0] * *mean + (1.0 - DECAYS[0]) * gradient;
                *square = DECAYS[1] * *square + (1.0 - DECAYS[1]) * gradient * gradient;
                *x -= rate * *mean / (square.sqrt() / root + EPSILON);
            });
        Ok(())
    }

    fn length(&self) -> usize {
        self.length
    }
}

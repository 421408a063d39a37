//! Vectors of an optimiser on a card, so that of a step of painting by optimisation only Gram matrices and sums come down, and
//! what the matrices lead to (and masks, where there are any) goes up.

use super::{
    Card, CardError, Fetch, Launch, bytes_of,
    parameters::{Parameters, VectorChange, VectorSum},
};
use crate::nn::optimizers::{AdamStep, Space};

/// Threads of a block, and numbers that one of them sums up: `SUMMED` of the kernels.
const THREADS: usize = 256;
const SUMMED: usize = 16;

/// `VectorChange::what` and `VectorSum::what`.
const COPY: i32 = 0;
const ADD_SCALED: i32 = 1;
const SCALE: i32 = 2;
const MULTIPLY: i32 = 3;
const ADD_SQUARE: i32 = 4;
const ROOT_OF_RATIO: i32 = 5;
const ADAM: i32 = 6;
const DOT: i32 = 0;
const PLAIN: i32 = 1;
const DOT_OF_SQUARE: i32 = 2;

/// A place for vectors of one length on a card.
pub struct CardSpace<C: Card> {
    card: C,
    length: usize,
    parts: Option<C::Memory>,
}

impl<C: Card> CardSpace<C> {
    /// For vectors of `length` numbers.
    pub fn new(card: C, length: usize) -> Self {
        Self {
            card,
            length,
            parts: None,
        }
    }

    /// Brings numbers to the card.
    ///
    /// # Errors
    /// When the card has no room, or fails.
    pub fn put(&self, values: &[f32]) -> Result<C::Memory, CardError> {
        let mut vector = self.card.reserve(4 * self.length)?;
        self.card.upload(bytes_of(values), &mut vector)?;
        Ok(vector)
    }

    /// Brings them back.
    ///
    /// # Errors
    /// When the card fails.
    pub fn take(&self, vector: &C::Memory) -> Result<Vec<f32>, CardError> {
        let mut bytes = vec![0; 4 * self.length];
        self.card.download(vector, &mut bytes)?;
        let numbers = bytes.as_chunks::<4>().0.iter();
        Ok(numbers.map(|four| f32::from_ne_bytes(*four)).collect())
    }

    fn change(&self, to: &mut C::Memory, change: VectorChange) -> Result<(), CardError> {
        let parameters = VectorChange {
            to: self.card.address(to),
            count: self.length as i32,
            ..change
        };
        let launch = flat("vector_change", self.length, 0, parameters.into());
        // SAFETY: all vectors have the same length.
        unsafe { self.card.launch(&launch) }
    }

    fn sums(&mut self, what: i32, a: &C::Memory, b: &C::Memory) -> Result<f64, CardError> {
        let blocks = self.length.div_ceil(THREADS * SUMMED);
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => none.insert(self.card.reserve(4 * blocks)?),
        };
        let parameters = VectorSum {
            a: self.card.address(a),
            b: self.card.address(b),
            parts: self.card.address(parts),
            count: self.length as i32,
            what,
        };
        let launch = flat(
            "vector_sum",
            blocks * THREADS,
            THREADS as u32 / 32 * 4,
            parameters.into(),
        );
        // SAFETY: both vectors have the length that is said, and the parts have room.
        unsafe { self.card.launch(&launch) }?;
        sum(&self.card, parts, blocks, 1).map(|sums| sums[0])
    }
}

/// The sums of `lanes` numbers of each of `blocks` blocks.
pub(super) fn sum<C: Card>(
    card: &C,
    parts: &C::Memory,
    blocks: usize,
    lanes: usize,
) -> Result<Vec<f64>, CardError> {
    let mut bytes = vec![0; 4 * blocks * lanes];
    card.fetch(parts, bytes.len())?.take(&mut bytes)?;
    let mut sums = vec![0.0; lanes];
    for (i, four) in bytes.as_chunks::<4>().0.iter().enumerate() {
        sums[i % lanes] += f64::from(f32::from_ne_bytes(*four));
    }
    Ok(sums)
}

/// A kernel with a thread for each of `count` things.
pub(super) fn flat(
    kernel: &'static str,
    count: usize,
    shared: u32,
    parameters: Parameters,
) -> Launch {
    Launch {
        name: kernel.into(),
        kernel,
        grid: [count.div_ceil(THREADS) as u32, 1, 1],
        threads: THREADS as u32,
        shared,
        parameters,
        multiply_adds: 0,
        bytes: 0,
    }
}

impl<C: Card> Space for CardSpace<C> {
    type Vector = C::Memory;
    type Error = CardError;

    fn fresh(&mut self) -> Result<C::Memory, CardError> {
        let mut vector = self.card.reserve(4 * self.length)?;
        // A copy of nothing.
        self.change(&mut vector, VectorChange::default())?;
        Ok(vector)
    }

    fn copy(&mut self, to: &mut C::Memory, from: &C::Memory) -> Result<(), CardError> {
        let change = VectorChange {
            x: self.card.address(from),
            what: COPY,
            ..VectorChange::default()
        };
        self.change(to, change)
    }

    fn add_scaled(
        &mut self,
        to: &mut C::Memory,
        factor: f64,
        x: &C::Memory,
    ) -> Result<(), CardError> {
        let change = VectorChange {
            x: self.card.address(x),
            first: factor as f32,
            what: ADD_SCALED,
            ..VectorChange::default()
        };
        self.change(to, change)
    }

    fn scale(&mut self, to: &mut C::Memory, factor: f64) -> Result<(), CardError> {
        let change = VectorChange {
            first: factor as f32,
            what: SCALE,
            ..VectorChange::default()
        };
        self.change(to, change)
    }

    fn multiply(
        &mut self,
        to: &mut C::Memory,
        factor: f32,
        by: &C::Memory,
    ) -> Result<(), CardError> {
        let change = VectorChange {
            x: self.card.address(by),
            first: factor,
            what: MULTIPLY,
            ..VectorChange::default()
        };
        self.change(to, change)
    }

    fn add_square(
        &mut self,
        to: &mut C::Memory,
        kept: f32,
        factor: f32,
        x: &C::Memory,
    ) -> Result<(), CardError> {
        let change = VectorChange {
            x: self.card.address(x),
            first: kept,
            second: factor,
            what: ADD_SQUARE,
            ..VectorChange::default()
        };
        self.change(to, change)
    }

    fn root_of_ratio(
        &mut self,
        a: &C::Memory,
        b: &C::Memory,
        floors: [f32; 2],
    ) -> Result<C::Memory, CardError> {
        let mut root = self.card.reserve(4 * self.length)?;
        let change = VectorChange {
            x: self.card.address(a),
            y: self.card.address(b),
            first: floors[0],
            second: floors[1],
            what: ROOT_OF_RATIO,
            ..VectorChange::default()
        };
        self.change(&mut root, change)?;
        Ok(root)
    }

    fn dot(&mut self, a: &C::Memory, b: &C::Memory) -> Result<f64, CardError> {
        self.sums(DOT, a, b)
    }

    fn sum(&mut self, a: &C::Memory) -> Result<f64, CardError> {
        self.sums(PLAIN, a, a)
    }

    fn dot_of_square(&mut self, a: &C::Memory, b: &C::Memory) -> Result<f64, CardError> {
        self.sums(DOT_OF_SQUARE, a, b)
    }

    fn adam(
        &mut self,
        x: &mut C::Memory,
        [mean, square]: [&mut C::Memory; 2],
        gradient: &C::Memory,
        step: AdamStep,
    ) -> Result<(), CardError> {
        let change = VectorChange {
            x: self.card.address(mean),
            y: self.card.address(square),
            z: self.card.address(gradient),
            first: step.rate,
            second: step.root,
            what: ADAM,
            ..VectorChange::default()
        };
        self.change(x, change)
    }

    fn length(&self) -> usize {
        self.length
    }
}

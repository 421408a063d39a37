//! Steadying on a card, so that a painting which lies there is steady before it is downloaded.
//!
//! The same steps as [`Steady`](crate::temporal::steady::Steady) takes, with the same numbers. The processor takes them strip
//! by strip, so that a strip stays in its cache; a card has more memory bandwidth and no such cache, so each step is one
//! launch over the whole picture, and steps are joined where a pixel needs nothing of its neighbours in between. What is
//! remembered from frame to frame stays on the card, where input and motion are already ([`FlowOnCard`](super::FlowOnCard)).

#[cfg(test)]
mod tests;

use super::{
    Card, CardError, FrameOnCard, Launch, bytes_of,
    frames::Frames,
    parameters::{OCTAVES, Steadying},
};
use crate::temporal::{
    flow::Motion,
    steady::{MIN_SIDE, SteadySettings, first_age},
    warp::lanczos_weights,
};

/// Side of a cell, in pixels of its octave: `CELL` of the kernels.
const CELL: usize = 16;
/// Threads of a block.
const THREADS: usize = 256;
/// Pixels of a block of threads that makes a tile.
const TILE: (usize, usize) = (32, 8);
/// Numbers of a tile of the light in shared memory, two planes and two buffers.
const LIGHT_NUMBERS: usize = 4 * 28 * 28;

/// Steadies paintings on a card, one after the other.
pub struct SteadyOnCard<C: Card> {
    card: C,
    settings: SteadySettings,
    taps: C::Memory,
    /// Inputs that come with their motion from the processor.
    frames: Frames<C>,
    room: Option<Room<C>>,
    /// Whether there is a history.
    continued: bool,
    /// The launches of the last picture.
    launches: Vec<Launch>,
}

/// What pictures of one size are worked on with.
struct Room<C: Card> {
    size: (usize, usize),
    /// Addresses; what is now and what was before change places in it.
    own: Steadying,
    /// A painting that comes from the processor.
    painting: Option<C::Memory>,
    _memory: Vec<C::Memory>,
}

impl<C: Card + Clone> SteadyOnCard<C> {
    /// A steadier without history.
    ///
    /// # Errors
    /// When the card has no memory left.
    pub fn new(settings: SteadySettings, card: C) -> Result<Self, CardError> {
        let weights = bytes_of(lanczos_weights());
        let mut taps = card.reserve(weights.len())?;
        card.upload(weights, &mut taps)?;
        Ok(Self {
            frames: Frames::new(card.clone()),
            card,
            settings,
            taps,
            room: None,
            continued: false,
            launches: Vec::new(),
        })
    }
}

impl<C: Card> SteadyOnCard<C> {
    /// Changes how much the pictures that follow are steadied; the history stays.
    pub fn set(&mut self, settings: SteadySettings) {
        self.settings = settings;
    }

    /// Forgets the history: the next painting stays as it is.
    pub fn reset(&mut self) {
        self.continued = false;
    }

    /// The launches of the last picture.
    pub fn launches(&self) -> &[Launch] {
        &self.launches
    }

    /// Steadies the painting of `input`, RGB on the card, in its place, along the input's motion from that of the call before.
    /// Without motion (the first picture, a cut) the painting stays as it is and history starts with it.
    ///
    /// # Errors
    /// When the card has no room for pictures of this size, or fails.
    ///
    /// # Panics
    /// When the memory is smaller than the input.
    pub fn push(
        &mut self,
        input: &FrameOnCard<C>,
        painting: &mut C::Memory,
    ) -> Result<(), CardError> {
        let size = input.size();
        assert!(self.card.size(painting) >= 3 * size.0 * size.1);
        self.launches.clear();
        if size.0.min(size.1) < MIN_SIDE {
            self.reset();
            return Ok(());
        }
        let mut room = self.fit(size)?;
        let lies = input.room();
        room.own.input = self.card.address(&lies.picture);
        room.own.grey = i32::from(input.is_grey());
        room.own.u = self.card.address(&lies.u);
        room.own.v = self.card.address(&lies.v);
        room.own.consistent = self.card.address(&lies.consistent);
        room.own.picture = self.card.address(painting);
        let share = self.settings.share();
        room.own.mix = 1.0 - share;
        room.own.firmness = self.settings.firmness();
        std::mem::swap(&mut room.own.current, &mut room.own.previous);
        self.launches.push(room.launch("steady_see"));
        // Without strength nothing is changed, colour included.
        if input.continues() && self.continued && share > 0.0 {
            room.steady(&mut self.launches);
        } else {
            self.launches.push(room.launch("steady_start"));
            room.own.known = 0;
        }
        for launch in &self.launches {
            // SAFETY: the addresses are those of the room, which lives as long as `self` or is given back behind these
            // launches, as the input is, and of the painting, which is as large as was asserted.
            unsafe { self.card.launch(launch) }?;
        }
        self.continued = true;
        self.room = Some(room);
        Ok(())
    }

    /// The same for a painting that is not on the card.
    ///
    /// # Errors
    /// As [`SteadyOnCard::push`].
    ///
    /// # Panics
    /// When the slice does not have the length that the size says.
    pub fn push_painting(
        &mut self,
        input: &FrameOnCard<C>,
        painting: &mut [u8],
    ) -> Result<(), CardError> {
        let size = input.size();
        assert_eq!(painting.len(), 3 * size.0 * size.1);
        if size.0.min(size.1) < MIN_SIDE {
            self.reset();
            return Ok(());
        }
        let mut room = self.fit(size)?;
        let mut own = match room.painting.take() {
            Some(own) => own,
            None => self.card.reserve(painting.len())?,
        };
        self.room = Some(room);
        self.card.upload(painting, &mut own)?;
        self.push(input, &mut own)?;
        self.card.download(&own, painting)?;
        if let Some(room) = &mut self.room {
            room.painting = Some(own);
        }
        Ok(())
    }

    /// Brings an input, RGB, whose motion the processor has found to the card.
    ///
    /// # Errors
    /// As [`SteadyOnCard::push`].
    ///
    /// # Panics
    /// When the slice does not have the length that the size says.
    pub fn bring(
        &mut self,
        input: &[u8],
        size: (usize, usize),
        motion: Option<&Motion>,
    ) -> Result<FrameOnCard<C>, CardError> {
        self.frames.bring(input, size, motion)
    }

    /// The room for pictures of a size, the one there is if it fits.
    fn fit(&mut self, size: (usize, usize)) -> Result<Room<C>, CardError> {
        match self.room.take() {
            Some(room) if room.size == size => Ok(room),
            _ => {
                self.continued = false;
                Room::new(&self.card, size, self.card.address(&self.taps))
            }
        }
    }
}

impl<C: Card> Room<C> {
    fn new(card: &C, size: (usize, usize), taps: u64) -> Result<Self, CardError> {
        let (width, height) = size;
        let (pixels, quarter) = (width * height, width.div_ceil(2) * height.div_ceil(2));
        let (columns, rows) = (width.div_ceil(CELL), height.div_ceil(CELL));
        let cells = columns * rows;
        let mut memory = Vec::new();
        let mut floats = |count: usize| {
            let own = card.reserve(4 * count)?;
            let address = card.address(&own);
            memory.push(own);
            Ok::<_, CardError>(address)
        };
        let mut own = Steadying {
            width: width as i32,
            height: height as i32,
            taps,
            history: floats(pixels)?,
            history_colour: floats(2 * quarter)?,
            current: floats(quarter)?,
            previous: floats(quarter)?,
            difference: floats(quarter)?,
            weight: floats(quarter)?,
            light_sums: floats(2 * cells)?,
            light: floats(cells)?,
            age_before: floats(quarter)?,
            age: floats(quarter)?,
            trust: floats(quarter)?,
            renewal: floats(cells)?,
            ..Steadying::default()
        };
        let (mut wide, mut tall) = size;
        for (octave, level) in own.levels.iter_mut().enumerate() {
            let area = wide * tall;
            (level.width, level.height) = (wide as i32, tall as i32);
            (level.blend, level.painting) = (floats(area)?, floats(area)?);
            if octave > 0 {
                level.carry = floats(area)?;
                level.blend_colour = floats(2 * area)?;
                level.painting_colour = floats(2 * area)?;
                level.carry_colour = floats(2 * area)?;
            }
            if octave < OCTAVES {
                let cells = wide.div_ceil(CELL) * tall.div_ceil(CELL);
                (level.energies, level.repair) = (floats(3 * cells)?, floats(2 * cells)?);
                (level.usual, level.next_usual) = (floats(cells)?, floats(cells)?);
            }
            (wide, tall) = (wide.div_ceil(2), tall.div_ceil(2));
        }
        let mut lost = card.reserve(4 * 3 * cells)?;
        card.upload(bytes_of(&vec![0.0_f32; 3 * cells]), &mut lost)?;
        // Age, restlessness, what is left of fading (the zero of an integer is that of a number), nothing.
        let turns: Vec<f32> = (0..cells)
            .flat_map(|at| [first_age(at % columns, at / columns), 0.0, 0.0, 0.0])
            .collect();
        let mut ages = card.reserve(4 * turns.len())?;
        card.upload(bytes_of(&turns), &mut ages)?;
        (own.lost, own.turns) = (card.address(&lost), card.address(&ages));
        memory.extend([lost, ages]);
        Ok(Self {
            size,
            own,
            painting: None,
            _memory: memory,
        })
    }

    /// The launches that steady, in their order.
    fn steady(&mut self, launches: &mut Vec<Launch>) {
        std::mem::swap(&mut self.own.age, &mut self.own.age_before);
        for kernel in [
            "steady_compare",
            "steady_light",
            "steady_doubt",
            "steady_renew",
            "steady_blend",
        ] {
            launches.push(self.launch(kernel));
        }
        for octave in 0..OCTAVES {
            self.own.octave = octave as i32;
            launches.push(self.launch("steady_halve"));
        }
        for kernel in ["steady_energies", "steady_pay_back", "steady_base"] {
            launches.push(self.launch(kernel));
        }
        for octave in (1..OCTAVES).rev() {
            self.own.octave = octave as i32;
            launches.push(self.launch("steady_carry"));
        }
        launches.push(self.launch("steady_finish"));
        // What was made is the past of the next picture.
        self.own.known = 1;
        let Steadying {
            levels,
            history,
            history_colour,
            ..
        } = &mut self.own;
        for level in &mut *levels {
            std::mem::swap(&mut level.usual, &mut level.next_usual);
        }
        std::mem::swap(history, &mut levels[0].blend);
        std::mem::swap(history_colour, &mut levels[1].carry_colour);
    }

    /// A launch with the addresses as they are now.
    fn launch(&self, kernel: &'static str) -> Launch {
        let (width, height) = self.size;
        let at = |octave: usize| {
            let level = &self.own.levels[octave];
            (level.width as usize, level.height as usize)
        };
        let octave = self.own.octave as usize;
        let cells = (width.div_ceil(CELL), height.div_ceil(CELL));
        let (full, half) = (width * height, at(1).0 * at(1).1);
        let tiles =
            |(width, height): (usize, usize)| [width.div_ceil(TILE.0), height.div_ceil(TILE.1), 1];
        let threads = |count: usize, layers: usize| [count.div_ceil(THREADS), 1, layers];
        let area = |octave: usize| at(octave).0 * at(octave).1;
        // Numbers of luma and colour of blend and painting.
        let planes = |octave: usize| area(octave) * if octave == 0 { 2 } else { 6 };
        let all = |octaves: usize| (0..octaves).map(area).sum::<usize>();
        let sums = 3 * 4 * THREADS / 32;
        let (grid, shared, bytes) = match kernel {
            "steady_see" => (tiles(at(1)), 0, 3 * full + 4 * half),
            "steady_start" => (tiles(at(1)), 0, 7 * full + 12 * half),
            "steady_compare" => {
                let blocks = [cells.0.div_ceil(4), cells.1, 1];
                (blocks, 4 * 64, 9 * full + 16 * half)
            }
            "steady_light" => {
                let blocks = [cells.0.div_ceil(16), cells.1.div_ceil(16), 1];
                (blocks, 4 * LIGHT_NUMBERS, 12 * cells.0 * cells.1)
            }
            // Of the motion every other row.
            "steady_doubt" => (tiles(at(1)), 0, 4 * full + 20 * half),
            "steady_renew" => {
                let cells = cells.0 * cells.1;
                (threads(cells, 1), 0, 48 * cells)
            }
            "steady_blend" => ([cells.0, cells.1, 1], sums, 23 * full + 28 * half),
            "steady_halve" => {
                let made = 4 * area(octave + 1) * if octave == 0 { 2 } else { 6 };
                (tiles(at(octave + 1)), 0, 4 * planes(octave) + made)
            }
            "steady_energies" => {
                let read = 8 * (all(OCTAVES) + all(OCTAVES + 1) - full);
                ([cells.0, cells.1, OCTAVES], sums, read)
            }
            "steady_pay_back" => {
                let cells = cells.0 * cells.1;
                (threads(cells, OCTAVES), 0, 32 * cells * 4 / 3)
            }
            "steady_base" => (threads(area(OCTAVES), 1), 0, 48 * area(OCTAVES)),
            "steady_carry" => {
                let carried = 12 * (area(octave) + area(octave + 1));
                (tiles(at(octave)), 0, 4 * planes(octave) + carried)
            }
            _ => (threads(full, 1), 3 * THREADS, 15 * full + 12 * half),
        };
        Launch {
            name: match kernel {
                "steady_halve" | "steady_carry" => format!("{kernel} {octave}"),
                _ => kernel.into(),
            },
            kernel,
            grid: grid.map(|blocks| blocks as u32),
            threads: THREADS as u32,
            shared: shared as u32,
            parameters: self.own.into(),
            multiply_adds: 0,
            bytes: bytes as u64,
        }
    }
}

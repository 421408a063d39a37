//! The launches that paint pictures of one size, and the memory that they work on.

use super::{Layer, TransformOnCard};
use crate::{
    cuda::{
        Card, CardError, Launch, bytes_of,
        parameters::{BLOCKS, Convolution, Finish, Normalisation, PICTURE, Residual, TENSOR},
        weights::chunks,
    },
    kernels::Entry,
};

/// Pixels of a tile's row: `TILE_WIDTH` of the kernels.
const TILE_WIDTH: usize = 32;
/// Shared memory that every card gives a block without being asked.
const SHARED: usize = 48 << 10;
/// Threads of a block in the kernels without tiles.
const THREADS: usize = 256;
/// Added to the variance before its root is taken.
const EPSILON: f32 = 1e-5;

/// What painting pictures of one size takes.
pub(super) struct Plan<C: Card> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) picture: C::Memory,
    pub(super) painted: C::Memory,
    pub(super) launches: Vec<Launch>,
    /// What the launches work on.
    _room: Vec<C::Memory>,
}

/// Where a layer reads or has written.
#[derive(Clone, Copy)]
struct Values {
    address: u64,
    width: usize,
    height: usize,
    /// Addresses of scale and shift; 0 and 0: as they are.
    norm: (u64, u64),
}

impl<C: Card> TransformOnCard<C> {
    /// The launches for a size.
    pub(super) fn plan(&self, width: usize, height: usize) -> Result<Plan<C>, CardError> {
        let (wide, tall) = (width.next_multiple_of(4), height.next_multiple_of(4));
        let mut planner = Planner {
            network: self,
            picture: (width, height),
            launches: Vec::new(),
            room: Vec::new(),
            norms: 0,
            moments: (0, 0),
            buffers: [0, 0],
        };
        let picture = self.card.reserve(width * height * 3)?;
        let painted = self
            .card
            .reserve((width * height * 3).next_multiple_of(4))?;
        // Zeros: channels that only padding has are scaled to nothing.
        let norms: usize = self.layers.iter().map(|layer| 2 * layer.stored).sum();
        let mut zeros = self.card.reserve(4 * norms)?;
        self.card
            .upload(bytes_of(&vec![0.0_f32; norms]), &mut zeros)?;
        planner.norms = planner.keep(zeros);
        let (mut values_bytes, mut blocks_bytes) = ([0, 0], 0);
        let mut size = match self.shape.entry {
            Entry::Contract { .. } => (wide, tall),
            Entry::Unshuffle { .. } => (wide / 4, tall / 4),
        };
        for (index, layer) in self.layers.iter().enumerate() {
            let out = layer.out_size(size);
            let tile = layer.tile();
            size = layer.stored_size(out);
            let bytes = &mut values_bytes[index % 2];
            *bytes = (*bytes).max(size.0 * size.1 * layer.stored * 2);
            let blocks = out.0.div_ceil(TILE_WIDTH) * out.1.div_ceil(tile.rows);
            blocks_bytes = blocks_bytes.max(blocks * layer.outputs * 8);
        }
        // Layers write to the two in turn, so only one of them has to hold the largest.
        planner.buffers = [
            planner.reserve(values_bytes[0])?,
            planner.reserve(values_bytes[1])?,
        ];
        // Every layer has at least eight outputs.
        planner.moments = (
            planner.reserve(blocks_bytes)?,
            planner.reserve(blocks_bytes / 16)?,
        );
        let trunk_bytes = wide / 4 * (tall / 4) * self.shape.trunk() * 2;
        let trunk = planner.reserve(trunk_bytes)?;

        let mut values = Values {
            address: self.card.address(&picture),
            width: wide,
            height: tall,
            norm: (0, 0),
        };
        if let Entry::Unshuffle { .. } = self.shape.entry {
            (values.width, values.height) = (wide / 4, tall / 4);
        }
        let (residual, expanding) = (self.shape.residual(), self.shape.expanding());
        for index in 0..residual {
            values = planner.convolve(index, values);
        }
        let trunk = planner.add(trunk, values, true);
        for index in (residual..expanding).step_by(2) {
            let inner = planner.convolve(index, trunk);
            let outer = planner.convolve(index + 1, inner);
            planner.add(trunk.address, outer, false);
        }
        values = trunk;
        for index in expanding..self.shape.layers() {
            values = planner.convolve(index, values);
        }
        planner.finish(values, self.card.address(&painted));
        let Planner { launches, room, .. } = planner;
        Ok(Plan {
            width,
            height,
            picture,
            painted,
            launches,
            _room: room,
        })
    }
}

/// How a layer is cut into blocks of threads.
struct Tile {
    /// Rows of the output, one warp each.
    rows: usize,
    /// Bytes of shared memory.
    shared: usize,
}

impl<C: Card> Layer<C> {
    fn out_size(&self, (width, height): (usize, usize)) -> (usize, usize) {
        (
            width.div_ceil(self.shape.stride),
            height.div_ceil(self.shape.stride),
        )
    }

    /// The size of the stored output.
    fn stored_size(&self, (width, height): (usize, usize)) -> (usize, usize) {
        let times = if self.shape.upsample.is_some() { 2 } else { 1 };
        (times * width, times * height)
    }

    fn tile(&self) -> Tile {
        let (kernel, stride) = (self.shape.kernel_size, self.shape.stride);
        let slice = self.slice;
        let pitch = if slice < 16 { slice } else { slice + 8 };
        let shared = |rows: usize| {
            let patch = ((TILE_WIDTH - 1) * stride + kernel) * ((rows - 1) * stride + kernel);
            let own = chunks(kernel, slice) * 32 + slice * 8 + patch * pitch * 2;
            own.max((rows + 1) * self.outputs.min(64) * 4)
        };
        let rows = if shared(8) <= SHARED { 8 } else { 4 };
        Tile {
            rows,
            shared: shared(rows),
        }
    }
}

/// Writes down the launches of a plan.
struct Planner<'a, C: Card> {
    network: &'a TransformOnCard<C>,
    picture: (usize, usize),
    launches: Vec<Launch>,
    room: Vec<C::Memory>,
    /// Where the next layer's scale and shift go.
    norms: u64,
    moments: (u64, u64),
    /// Two outputs, used in turn.
    buffers: [u64; 2],
}

impl<C: Card> Planner<'_, C> {
    fn reserve(&mut self, bytes: usize) -> Result<u64, CardError> {
        let memory = self.network.card.reserve(bytes)?;
        Ok(self.keep(memory))
    }

    fn keep(&mut self, memory: C::Memory) -> u64 {
        let address = self.network.card.address(&memory);
        self.room.push(memory);
        address
    }

    /// Layer `index` over `input`, and its normalisation.
    fn convolve(&mut self, index: usize, input: Values) -> Values {
        let (network, card) = (self.network, &self.network.card);
        let layer = &network.layers[index];
        let own = layer.shape;
        let out = layer.out_size((input.width, input.height));
        let tile = layer.tile();
        let group = layer.outputs.min(64);
        let blocks = [
            out.0.div_ceil(TILE_WIDTH),
            out.1.div_ceil(tile.rows),
            layer.outputs / group,
        ];
        let output = self.buffers[0];
        self.buffers.swap(0, 1);
        let first = index == 0;
        let (moments, counts) = if own.normalised { self.moments } else { (0, 0) };
        let convolution = Convolution {
            input: input.address,
            scale: input.norm.0,
            shift: input.norm.1,
            weights: card.address(&layer.fragments),
            bias: layer.bias.as_ref().map_or(0, |bias| card.address(bias)),
            output,
            moments,
            counts,
            width: input.width as i32,
            height: input.height as i32,
            picture_width: self.picture.0 as i32,
            picture_height: self.picture.1 as i32,
            out_width: out.0 as i32,
            out_height: out.1 as i32,
            channels: layer.channels as i32,
            slice: layer.slice as i32,
            stored: layer.stored as i32,
            kernel: own.kernel_size as i32,
            stride: own.stride as i32,
            chunks: chunks(own.kernel_size, layer.slice) as i32,
            border: layer.border,
            source: match (first, network.shape.entry) {
                (false, _) => TENSOR,
                (true, Entry::Contract { .. }) => PICTURE,
                (true, Entry::Unshuffle { .. }) => BLOCKS,
            },
            // Only normalised tensors have a scale here, and those that a convolution reads have a ReLU.
            relu: 1,
            relu_output: i32::from(!own.normalised && own.relu),
            shuffle: i32::from(own.upsample.is_some()),
            ..Convolution::default()
        };
        let pixels = (out.0 * out.1) as u64;
        let stored = layer.stored_size(out);
        let input_bytes = if first {
            self.picture.0 * self.picture.1 * 3
        } else {
            input.width * input.height * layer.channels * 2
        };
        self.launches.push(Launch {
            name: network.shape.name(index),
            kernel: match group {
                8 => "convolve_8",
                16 => "convolve_16",
                32 => "convolve_32",
                _ => "convolve_64",
            },
            grid: blocks.map(|count| count as u32),
            threads: (tile.rows * 32) as u32,
            shared: tile.shared as u32,
            parameters: convolution.into(),
            multiply_adds: pixels
                * (own.kernel_outputs() * own.in_channels * own.kernel_size * own.kernel_size)
                    as u64,
            bytes: (input_bytes + stored.0 * stored.1 * layer.stored * 2) as u64,
        });
        let mut norm = (0, 0);
        if own.normalised {
            let first = 4 * network.shape.style_channels_of(index).start as u64;
            let shifts = 4 * network.shape.style_channels() as u64;
            let style = card.address(&network.style) + first;
            norm = (self.norms, self.norms + 4 * layer.stored as u64);
            self.norms += 8 * layer.stored as u64;
            let phases = if own.upsample.is_some() { 4 } else { 1 };
            let normalisation = Normalisation {
                moments,
                counts,
                style_scale: style,
                style_shift: style + shifts,
                scale: norm.0,
                shift: norm.1,
                blocks: (blocks[0] * blocks[1]) as i32,
                outputs: layer.outputs as i32,
                channels: (layer.outputs / phases) as i32,
                epsilon: EPSILON,
            };
            self.launches.push(Launch {
                name: format!("{}, statistics", network.shape.name(index)),
                kernel: "normalise",
                grid: [own.out_channels as u32, 1, 1],
                threads: THREADS as u32,
                shared: THREADS as u32 / 32 * 4,
                parameters: normalisation.into(),
                multiply_adds: 0,
                bytes: (blocks[0] * blocks[1] * layer.outputs * 8) as u64,
            });
        }
        Values {
            address: output,
            width: stored.0,
            height: stored.1,
            norm,
        }
    }

    /// Adds `value` to the trunk, or begins it.
    fn add(&mut self, trunk: u64, value: Values, begin: bool) -> Values {
        let channels = self.network.shape.trunk();
        let pieces = value.width * value.height * channels / 8;
        self.launches.push(Launch {
            name: if begin { "trunk" } else { "residual sum" }.into(),
            kernel: "residual",
            grid: [pieces.div_ceil(THREADS) as u32, 1, 1],
            threads: THREADS as u32,
            shared: 0,
            parameters: Residual {
                trunk,
                value: value.address,
                scale: value.norm.0,
                shift: value.norm.1,
                pieces: pieces as i32,
                pieces_per_pixel: (channels / 8) as i32,
                begin: i32::from(begin),
            }
            .into(),
            multiply_adds: 0,
            bytes: (pieces * 16 * if begin { 2 } else { 3 }) as u64,
        });
        Values {
            address: trunk,
            norm: (0, 0),
            ..value
        }
    }

    fn finish(&mut self, value: Values, picture: u64) {
        let (width, height) = self.picture;
        self.launches.push(Launch {
            name: "picture".into(),
            kernel: "finish",
            grid: [(width * height).div_ceil(4 * THREADS) as u32, 1, 1],
            threads: THREADS as u32,
            shared: 0,
            parameters: Finish {
                value: value.address,
                scale: value.norm.0,
                shift: value.norm.1,
                picture,
                width: value.width as i32,
                picture_width: width as i32,
                picture_height: height as i32,
            }
            .into(),
            multiply_adds: 0,
            bytes: (value.width * value.height * 8 + width * height * 3) as u64,
        });
    }
}

//! The launches that paint pictures of one size, and the memory that they work on.

use super::{Layer, TransformOnCard};
use crate::{
    cuda::{
        Card, CardError, Launch,
        parameters::{BLOCKS, Convolution, Finish, PICTURE, TENSOR},
    },
    kernels::Entry,
};

/// Pixels of a tile's row, and warps of a block: `TILE_WIDTH` and `WARPS` of the kernels.
const TILE_WIDTH: usize = 32;
const WARPS: usize = 8;
/// Shared memory that every card gives a block without being asked.
const SHARED: usize = 48 << 10;
/// Threads of a block.
const THREADS: usize = 256;
/// Added to the variance before its root is taken.
const EPSILON: f32 = 1e-5;
/// Bytes of a channel's totals.
const TOTALS: usize = 4 * 8;

/// The kernels of convolutions: `convolve_S_N_R` with slices of S channels, N outputs a block, and R rows a warp.
pub(in crate::cuda) const CONVOLUTIONS: [&str; 16] = [
    "convolve_4_16_1",
    "convolve_4_16_2",
    "convolve_4_32_1",
    "convolve_4_32_2",
    "convolve_8_16_1",
    "convolve_8_16_2",
    "convolve_8_32_1",
    "convolve_8_32_2",
    "convolve_16_16_1",
    "convolve_16_16_2",
    "convolve_16_32_1",
    "convolve_16_32_2",
    "convolve_32_16_1",
    "convolve_32_16_2",
    "convolve_32_32_1",
    "convolve_32_32_2",
];

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

/// What a layer reads or has written.
#[derive(Clone, Copy)]
struct Values {
    address: u64,
    width: usize,
    height: usize,
    /// Whether they are in single precision.
    single: bool,
    /// Addresses of scale, of shift, and of what ReLU makes of what is less; 0: as they are, and no ReLU.
    norm: [u64; 3],
    /// Of what is added to the scaled values, or 0.
    trunk: u64,
}

impl<C: Card> TransformOnCard<C> {
    /// The launches for a size, all in half precision where `single` is not wanted.
    pub(super) fn plan(
        &self,
        (width, height): (usize, usize),
        single: bool,
    ) -> Result<Plan<C>, CardError> {
        let (wide, tall) = (width.next_multiple_of(4), height.next_multiple_of(4));
        let mut planner = Planner {
            network: self,
            picture: (width, height),
            single,
            launches: Vec::new(),
            room: Vec::new(),
            norms: 0,
            totals: 0,
            done: 0,
            buffers: [0, 0],
        };
        let picture = self.card.reserve(width * height * 3)?;
        let painted = self
            .card
            .reserve((width * height * 3).next_multiple_of(4))?;
        // Zeros: channels that only padding has are scaled to nothing.
        let channels: usize = self.layers.iter().map(|layer| layer.stored).sum();
        planner.norms = planner.zeros(2 * 4 * channels)?;
        planner.totals = planner.zeros(TOTALS * channels)?;
        planner.done = planner.zeros(4 * self.layers.len())?;
        let mut values_bytes = [0, 0];
        let mut size = match self.shape.entry {
            Entry::Contract { .. } => (wide, tall),
            Entry::Unshuffle { .. } => (wide / 4, tall / 4),
        };
        for (index, layer) in self.layers.iter().enumerate() {
            size = layer.stored_size(layer.out_size(size));
            let bytes = &mut values_bytes[index % 2];
            *bytes = (*bytes).max(size.0 * size.1 * layer.stored * planner.bytes(layer));
        }
        // Layers write to the two in turn, so only one of them has to hold the largest; and so do the residual blocks.
        planner.buffers = [
            planner.reserve(values_bytes[0])?,
            planner.reserve(values_bytes[1])?,
        ];
        let trunk_bytes = wide / 4 * (tall / 4) * self.shape.trunk().next_multiple_of(4) * 2;
        let trunks = [planner.reserve(trunk_bytes)?, planner.reserve(trunk_bytes)?];

        let mut values = Values {
            address: self.card.address(&picture),
            width: wide,
            height: tall,
            single: false,
            norm: [0; 3],
            trunk: 0,
        };
        if let Entry::Unshuffle { .. } = self.shape.entry {
            (values.width, values.height) = (wide / 4, tall / 4);
        }
        let (residual, expanding) = (self.shape.residual(), self.shape.expanding());
        for index in 0..residual {
            values = planner.convolve(index, values, 0);
        }
        for index in (residual..expanding).step_by(2) {
            let trunk = trunks[(index - residual) / 2 % 2];
            let inner = planner.convolve(index, values, trunk);
            let outer = planner.convolve(index + 1, inner, 0);
            values = Values { trunk, ..outer };
        }
        for index in expanding..self.shape.layers() {
            values = planner.convolve(index, values, 0);
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
    /// Rows of the output that a warp computes.
    rows: usize,
    blocks: [usize; 3],
    /// Bytes of shared memory.
    shared: usize,
}

impl<C: Card> Layer<C> {
    /// The size of the output, several pixels of a row as one where they are made so.
    fn out_size(&self, (width, height): (usize, usize)) -> (usize, usize) {
        (
            width.div_ceil(self.shape.stride * self.across),
            height.div_ceil(self.shape.stride),
        )
    }

    /// The size of the stored output.
    fn stored_size(&self, (width, height): (usize, usize)) -> (usize, usize) {
        let times = if self.shape.upsample.is_some() { 2 } else { 1 };
        (times * width * self.across, times * height)
    }

    fn tile(&self, out: (usize, usize), busy: usize) -> Tile {
        let (packing, stride) = (self.packing, self.shape.stride);
        let (kernel, kernel_width) = packing.kernel;
        let tile = |rows: usize| {
            let across = (TILE_WIDTH - 1) * stride * self.across + kernel_width;
            let patch = across * ((WARPS * rows - 1) * stride + kernel);
            let own = packing.groups() * 16 + packing.slice * 12 + patch * packing.slice * 2;
            // What the statistics take when the products are done.
            let moments = WARPS * (packing.outputs * 8 + 4) + 4;
            Tile {
                rows,
                blocks: [
                    out.0.div_ceil(TILE_WIDTH),
                    out.1.div_ceil(WARPS * rows),
                    self.outputs / packing.outputs,
                ],
                shared: own.max(moments),
            }
        };
        let two = tile(2);
        match two.shared <= SHARED && two.blocks.iter().product::<usize>() >= busy {
            true => two,
            false => tile(1),
        }
    }
}

/// Writes down the launches of a plan.
struct Planner<'a, C: Card> {
    network: &'a TransformOnCard<C>,
    picture: (usize, usize),
    /// Whether layers that are to be in single precision are.
    single: bool,
    launches: Vec<Launch>,
    room: Vec<C::Memory>,
    /// Where the next layer's scale and shift go, its totals, and the number of its blocks that are done.
    norms: u64,
    totals: u64,
    done: u64,
    /// Two outputs, used in turn.
    buffers: [u64; 2],
}

impl<C: Card> Planner<'_, C> {
    /// Bytes of a value that a layer stores.
    fn bytes(&self, layer: &Layer<C>) -> usize {
        if self.single && layer.single { 4 } else { 2 }
    }

    fn reserve(&mut self, bytes: usize) -> Result<u64, CardError> {
        let memory = self.network.card.reserve(bytes)?;
        let address = self.network.card.address(&memory);
        self.room.push(memory);
        Ok(address)
    }

    fn zeros(&mut self, bytes: usize) -> Result<u64, CardError> {
        let mut memory = self.network.card.reserve(bytes)?;
        self.network.card.upload(&vec![0; bytes], &mut memory)?;
        let address = self.network.card.address(&memory);
        self.room.push(memory);
        Ok(address)
    }

    /// Layer `index` over `input`, and its statistics; what it reads is kept at `kept`, if that is not 0.
    fn convolve(&mut self, index: usize, input: Values, kept: u64) -> Values {
        let (network, card) = (self.network, &self.network.card);
        let layer = &network.layers[index];
        let (own, packing) = (layer.shape, layer.packing);
        let out = layer.out_size((input.width, input.height));
        let tile = layer.tile(out, network.busy);
        let output = self.buffers[0];
        self.buffers.swap(0, 1);
        let first = index == 0;
        let stored = layer.stored_size(out);
        let mut convolution = Convolution {
            input: input.address,
            scale: input.norm[0],
            shift: input.norm[1],
            least: input.norm[2],
            trunk: input.trunk,
            trunk_out: kept,
            weights: card.address(&layer.weights),
            bias: layer.bias.as_ref().map_or(0, |bias| card.address(bias)),
            output,
            width: input.width as i32,
            height: input.height as i32,
            picture_width: self.picture.0 as i32,
            picture_height: self.picture.1 as i32,
            out_width: out.0 as i32,
            out_height: out.1 as i32,
            channels: packing.channels as i32,
            stored: (layer.stored * layer.across) as i32,
            kernel: packing.kernel.0 as i32,
            kernel_width: packing.kernel.1 as i32,
            stride: own.stride as i32,
            stride_across: (own.stride * layer.across) as i32,
            groups: packing.groups() as i32,
            border: layer.border,
            source: match (first, network.shape.entry) {
                (false, _) => TENSOR,
                (true, Entry::Contract { .. }) => PICTURE,
                (true, Entry::Unshuffle { .. }) => BLOCKS,
            },
            single: i32::from(input.single),
            single_output: i32::from(self.bytes(layer) == 4),
            relu_output: i32::from(!own.normalised && own.relu),
            shuffle: i32::from(own.upsample.is_some()),
            ..Convolution::default()
        };
        let mut norm = [0; 3];
        if own.normalised {
            let channel = 4 * network.shape.style_channels_of(index).start as u64;
            let style = card.address(&network.style) + channel;
            let part = 4 * network.shape.style_channels() as u64;
            norm[0] = self.norms;
            norm[1] = self.norms + 4 * layer.stored as u64;
            norm[2] = if own.relu { style + 2 * part } else { 0 };
            convolution = Convolution {
                totals: self.totals,
                done: self.done,
                style_scale: style,
                style_shift: style + part,
                next_scale: norm[0],
                next_shift: norm[1],
                norm_channels: layer.stored as i32,
                style_channels: own.out_channels as i32,
                pixels: (stored.0 * stored.1) as f32,
                epsilon: EPSILON,
                ..convolution
            };
            self.norms += 8 * layer.stored as u64;
            self.totals += (TOTALS * layer.stored) as u64;
            self.done += 4;
        }
        let bytes = if first {
            self.picture.0 * self.picture.1 * 3
        } else {
            let kept = usize::from(input.trunk != 0) + usize::from(kept != 0);
            let own = if input.single { 4 } else { 2 };
            input.width * input.height * packing.channels * (own + 2 * kept)
        };
        let name = format!(
            "convolve_{}_{}_{}",
            packing.slice, packing.outputs, tile.rows
        );
        self.launches.push(Launch {
            name: network.shape.name(index),
            // The list has every combination that a layer can have.
            kernel: CONVOLUTIONS
                .into_iter()
                .find(|kernel| *kernel == name)
                .unwrap_or_default(),
            grid: tile.blocks.map(|count| count as u32),
            threads: THREADS as u32,
            shared: tile.shared as u32,
            parameters: convolution.into(),
            multiply_adds: (out.0 * layer.across * out.1) as u64
                * (own.kernel_outputs() * own.in_channels * own.kernel_size * own.kernel_size)
                    as u64,
            bytes: (bytes + stored.0 * stored.1 * layer.stored * self.bytes(layer)) as u64,
        });
        Values {
            address: output,
            width: stored.0,
            height: stored.1,
            single: self.bytes(layer) == 4,
            norm,
            trunk: 0,
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
                scale: value.norm[0],
                shift: value.norm[1],
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

//! What the loss network works with on a card: memory that is kept from pass to pass, and launches of its kernels.

use crate::cuda::{
    Card, CardError, Launch,
    parameters::{Convolution, TENSOR, ZERO},
    vectors::flat,
    weights::Packing,
};

/// Threads of a block.
pub(super) const THREADS: usize = 256;
/// Pixels of a row of a convolution's tile, and warps, each of which has a row or two.
const TILE_WIDTH: usize = 32;
const WARPS: usize = 8;

/// The kernels of a convolution, with small tiles and with large ones.
pub(super) type Kernels = [&'static str; 2];
pub(super) const FIRST: Kernels = ["features_4_1", "features_4_2"];
pub(super) const FEATURES: Kernels = ["features_32_1", "features_32_2"];
pub(super) const LAST_GRADIENT: Kernels = ["gradient_16_1", "gradient_16_2"];
pub(super) const GRADIENT: Kernels = ["gradient_64_1", "gradient_64_2"];

/// Channels that lie in shared memory together.
const SLICE: usize = 32;

/// Memory that grows.
pub(super) struct Room<C: Card> {
    pub(super) memory: Option<C::Memory>,
    bytes: usize,
}

impl<C: Card> Default for Room<C> {
    fn default() -> Self {
        Self {
            memory: None,
            bytes: 0,
        }
    }
}

impl<C: Card> Room<C> {
    /// The address of `bytes` bytes at least.
    pub(super) fn of(&mut self, card: &C, bytes: usize) -> Result<u64, CardError> {
        match &self.memory {
            Some(memory) if self.bytes >= bytes => Ok(card.address(memory)),
            _ => {
                self.memory = None;
                let memory = self.memory.insert(card.reserve(bytes)?);
                self.bytes = bytes;
                Ok(card.address(memory))
            }
        }
    }

    pub(super) fn upload(&mut self, card: &C, bytes: &[u8]) -> Result<u64, CardError> {
        let address = self.of(card, bytes.len())?;
        if let Some(memory) = &mut self.memory {
            card.upload(bytes, memory)?;
        }
        Ok(address)
    }

    pub(super) fn address(&self, card: &C) -> u64 {
        self.memory
            .as_ref()
            .map_or(0, |memory| card.address(memory))
    }
}

/// Channels of a tensor as it lies on the card.
pub(super) fn stored(channels: usize) -> usize {
    channels.next_multiple_of(4)
}

/// A convolution over a tensor of one size with zeros around it, and nothing else.
pub(super) fn plain((height, width): (usize, usize), kernel: usize) -> Convolution {
    Convolution {
        width: width as i32,
        height: height as i32,
        out_width: width as i32,
        out_height: height as i32,
        kernel: kernel as i32,
        kernel_width: kernel as i32,
        stride: 1,
        stride_across: 1,
        border: ZERO,
        source: TENSOR,
        factor: 1.0,
        ..Convolution::default()
    }
}

/// How the weights of a convolution are packed, `group` outputs a block.
pub(super) fn packing(kernel: usize, channels: usize, group: usize) -> Packing {
    Packing {
        kernel: (kernel, kernel),
        channels,
        slice: channels.min(SLICE),
        outputs: group,
    }
}

/// A convolution over tiles that are large where that makes `busy` blocks, `groups` times as many outputs as a block has.
pub(super) fn tiled(
    (kernels, busy): (Kernels, usize),
    groups: usize,
    mut convolution: Convolution,
) -> Launch {
    let side = convolution.kernel as usize;
    let packing = packing(side, convolution.channels as usize, 64);
    convolution.groups = packing.groups() as i32;
    let (width, height) = (
        convolution.out_width as usize,
        convolution.out_height as usize,
    );
    let across = width.div_ceil(TILE_WIDTH);
    let large = across * height.div_ceil(2 * WARPS) * groups >= busy;
    let rows = if large { 2 * WARPS } else { WARPS };
    let patch = (rows + side - 1) * (TILE_WIDTH + side - 1) * packing.slice * 2;
    // Where there are several slices, one is fetched while another is worked on.
    let patches = (packing.channels / packing.slice).min(2);
    Launch {
        grid: [across as u32, height.div_ceil(rows) as u32, groups as u32],
        ..flat(
            kernels[usize::from(large)],
            0,
            (packing.groups() * 16 + patches * patch) as u32,
            convolution.into(),
        )
    }
}

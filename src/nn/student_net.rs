//! Students: feed-forward painters of our own that cost less than half of the network they learn from.
//!
//! A picture is cut into blocks of 4×4 pixels, each of which becomes one pixel of 48 channels (pixel unshuffle; Shi et
//! al. 2016, backwards), so that no convolution ever runs at full size on the way in: where the network of 26 styles
//! spends 55 % of its arithmetic, a student spends one or two 3×3 convolutions at a quarter of the size. Residual blocks
//! repaint the trunk as in the teacher. The way back to full size is nearest-neighbour upsampling before a convolution, as in
//! the teacher, or the same convolution with four times the outputs, which are the pixels of 2×2 blocks. All convolutions
//! are 3×3 with stride 1 and reflection padding (but for an optional last one), which is what the processor computes
//! fastest: by Winograd's F(4×4, 3×3), or F(4, 3) in bf16, a full 3×3 costs 2.25 multiplications where a depthwise one
//! with a 1×1 behind it costs one and as much memory traffic again.
//!
//! Every convolution is followed by instance normalisation with scales and shifts of the style (Dumoulin et al. 2017),
//! of the layers that expand *after* their outputs were put in place, so all pixels of a block share one channel's
//! statistics.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use candle_core::{D, Device, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    layers::{pixel_shuffle, pixel_unshuffle, reflection_pad, reflection_pad_to_multiple},
    transform_net::EPSILON,
};
use crate::kernels::{Entry, NetworkShape};

/// Pixels along a side of the blocks that become one pixel of the trunk.
const BLOCK: usize = 4;
/// Channels of a full-size plane between the expanding layers and the refining one.
const FULL_CHANNELS: usize = 4;

/// How an expanding layer reaches twice the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upsampling {
    /// A 3×3 convolution to four times the channels, which become 2×2 blocks (Shi et al. 2016): as many free numbers as
    /// the processor computes, so the sharpest. A pattern of blocks is avoided by training, from weights that begin
    /// without one (Aitken et al. 2017).
    Shuffle,
    /// A 5×5 convolution behind nearest ×2 upsampling, which is a 3×3 convolution before it: flat areas can have no
    /// pattern, and it costs the same.
    Nearest,
}

/// The shape of a student.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudentConfig {
    /// Channels of the trunk, at a quarter of the picture's size: 16 or 32.
    pub width: usize,
    /// Convolutions in front of the residual blocks, 1 or 2.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub entry: usize,
    /// Residual blocks of two convolutions, 1..=16.
    pub blocks: usize,
    /// Channels at half the size: 8 or 16.
    pub detail: usize,
    /// How half and full size are reached.
    pub upsampling: [Upsampling; 2],
    /// Side of a last convolution at full size, from 4 channels to the colours: 5 or 9; without it the second expanding
    /// layer makes the colours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refine: Option<usize>,
}

/// One convolution of a student.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudentLayer {
    /// `enter`, `enter.1`, `residual.N.0`, `residual.N.1`, `expand.0`, `expand.1` or `refine`.
    pub name: String,
    /// Channels after it, each with a scale and a shift.
    pub out_channels: usize,
    /// Channels before it.
    pub in_channels: usize,
    /// Height and width of the stored kernel.
    pub kernel_size: usize,
    /// How it doubles the size, if it does.
    pub upsampling: Option<Upsampling>,
    /// Whether a ReLU follows the normalisation.
    pub relu: bool,
}

impl StudentLayer {
    /// Shape of `NAME.weight`: output channels (of a shuffling layer those of all four pixels of a block, `[row]
    /// [column][channel]`), input channels, height, width.
    #[must_use]
    pub fn weight_shape(&self) -> [usize; 4] {
        let pixels = match self.upsampling {
            Some(Upsampling::Shuffle) => 4,
            _ => 1,
        };
        [
            pixels * self.out_channels,
            self.in_channels,
            self.kernel_size,
            self.kernel_size,
        ]
    }
}

fn one() -> usize {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_one(value: &usize) -> bool {
    *value == 1
}

impl StudentConfig {
    /// What `--quality swift` paints with.
    pub const SWIFT: Self = Self {
        width: 32,
        entry: 2,
        blocks: 4,
        detail: 8,
        upsampling: [Upsampling::Nearest; 2],
        refine: Some(9),
    };
    /// What `--quality fine` paints with.
    pub const FINE: Self = Self {
        width: 32,
        entry: 2,
        blocks: 6,
        detail: 8,
        upsampling: [Upsampling::Nearest; 2],
        refine: Some(9),
    };

    /// Checks that the kernels can run it.
    ///
    /// # Errors
    /// A sentence that names the number and what it may be.
    pub fn check(&self) -> std::result::Result<(), String> {
        let checks = [
            ("width", matches!(self.width, 16 | 32), "16 or 32"),
            ("entry", matches!(self.entry, 1 | 2), "1 or 2"),
            ("blocks", (1..=16).contains(&self.blocks), "1 to 16"),
            ("detail", matches!(self.detail, 8 | 16), "8 or 16"),
            (
                "refine",
                matches!(self.refine, None | Some(5 | 9)),
                "5, 9 or absent",
            ),
        ];
        match checks.into_iter().find(|(_, right, _)| !right) {
            Some((name, _, range)) => Err(format!("a student's {name} must be {range}")),
            None => Ok(()),
        }
    }

    /// The convolutions in network order.
    #[must_use]
    pub fn layers(&self) -> Vec<StudentLayer> {
        let plain = |name: String, in_channels, relu| StudentLayer {
            name,
            out_channels: self.width,
            in_channels,
            kernel_size: 3,
            upsampling: None,
            relu,
        };
        let mut layers = vec![plain("enter".into(), 3 * BLOCK * BLOCK, true)];
        layers.extend((1..self.entry).map(|n| plain(format!("enter.{n}"), self.width, true)));
        for block in 0..self.blocks {
            layers.push(plain(format!("residual.{block}.0"), self.width, true));
            layers.push(plain(format!("residual.{block}.1"), self.width, false));
        }
        let second = match self.refine {
            Some(_) => FULL_CHANNELS,
            None => 3,
        };
        let planes = [(self.width, self.detail), (self.detail, second)];
        for (stage, (in_channels, out_channels)) in planes.into_iter().enumerate() {
            let upsampling = self.upsampling[stage];
            layers.push(StudentLayer {
                name: format!("expand.{stage}"),
                out_channels,
                in_channels,
                kernel_size: match upsampling {
                    Upsampling::Shuffle => 3,
                    Upsampling::Nearest => 5,
                },
                upsampling: Some(upsampling),
                relu: stage == 0 || self.refine.is_some(),
            });
        }
        layers.extend(self.refine.map(|kernel_size| StudentLayer {
            name: "refine".into(),
            out_channels: 3,
            in_channels: FULL_CHANNELS,
            kernel_size,
            upsampling: None,
            relu: false,
        }));
        layers
    }

    /// Name and shape of every tensor of a student of so many styles: for each layer `NAME.weight`
    /// ([`StudentLayer::weight_shape`]), `NAME.scale` and `NAME.shift` (styles × output channels).
    #[must_use]
    pub fn tensors(&self, styles: usize) -> Vec<(String, Vec<usize>)> {
        let of = |layer: StudentLayer| {
            let style = vec![styles, layer.out_channels];
            [
                (
                    format!("{}.weight", layer.name),
                    layer.weight_shape().to_vec(),
                ),
                (format!("{}.scale", layer.name), style.clone()),
                (format!("{}.shift", layer.name), style),
            ]
        };
        self.layers().into_iter().flat_map(of).collect()
    }

    /// The shape that the kernels run.
    #[must_use]
    pub fn shape(&self) -> NetworkShape {
        let second = if self.refine.is_some() {
            FULL_CHANNELS
        } else {
            3
        };
        NetworkShape {
            entry: Entry::Unshuffle {
                channels: self.width,
                layers: self.entry,
            },
            blocks: self.blocks,
            expand: [self.detail, second],
            last_kernel: self.refine,
        }
    }

    /// Multiply-adds per pixel of the picture, of plain convolution (those that expand are 3×3 over their sources).
    #[must_use]
    pub fn multiply_adds_per_pixel(&self) -> f64 {
        let of = |layer: StudentLayer| {
            let channels = (layer.in_channels * layer.out_channels) as f64;
            let taps = match layer.upsampling {
                Some(_) => 36,
                None => layer.kernel_size * layer.kernel_size,
            };
            // Output channels of each pixel of the layer's source, and how many pixels of the picture that one is.
            let pixels = match layer.name.as_str() {
                "refine" => 1.0,
                "expand.1" => 4.0,
                _ => 16.0,
            };
            channels * taps as f64 / pixels
        };
        self.layers().into_iter().map(of).sum()
    }

    /// Where training begins: weights by He et al. 2015 from `seed`, the four pixels of a shuffling layer's blocks equal
    /// (Aitken et al. 2017); scales 1, shifts 0.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn initial(
        &self,
        styles: usize,
        seed: u64,
        device: &Device,
    ) -> Result<BTreeMap<String, Tensor>> {
        let mut normal = normal_numbers(seed);
        let mut tensors = BTreeMap::new();
        for layer in self.layers() {
            let [_, inputs, height, width] = layer.weight_shape();
            let fan_in = inputs * height * width;
            let deviation = (2.0 / fan_in as f64).sqrt();
            let values: Vec<f32> = (0..layer.out_channels * fan_in)
                .map(|_| (deviation * normal()) as f32)
                .collect();
            let weight =
                Tensor::from_vec(values, (layer.out_channels, inputs, height, width), device)?;
            let weight = match layer.upsampling {
                Some(Upsampling::Shuffle) => weight.repeat((4, 1, 1, 1))?,
                _ => weight,
            };
            let style = (styles, layer.out_channels);
            let (ones, zeros) = (
                Tensor::ones(style, candle_core::DType::F32, device)?,
                Tensor::zeros(style, candle_core::DType::F32, device)?,
            );
            tensors.insert(format!("{}.weight", layer.name), weight);
            tensors.insert(format!("{}.scale", layer.name), ones);
            tensors.insert(format!("{}.shift", layer.name), zeros);
        }
        Ok(tensors)
    }
}

/// Normally distributed numbers that depend on the seed alone (Box and Muller 1958, over SplitMix64).
fn normal_numbers(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // Above zero, for its logarithm is taken.
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    };
    move || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}

/// A convolution of an already padded (N, C, H, W) tensor with an (O, C, k, k) kernel, without padding, stride 1.
pub type Convolve<'a> = &'a dyn Fn(&Tensor, &Tensor) -> Result<Tensor>;

/// A student on a candle device: the reference of the kernels, and what training differentiates.
#[derive(Debug, Clone)]
pub struct StudentNet {
    config: StudentConfig,
    styles: usize,
    layers: Vec<(StudentLayer, [Tensor; 3])>,
    /// (25, 36): what each tap of a 5×5 kernel behind nearest upsampling gives to the taps of the 3×3 kernels before it.
    fold: Tensor,
}

impl StudentNet {
    /// A student of `styles` styles with the tensors of [`StudentConfig::tensors`]. They are shared, not copied: given
    /// those of candle variables, gradients reach the variables, and what is set there counts here.
    ///
    /// # Errors
    /// When the shape cannot be run or a tensor is missing or has another shape.
    pub fn new(
        config: StudentConfig,
        styles: usize,
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        config.check().map_err(candle_core::Error::msg)?;
        for (name, shape) in config.tensors(styles) {
            match tensors.get(&name) {
                Some(tensor) if tensor.dims() == shape => {}
                Some(tensor) => candle_core::bail!(
                    "tensor {name} has shape {:?} in place of {shape:?}",
                    tensor.dims()
                ),
                None => candle_core::bail!("tensor {name} is missing"),
            }
        }
        let layers: Vec<_> = config
            .layers()
            .into_iter()
            .map(|layer| {
                let part = |kind| tensors[&format!("{}.{kind}", layer.name)].clone();
                let parts = ["weight", "scale", "shift"].map(part);
                (layer, parts)
            })
            .collect();
        let device = layers[0].1[0].device();
        Ok(Self {
            config,
            styles,
            fold: Tensor::from_vec(fold_matrix(), (25, 36), device)?,
            layers,
        })
    }

    /// The student's shape.
    #[must_use]
    pub fn config(&self) -> StudentConfig {
        self.config
    }

    /// Paints `x_nchw` (RGB, values 0..1, sides of 32 or more) in the styles of `weights` (N, styles): each picture's
    /// scales and shifts are the sum of those of the styles, weighted. The result has the picture's shape and range.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(&self, x_nchw: &Tensor, weights: &Tensor) -> Result<Tensor> {
        self.forward_with(x_nchw, weights, &|x, weight| x.conv2d(weight, 0, 1, 1, 1))
    }

    /// [`StudentNet::forward`] with another implementation of convolution.
    ///
    /// # Errors
    /// When the device or `convolve` fails.
    pub fn forward_with(
        &self,
        x_nchw: &Tensor,
        weights: &Tensor,
        convolve: Convolve<'_>,
    ) -> Result<Tensor> {
        let (count, _, height, width) = x_nchw.dims4()?;
        if weights.dims() != [count, self.styles] {
            candle_core::bail!(
                "{count} pictures need {} style weights each, these are {:?}",
                self.styles,
                weights.dims()
            );
        }
        let apply = |index: usize, x: &Tensor| self.layer(index, x, weights, convolve);
        let mut x = pixel_unshuffle(&reflection_pad_to_multiple(x_nchw, BLOCK)?, BLOCK)?;
        let (entry, blocks) = (self.config.entry, self.config.blocks);
        for index in 0..entry {
            x = apply(index, &x)?;
        }
        for block in 0..blocks {
            let inner = apply(entry + 2 * block, &x)?;
            x = (x + apply(entry + 2 * block + 1, &inner)?)?;
        }
        for index in entry + 2 * blocks..self.layers.len() {
            x = apply(index, &x)?;
        }
        // The logistic function by tanh, which every device has.
        let y = (((x * 0.5)?.tanh()? + 1.0)? * 0.5)?;
        y.narrow(2, 0, height)?.narrow(3, 0, width)
    }

    fn layer(
        &self,
        index: usize,
        x: &Tensor,
        weights: &Tensor,
        convolve: Convolve<'_>,
    ) -> Result<Tensor> {
        let (layer, [kernel, scale, shift]) = &self.layers[index];
        let folded = match layer.upsampling {
            Some(Upsampling::Nearest) => self.folded(kernel)?,
            _ => kernel.clone(),
        };
        let side = folded.dim(D::Minus1)?;
        let mut y = convolve(&reflection_pad(x, side / 2)?, &folded)?;
        if layer.upsampling.is_some() {
            y = pixel_shuffle(&y)?;
        }
        let (n, c, h, w) = y.dims4()?;
        let flat = y.reshape((n, c, h * w))?;
        let centred = flat.broadcast_sub(&flat.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + EPSILON)?.sqrt()?;
        let style = |rows: &Tensor| weights.matmul(rows)?.reshape((n, c, 1));
        let y = centred
            .broadcast_mul(&style(scale)?.div(&deviation)?)?
            .broadcast_add(&style(shift)?)?
            .reshape((n, c, h, w))?;
        if layer.relu { y.relu() } else { Ok(y) }
    }

    /// A 5×5 kernel behind nearest ×2 upsampling as the 3×3 kernel before it, of all pixels of a block.
    fn folded(&self, kernel: &Tensor) -> Result<Tensor> {
        let (outputs, inputs, _, _) = kernel.dims4()?;
        kernel
            .reshape((outputs * inputs, 25))?
            .matmul(&self.fold)?
            .reshape((outputs, inputs, 4, 9))?
            .permute((2, 0, 1, 3))?
            .contiguous()?
            .reshape((4 * outputs, inputs, 3, 3))
    }
}

/// The tap, along one side, of a 3×3 kernel over the sources of 2×2 blocks that a tap of a 5×5 kernel falls on for a
/// `pixel` (0 or 1) of its block.
pub(crate) fn source_tap(pixel: usize, tap: usize) -> usize {
    (pixel + tap) / 2
}

/// The kernel of a nearest-upsampling layer (O×I×5×5) as one of a shuffling layer (4O×I×3×3).
pub(super) fn fold_kernel(kernel: &[f32], inputs: usize) -> Vec<f32> {
    let (outputs, matrix) = (kernel.len() / (25 * inputs), fold_matrix());
    let mut folded = vec![0.0; 4 * outputs * inputs * 9];
    for (pair, taps) in kernel.chunks_exact(25).enumerate() {
        for (tap, row) in taps.iter().zip(matrix.chunks_exact(36)) {
            for (at, share) in row.iter().enumerate() {
                let target = (at / 9 * outputs * inputs + pair) * 9 + at % 9;
                folded[target] += tap * share;
            }
        }
    }
    folded
}

/// `[tap of 5×5][pixel of the block][tap of 3×3]`.
fn fold_matrix() -> Vec<f32> {
    let mut matrix = vec![0.0; 25 * 36];
    for tap in 0..25 {
        for pixel in 0..4 {
            let row = source_tap(pixel / 2, tap / 5);
            let column = source_tap(pixel % 2, tap % 5);
            matrix[tap * 36 + pixel * 9 + row * 3 + column] = 1.0;
        }
    }
    matrix
}

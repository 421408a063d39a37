//! A feed-forward network as a list of launches, made once for a size of picture.
//!
//! Tensors are in half precision, with what a channel is in the mean taken off (`kernels/centre.rs`). The outputs of the
//! normalised layers before the trunk are in single precision, where there is room for them: smooth parts of a picture
//! are almost constant there, and the style enlarges their rounding errors.

mod plan;

use super::{
    Card, CardError, FrameOnCard, Launch, Parameters, SteadyOnCard, bytes_of,
    parameters::{REFLECT, REPEAT},
    weights::{Packing, round_kernels, square},
};
use crate::kernels::{
    Centred, Entry, LayerShape, NetworkShape, StyleParameters, TransformWeights, Upsample,
    fold_upsampling, pad_blocks,
};
#[cfg(feature = "cuda")]
pub(super) use plan::CONVOLUTIONS;
use plan::Plan;

/// Paints with a feed-forward network on a card, most of it in half precision with sums and statistics in single precision.
pub struct TransformOnCard<C: Card> {
    card: C,
    shape: NetworkShape,
    layers: Vec<Layer<C>>,
    /// Scales of a style, shifts with the centres taken off, and what ReLU makes of what is less.
    style: C::Memory,
    current: Option<StyleParameters>,
    plan: Option<Plan<C>>,
    /// Blocks of threads that a card works on at once; with fewer, smaller tiles are used.
    pub(super) busy: usize,
}

/// As many as a large card works on.
const BUSY: usize = 128;

/// The weights of one layer on the card.
struct Layer<C: Card> {
    shape: LayerShape,
    weights: C::Memory,
    packing: Packing,
    bias: Option<C::Memory>,
    /// Outputs that are computed: a multiple of a block's.
    outputs: usize,
    /// Channels of the output as it is stored.
    stored: usize,
    /// Whether its outputs are in single precision, where there is room for that.
    single: bool,
    /// Pixels of a row that are made as one, with their channels as its outputs.
    across: usize,
    border: i32,
}

/// The last convolution makes so many pixels of a row as one: three outputs leave most of the tensor cores' result unused.
const ACROSS: usize = 4;

/// A level of a colour `v` is taken as `(v - 128) / 256`, which half precision holds; the weights of the first layer are
/// larger by this, and what its outputs lack is a constant: normalisation takes it away, or the bias has it.
const LEVELS: f32 = 256.0 / 255.0;

impl<C: Card> TransformOnCard<C> {
    /// Puts the weights on the card.
    ///
    /// # Errors
    /// When the weights do not have the shape they say, or the card has no room for them.
    pub fn new(weights: &TransformWeights, card: C) -> Result<Self, CardError> {
        weights.check()?;
        let shape = weights.shape();
        let put = |bytes: &[u8]| {
            let mut memory = card.reserve(bytes.len())?;
            card.upload(bytes, &mut memory)?;
            Ok::<_, CardError>(memory)
        };
        let mut layers: Vec<Layer<C>> = Vec::new();
        for (index, own) in shape.iter().enumerate() {
            let mut convolution = weights.layers()[index].clone();
            let mut border = REFLECT;
            if own.upsample == Some(Upsample::Nearest) {
                convolution = fold_upsampling(&convolution);
                border = REPEAT;
            }
            let mut stored = own.out_channels.next_multiple_of(4);
            if own.upsample.is_some() {
                stored = stored.next_power_of_two();
                convolution = pad_blocks(convolution, stored);
            }
            let channels = match (index, shape.entry) {
                (0, Entry::Contract { .. }) => 4,
                (0, Entry::Unshuffle { .. }) => convolution.in_channels,
                _ => layers[index - 1].stored,
            };
            if index == 0 {
                for weight in &mut convolution.weight {
                    *weight *= LEVELS;
                }
            }
            // The entry of the students has the colours of a block's pixels as its channels.
            let alike = if index == 0 {
                3
            } else {
                convolution.in_channels
            };
            round_kernels(&mut convolution, alike);
            let side = convolution.kernel_size;
            let across = match index + 1 == shape.layers() && own.upsample.is_none() {
                true => ACROSS,
                false => 1,
            };
            let slice = match (own.stride, across) {
                // A row of its patch is four times as wide.
                (_, ACROSS) => Packing::slice(channels).min(8),
                (1, _) => Packing::slice(channels),
                // Neighbours lie two pixels apart, and so in other banks.
                _ => Packing::slice(channels).min(16),
            };
            let out_channels = match across {
                1 => convolution.out_channels,
                _ => across * stored,
            };
            let packing = Packing {
                kernel: (side, side + across - 1),
                channels,
                slice,
                outputs: if out_channels > 16 { 32 } else { 16 },
            };
            let packed = packing.pack(out_channels, |output, channel, row, column| {
                let (pixel, output) = match across {
                    1 => (0, output),
                    _ => (output / stored, output % stored),
                };
                match output < convolution.out_channels && (pixel..pixel + side).contains(&column) {
                    true => square(&convolution, output, channel, row, column - pixel),
                    false => 0.0,
                }
            });
            let outputs = out_channels.next_multiple_of(packing.outputs);
            let bias = (!own.normalised).then(|| {
                let mut bias = weights.bias(index).to_vec();
                if index == 0 {
                    let one = convolution.weight.len() / convolution.out_channels;
                    for (bias, own) in bias.iter_mut().zip(convolution.weight.chunks_exact(one)) {
                        *bias += 0.5 * own.iter().sum::<f32>();
                    }
                }
                bias.resize(outputs, 0.0);
                put(bytes_of(&bias))
            });
            layers.push(Layer {
                shape: own,
                weights: put(bytes_of(&packed))?,
                packing,
                bias: bias.transpose()?,
                outputs,
                stored,
                single: own.normalised && index < shape.residual(),
                across,
                border,
            });
        }
        // Channels that only padding has read the next layer's values, and those of the last layers what lies behind.
        let padding = layers.iter().map(|layer| layer.stored).max().unwrap_or(0);
        let style = card.reserve(4 * (3 * shape.style_channels() + padding))?;
        Ok(Self {
            card,
            shape,
            layers,
            style,
            current: None,
            plan: None,
            busy: BUSY,
        })
    }

    /// Changes the style of what is painted from now on.
    ///
    /// # Errors
    /// When the style has another number of scales and shifts than the network, or the card fails.
    pub fn set_style(&mut self, style: &StyleParameters) -> Result<(), CardError> {
        style.check(self.shape)?;
        if self.current.as_ref() != Some(style) {
            let Centred { shift, least } = style.centred(self.shape);
            let mut all = [style.scale.as_slice(), &shift, &least].concat();
            all.resize(self.card.size(&self.style) / 4, 0.0);
            self.card.upload(bytes_of(&all), &mut self.style)?;
            self.current = Some(style.clone());
        }
        Ok(())
    }

    /// Paints an RGB picture, `height` rows of `width` pixels with sides of 32 or more, into `painted`, which is as long.
    ///
    /// # Errors
    /// When the card has no room for pictures of this size, or fails.
    ///
    /// # Panics
    /// When a slice does not have the length that the size says, or no style was set.
    pub fn paint(
        &mut self,
        rgb: &[u8],
        width: usize,
        height: usize,
        painted: &mut [u8],
    ) -> Result<(), CardError> {
        assert!(rgb.len() == width * height * 3 && painted.len() == rgb.len());
        let mut plan = self.plan_for((width, height))?;
        self.card.upload(rgb, &mut plan.picture)?;
        let address = self.card.address(&plan.picture);
        self.start(&mut plan, address)?;
        self.card.download(&plan.painted, painted)?;
        self.plan = Some(plan);
        Ok(())
    }

    /// As [`TransformOnCard::paint`], a picture that is on the card already; the painting is steadied before it leaves the
    /// card (see [`SteadyOnCard::push`]), which is left to happen beside what is started next.
    ///
    /// # Errors
    /// As [`TransformOnCard::paint`].
    ///
    /// # Panics
    /// When no style was set, or the picture is luma alone.
    pub fn paint_steady(
        &mut self,
        picture: &FrameOnCard<C>,
        steady: &mut SteadyOnCard<C>,
    ) -> Result<C::Fetch, CardError> {
        assert!(!picture.is_grey(), "a picture to paint has colours");
        let size = picture.size();
        let mut plan = self.plan_for(size)?;
        let address = self.card.address(&picture.room().picture);
        self.start(&mut plan, address)?;
        steady.push(picture, &mut plan.painted)?;
        let painted = self.card.fetch(&plan.painted, 3 * size.0 * size.1)?;
        self.plan = Some(plan);
        Ok(painted)
    }

    /// The plan for pictures of a size, the one there is if it fits.
    fn plan_for(&mut self, size: (usize, usize)) -> Result<Plan<C>, CardError> {
        // Memory of another size is given back before more is taken.
        let fitting = self
            .plan
            .take()
            .filter(|plan| (plan.width, plan.height) == size);
        match fitting {
            Some(plan) => Ok(plan),
            None => self.plan(size, true).or_else(|_| self.plan(size, false)),
        }
    }

    /// Starts to paint the picture at an address; the painting will lie in the plan.
    fn start(&self, plan: &mut Plan<C>, picture: u64) -> Result<(), CardError> {
        assert!(self.current.is_some(), "a style is set before painting");
        if let Some(Launch {
            parameters: Parameters::Convolution(first),
            ..
        }) = plan.launches.first_mut()
        {
            first.input = picture;
        }
        for launch in &plan.launches {
            // SAFETY: the addresses are those of the network and of the plan, which live as long as `self`, and that of a
            // picture of the plan's size, which is kept or given back behind these launches.
            unsafe { self.card.launch(launch) }?;
        }
        Ok(())
    }

    /// The launches that paint a picture of the size that was painted last.
    pub fn launches(&self) -> &[Launch] {
        self.plan.as_ref().map_or(&[], |plan| &plan.launches)
    }

    /// The card.
    pub fn card(&self) -> &C {
        &self.card
    }
}

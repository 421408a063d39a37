//! A feed-forward network as a list of launches, made once for a size of picture.

mod plan;

use super::{
    Card, CardError, FrameOnCard, Launch, Parameters, SteadyOnCard, bytes_of,
    parameters::{REFLECT, REPEAT},
    weights::fragments,
};
use crate::kernels::{
    ConvolutionWeights, Entry, LayerShape, NetworkShape, StyleParameters, TransformWeights,
    Upsample, fold_upsampling, pad_blocks,
};
use plan::Plan;

/// Paints with a feed-forward network on a card, in half precision with sums and statistics in single precision.
pub struct TransformOnCard<C: Card> {
    card: C,
    shape: NetworkShape,
    layers: Vec<Layer<C>>,
    /// Scales and then shifts of a style.
    style: C::Memory,
    current: Option<StyleParameters>,
    plan: Option<Plan<C>>,
}

/// The weights of one layer on the card.
struct Layer<C: Card> {
    shape: LayerShape,
    fragments: C::Memory,
    bias: Option<C::Memory>,
    /// Channels of the input as it is stored, and those that lie in shared memory together.
    channels: usize,
    slice: usize,
    /// Outputs that are computed: a multiple of 8, and of a block of them where 2×2 pixels are made.
    outputs: usize,
    /// Channels of the output as it is stored.
    stored: usize,
    border: i32,
}

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
            let slice = if index == 0 {
                channels
            } else {
                channels.min(32)
            };
            let outputs = group(&convolution);
            let packed = fragments(&convolution, channels, slice, outputs);
            let bias = (!own.normalised).then(|| {
                let mut bias = weights.bias(index).to_vec();
                bias.resize(convolution.out_channels.next_multiple_of(outputs), 0.0);
                put(bytes_of(&bias))
            });
            layers.push(Layer {
                shape: own,
                fragments: put(bytes_of(&packed))?,
                bias: bias.transpose()?,
                channels,
                slice,
                outputs: convolution.out_channels.next_multiple_of(outputs),
                stored,
                border,
            });
        }
        let style = card.reserve(2 * 4 * shape.style_channels().max(1))?;
        Ok(Self {
            card,
            shape,
            layers,
            style,
            current: None,
            plan: None,
        })
    }

    /// Changes the style of what is painted from now on.
    ///
    /// # Errors
    /// When the style has another number of scales and shifts than the network, or the card fails.
    pub fn set_style(&mut self, style: &StyleParameters) -> Result<(), CardError> {
        style.check(self.shape)?;
        if self.current.as_ref() != Some(style) {
            let both = [style.scale.as_slice(), &style.shift].concat();
            self.card.upload(bytes_of(&both), &mut self.style)?;
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
        match self.plan.take() {
            Some(plan) if (plan.width, plan.height) == size => Ok(plan),
            _ => self.plan(size.0, size.1),
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

/// Outputs that one block of threads computes.
fn group(weights: &ConvolutionWeights) -> usize {
    weights
        .out_channels
        .next_multiple_of(8)
        .next_power_of_two()
        .min(64)
}

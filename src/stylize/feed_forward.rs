//! One pass of the feed-forward network per picture.

use candle_core::Device;

use super::{Finish, MIN_SIDE, StylizeError, Stylizer};
use crate::{
    frame::Picture,
    kernels::{Precision, StyleParameters, TransformConfig, TransformEngine},
    nn::transform_net::TransformNet,
    style::StylePack,
};

/// What a [`FeedForward`] is made of.
#[derive(Clone, Debug)]
pub struct FeedForwardSettings {
    /// Scales and shifts of the style.
    pub style: StyleParameters,
    /// What is done to the painting after the network.
    pub finish: Finish,
    /// Where the network runs.
    pub device: Device,
    /// Threads of the processor's kernels.
    pub threads: usize,
    /// Arithmetic of the processor's kernels.
    pub precision: Precision,
}

/// Paints with the feed-forward network of a style pack.
pub struct FeedForward {
    network: Network,
    finish: Finish,
    original: Vec<u8>,
    painted: Vec<u8>,
}

enum Network {
    /// The processor: our own kernels.
    Kernels(Box<TransformEngine>),
    /// Everything else: candle.
    Candle(TransformNet),
}

impl FeedForward {
    /// Puts the network of `pack` on its device.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn new(pack: &StylePack, settings: FeedForwardSettings) -> Result<Self, StylizeError> {
        let FeedForwardSettings {
            style,
            finish,
            device,
            threads,
            precision,
        } = settings;
        let network = match device {
            Device::Cpu => {
                let config = TransformConfig {
                    threads,
                    precision,
                    ..TransformConfig::default()
                };
                let mut engine = TransformEngine::new(pack.network(), config)?;
                engine.set_style(&style)?;
                Network::Kernels(Box::new(engine))
            }
            device => Network::Candle(TransformNet::new(pack.network(), &style, &device)?),
        };
        Ok(Self {
            network,
            finish,
            original: Vec::new(),
            painted: Vec::new(),
        })
    }
}

impl Stylizer for FeedForward {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        let (width, height) = (picture.width(), picture.height());
        if width.min(height) < MIN_SIDE {
            return Err(StylizeError::TooSmall { width, height });
        }
        if self.finish.needs_original() {
            self.original.clear();
            self.original.extend_from_slice(picture.rgb());
        }
        match &mut self.network {
            Network::Kernels(engine) => {
                self.painted.resize(picture.rgb().len(), 0);
                engine.paint(picture.rgb(), width, height, &mut self.painted)?;
                picture.rgb_mut().copy_from_slice(&self.painted);
            }
            Network::Candle(net) => net.paint(picture.rgb_mut(), width, height)?,
        }
        self.finish.apply(&self.original, picture);
        Ok(())
    }
    fn set_style(&mut self, style: &StyleParameters) -> Result<(), StylizeError> {
        match &mut self.network {
            Network::Kernels(engine) => engine.set_style(style)?,
            Network::Candle(net) => net.set_style(style)?,
        }
        Ok(())
    }

    fn set_finish(&mut self, finish: Finish) {
        self.finish = finish;
    }
}

//! A feed-forward network on the device that paints.

use super::FeedForwardSettings;
#[cfg(any(test, feature = "cuda"))]
use crate::cuda::{PaintCard, TransformOnCard};
#[cfg(feature = "gpu")]
use crate::gpu::TransformOnGpu;
use crate::{
    device::PaintDevice,
    frame::Picture,
    kernels::{StyleParameters, TransformConfig, TransformEngine, TransformWeights},
    stylize::StylizeError,
};

/// A network on its device.
pub(super) enum Network {
    /// The processor: our own kernels.
    Kernels(Box<TransformEngine>),
    /// An NVIDIA card: our own kernels.
    #[cfg(any(test, feature = "cuda"))]
    Cuda(Box<TransformOnCard<PaintCard>>),
    /// Another GPU: our own shaders.
    #[cfg(feature = "gpu")]
    Gpu(Box<TransformOnGpu>),
}

impl Network {
    /// Sets it up on the device of the settings.
    pub(super) fn new(
        weights: &TransformWeights,
        style: &StyleParameters,
        settings: &FeedForwardSettings,
    ) -> Result<Self, StylizeError> {
        Ok(match &settings.device {
            PaintDevice::Cpu => {
                let config = TransformConfig {
                    threads: settings.threads,
                    precision: settings.precision,
                    ..TransformConfig::default()
                };
                let mut engine = TransformEngine::new(weights, config)?;
                engine.set_style(style)?;
                Self::Kernels(Box::new(engine))
            }
            #[cfg(any(test, feature = "cuda"))]
            PaintDevice::Cuda(device) => {
                let mut network = TransformOnCard::new(weights, device.clone())?;
                network.set_style(style)?;
                Self::Cuda(Box::new(network))
            }
            #[cfg(feature = "gpu")]
            PaintDevice::Gpu(gpu) => {
                let mut network = TransformOnGpu::new(weights, gpu.clone())?;
                network.set_style(style)?;
                Self::Gpu(Box::new(network))
            }
        })
    }

    /// Paints a picture into `painted`, which is made as long.
    pub(super) fn paint(
        &mut self,
        style: &StyleParameters,
        picture: &Picture,
        painted: &mut Vec<u8>,
    ) -> Result<(), StylizeError> {
        let (width, height) = (picture.width(), picture.height());
        match self {
            Self::Kernels(engine) => {
                painted.resize(picture.rgb().len(), 0);
                engine.set_style(style)?;
                engine.paint(picture.rgb(), width, height, painted)?;
            }
            #[cfg(any(test, feature = "cuda"))]
            Self::Cuda(network) => {
                painted.resize(picture.rgb().len(), 0);
                network.set_style(style)?;
                network.paint(picture.rgb(), width, height, painted)?;
            }
            #[cfg(feature = "gpu")]
            Self::Gpu(network) => {
                painted.resize(picture.rgb().len(), 0);
                network.set_style(style)?;
                network.paint(picture.rgb(), width, height, painted)?;
            }
        }
        Ok(())
    }
}

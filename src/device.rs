//! Which processor paints.

#[cfg(any(test, feature = "cuda", feature = "gpu"))]
pub(crate) mod check;

use std::{fmt, str::FromStr};

#[cfg(any(test, feature = "cuda"))]
use crate::cuda;
#[cfg(feature = "gpu")]
use crate::gpu;

/// What `--device` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU where the program was built for one and one works, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
    /// Apple's GPU of this number.
    Metal(usize),
    /// The GPU of this number that Vulkan knows.
    Vulkan(usize),
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// `--device` was not understood.
    #[error(
        "'{0}' is no device: use auto, cpu, cuda, metal or vulkan, with a number behind it where there are several (cuda:1)"
    )]
    Unknown(String),
    /// The program was built without it.
    #[error(
        "this program was built without {feature}: build it with `--features {feature}`, or use --device cpu"
    )]
    NotBuilt {
        /// Name of the cargo feature.
        feature: &'static str,
    },
    /// It is built in and does not work here.
    #[error(
        "the device {device} does not work here (`allaprima doctor` says more; --device cpu always works)"
    )]
    Unusable {
        /// What was asked for.
        device: DeviceChoice,
        /// What the driver said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where the networks run.
#[derive(Clone, Debug)]
pub enum PaintDevice {
    /// The processor, by our own kernels.
    Cpu,
    /// An NVIDIA card, by our own kernels.
    #[cfg(any(test, feature = "cuda"))]
    Cuda(cuda::PaintCard),
    /// Another GPU, by shaders of our own.
    #[cfg(feature = "gpu")]
    Gpu(gpu::Gpu),
}

impl PaintDevice {
    /// What it is, in a few words.
    #[must_use]
    pub fn description(&self) -> String {
        match self {
            Self::Cpu => "cpu".into(),
            #[cfg(any(test, feature = "cuda"))]
            Self::Cuda(device) => device.description().into(),
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.description().into(),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(text.to_owned());
        let (kind, number) = match text.split_once(':') {
            // What a number may begin with besides digits.
            Some((_, number)) if !number.starts_with(|c: char| c.is_ascii_digit()) => {
                return Err(unknown());
            }
            Some((kind, number)) => (kind, Some(number.parse().map_err(|_| unknown())?)),
            None => (text, None),
        };
        match (kind, number) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", number) => Ok(Self::Cuda(number.unwrap_or(0))),
            ("metal", number) => Ok(Self::Metal(number.unwrap_or(0))),
            ("vulkan", number) => Ok(Self::Vulkan(number.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, number) = match self {
            Self::Auto => return f.write_str("auto"),
            Self::Cpu => return f.write_str("cpu"),
            Self::Cuda(number) => ("cuda", number),
            Self::Metal(number) => ("metal", number),
            Self::Vulkan(number) => ("vulkan", number),
        };
        write!(f, "{kind}:{number}")
    }
}

impl DeviceChoice {
    /// The device itself.
    ///
    /// # Errors
    /// When the program was built without it or it does not work here; never for `Auto` and `Cpu`.
    pub fn resolve(self) -> Result<PaintDevice, DeviceError> {
        match self {
            Self::Cpu => Ok(PaintDevice::Cpu),
            #[cfg(feature = "cuda")]
            Self::Cuda(number) => {
                let trusted = || {
                    let device = std::sync::Arc::new(cuda::Device::open(number)?);
                    cuda::paints_alike(device.clone())?;
                    Ok::<_, cuda::CardError>(device)
                };
                match trusted() {
                    Ok(device) => Ok(PaintDevice::Cuda(device)),
                    Err(error) => Err(self.unusable(error)),
                }
            }
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(DeviceError::NotBuilt { feature: "cuda" }),
            Self::Metal(number) => self.gpu("metal", number, true),
            Self::Vulkan(number) => self.gpu("vulkan", number, true),
            Self::Auto => {
                let found = [Self::Cuda(0), Self::Metal(0), Self::Vulkan(0)]
                    .into_iter()
                    .find_map(|choice| {
                        let found = choice.resolve_unasked();
                        if let Err(error @ DeviceError::Unusable { .. }) = &found {
                            tracing::debug!("{choice} is not used: {error:?}");
                        }
                        found.ok()
                    });
                Ok(found.unwrap_or(PaintDevice::Cpu))
            }
        }
    }

    /// The device, if it is worth it to a user who did not ask for it.
    ///
    /// # Errors
    /// As [`DeviceChoice::resolve`], and when the processor paints faster.
    pub fn resolve_unasked(self) -> Result<PaintDevice, DeviceError> {
        match self {
            Self::Metal(number) => self.gpu("metal", number, false),
            Self::Vulkan(number) => self.gpu("vulkan", number, false),
            _ => self.resolve(),
        }
    }

    /// A GPU that Vulkan or Metal knows; one that was not `asked` for has to be faster than the processor.
    fn gpu(
        self,
        feature: &'static str,
        number: usize,
        asked: bool,
    ) -> Result<PaintDevice, DeviceError> {
        #[cfg(feature = "gpu")]
        if let Some(backend) = gpu::Backend::named(feature) {
            let trusted = || {
                let found = gpu::Gpu::open(backend, number)?;
                if !asked {
                    gpu::paints_faster(&found)?;
                }
                gpu::paints_alike(&found)?;
                Ok::<_, gpu::GpuError>(if asked { found } else { found.unasked() })
            };
            return trusted()
                .map(PaintDevice::Gpu)
                .map_err(|error| self.unusable(error));
        }
        let _ = (number, asked);
        Err(DeviceError::NotBuilt { feature })
    }

    #[cfg(any(feature = "cuda", feature = "gpu"))]
    fn unusable(self, source: impl std::error::Error + Send + Sync + 'static) -> DeviceError {
        DeviceError::Unusable {
            device: self,
            source: Box::new(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda:2", DeviceChoice::Cuda(2)),
            ("metal:0", DeviceChoice::Metal(0)),
            ("vulkan:1", DeviceChoice::Vulkan(1)),
        ] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!(
            "metal".parse::<DeviceChoice>().unwrap(),
            DeviceChoice::Metal(0)
        );
        for text in [
            "", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cpu:0", "vulkan:",
        ] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text:?}");
        }
    }

    /// On a machine without a driver the program goes on with the processor, and says what is missing when asked.
    #[cfg(feature = "cuda")]
    #[test]
    fn without_a_driver_the_processor_paints() {
        match DeviceChoice::Cuda(0).resolve() {
            Ok(device) => assert!(matches!(device, PaintDevice::Cuda(_))),
            Err(error) => {
                let source = std::error::Error::source(&error).unwrap().to_string();
                assert!(
                    source.contains("driver") || source.contains("CUDA"),
                    "{source}"
                );
                assert!(DeviceChoice::Auto.resolve().is_ok());
            }
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_is_not_built_in_names_the_feature() {
        assert!(
            DeviceChoice::Cuda(0)
                .resolve()
                .unwrap_err()
                .to_string()
                .contains("--features cuda")
        );
    }
}

//! Which processor paints.

use std::{fmt, str::FromStr};

use candle_core::Device;

#[cfg(any(test, feature = "cuda"))]
use crate::cuda;

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
    /// Apple's GPU.
    Metal,
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// `--device` was not understood.
    #[error("'{0}' is no device: use auto, cpu, cuda, cuda:N or metal")]
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
    /// What candle knows besides: Apple's GPU.
    Candle(Device),
}

impl PaintDevice {
    /// Whether it is the processor.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu)
    }

    /// Where candle's tensors of the small networks lie (which look at style pictures).
    #[must_use]
    pub fn tensors(&self) -> Device {
        match self {
            Self::Candle(device) => device.clone(),
            _ => Device::Cpu,
        }
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn description(&self) -> String {
        match self {
            Self::Cpu => "cpu".into(),
            #[cfg(any(test, feature = "cuda"))]
            Self::Cuda(device) => device.description().into(),
            Self::Candle(_) => "metal".into(),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            other => other
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| DeviceError::Unknown(other.to_owned())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
        }
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
            Self::Metal if !cfg!(feature = "metal") => {
                Err(DeviceError::NotBuilt { feature: "metal" })
            }
            Self::Metal => Device::new_metal(0)
                .map(PaintDevice::Candle)
                .map_err(|error| self.unusable(error)),
            Self::Auto => Ok([Self::Cuda(0), Self::Metal]
                .into_iter()
                .find_map(|choice| {
                    let found = choice.resolve();
                    if let Err(error @ DeviceError::Unusable { .. }) = &found {
                        tracing::debug!("{choice} is not used: {error:?}");
                    }
                    found.ok()
                })
                .unwrap_or(PaintDevice::Cpu)),
        }
    }

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
            ("metal", DeviceChoice::Metal),
        ] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text:?}");
        }
    }

    /// On a machine without a driver the program goes on with the processor, and says what is missing when asked.
    #[cfg(feature = "cuda")]
    #[test]
    fn without_a_driver_the_processor_paints() {
        match DeviceChoice::Cuda(0).resolve() {
            Ok(device) => assert!(!device.is_cpu()),
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

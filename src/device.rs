//! Which processor paints.

use std::{fmt, str::FromStr};

use candle_core::Device;

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
        source: candle_core::Error,
    },
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
    pub fn resolve(self) -> Result<Device, DeviceError> {
        let unusable = |source| DeviceError::Unusable {
            device: self,
            source,
        };
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => {
                Err(DeviceError::NotBuilt { feature: "cuda" })
            }
            Self::Cuda(number) => Device::new_cuda(number).map_err(unusable),
            Self::Metal if !cfg!(feature = "metal") => {
                Err(DeviceError::NotBuilt { feature: "metal" })
            }
            Self::Metal => Device::new_metal(0).map_err(unusable),
            Self::Auto => Ok([Self::Cuda(0), Self::Metal]
                .into_iter()
                .find_map(|choice| choice.resolve().ok())
                .unwrap_or(Device::Cpu)),
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

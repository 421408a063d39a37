//! The file of a student: safetensors whose metadata say what they are.
//!
//! Tensors are those of [`StudentConfig::tensors`]; the metadata hold `format`, `config` (JSON of [`StudentConfig`]),
//! `styles` (JSON list of names, a row of each scale and shift per name) and `training` (JSON, whatever the trainer
//! has to say: seed, steps, losses, data, steadiness, speed). A style of the name [`NEUTRAL`] is the one that paints a
//! picture as it is; it is the far end of `--strength` and not offered as a style.

use std::collections::{BTreeMap, HashMap};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{
    student_net::{StudentConfig, Upsampling, fold_kernel},
    weights::floats,
};
use crate::kernels::{ConvolutionWeights, StyleParameters, TransformWeights};

/// Value of the metadata key `format`.
pub const FORMAT: &str = "allaprima-student-1";
/// Name of the style that paints a picture as it is.
pub const NEUTRAL: &str = "neutral";

/// A student as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StudentFile {
    /// The network's shape.
    pub config: StudentConfig,
    /// Names of the styles, row by row.
    pub styles: Vec<String>,
    /// What the trainer wrote.
    pub training: serde_json::Value,
    /// Every tensor of [`StudentConfig::tensors`], row by row.
    pub tensors: BTreeMap<String, Vec<f32>>,
}

impl StudentFile {
    /// Whether the metadata of a safetensors file say that it is a student.
    #[must_use]
    pub fn is_one(bytes: &[u8]) -> bool {
        metadata(bytes).is_ok_and(|metadata| metadata.get("format").is_some_and(|f| f == FORMAT))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A sentence that says what is missing or wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let metadata = metadata(bytes)?;
        let value = |key: &str| {
            metadata
                .get(key)
                .ok_or_else(|| format!("its metadata have no '{key}'"))
        };
        let format = value("format")?;
        if format != FORMAT {
            return Err(format!("its format is '{format}' in place of '{FORMAT}'"));
        }
        let wrong = |key: &'static str| move |e: serde_json::Error| format!("its {key}: {e}");
        let config: StudentConfig =
            serde_json::from_str(value("config")?).map_err(wrong("config"))?;
        config.check()?;
        let styles: Vec<String> =
            serde_json::from_str(value("styles")?).map_err(wrong("list of styles"))?;
        if styles.iter().all(|name| name == NEUTRAL) {
            return Err("it holds no style".into());
        }
        let training = match metadata.get("training") {
            Some(text) => serde_json::from_str(text).map_err(wrong("training record"))?,
            None => serde_json::Value::Null,
        };
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let mut tensors = BTreeMap::new();
        for (name, shape) in config.tensors(styles.len()) {
            let values = floats(&file, &name, &shape)?;
            if values.iter().any(|value| !value.is_finite()) {
                return Err(format!("tensor {name} holds numbers that are not finite"));
            }
            tensors.insert(name, values);
        }
        Ok(Self {
            config,
            styles,
            training,
            tensors,
        })
    }

    /// The convolutions as the kernels take them.
    ///
    /// # Errors
    /// A sentence, when a tensor is missing.
    pub fn network(&self) -> Result<TransformWeights, String> {
        let own = self.config.layers();
        TransformWeights::from_layers(self.config.shape(), |name, layer| {
            let weight = format!("{name}.weight");
            let weight = self
                .tensors
                .get(&weight)
                .ok_or_else(|| format!("tensor {weight} is missing"))?;
            let nearest = own
                .iter()
                .any(|own| own.name == name && own.upsampling == Some(Upsampling::Nearest));
            let convolution = ConvolutionWeights {
                out_channels: layer.kernel_outputs(),
                in_channels: layer.in_channels,
                kernel_size: layer.kernel_size,
                weight: if nearest {
                    fold_kernel(weight, layer.in_channels)
                } else {
                    weight.clone()
                },
            };
            Ok((convolution, Vec::new()))
        })
    }

    /// The scales and shifts of each style, [`NEUTRAL`] among them, in the order of [`StudentFile::styles`].
    ///
    /// # Errors
    /// A sentence, when a tensor is missing.
    pub fn parameters(&self) -> Result<Vec<StyleParameters>, String> {
        let empty = StyleParameters {
            scale: Vec::new(),
            shift: Vec::new(),
        };
        let mut styles = vec![empty; self.styles.len()];
        for layer in self.config.layers() {
            let rows = |kind: &str| {
                let name = format!("{}.{kind}", layer.name);
                self.tensors
                    .get(&name)
                    .map(|rows| rows.chunks_exact(layer.out_channels))
                    .ok_or_else(|| format!("tensor {name} is missing"))
            };
            for ((style, scale), shift) in styles.iter_mut().zip(rows("scale")?).zip(rows("shift")?)
            {
                style.scale.extend_from_slice(scale);
                style.shift.extend_from_slice(shift);
            }
        }
        Ok(styles)
    }

    /// The file's bytes, the same for the same content.
    ///
    /// # Errors
    /// A sentence, when a tensor is missing or does not have its shape.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let json = |value: serde_json::Result<String>| value.map_err(|e| e.to_string());
        let metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            (
                "config".to_owned(),
                json(serde_json::to_string(&self.config))?,
            ),
            (
                "styles".to_owned(),
                json(serde_json::to_string(&self.styles))?,
            ),
            (
                "training".to_owned(),
                json(serde_json::to_string(&self.training))?,
            ),
        ]);
        let mut data = Vec::new();
        for (name, shape) in self.config.tensors(self.styles.len()) {
            let values = self
                .tensors
                .get(&name)
                .ok_or_else(|| format!("tensor {name} is missing"))?;
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            data.push((name, shape, bytes));
        }
        let views = data
            .iter()
            .map(|(name, shape, bytes)| {
                TensorView::new(Dtype::F32, shape.clone(), bytes)
                    .map(|view| (name.as_str(), view))
                    .map_err(|e| format!("tensor {name}: {e}"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        sorted_metadata(safetensors::serialize(views, Some(metadata)).map_err(|e| e.to_string())?)
    }
}

pub(super) fn metadata(bytes: &[u8]) -> Result<HashMap<String, String>, String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    metadata
        .metadata()
        .clone()
        .ok_or_else(|| "it has no metadata".into())
}

/// The same file with its metadata in the order of their keys, which the crate leaves to chance.
pub(super) fn sorted_metadata(file: Vec<u8>) -> Result<Vec<u8>, String> {
    let broken = || "the header just written cannot be read".to_owned();
    let length: [u8; 8] = file.first_chunk().copied().ok_or_else(broken)?;
    let end = 8 + usize::try_from(u64::from_le_bytes(length)).map_err(|_| broken())?;
    let header = file.get(8..end).ok_or_else(broken)?;
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|e| e.to_string())?;
    let mut text = serde_json::to_vec(&header).map_err(|e| e.to_string())?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut sorted = (text.len() as u64).to_le_bytes().to_vec();
    sorted.extend(text);
    sorted.extend(&file[end..]);
    Ok(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn student() -> StudentFile {
        let config = StudentConfig {
            blocks: 1,
            ..StudentConfig::SWIFT
        };
        let tensors = config
            .tensors(2)
            .into_iter()
            .map(|(name, shape)| {
                let values = (0..shape.iter().product()).map(|i: usize| i as f32 * 0.5);
                (name, values.collect())
            })
            .collect();
        StudentFile {
            config,
            styles: vec!["dusk".into(), NEUTRAL.into()],
            training: serde_json::json!({"seed": 3, "losses": [0.5, 0.25]}),
            tensors,
        }
    }

    #[test]
    fn what_is_written_is_read_and_written_again_the_same() {
        let student = student();
        let bytes = student.to_bytes().unwrap();
        assert!(StudentFile::is_one(&bytes));
        assert_eq!(StudentFile::parse(&bytes).unwrap(), student);
        assert_eq!(student.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut broken = student();
        broken.tensors.remove("enter.scale");
        let error = broken.to_bytes().unwrap_err();
        assert_eq!(error, "tensor enter.scale is missing");
        let mut broken = student();
        broken.config.blocks = 0;
        let error = StudentFile::parse(&broken.to_bytes().unwrap()).unwrap_err();
        assert_eq!(error, "a student's blocks must be 1 to 16");
        let mut broken = student();
        broken.tensors.get_mut("expand.0.shift").unwrap()[3] = f32::NAN;
        let error = StudentFile::parse(&broken.to_bytes().unwrap()).unwrap_err();
        assert!(error.contains("expand.0.shift"), "{error}");
        assert!(!StudentFile::is_one(b"not a file"));
    }
}

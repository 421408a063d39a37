//! The file of other styles for the network of 26 styles: safetensors whose metadata say what they are.
//!
//! Tensors are those of the network's own file (`contract.0.weight`, `contract.0.norm.scale`, …), with a row of each scale
//! and shift per style; the metadata hold `format`, `styles` (JSON list of names) and `training` (JSON, whatever the
//! trainer has to say). A style of the name [`super::student_file::NEUTRAL`] paints a picture as it is.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{
    student_file::{NEUTRAL, metadata, sorted_metadata},
    weights::{floats, transform_weights},
};
use crate::kernels::{NetworkShape, StyleParameters, TransformWeights};

/// Value of the metadata key `format`.
pub const FORMAT: &str = "allaprima-styles-1";

const SHAPE: NetworkShape = NetworkShape::STYLE_PACK;

/// The network with styles, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceFile {
    /// The convolutions.
    pub network: TransformWeights,
    /// Names of the styles.
    pub styles: Vec<String>,
    /// What the trainer wrote.
    pub training: serde_json::Value,
    /// Scales and shifts of each style.
    pub rows: Vec<StyleParameters>,
}

impl ReferenceFile {
    /// Whether the metadata of a safetensors file say that it is one.
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
        let text = |key: &str| metadata.get(key).map(String::as_str).unwrap_or_default();
        if text("format") != FORMAT {
            return Err(format!(
                "its format is '{}' in place of '{FORMAT}'",
                text("format")
            ));
        }
        let styles: Vec<String> =
            serde_json::from_str(text("styles")).map_err(|e| format!("its list of styles: {e}"))?;
        if styles.iter().all(|name| name == NEUTRAL) {
            return Err("it holds no style".into());
        }
        let training = match metadata.get("training") {
            Some(text) => {
                serde_json::from_str(text).map_err(|e| format!("its training record: {e}"))?
            }
            None => serde_json::Value::Null,
        };
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        Ok(Self {
            network: transform_weights(&file, SHAPE)?,
            rows: style_rows(&file, styles.len())?,
            styles,
            training,
        })
    }

    /// The file's bytes, the same for the same content.
    ///
    /// # Errors
    /// A sentence, when a style does not have the network's numbers.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let json = |value: serde_json::Result<String>| value.map_err(|e| e.to_string());
        let metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            (
                "styles".to_owned(),
                json(serde_json::to_string(&self.styles))?,
            ),
            (
                "training".to_owned(),
                json(serde_json::to_string(&self.training))?,
            ),
        ]);
        let channels = SHAPE.style_channels();
        let fits =
            |row: &StyleParameters| (row.scale.len(), row.shift.len()) == (channels, channels);
        if self.rows.len() != self.styles.len() || !self.rows.iter().all(fits) {
            return Err(format!(
                "each style needs {channels} scales and as many shifts"
            ));
        }
        let mut data = Vec::new();
        for (index, (layer, weights)) in SHAPE.iter().zip(self.network.layers()).enumerate() {
            let name = SHAPE.name(index);
            let side = layer.kernel_size;
            let dims = vec![layer.kernel_outputs(), layer.in_channels, side, side];
            data.push((format!("{name}.weight"), dims, bytes(&weights.weight)));
            let own = SHAPE.style_channels_of(index);
            let dims = vec![self.styles.len(), layer.out_channels];
            let rows = |part: fn(&StyleParameters) -> &Vec<f32>| -> Vec<u8> {
                let rows = self.rows.iter().map(|row| bytes(&part(row)[own.clone()]));
                rows.flatten().collect()
            };
            data.push((
                format!("{name}.norm.scale"),
                dims.clone(),
                rows(|row| &row.scale),
            ));
            data.push((format!("{name}.norm.shift"), dims, rows(|row| &row.shift)));
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

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The first `count` styles of a file of the network of 26 styles.
///
/// # Errors
/// A sentence that names the tensor that is missing or wrong.
pub fn style_rows(file: &SafeTensors<'_>, count: usize) -> Result<Vec<StyleParameters>, String> {
    let mut styles = vec![
        StyleParameters {
            scale: Vec::new(),
            shift: Vec::new()
        };
        count
    ];
    for (index, layer) in SHAPE.iter().enumerate() {
        let dims = [count, layer.out_channels];
        let rows = |what: &str| floats(file, &format!("{}.norm.{what}", SHAPE.name(index)), &dims);
        let (scale, shift) = (rows("scale")?, rows("shift")?);
        let rows = scale
            .chunks_exact(layer.out_channels)
            .zip(shift.chunks_exact(layer.out_channels));
        for (style, (scale, shift)) in styles.iter_mut().zip(rows) {
            style.scale.extend_from_slice(scale);
            style.shift.extend_from_slice(shift);
        }
    }
    Ok(styles)
}

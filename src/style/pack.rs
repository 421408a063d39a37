//! A style pack: one network and, for each of its styles, the scales and shifts of its normalisations.

use safetensors::SafeTensors;

use super::StyleChoice;
use crate::{
    kernels::{NetworkShape, StyleParameters, TransformWeights},
    models::{ModelError, ModelStore, NEUTRAL_STYLE, STYLE_PACK},
    nn::weights::{floats, transform_weights},
};

/// A style of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// Short name, as `--style` takes it.
    pub name: String,
    /// What it paints like, in one line.
    pub description: String,
    /// Other names that `--style` takes.
    pub aliases: Vec<String>,
}

impl Style {
    /// Its name, then its aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name)
            .chain(&self.aliases)
            .map(String::as_str)
    }
}

/// A network with its styles.
#[derive(Clone, Debug)]
pub struct StylePack {
    styles: Vec<Style>,
    network: TransformWeights,
    parameters: Vec<StyleParameters>,
    neutral: StyleParameters,
}

impl StylePack {
    /// Loads the default pack from `store`.
    ///
    /// # Errors
    /// When the file is missing, damaged or holds something else.
    pub fn load(store: &ModelStore) -> Result<Self, ModelError> {
        let content = |reason: String| ModelError::Content {
            file: STYLE_PACK.into(),
            reason,
        };
        let bytes = store.read(STYLE_PACK)?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| content(e.to_string()))?;
        let network = transform_weights(&file, NetworkShape::STYLE_PACK).map_err(content)?;
        let styles: Vec<_> = store
            .manifest()
            .styles
            .list
            .iter()
            .map(|s| Style {
                name: s.name.clone(),
                description: s.description.clone(),
                aliases: s.aliases.clone(),
            })
            .collect();
        let parameters = style_rows(&file, styles.len()).map_err(content)?;
        let bytes = store.read(NEUTRAL_STYLE)?;
        let content = |reason: String| ModelError::Content {
            file: NEUTRAL_STYLE.into(),
            reason,
        };
        let file = SafeTensors::deserialize(&bytes).map_err(|e| content(e.to_string()))?;
        let neutral = style_rows(&file, 1)
            .map_err(content)?
            .pop()
            .ok_or_else(|| content("it is empty".into()))?;
        Ok(Self {
            styles,
            network,
            parameters,
            neutral,
        })
    }

    /// The styles, in the order of their numbers.
    pub fn styles(&self) -> &[Style] {
        &self.styles
    }

    /// The convolutions, which all styles share.
    pub fn network(&self) -> &TransformWeights {
        &self.network
    }

    /// The style that paints a picture as it is, as well as the network can: what a style of strength 0 is. The network
    /// does not see a picture's brightness and contrast, so each colour's mean and deviation have to be given back.
    pub fn neutral(&self) -> &StyleParameters {
        &self.neutral
    }

    /// The scales and shifts of `choice`: the weighted sum of those of its styles.
    pub fn parameters(&self, choice: &StyleChoice) -> StyleParameters {
        let mut sum = StyleParameters {
            scale: vec![0.0; self.parameters[0].scale.len()],
            shift: vec![0.0; self.parameters[0].shift.len()],
        };
        for &(number, weight) in choice.weights() {
            let style = &self.parameters[number];
            let add = |sum: &mut [f32], style: &[f32]| {
                sum.iter_mut()
                    .zip(style)
                    .for_each(|(s, x)| *s += weight * x)
            };
            add(&mut sum.scale, &style.scale);
            add(&mut sum.shift, &style.shift);
        }
        sum
    }
}

/// The first `count` styles of a file.
fn style_rows(file: &SafeTensors<'_>, count: usize) -> Result<Vec<StyleParameters>, String> {
    let mut styles = vec![
        StyleParameters {
            scale: Vec::new(),
            shift: Vec::new()
        };
        count
    ];
    let shape = NetworkShape::STYLE_PACK;
    for (index, layer) in shape.iter().enumerate() {
        let dims = [count, layer.out_channels];
        let rows = |what: &str| floats(file, &format!("{}.norm.{what}", shape.name(index)), &dims);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_pack_blends_by_adding_numbers() {
        let pack = StylePack::load(&ModelStore::embedded().unwrap()).unwrap();
        let (a, b) = (
            pack.parameters(&StyleChoice::single(3)),
            pack.parameters(&StyleChoice::single(12)),
        );
        assert_eq!((a.scale.len(), a.shift.len()), (495, 495));
        let blend = pack.parameters(&StyleChoice::parse("3:1,12:3", pack.styles()).unwrap());
        for i in 0..495 {
            assert!((blend.shift[i] - (0.25 * a.shift[i] + 0.75 * b.shift[i])).abs() < 1e-5);
        }
        assert_ne!(a.scale, b.scale);
    }

    #[test]
    fn every_style_has_its_own_short_name() {
        let pack = StylePack::load(&ModelStore::embedded().unwrap()).unwrap();
        let mut names: Vec<_> = pack.styles().iter().flat_map(Style::names).collect();
        assert!(
            names
                .iter()
                .all(|n| n.len() <= 14 && n.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        );
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "two styles share a name");
    }
}

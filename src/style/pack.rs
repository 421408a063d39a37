//! A style pack: one network and, for each of its styles, the scales and shifts of its normalisations. There is the one
//! of 26 styles, its students, and whatever a user has trained, in a file of its own ([`PackFile`]).

use std::{fmt, fs, path::Path, str::FromStr};

use safetensors::SafeTensors;

use super::{PackFile, StyleChoice};
use crate::{
    kernels::{NetworkShape, StyleParameters, TransformWeights},
    models::{
        FINE_PACK, ManifestStyle, ModelError, ModelStore, NEUTRAL_STYLE, STYLE_PACK, SWIFT_PACK,
    },
    nn::{reference_file::style_rows, student_file::NEUTRAL, weights::transform_weights},
};

/// Which of the shipped packs paints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackQuality {
    /// The student that is several times cheaper.
    Swift,
    /// The student that is nearer to the reference.
    Fine,
    /// The network of 26 styles itself.
    Reference,
}

impl PackQuality {
    /// Its file.
    pub fn file(self) -> &'static str {
        match self {
            Self::Swift => SWIFT_PACK,
            Self::Fine => FINE_PACK,
            Self::Reference => STYLE_PACK,
        }
    }
}

impl fmt::Display for PackQuality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Swift => "swift",
            Self::Fine => "fine",
            Self::Reference => "reference",
        })
    }
}

impl FromStr for PackQuality {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "swift" => Ok(Self::Swift),
            "fine" => Ok(Self::Fine),
            "reference" => Ok(Self::Reference),
            other => Err(format!("'{other}' is none of swift, fine, reference")),
        }
    }
}

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
    neutral: Option<StyleParameters>,
    origin: String,
    training: serde_json::Value,
}

impl StylePack {
    /// Loads a shipped pack from `store`.
    ///
    /// # Errors
    /// When it is not shipped, or its file is missing, damaged or holds something else.
    pub fn load_quality(store: &ModelStore, quality: PackQuality) -> Result<Self, ModelError> {
        if quality == PackQuality::Reference {
            return Self::load(store);
        }
        let known = |name: &str| known(store, name);
        let pack = Self::of_file(&store.read(quality.file())?, quality.file(), known)?;
        Ok(Self {
            origin: quality.to_string(),
            ..pack
        })
    }

    /// Opens what somebody trained.
    ///
    /// # Errors
    /// When the file cannot be read or is no style pack.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let bytes = fs::read(path).map_err(|source| ModelError::UnreadablePack {
            path: path.to_owned(),
            source,
        })?;
        // A student of the 26 styles has styles of the same names, which paint alike.
        let store = ModelStore::embedded()?;
        Self::of_file(&bytes, &path.display().to_string(), |name| {
            known(&store, name)
        })
        .map_err(|error| match error {
            ModelError::Content { file, reason } => ModelError::NotPack { file, reason },
            other => other,
        })
    }

    /// What `file` holds; `known` describes styles that it does not describe itself.
    fn of_file(
        bytes: &[u8],
        file: &str,
        known: impl Fn(&str) -> Option<Style>,
    ) -> Result<Self, ModelError> {
        let content = |reason: String| ModelError::Content {
            file: file.to_owned(),
            reason,
        };
        let pack = PackFile::parse(bytes).map_err(content)?;
        let network = pack.network().map_err(content)?;
        let rows = pack.parameters().map_err(content)?;
        let described = &pack.training()["descriptions"];
        let (mut styles, mut parameters, mut neutral) = (Vec::new(), Vec::new(), None);
        for (name, row) in pack.styles().iter().cloned().zip(rows) {
            if name == NEUTRAL {
                neutral = Some(row);
                continue;
            }
            let own = described[&name].as_str();
            let known = known(&name).filter(|_| own.is_none());
            styles.push(known.unwrap_or_else(|| Style {
                description: own.map_or_else(|| format!("of {file}"), ToOwned::to_owned),
                name,
                aliases: Vec::new(),
            }));
            parameters.push(row);
        }
        Ok(Self {
            styles,
            network,
            parameters,
            neutral,
            origin: file.to_owned(),
            training: pack.training().clone(),
        })
    }

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
        let styles: Vec<_> = store.manifest().styles.list.iter().map(described).collect();
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
            neutral: Some(neutral),
            origin: PackQuality::Reference.to_string(),
            training: serde_json::Value::Null,
        })
    }

    /// The same network, of which no style can be chosen.
    #[must_use]
    pub fn without_styles(mut self) -> Self {
        self.styles.clear();
        self.parameters.clear();
        self
    }

    /// What it is: `reference`, `swift`, `fine` or the path of a file.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What the trainer wrote into the file: settings, and speed and steadiness as measured; null where it wrote nothing.
    pub fn training(&self) -> &serde_json::Value {
        &self.training
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
    /// does not see a picture's brightness and contrast, so each colour's mean and deviation have to be given back. A
    /// pack may have none.
    pub fn neutral(&self) -> Option<&StyleParameters> {
        self.neutral.as_ref()
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

/// The style of that name among the 26.
fn known(store: &ModelStore, name: &str) -> Option<Style> {
    let mut styles = store.manifest().styles.list.iter();
    styles.find(|style| style.name == name).map(described)
}

/// A style as the manifest describes it.
fn described(style: &ManifestStyle) -> Style {
    Style {
        name: style.name.clone(),
        description: style.description.clone(),
        aliases: style.aliases.clone(),
    }
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

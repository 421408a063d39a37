//! What `--style` says: a name, a number, or a blend of several with weights.

use super::Style;

/// Styles of a pack with their weights, which are positive and sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct StyleChoice {
    weights: Vec<(usize, f32)>,
}

/// Weights of a blend: within these no sum of them overflows, and no part of one is lost.
const WEIGHTS: std::ops::RangeInclusive<f32> = 1e-6..=1e6;

/// Why `--style` cannot be understood.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ChoiceError {
    /// No style has this name.
    #[error("no style is called '{name}'{} (`allaprima styles` lists all; a picture is named by its path)", suggestion(.nearest.as_deref()))]
    Unknown {
        /// What was asked for.
        name: String,
        /// A name that looks like it.
        nearest: Option<String>,
    },
    /// The pack that is named by its file has no such style.
    #[error("{pack} has no style '{name}'{} (`allaprima styles {pack}` lists its styles)", suggestion(.nearest.as_deref()))]
    NotInPack {
        /// The file.
        pack: String,
        /// What was asked for.
        name: String,
        /// A name that looks like it.
        nearest: Option<String>,
    },
    /// A folder is named in place of a style.
    #[error(
        "'{0}' is a folder: --style takes one picture, and --style-image takes folders, with video and live"
    )]
    Folder(String),
    /// No style has this number.
    #[error(
        "no style has the number {number}: --style takes 0 to {last} (`allaprima styles` lists all)"
    )]
    OutOfRange {
        /// What was asked for.
        number: usize,
        /// The highest number there is.
        last: usize,
    },
    /// A weight that is no positive number, or out of all proportion.
    #[error(
        "'{0}' is no weight: a blend is written as name:weight,name:weight with weights above 0 (up to a million), as in --style starry:0.6,7:0.4"
    )]
    Weight(String),
    /// Nothing stands between two commas.
    #[error(
        "--style is empty or has an empty part: write a name, a number, or name:weight,name:weight"
    )]
    Empty,
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(", did you mean '{name}'?"))
        .unwrap_or_default()
}

impl ChoiceError {
    /// As what is wrong with a choice among the styles of the pack in a file.
    pub(super) fn in_pack(self, pack: &str) -> Self {
        let (name, nearest) = match self {
            Self::Unknown { name, nearest } => (name, nearest),
            Self::OutOfRange { number, .. } => (number.to_string(), None),
            other => return other,
        };
        Self::NotInPack {
            pack: pack.to_owned(),
            name,
            nearest,
        }
    }
}

impl StyleChoice {
    /// Reads `text` (`starry`, `19`, `starry:0.6,7:0.4`; a part without a weight counts 1) against `styles`.
    ///
    /// # Errors
    /// [`ChoiceError`], which names what was wrong.
    pub fn parse(text: &str, styles: &[Style]) -> Result<Self, ChoiceError> {
        Self::parse_with(text, |name| Self::find(name, styles))
    }

    /// As [`StyleChoice::parse`], with `resolve` saying which number a name stands for.
    ///
    /// # Errors
    /// [`ChoiceError`], or what `resolve` returns.
    pub fn parse_with<E: From<ChoiceError>>(
        text: &str,
        mut resolve: impl FnMut(&str) -> Result<usize, E>,
    ) -> Result<Self, E> {
        // A file may have a colon in its name, and a comma if it stands alone.
        let is_file = |name: &str| std::path::Path::new(name).is_file();
        let parts: Vec<&str> = match is_file(text) {
            true => vec![text],
            false => text.split(',').collect(),
        };
        let mut weights = parts
            .into_iter()
            .map(|part| {
                let (name, weight) = match part.rsplit_once(':') {
                    Some((name, weight)) if !is_file(part) => (name.trim(), Some(weight.trim())),
                    _ => (part.trim(), None),
                };
                if name.is_empty() {
                    return Err(ChoiceError::Empty.into());
                }
                let weight = match weight {
                    None => 1.0,
                    Some(text) => text
                        .parse::<f32>()
                        .ok()
                        .filter(|w| WEIGHTS.contains(w))
                        .ok_or_else(|| ChoiceError::Weight(text.to_owned()))?,
                };
                Ok((resolve(name)?, weight))
            })
            .collect::<Result<Vec<_>, E>>()?;
        let sum: f32 = weights.iter().map(|(_, weight)| weight).sum();
        weights.iter_mut().for_each(|(_, weight)| *weight /= sum);
        Ok(Self { weights })
    }

    /// The choice of one style by its number.
    pub fn single(number: usize) -> Self {
        Self {
            weights: vec![(number, 1.0)],
        }
    }

    /// The blend of two styles by their numbers, `share` (0..1) of it the second.
    pub fn blend(first: usize, second: usize, share: f32) -> Self {
        Self {
            weights: vec![(first, 1.0 - share), (second, share)],
        }
    }

    /// Numbers of styles with their weights.
    pub fn weights(&self) -> &[(usize, f32)] {
        &self.weights
    }

    /// The number of the style that is called `name` (or has it as its number).
    ///
    /// # Errors
    /// [`ChoiceError::Unknown`] and [`ChoiceError::OutOfRange`].
    pub fn find(name: &str, styles: &[Style]) -> Result<usize, ChoiceError> {
        if let Ok(number) = name.parse::<usize>() {
            let last = styles.len().saturating_sub(1);
            return if number <= last {
                Ok(number)
            } else {
                Err(ChoiceError::OutOfRange { number, last })
            };
        }
        styles
            .iter()
            .position(|style| style.names().any(|n| n.eq_ignore_ascii_case(name)))
            .ok_or_else(|| {
                let wanted = name.to_lowercase();
                let nearest = styles
                    .iter()
                    .flat_map(Style::names)
                    .map(|name| (strsim::jaro_winkler(name, &wanted), name))
                    .max_by(|a, b| a.0.total_cmp(&b.0))
                    .filter(|(likeness, _)| *likeness > 0.75)
                    .map(|(_, name)| name.to_owned());
                ChoiceError::Unknown {
                    name: name.to_owned(),
                    nearest,
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(usize, f32)>, ChoiceError> {
        let styles = ["starry", "ink", "mosaic"].map(|name| Style {
            name: name.into(),
            description: String::new(),
            aliases: vec![format!("{name}-too")],
        });
        StyleChoice::parse(text, &styles).map(|choice| choice.weights)
    }

    #[test]
    fn names_numbers_and_blends() {
        assert_eq!(parse("ink"), Ok(vec![(1, 1.0)]));
        assert_eq!(parse("Starry"), Ok(vec![(0, 1.0)]));
        assert_eq!(parse("ink-too"), Ok(vec![(1, 1.0)]));
        assert_eq!(parse("2"), Ok(vec![(2, 1.0)]));
        assert_eq!(parse("starry:3, 1:1"), Ok(vec![(0, 0.75), (1, 0.25)]));
        assert_eq!(parse("starry,ink"), Ok(vec![(0, 0.5), (1, 0.5)]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let near = ChoiceError::Unknown {
            name: "stary".into(),
            nearest: Some("starry".into()),
        };
        assert_eq!(parse("stary"), Err(near));
        assert_eq!(
            parse("qqqq"),
            Err(ChoiceError::Unknown {
                name: "qqqq".into(),
                nearest: None
            })
        );
        assert_eq!(
            parse("3"),
            Err(ChoiceError::OutOfRange { number: 3, last: 2 })
        );
        for (text, nearest) in [("stary", Some("starry".to_owned())), ("9", None)] {
            let error = parse(text).unwrap_err().in_pack("my.safetensors");
            let named = ChoiceError::NotInPack {
                pack: "my.safetensors".into(),
                name: text.into(),
                nearest,
            };
            assert_eq!(error, named);
        }
        assert_eq!(
            ChoiceError::Empty.in_pack("my.safetensors"),
            ChoiceError::Empty
        );
        for weight in ["0", "-1", "nan", "inf", "x", ""] {
            assert_eq!(
                parse(&format!("ink:{weight}")),
                Err(ChoiceError::Weight(weight.into()))
            );
        }
        for text in ["", ",", "ink,", ":0.5"] {
            assert_eq!(parse(text), Err(ChoiceError::Empty), "{text:?}");
        }
    }
}

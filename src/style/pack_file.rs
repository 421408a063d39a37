//! A style pack as a file of its own: a student, or the network of 26 styles with other styles than its own. Both can be
//! given new styles without a change to their convolutions.

use crate::{
    kernels::{StyleParameters, TransformWeights},
    nn::{
        reference_file::ReferenceFile,
        student_file::{NEUTRAL, StudentFile},
    },
};

use super::StylePack;

/// The content of such a file.
#[derive(Clone, Debug, PartialEq)]
pub enum PackFile {
    /// A student.
    Student(StudentFile),
    /// The network of 26 styles.
    Reference(ReferenceFile),
}

impl PackFile {
    /// Reads a file.
    ///
    /// # Errors
    /// A sentence that says what is missing or wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file = if ReferenceFile::is_one(bytes) {
            ReferenceFile::parse(bytes).map(Self::Reference)
        } else {
            StudentFile::parse(bytes).map(Self::Student)
        }?;
        // They are printed on terminals, which some characters command.
        match file
            .styles()
            .iter()
            .find(|name| name.chars().any(char::is_control))
        {
            Some(name) => Err(format!(
                "{name:?} is no name of a style: it has control characters"
            )),
            None => Ok(file),
        }
    }

    /// The network of 26 styles as such a file.
    #[must_use]
    pub fn of_reference(pack: &StylePack) -> Self {
        let names = pack.styles().iter().map(|style| style.name.clone());
        let rows = (0..pack.styles().len())
            .map(|number| pack.parameters(&super::StyleChoice::single(number)));
        let neutral = pack.neutral();
        Self::Reference(ReferenceFile {
            network: pack.network().clone(),
            styles: names.chain(neutral.map(|_| NEUTRAL.to_owned())).collect(),
            training: serde_json::Value::Null,
            rows: rows.chain(neutral.cloned()).collect(),
        })
    }

    /// Names of the styles, [`NEUTRAL`] among them if it has one.
    #[must_use]
    pub fn styles(&self) -> &[String] {
        match self {
            Self::Student(file) => &file.styles,
            Self::Reference(file) => &file.styles,
        }
    }

    /// What the trainer wrote.
    #[must_use]
    pub fn training(&self) -> &serde_json::Value {
        match self {
            Self::Student(file) => &file.training,
            Self::Reference(file) => &file.training,
        }
    }

    /// Replaces what the trainer wrote.
    pub fn set_training(&mut self, note: serde_json::Value) {
        match self {
            Self::Student(file) => file.training = note,
            Self::Reference(file) => file.training = note,
        }
    }

    /// The convolutions.
    ///
    /// # Errors
    /// A sentence, when a tensor is missing.
    pub fn network(&self) -> Result<TransformWeights, String> {
        match self {
            Self::Student(file) => file.network(),
            Self::Reference(file) => Ok(file.network.clone()),
        }
    }

    /// Scales and shifts of each style, in the order of [`PackFile::styles`].
    ///
    /// # Errors
    /// A sentence, when a tensor is missing.
    pub fn parameters(&self) -> Result<Vec<StyleParameters>, String> {
        match self {
            Self::Student(file) => file.parameters(),
            Self::Reference(file) => Ok(file.rows.clone()),
        }
    }

    /// Puts other styles in place of those that it has.
    ///
    /// # Panics
    /// When a style does not have the network's number of scales and shifts.
    pub fn set_styles(&mut self, styles: Vec<(String, StyleParameters)>) {
        let (names, rows): (Vec<String>, Vec<StyleParameters>) = styles.into_iter().unzip();
        match self {
            Self::Reference(file) => (file.styles, file.rows) = (names, rows),
            Self::Student(file) => {
                let mut start = 0;
                for layer in file.config.layers() {
                    let own = start..start + layer.out_channels;
                    start = own.end;
                    let scale = rows.iter().flat_map(|row| row.scale[own.clone()].to_vec());
                    let shift = rows.iter().flat_map(|row| row.shift[own.clone()].to_vec());
                    let (scale, shift) = (scale.collect(), shift.collect());
                    file.tensors.insert(format!("{}.scale", layer.name), scale);
                    file.tensors.insert(format!("{}.shift", layer.name), shift);
                }
                file.styles = names;
            }
        }
    }

    /// The file's bytes, the same for the same content.
    ///
    /// # Errors
    /// A sentence, when something is missing.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Student(file) => file.to_bytes(),
            Self::Reference(file) => file.to_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{models::ModelStore, nn::student_net::StudentConfig, style::StyleChoice};

    #[test]
    fn the_reference_takes_other_styles_through_its_file() {
        let pack = StylePack::load(&ModelStore::embedded().unwrap()).unwrap();
        let mut file = PackFile::of_reference(&pack);
        assert_eq!(file.styles().len(), 27);
        let rows = file.parameters().unwrap();
        assert_eq!(rows[4], pack.parameters(&StyleChoice::single(4)));
        let mut own = rows[4].clone();
        own.shift[7] = 0.25;
        let styles = vec![
            ("cafe".to_owned(), own.clone()),
            (NEUTRAL.to_owned(), rows[26].clone()),
        ];
        file.set_styles(styles);
        file.set_training(serde_json::json!({"steps": 3}));
        let bytes = file.to_bytes().unwrap();
        let read = PackFile::parse(&bytes).unwrap();
        assert_eq!(read, file);
        assert_eq!(read.to_bytes().unwrap(), bytes);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.safetensors");
        std::fs::write(&path, &bytes).unwrap();
        let opened = StylePack::open(&path).unwrap();
        assert_eq!(opened.styles()[0].name, "cafe");
        assert_eq!(opened.parameters(&StyleChoice::single(0)), own);
        assert_eq!(opened.neutral(), Some(&rows[26]));
        assert_eq!(opened.training()["steps"], 3);
    }

    #[test]
    fn a_student_takes_other_styles() {
        let config = StudentConfig {
            blocks: 1,
            ..StudentConfig::SWIFT
        };
        let tensors = config.tensors(2).into_iter().map(|(name, shape)| {
            let values = (0..shape.iter().product()).map(|i: usize| i as f32 * 0.5);
            (name, values.collect())
        });
        let mut file = PackFile::Student(StudentFile {
            config,
            styles: vec!["dusk".into(), NEUTRAL.into()],
            training: serde_json::Value::Null,
            tensors: tensors.collect(),
        });
        let rows = file.parameters().unwrap();
        let mut own = rows[0].clone();
        own.scale
            .iter_mut()
            .rev()
            .take(3)
            .for_each(|value| *value = -2.0);
        let names = ["cafe", "dusk", NEUTRAL];
        let new = [own.clone(), rows[0].clone(), rows[1].clone()];
        let styles = names.map(String::from).into_iter().zip(new.clone());
        file.set_styles(styles.collect());
        let read = PackFile::parse(&file.to_bytes().unwrap()).unwrap();
        assert_eq!(read.styles(), names);
        assert_eq!(read.parameters().unwrap(), new);
        assert_eq!(read.network().unwrap(), file.network().unwrap());
    }

    #[test]
    fn a_file_without_a_style_is_refused() {
        let pack = StylePack::load(&ModelStore::embedded().unwrap()).unwrap();
        let mut file = PackFile::of_reference(&pack);
        file.set_styles(Vec::new());
        let error = PackFile::parse(&file.to_bytes().unwrap()).unwrap_err();
        assert_eq!(error, "it holds no style");
    }
}

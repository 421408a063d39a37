//! Where the model files are, and whether they are what they should be.
//!
//! Models are looked for in the folder that the user names, else beside the program, else in the repository around it
//! (`target/release/allaprima` finds `models/` two folders up). What paints in one pass and the manifest are also
//! compiled in, so the program works alone. Every file is checked against the sha256 of the manifest when it is read.

use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// File of the default style pack.
pub const STYLE_PACK: &str = "multistyle26.safetensors";
/// File of the default pack's style that paints a picture as it is.
pub const NEUTRAL_STYLE: &str = "multistyle26_neutral.safetensors";
/// Files of the students of the default pack, where they are shipped.
pub const SWIFT_PACK: &str = "swift.safetensors";
/// As [`SWIFT_PACK`], nearer to the default pack.
pub const FINE_PACK: &str = "fine.safetensors";
/// File of the network that looks at a style picture.
pub const ANY_PREDICT: &str = "any_predict.safetensors";
/// File of the network that paints in the style of any picture.
pub const ANY_TRANSFORM: &str = "any_transform.safetensors";

/// File of the loss network.
pub const LOSS_NETWORK: &str = "vgg16.safetensors";

/// File of the network that finds people.
pub const PERSON: &str = "person.safetensors";

const MANIFEST: &str = "manifest.json";
const EMBEDDED_MANIFEST: &str = include_str!("../models/manifest.json");
/// Everything that paints in one pass. (The loss network of 20 MB is read from the models folder.)
const EMBEDDED: [(&str, &[u8]); 7] = [
    (
        STYLE_PACK,
        include_bytes!("../models/multistyle26.safetensors"),
    ),
    (
        NEUTRAL_STYLE,
        include_bytes!("../models/multistyle26_neutral.safetensors"),
    ),
    (
        ANY_PREDICT,
        include_bytes!("../models/any_predict.safetensors"),
    ),
    (
        ANY_TRANSFORM,
        include_bytes!("../models/any_transform.safetensors"),
    ),
    (SWIFT_PACK, include_bytes!("../models/swift.safetensors")),
    (FINE_PACK, include_bytes!("../models/fine.safetensors")),
    (PERSON, include_bytes!("../models/person.safetensors")),
];

/// What the manifest says, as far as the program needs it.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    /// Every model file.
    pub files: Vec<ManifestFile>,
    /// The styles of the default pack.
    pub styles: ManifestStyles,
}

/// The styles of a pack.
#[derive(Clone, Debug, Deserialize)]
pub struct ManifestStyles {
    /// Every style, in the order of the numbers.
    pub list: Vec<ManifestStyle>,
}

/// One model file.
#[derive(Clone, Debug, Deserialize)]
pub struct ManifestFile {
    /// File name inside the models folder.
    #[serde(rename = "file")]
    pub name: String,
    /// Hexadecimal digest of the file.
    pub sha256: String,
    /// Licence of the weights, as an SPDX expression.
    pub licence: String,
}

/// One style of the default pack.
#[derive(Clone, Debug, Deserialize)]
pub struct ManifestStyle {
    /// Row of its scales and shifts, from 0.
    pub number: usize,
    /// Short name, as `--style` takes it.
    pub name: String,
    /// What it paints like, in one line.
    pub description: String,
    /// Other names that `--style` takes.
    pub aliases: Vec<String>,
}

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The folder that the user named holds no models.
    #[error("no models in {}: it has no {MANIFEST} (name the project's models folder with --models or ALLAPRIMA_MODELS)", .0.display())]
    NoModels(PathBuf),
    /// A file that the manifest names is not there.
    #[error("model file {} cannot be read (models/README.md says how to make it again)", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not one of those compiled in, and there is no folder.
    #[error(
        "model file {0} is not built into the program: name the project's models folder with --models or ALLAPRIMA_MODELS"
    )]
    NotBuiltIn(String),
    /// A style pack that was named cannot be read.
    #[error("the style pack {} cannot be read", path.display())]
    UnreadablePack {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not the one that the manifest describes.
    #[error("model file {} is damaged: its sha256 is not the one in {MANIFEST} (models/README.md says how to make it again)", .0.display())]
    Damaged(PathBuf),
    /// The manifest itself cannot be understood.
    #[error("{} is not a manifest of models", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: serde_json::Error,
    },
    /// The manifest knows no such file.
    #[error("{MANIFEST} names no file {0}")]
    Unknown(String),
    /// The file holds other tensors than the network needs.
    #[error("model file {file} does not hold the network: {reason}")]
    Content {
        /// File name.
        file: String,
        /// What is missing or has a wrong shape.
        reason: String,
    },
    /// What somebody trained cannot be read as that.
    #[error(
        "{file} is no style pack, or a damaged one ({reason}); a pack is what `allaprima train` writes"
    )]
    NotPack {
        /// The file.
        file: String,
        /// What is missing or has a wrong shape.
        reason: String,
    },
}

/// A folder of models, or the models compiled in.
#[derive(Clone, Debug)]
pub struct ModelStore {
    folder: Option<PathBuf>,
    manifest: Manifest,
}

impl ModelStore {
    /// Opens the models in `chosen` (what the user named), else beside the program, in the repository around it, or
    /// those compiled in.
    ///
    /// # Errors
    /// When `chosen` holds no models or a manifest cannot be understood.
    pub fn open(chosen: Option<&Path>) -> Result<Self, ModelError> {
        let folder = match chosen.filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) if folder.join(MANIFEST).is_file() => Some(folder.to_owned()),
            Some(folder) => return Err(ModelError::NoModels(folder.to_owned())),
            None => std::env::current_exe()
                .ok()
                .and_then(|program| near(&program)),
        };
        let path = folder
            .as_ref()
            .map_or(PathBuf::from("the embedded manifest"), |folder| {
                folder.join(MANIFEST)
            });
        let text =
            match &folder {
                Some(_) => Cow::Owned(fs::read_to_string(&path).map_err(|source| {
                    ModelError::Unreadable {
                        path: path.clone(),
                        source,
                    }
                })?),
                None => Cow::Borrowed(EMBEDDED_MANIFEST),
            };
        let manifest =
            serde_json::from_str(&text).map_err(|source| ModelError::Manifest { path, source })?;
        Ok(Self { folder, manifest })
    }

    /// The models compiled into the program, whatever lies around it.
    ///
    /// # Errors
    /// Never in a program that passes its tests.
    pub fn embedded() -> Result<Self, ModelError> {
        let manifest =
            serde_json::from_str(EMBEDDED_MANIFEST).map_err(|source| ModelError::Manifest {
                path: "the embedded manifest".into(),
                source,
            })?;
        Ok(Self {
            folder: None,
            manifest,
        })
    }

    /// The folder, or `None` for the models compiled in.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Where a pack that was named is: the file of that name or, where there is none and only a name was given, that of the
    /// models' folder.
    #[must_use]
    pub fn pack_file(&self, named: &Path) -> PathBuf {
        let ours = self.folder.as_ref().map(|folder| folder.join(named));
        let bare = named.file_name() == Some(named.as_os_str());
        ours.filter(|ours| bare && !named.exists() && ours.is_file())
            .unwrap_or_else(|| named.to_owned())
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether the manifest names the file and, without a folder, it is built in.
    pub fn has(&self, name: &str) -> bool {
        let built_in = || EMBEDDED.iter().any(|(embedded, _)| *embedded == name);
        self.manifest.files.iter().any(|file| file.name == name)
            && (self.folder.is_some() || built_in())
    }

    /// Reads the file `name` and checks it.
    ///
    /// # Errors
    /// When it is missing or damaged; the text names the file.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, ModelError> {
        let entry = self
            .manifest
            .files
            .iter()
            .find(|file| file.name == name)
            .ok_or_else(|| ModelError::Unknown(name.to_owned()))?;
        let (path, bytes) = match &self.folder {
            Some(folder) => {
                let path = folder.join(name);
                let bytes = fs::read(&path).map_err(|source| ModelError::Unreadable {
                    path: path.clone(),
                    source,
                })?;
                (path, Cow::Owned(bytes))
            }
            None => match EMBEDDED.iter().find(|(embedded, _)| *embedded == name) {
                Some((_, bytes)) => (name.into(), Cow::Borrowed(*bytes)),
                None => return Err(ModelError::NotBuiltIn(name.to_owned())),
            },
        };
        if hex(&Sha256::digest(&bytes)) != entry.sha256 {
            return Err(ModelError::Damaged(path));
        }
        Ok(bytes)
    }
}

/// The models folder beside `program` or beside one of the three folders above it (`target/release/` in a repository,
/// `target/release/deps/` for its tests).
fn near(program: &Path) -> Option<PathBuf> {
    program
        .ancestors()
        .skip(1)
        .take(4)
        .map(|folder| folder.join("models"))
        .find(|f| f.join(MANIFEST).is_file())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_pack_is_the_one_of_the_manifest() {
        let store = ModelStore::embedded().unwrap();
        for (name, bytes) in EMBEDDED {
            assert_eq!(store.read(name).unwrap().len(), bytes.len());
        }
        assert_eq!(store.manifest().styles.list.len(), 26);
    }

    #[test]
    fn what_is_not_built_in_is_told_with_the_option() {
        let store = ModelStore::embedded().unwrap();
        assert!(store.has(STYLE_PACK) && !store.has(LOSS_NETWORK));
        let missing = store.read(LOSS_NETWORK).unwrap_err().to_string();
        assert!(missing.contains("--models"), "{missing}");
    }

    #[test]
    fn a_damaged_and_a_missing_file_are_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST), EMBEDDED_MANIFEST).unwrap();
        let store = ModelStore::open(Some(folder.path())).unwrap();
        let missing = store.read(STYLE_PACK).unwrap_err();
        assert!(
            matches!(missing, ModelError::Unreadable { .. })
                && missing.to_string().contains(STYLE_PACK)
        );
        let mut bytes = EMBEDDED[0].1.to_vec();
        bytes[1000] ^= 1;
        fs::write(folder.path().join(STYLE_PACK), bytes).unwrap();
        let damaged = store.read(STYLE_PACK).unwrap_err();
        assert!(
            matches!(damaged, ModelError::Damaged(_)) && damaged.to_string().contains(STYLE_PACK)
        );
    }

    #[test]
    fn a_folder_without_models_is_told_with_the_option() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            ModelStore::open(Some(folder.path()))
                .unwrap_err()
                .to_string()
                .contains("--models")
        );
    }
}

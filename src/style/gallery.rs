//! Every style there is to choose from: those of the pack, then pictures, all in one list with one numbering.
//!
//! A [`StyleChoice`] is numbers of that list with weights, whatever they stand for; [`Gallery::mix`] turns it into what is
//! painted. A picture is read and looked at when it is asked for the first time (some tenths of a second) and kept by
//! its content, so that going back and forth between pictures costs nothing.

use std::{
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use candle_core::Device;
use sha2::{Digest, Sha256};

use super::{AnyPicture, ChoiceError, NetworkKind, Style, StyleChoice, StyleMix, StylePack};
use crate::{
    files::is_same_file,
    kernels::StyleParameters,
    models::{ModelError, ModelStore},
    picture_file::{PictureError, PictureFile, is_picture_path, pictures_in},
    stylize::Palette,
};

/// Why a style cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StyleError {
    /// The name or the blend is not understood.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// The picture cannot be read.
    #[error("this style picture cannot be used")]
    Picture(#[from] PictureError),
    /// The picture shows nothing.
    #[error("{} is wholly transparent: there is no style in it", .0.display())]
    Empty(PathBuf),
    /// The folder cannot be read.
    #[error("the folder {} cannot be read", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is no picture in it.
    #[error("no pictures (.png, .jpg, .jpeg, .webp) in the folder {}", .0.display())]
    NoPictures(PathBuf),
    /// A pack is named by its file that is not the one in use.
    #[error(
        "a painting takes its styles from one pack, {used} is it: name {} alone, in --style",
        .named.display()
    )]
    OtherPack {
        /// The file that was named.
        named: PathBuf,
        /// The pack in use.
        used: String,
    },
    /// The networks for pictures are not there.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The predictor failed.
    #[error("the style predictor failed on this device")]
    Device(#[from] candle_core::Error),
}

/// A picture in the list.
#[derive(Debug)]
struct Entry {
    path: PathBuf,
    mix: OnceLock<StyleMix>,
}

/// All styles.
#[derive(Debug)]
pub struct Gallery {
    store: ModelStore,
    device: Device,
    pack: StylePack,
    styles: Vec<Style>,
    entries: Vec<Entry>,
    playlist: Option<Range<usize>>,
    any: Mutex<Option<Arc<AnyPicture>>>,
    /// By sha256 of the pixels and the size.
    seen: Mutex<HashMap<[u8; 32], StyleMix>>,
    /// Whether mixes hold the pictures themselves, in place of what the predictor makes of them.
    of_pictures: bool,
}

impl Gallery {
    /// The styles of the default pack in `store`; pictures are looked at on `device`.
    ///
    /// # Errors
    /// When the pack cannot be loaded.
    pub fn new(store: ModelStore, device: Device) -> Result<Self, ModelError> {
        let pack = StylePack::load(&store)?;
        Ok(Self::of_pack(store, device, pack))
    }

    /// The styles of `pack`; pictures are looked at on `device` by the networks in `store`.
    pub fn of_pack(store: ModelStore, device: Device, pack: StylePack) -> Self {
        Self {
            styles: pack.styles().to_vec(),
            store,
            device,
            pack,
            entries: Vec::new(),
            playlist: None,
            any: Mutex::new(None),
            seen: Mutex::new(HashMap::new()),
            of_pictures: false,
        }
    }

    /// An empty list for who paints from the pictures themselves: none of the pack's styles are in it, and what
    /// [`Gallery::mix`] returns holds pictures and nothing for a network.
    ///
    /// # Errors
    /// As [`Gallery::new`].
    pub fn for_pictures(store: ModelStore) -> Result<Self, ModelError> {
        let pack = StylePack::load(&store)?.without_styles();
        let gallery = Self::of_pack(store, Device::Cpu, pack);
        Ok(Self {
            of_pictures: true,
            ..gallery
        })
    }

    /// The file of a pack that a choice names (`pack.safetensors`, `pack.safetensors:NAME`), if it does.
    pub fn pack_file(choice: &str) -> Option<&Path> {
        let mut parts = choice.split(',');
        parts.find_map(|part| split_pack(part).map(|(file, _)| Path::new(file)))
    }

    /// Where the models come from.
    pub fn store(&self) -> &ModelStore {
        &self.store
    }

    /// The pack.
    pub fn pack(&self) -> &StylePack {
        &self.pack
    }

    /// All styles in the order of their numbers: the pack's, then the pictures'.
    pub fn styles(&self) -> &[Style] {
        &self.styles
    }

    /// The numbers that "next" and "previous" go round: those of the folder that was added, else all.
    pub fn round(&self) -> Range<usize> {
        self.playlist.clone().unwrap_or(0..self.styles.len())
    }

    /// The networks for pictures, loaded when first asked for.
    ///
    /// # Errors
    /// When their files are missing or damaged.
    pub fn any_picture(&self) -> Result<Arc<AnyPicture>, ModelError> {
        let mut any = self.any.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(any) = &*any {
            return Ok(any.clone());
        }
        let loaded = Arc::new(AnyPicture::load(&self.store, &self.device)?);
        *any = Some(loaded.clone());
        Ok(loaded)
    }

    /// Reads a choice: names, numbers and paths of pictures, each with a weight if wanted. Pictures are added to the list;
    /// a file that is not there is reported now. A style of the pack may be named with the pack's file before it
    /// (`pack.safetensors:NAME`); the file alone is its first style.
    ///
    /// # Errors
    /// When a name is unknown, a weight is none, a file cannot be opened or is another pack.
    pub fn choose(&mut self, text: &str) -> Result<StyleChoice, StyleError> {
        let mut parts = Vec::new();
        for part in text.split(',') {
            match split_pack(part) {
                Some((file, _))
                    if file != self.pack.origin()
                        && !is_same_file(
                            &self.store.pack_file(Path::new(file)),
                            Path::new(self.pack.origin()),
                        ) =>
                {
                    return Err(StyleError::OtherPack {
                        named: file.into(),
                        used: self.pack.origin().to_owned(),
                    });
                }
                Some((_, "")) => parts.push("0"),
                Some((_, style)) => parts.push(style),
                None => parts.push(part),
            }
        }
        StyleChoice::parse_with(&parts.join(","), |name| {
            match StyleChoice::find(name, &self.styles) {
                Ok(number) => return Ok(number),
                Err(error) => {
                    let path = Path::new(name);
                    if path.is_dir() {
                        return Err(ChoiceError::Folder(name.to_owned()).into());
                    }
                    let is_path = path.is_file() || is_picture_path(path) || name.contains('/');
                    if !is_path {
                        let pack = self.pack.origin();
                        return Err(match split_pack(pack) {
                            Some(_) => error.in_pack(pack).into(),
                            None => error.into(),
                        });
                    }
                }
            }
            self.add_picture(Path::new(name))
        })
    }

    /// Where the picture with this number is; `None` for a style of the pack.
    pub fn picture_path(&self, number: usize) -> Option<&Path> {
        self.entry(number).map(|entry| entry.path.as_path())
    }

    /// Adds a picture to the list and returns its number (the one it has if it is there already).
    ///
    /// # Errors
    /// When it cannot be opened as a picture.
    pub fn add_picture(&mut self, path: &Path) -> Result<usize, StyleError> {
        let first = self.pack.styles().len();
        if let Some(at) = self.entries.iter().position(|entry| entry.path == path) {
            return Ok(first + at);
        }
        PictureFile::check_readable(path)?;
        let name = path.file_stem().unwrap_or(path.as_os_str());
        self.styles.push(Style {
            name: name.to_string_lossy().into_owned(),
            description: path.display().to_string(),
            aliases: Vec::new(),
        });
        self.entries.push(Entry {
            path: path.to_owned(),
            mix: OnceLock::new(),
        });
        Ok(self.styles.len() - 1)
    }

    /// Adds every picture of a folder, by name, as what "next" and "previous" go round.
    ///
    /// # Errors
    /// When the folder cannot be read, holds no pictures, or one of them cannot be opened.
    pub fn add_folder(&mut self, folder: &Path) -> Result<Range<usize>, StyleError> {
        let paths = pictures_in(folder).map_err(|source| StyleError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        if paths.is_empty() {
            return Err(StyleError::NoPictures(folder.to_owned()));
        }
        let first = self.styles.len();
        for path in &paths {
            self.add_picture(path)?;
        }
        let range = first..self.styles.len();
        self.playlist = Some(range.clone());
        Ok(range)
    }

    /// Whether [`Gallery::mix`] would answer at once.
    pub fn is_ready(&self, choice: &StyleChoice) -> bool {
        choice.weights().iter().all(|&(number, _)| {
            self.entry(number)
                .is_none_or(|entry| entry.mix.get().is_some())
        })
    }

    /// What a choice paints. Pictures that were not asked for before are looked at.
    ///
    /// # Errors
    /// When a picture cannot be read or the predictor fails.
    pub fn mix(&self, choice: &StyleChoice) -> Result<StyleMix, StyleError> {
        let mut parts = Vec::new();
        for &(number, weight) in choice.weights() {
            let part = match self.entry(number) {
                None => StyleMix::new(
                    NetworkKind::Pack,
                    self.pack.parameters(&StyleChoice::single(number)),
                ),
                Some(entry) => self.look_at(entry)?,
            };
            parts.push((part, weight));
        }
        StyleMix::blend(parts.iter().map(|(part, weight)| (part, *weight)))
            .ok_or_else(|| ChoiceError::Empty.into())
    }

    fn entry(&self, number: usize) -> Option<&Entry> {
        self.entries
            .get(number.checked_sub(self.pack.styles().len())?)
    }

    fn look_at(&self, entry: &Entry) -> Result<StyleMix, StyleError> {
        if let Some(mix) = entry.mix.get() {
            return Ok(mix.clone());
        }
        let file = PictureFile::read_style(&entry.path)?;
        if file
            .alpha
            .as_ref()
            .is_some_and(|alpha| alpha.iter().all(|&a| a == 0))
        {
            return Err(StyleError::Empty(entry.path.clone()));
        }
        if self.of_pictures {
            let nothing = StyleParameters {
                scale: Vec::new(),
                shift: Vec::new(),
            };
            let mix = StyleMix::new(NetworkKind::AnyPicture, nothing);
            let mix = mix.with_picture(Arc::new(file.picture));
            return Ok(entry.mix.get_or_init(|| mix).clone());
        }
        let mut hash = Sha256::new();
        hash.update(file.picture.width().to_le_bytes());
        hash.update(file.picture.rgb());
        let key = hash.finalize().into();
        let seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen().get(&key).cloned();
        let mix = match known {
            Some(mix) => mix,
            None => {
                let any = self.any_picture()?;
                let style = any.parameters(&any.numbers(&file.picture)?);
                let palette = Palette::of(file.picture.rgb());
                StyleMix::new(NetworkKind::AnyPicture, style).with_palette(palette)
            }
        };
        seen().insert(key, mix.clone());
        Ok(entry.mix.get_or_init(|| mix).clone())
    }
}

/// The file of a pack and the style of it (which may be empty) in a part of a choice.
fn split_pack(part: &str) -> Option<(&str, &str)> {
    const EXTENSION: &str = ".safetensors";
    let part = part.trim();
    let end = part.to_ascii_lowercase().find(EXTENSION)? + EXTENSION.len();
    let (file, rest) = part.split_at(end);
    match rest.strip_prefix(':') {
        Some(style) => Some((file, style)),
        None => rest.is_empty().then_some((file, "")),
    }
}

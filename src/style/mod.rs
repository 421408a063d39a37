//! Styles: what they are called, and the numbers that they are.

mod any_picture;
mod choice;
mod gallery;
mod mix;
mod pack;
mod pack_file;

pub use any_picture::AnyPicture;
pub use choice::{ChoiceError, StyleChoice};
pub use gallery::{Gallery, StyleError};
pub use mix::{NetworkKind, StyleMix};
pub use pack::{PackQuality, Style, StylePack};
pub use pack_file::PackFile;

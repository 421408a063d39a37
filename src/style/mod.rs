//! Styles: what they are called, and the numbers that they are.

mod choice;
mod pack;

pub use choice::{ChoiceError, StyleChoice};
pub use pack::{Style, StylePack};

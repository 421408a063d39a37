//! What a live session is made of, beside its threads (those are in [`crate::pipeline::live`]): each part is a struct
//! without a thread that can be tested by itself.
//!
//! [`Wanted`] is all that the person at the keys can change; the newest value counts, so nothing queues up behind a slow
//! painter. [`LivePainter`] brings a camera picture to the right size ([`Quality`]), paints it in a style that may be on
//! its way to another ([`StyleFade`]), and yields a [`Painting`], which any output brings back to the camera's size with
//! the camera's edges ([`upscale`](crate::stylize::upscale())).

mod canvas;
mod fade;
mod key;
mod keys;
mod overlay;
mod painter;
mod quality;
mod text;

pub use canvas::Canvas;
pub use fade::StyleFade;
pub use key::{Command, HELP, Key};
pub(crate) use keys::with_causes;
pub use keys::{Desk, DeskError, DeskSettings};
pub use overlay::{Readout, draw};
pub use painter::{LivePainter, Painting, SizeWish, Wanted};
pub use quality::{Quality, Size, ladder};
pub use text::Lettering;

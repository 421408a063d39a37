//! A film painted in several passes, forwards and backwards.
//!
//! What a painting takes over comes from the paintings before it, so what the camera uncovers is painted without knowing
//! how it will be painted a moment later, and the border of the picture differs from its middle. Ruder, Dosovitskiy, Brox
//! ("Artistic style transfer for videos", GCPR 2016, multi-pass algorithm) go through the film again and again, in turn
//! backwards and forwards: a painting x of the pass before becomes the start
//! (x + c₋·ω(x₋) + c₊·ω(x₊)) / (1 + c₋ + c₊), the paintings x₋ and x₊ of its two neighbours carried to it along the motion
//! ω and weighed by how far that can be trusted (c), and is then optimised for a few steps, held to both.
//!
//! All of this needs the pictures in any order, so pictures and paintings lie in a folder. Its names tell what is in it
//! ([`super::kept`]), so a run that was interrupted in any pass is taken up there.

use std::path::{Path, PathBuf};

use super::{
    Optimize, Scene,
    canvas::{Canvas, Size},
    film, kept,
    kept::KeptPaintings,
};
use crate::{
    frame::Picture,
    stylize::{StylizeError, Stylizer},
};

/// A picture of the film, where it lies.
struct Entry {
    picture: PathBuf,
    mask: Option<PathBuf>,
    painting: PathBuf,
    /// Whether it continues the one before.
    continues: bool,
    size: (usize, usize),
}

/// A film on its way through the passes.
pub struct Passes {
    painter: Optimize,
    entries: Vec<Entry>,
}

impl Passes {
    /// Paints with `painter`, which has to keep its paintings ([`Optimize::keeping`]).
    #[must_use]
    pub fn new(painter: Optimize) -> Self {
        Self {
            painter,
            entries: Vec::new(),
        }
    }

    /// How many pictures the film has so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The next picture does not continue the last one.
    pub fn reset(&mut self) {
        self.painter.reset();
    }

    /// As [`Stylizer::set_time`], of the next picture that is pushed.
    ///
    /// # Errors
    /// As there.
    pub fn set_time(&mut self, seconds: f64) -> Result<(), StylizeError> {
        self.painter.set_time(seconds)
    }

    /// Paints the next picture of the film for the first time. Returns false when the watch wants no more.
    ///
    /// # Errors
    /// As [`Stylizer::paint`], and when the folder cannot be written.
    pub fn push(&mut self, picture: &Picture) -> Result<bool, StylizeError> {
        let mut painting = picture.clone();
        match self.painter.paint(&mut painting) {
            Err(StylizeError::Stopped) => return Ok(false),
            painted => painted?,
        }
        let Some(place) = self.painter.last_place.take() else {
            return Ok(false);
        };
        let entry = Entry {
            picture: kept::sibling(&place, "picture"),
            mask: self
                .painter
                .last_mask
                .as_ref()
                .map(|_| kept::sibling(&place, "mask")),
            painting: place,
            continues: self.painter.last_continues,
            size: (picture.width(), picture.height()),
        };
        if KeptPaintings::load(&entry.picture, entry.size).is_none() {
            KeptPaintings::store(&entry.picture, picture)?;
        }
        if let (Some(place), Some(mask)) = (&entry.mask, &self.painter.last_mask) {
            let grey = mask.iter().flat_map(|&m| [m; 3]).collect();
            if let Ok(grey) = Picture::new(entry.size.0, entry.size.1, grey) {
                KeptPaintings::store(place, &grey)?;
            }
        }
        self.entries.push(entry);
        Ok(true)
    }

    /// Goes through the film once more: `number` is 2 for the second pass, and even passes go backwards. `painted` is called
    /// with the count after each picture. Returns false when the watch wants no more.
    ///
    /// # Errors
    /// As [`Passes::push`], and when what lies in the folder cannot be read.
    pub fn pass(
        &mut self,
        number: usize,
        mut painted: impl FnMut(usize),
    ) -> Result<bool, StylizeError> {
        // A painting of a later pass depends on the whole film, which the last name stands for.
        let whole = self.entries.last().map(|entry| entry.painting.clone());
        let Some(whole) = whole else { return Ok(true) };
        let places: Vec<PathBuf> = self
            .entries
            .iter()
            .map(|entry| kept::sibling(&entry.painting, &format!("{number} {}", name(&whole))))
            .collect();
        let count = self.entries.len();
        for step in 0..count {
            let index = if number.is_multiple_of(2) {
                count - 1 - step
            } else {
                step
            };
            if KeptPaintings::load(&places[index], self.entries[index].size).is_none() {
                let Some(painting) = self.paint_between(index)? else {
                    return Ok(false);
                };
                KeptPaintings::store(&places[index], &painting)?;
            }
            self.entries[index].painting.clone_from(&places[index]);
            painted(step + 1);
        }
        Ok(true)
    }

    /// The painting of a picture again, between its neighbours; `None` when the watch wants no more.
    fn paint_between(&mut self, index: usize) -> Result<Option<Picture>, StylizeError> {
        let entry = &self.entries[index];
        let content = kept::read(&entry.picture)?;
        let mask = match &entry.mask {
            Some(mask) => {
                let mask = kept::read(mask)?;
                Some(mask.rgb().iter().step_by(3).copied().collect::<Vec<u8>>())
            }
            None => None,
        };
        let before = index.checked_sub(1).filter(|_| entry.continues);
        let after = Some(index + 1)
            .filter(|&next| self.entries.get(next).is_some_and(|next| next.continues));
        let size = Size::of(content.height(), content.width());
        let mut anchors = Vec::new();
        for neighbour in before.into_iter().chain(after) {
            let neighbour = &self.entries[neighbour];
            let (picture, painting) = (
                kept::read(&neighbour.picture)?,
                kept::read(&neighbour.painting)?,
            );
            anchors.extend(
                self.painter
                    .film
                    .carry((&picture, &painting), &content, size),
            );
        }
        let own = Canvas::new(&kept::read(&entry.painting)?, size);
        let mut canvas = film::average(&anchors, own);
        let scene = Scene {
            content: &content,
            mask: mask.as_deref(),
        };
        let steps = self.painter.settings.next_iterations;
        let rule = self.painter.rule(steps as f64, std::time::Instant::now());
        self.painter.frame = index as u64;
        let complete = self
            .painter
            .descend(&scene, &mut canvas, &anchors, (1.0, rule))?;
        Ok(complete.then(|| canvas.to_picture()))
    }

    /// What was painted, picture after picture, as a painter of the same film.
    #[must_use]
    pub fn into_film(self) -> PaintedFilm {
        let paintings = self.entries.into_iter();
        PaintedFilm {
            paintings: paintings
                .map(|entry| (entry.painting, entry.size))
                .collect(),
            next: 0,
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Paintings that are already there.
pub struct PaintedFilm {
    paintings: Vec<(PathBuf, (usize, usize))>,
    next: usize,
}

impl Stylizer for PaintedFilm {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        let size = (picture.width(), picture.height());
        match self.paintings.get(self.next) {
            Some((path, of)) if *of == size => *picture = kept::read(path)?,
            // The film changed while it was painted.
            _ => return Err(StylizeError::OtherFilm),
        }
        self.next += 1;
        Ok(())
    }
}

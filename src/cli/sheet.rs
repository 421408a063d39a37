//! A contact sheet: pictures of one size in rows, each with its name below.

use std::path::Path;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use allaprima::{frame::Picture, picture_file::PictureFile};
use anyhow::{Result, bail};

/// Pixels between two pictures and around all.
const GAP: usize = 8;
/// Height of the strip that a name stands in, in pixels.
const CAPTION: usize = 26;
/// Height of the letters, in pixels.
const LETTERS: f32 = 19.0;
/// Smaller letters cannot be read.
const SMALLEST_LETTERS: f32 = 11.0;

const PAPER: u8 = 255;
const INK: u8 = 30;

/// Puts `tiles` (a name and a picture each, all of the size of the first) in rows, about twice as wide as high.
pub fn compose(tiles: &[(String, Picture)]) -> Result<Picture> {
    let (width, height) = tiles
        .first()
        .map_or((1, 1), |(_, picture)| (picture.width(), picture.height()));
    let columns = columns(tiles.len(), (width + GAP, height + CAPTION));
    compose_rows(tiles, columns)
}

/// Puts `tiles` (all of the size of the first) in rows of `columns`.
pub fn compose_rows(tiles: &[(String, Picture)], columns: usize) -> Result<Picture> {
    let (width, height) = tiles
        .first()
        .map_or((1, 1), |(_, picture)| (picture.width(), picture.height()));
    let cell = (width + GAP, height + CAPTION);
    let rows = tiles.len().div_ceil(columns);
    let (sheet_width, sheet_height) = (columns * cell.0 + GAP, rows * cell.1 + GAP);
    let mut sheet = Picture::new(
        sheet_width,
        sheet_height,
        vec![PAPER; sheet_width * sheet_height * 3],
    )?;
    let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT)?;
    for (i, (name, picture)) in tiles.iter().enumerate() {
        let (left, top) = (GAP + i % columns * cell.0, GAP + i / columns * cell.1);
        for (y, row) in picture.rgb().chunks_exact(width * 3).enumerate() {
            let start = ((top + y) * sheet_width + left) * 3;
            sheet.rgb_mut()[start..start + row.len()].copy_from_slice(row);
        }
        let (name, letters) = fitted(&font, name, width as f32, LETTERS);
        let corner = (left, top + height);
        write(&mut sheet, &font, &name, corner, width, letters);
    }
    Ok(sheet)
}

/// Refuses an output that could not be written, before any work is done for it.
pub fn check_output(path: &Path, overwrite: bool) -> Result<()> {
    let name = path.display();
    if path.is_dir() {
        bail!("{name}: this is a folder; give the name of a file in it");
    }
    // A link that leads nowhere is there as well.
    if !overwrite && path.symlink_metadata().is_ok() {
        bail!("{name} exists: use --overwrite to replace it");
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        bail!(
            "{name}: the folder {} does not exist; make it (mkdir -p) or give another name",
            folder.display()
        );
    }
    // The only sure way to know is to do it. Of the reason the kind is told: the rest names the passing file.
    if let Err(error) = tempfile::tempfile_in(folder) {
        bail!(
            "{name}: no file can be made in the folder {} ({}); choose another folder",
            folder.display(),
            error.kind()
        );
    }
    Ok(())
}

/// Writes a sheet as a picture file.
pub fn save(picture: Picture, path: &Path, overwrite: bool) -> Result<()> {
    let file = PictureFile::new(picture);
    file.write(path, overwrite)?;
    Ok(())
}

fn columns(count: usize, cell: (usize, usize)) -> usize {
    let ideal = (2.0 * count as f64 * cell.1 as f64 / cell.0 as f64).sqrt();
    (ideal.round() as usize).clamp(1, count.max(1))
}

/// Width of `text` in letters of that many pixels, in pixels.
pub fn length(font: &FontRef<'_>, text: &str, letters: f32) -> f32 {
    let font = font.as_scaled(PxScale::from(letters));
    text.chars().map(|c| font.h_advance(font.glyph_id(c))).sum()
}

/// `text` and the height of its letters with which it is no wider than `width`: smaller ones, and where these could not be
/// read less of the text.
fn fitted(font: &FontRef<'_>, text: &str, width: f32, letters: f32) -> (String, f32) {
    let shrunk = letters * width / length(font, text, letters).max(width);
    let smallest = letters.min(SMALLEST_LETTERS);
    if shrunk >= smallest {
        return (text.to_owned(), shrunk);
    }
    let mut shortened = text.to_owned();
    while shortened.pop().is_some() {
        let dotted = format!("{}…", shortened.trim_end());
        if length(font, &dotted, smallest) <= width {
            return (dotted, smallest);
        }
    }
    (shortened, smallest)
}

/// Writes `text`, `letters` pixels high, centred into the strip of `width` pixels whose upper left corner is given.
pub fn write(
    sheet: &mut Picture,
    font: &FontRef<'_>,
    text: &str,
    (left, top): (usize, usize),
    width: usize,
    letters: f32,
) {
    let length = length(font, text, letters);
    let font = font.as_scaled(PxScale::from(letters));
    let baseline = top as f32 + (CAPTION as f32 + font.ascent() + font.descent()) / 2.0;
    let mut x = left as f32 + (width as f32 - length) / 2.0;
    for c in text.chars() {
        let glyph = font
            .glyph_id(c)
            .with_scale_and_position(PxScale::from(letters), point(x, baseline));
        x += font.h_advance(glyph.id);
        let Some(outline) = font.outline_glyph(glyph) else {
            continue;
        };
        let corner = outline.px_bounds().min;
        outline.draw(|dx, dy, coverage| {
            let (px, py) = (
                corner.x as i64 + i64::from(dx),
                corner.y as i64 + i64::from(dy),
            );
            if (0..sheet.width() as i64).contains(&px) && (0..sheet.height() as i64).contains(&py) {
                let start = (py as usize * sheet.width() + px as usize) * 3;
                for value in &mut sheet.rgb_mut()[start..start + 3] {
                    let ink = f32::from(*value)
                        + (f32::from(INK) - f32::from(*value)) * coverage.min(1.0);
                    *value = ink as u8;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_that_cannot_be_written_are_refused_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |name: &str, overwrite: bool| {
            let checked = check_output(&folder.path().join(name), overwrite);
            checked.err().map(|error| error.to_string())
        };
        std::fs::write(folder.path().join("old.png"), "old").unwrap();
        std::fs::create_dir(folder.path().join("folder.png")).unwrap();
        assert_eq!(refusal("new.png", false), None);
        assert_eq!(refusal("old.png", true), None);
        for (name, overwrite, reason) in [
            ("old.png", false, "--overwrite"),
            ("folder.png", true, "is a folder"),
            ("missing/a.png", true, "missing does not exist"),
            ("old.png/a.png", true, "old.png does not exist"),
        ] {
            let said = refusal(name, overwrite).unwrap();
            assert!(said.contains(name) && said.contains(reason), "{said}");
        }
        assert!(check_output(Path::new("new.png"), false).is_ok());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn long_names_stay_below_their_pictures() {
        let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).unwrap();
        let names = [
            "ink",
            "12 van-gogh-harvest-at-la-crau",
            "any-picture network",
        ];
        for (width, whole) in [(320.0, 3), (120.0, 2), (40.0, 1), (3.0, 0)] {
            let fits = names.map(|name| {
                let (text, letters) = fitted(&font, name, width, LETTERS);
                assert!(length(&font, &text, letters) <= 1.001 * width, "{text}");
                assert!((SMALLEST_LETTERS..=LETTERS).contains(&letters));
                text == name || {
                    assert!(text.is_empty() || text.ends_with('…'), "{text}");
                    false
                }
            });
            assert_eq!(fits.iter().filter(|fit| **fit).count(), whole, "{width}");
        }
        assert_eq!(
            fitted(&font, "ink", 320.0, LETTERS),
            ("ink".into(), LETTERS)
        );
        assert!(font.outline(font.glyph_id('…')).is_some());
    }

    #[test]
    fn every_tile_is_on_the_sheet_with_its_name() {
        let tiles: Vec<_> = (0..5)
            .map(|i| {
                (
                    format!("{i}"),
                    Picture::new(60, 40, vec![10 * i as u8; 60 * 40 * 3]).unwrap(),
                )
            })
            .collect();
        let sheet = compose(&tiles).unwrap();
        let columns = columns(5, (60 + GAP, 40 + CAPTION));
        for i in 0..5 {
            let (left, top) = (
                GAP + i % columns * (60 + GAP),
                GAP + i / columns * (40 + CAPTION),
            );
            let pixel = |x: usize, y: usize| sheet.rgb()[(y * sheet.width() + x) * 3];
            assert_eq!(pixel(left + 59, top + 39), 10 * i as u8);
            let dark = (0..60 * CAPTION)
                .filter(|p| pixel(left + p % 60, top + 40 + p / 60) < 128)
                .count();
            assert!(dark > 5, "tile {i} has no caption");
        }
    }
}

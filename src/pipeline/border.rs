//! What a painter left alone around its painting, black bars as a rule: steadying is to leave it alone too.
//!
//! Who paints knows best what it paints; here it is seen from its work. Rows and columns at the edges of a painting that are
//! the original's to the last value were not painted, and are put back as they were when everything else is done, with what is
//! written on them.

use crate::frame::Picture;

/// Rows and columns that were not painted, with what is in them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Border {
    size: (usize, usize),
    /// Rows above and below what was painted.
    rows: [usize; 2],
    /// Columns to its left and right.
    columns: [usize; 2],
    pixels: Vec<u8>,
}

impl Border {
    /// The border of a painting of `original`, if it has one; all of it where nothing was painted.
    pub(super) fn of(original: &Picture, painting: &Picture) -> Option<Self> {
        let size @ (width, height) = (painting.width(), painting.height());
        if (original.width(), original.height()) != size {
            return None;
        }
        let row = |y: usize| 3 * y * width..3 * (y + 1) * width;
        let is_left = |y: &usize| original.rgb()[row(*y)] == painting.rgb()[row(*y)];
        let above = (0..height).take_while(is_left).count();
        let below = (above..height).rev().take_while(is_left).count();
        let painted = above..height - below;
        let column_is_left = |x: &usize| {
            painted.clone().all(|y| {
                let at = 3 * (y * width + x);
                original.rgb()[at..at + 3] == painting.rgb()[at..at + 3]
            })
        };
        let (left, right) = match painted.is_empty() {
            true => (0, 0),
            false => (
                (0..width).take_while(column_is_left).count(),
                (0..width).rev().take_while(column_is_left).count(),
            ),
        };
        let mut border = Self {
            size,
            rows: [above, below],
            columns: [left, right],
            pixels: Vec::new(),
        };
        if above + below + left + right == 0 {
            return None;
        }
        let pixels: Vec<_> = border.parts().map(|part| &painting.rgb()[part]).collect();
        border.pixels = pixels.concat();
        Some(border)
    }

    /// Copies what is there in another `original` into its painting.
    pub(super) fn copy(&self, original: &Picture, painting: &mut Picture) {
        for part in self.parts() {
            painting.rgb_mut()[part.clone()].copy_from_slice(&original.rgb()[part]);
        }
    }

    /// Puts it back.
    pub(super) fn put(&self, picture: &mut Picture) {
        if (picture.width(), picture.height()) != self.size {
            return;
        }
        let mut from = 0;
        for part in self.parts() {
            let length = part.len();
            picture.rgb_mut()[part].copy_from_slice(&self.pixels[from..from + length]);
            from += length;
        }
    }

    /// Where it lies among the values of a picture.
    fn parts(&self) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let ((width, height), [above, below], [left, right]) = (self.size, self.rows, self.columns);
        let rows = |from: usize, to: usize| 3 * from * width..3 * to * width;
        let sides = (above..height - below).flat_map(move |y| {
            let (begin, end) = (3 * y * width, 3 * (y + 1) * width);
            [begin..begin + 3 * left, end - 3 * right..end]
        });
        [rows(0, above), rows(height - below, height)]
            .into_iter()
            .chain(sides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> Picture {
        let rgb = (0..3 * width * height).map(|i| value(i / 3 % width, i / 3 / width));
        Picture::new(width, height, rgb.collect()).unwrap()
    }

    #[test]
    fn what_was_not_painted_is_put_back() {
        let original = picture(20, 14, |x, y| (x * 5 + y * 3) as u8);
        for [above, below, left, right] in [[3, 2, 0, 0], [0, 0, 4, 5], [1, 0, 0, 2], [2, 3, 4, 1]]
        {
            let inside = |x: usize, y: usize| {
                (above..14 - below).contains(&y) && (left..20 - right).contains(&x)
            };
            let painting = picture(20, 14, |x, y| {
                (x * 5 + y * 3) as u8 + if inside(x, y) { 50 } else { 0 }
            });
            let border = Border::of(&original, &painting).unwrap();
            let mut changed = picture(20, 14, |_, _| 200);
            border.put(&mut changed);
            for (i, (value, before)) in changed.rgb().iter().zip(original.rgb()).enumerate() {
                let (x, y) = (i / 3 % 20, i / 3 / 20);
                let expected = if inside(x, y) { 200 } else { *before };
                assert_eq!(*value, expected, "{x}, {y}");
            }
        }
    }

    #[test]
    fn a_painting_to_the_edges_has_no_border_and_what_was_not_painted_is_all_border() {
        let original = picture(9, 7, |x, y| (x * y) as u8);
        let painting = picture(9, 7, |x, y| (x * y + 9) as u8);
        assert_eq!(Border::of(&original, &painting), None);
        let mut steadied = painting.clone();
        Border::of(&original, &original).unwrap().put(&mut steadied);
        assert_eq!(steadied, original);
        assert_eq!(Border::of(&picture(7, 9, |_, _| 0), &painting), None);
    }
}

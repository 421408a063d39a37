//! What a painter left alone around its painting, black bars as a rule: who steadies it, or brings it to another size, is to
//! leave it alone too.
//!
//! Who paints knows best what it paints; here it is seen from its work. Rows and columns at the edges of a painting that are
//! the original's to the last value were not painted, and are put back as they were when everything else is done, with what is
//! written on them.

use crate::frame::Picture;

/// Rows and columns that were not painted, with what is in them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Border {
    size: (usize, usize),
    /// Rows above and below what was painted.
    rows: [usize; 2],
    /// Columns to its left and right.
    columns: [usize; 2],
    pixels: Vec<u8>,
}

impl Border {
    /// The border of a painting of `original`, if it has one; all of it where nothing was painted.
    pub(crate) fn of(original: &Picture, painting: &Picture) -> Option<Self> {
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
    pub(crate) fn copy(&self, original: &Picture, painting: &mut Picture) {
        for part in self.parts() {
            painting.rgb_mut()[part.clone()].copy_from_slice(&original.rgb()[part]);
        }
    }

    /// As [`Border::copy`] for an original of another size and its painting: rows and columns that lie wholly in the border,
    /// and one of which a part does where the original goes on as before, in an even bar.
    pub(crate) fn copy_scaled(&self, original: &Picture, painting: &mut Picture) {
        let size @ (width, height) = (original.width(), original.height());
        let rgb = original.rgb();
        let row = |y: usize| &rgb[3 * y * width..3 * (y + 1) * width];
        let pixel = |x: usize, y: usize| &rgb[3 * (y * width + x)..][..3];
        let are_same = |x: usize, other: usize| (0..height).all(|y| pixel(x, y) == pixel(other, y));
        let scaled = |count: usize, from: usize, to: usize, goes_on: &dyn Fn(usize) -> bool| {
            let (whole, part) = (count * to / from, count * to % from);
            whole + usize::from(whole > 0 && part > 0 && goes_on(whole))
        };
        let ([above, below], [left, right]) = (self.rows, self.columns);
        let rows =
            |count, goes_on: &dyn Fn(usize) -> bool| scaled(count, self.size.1, height, goes_on);
        let columns =
            |count, goes_on: &dyn Fn(usize) -> bool| scaled(count, self.size.0, width, goes_on);
        let border = Self {
            size,
            rows: [
                rows(above, &|n| row(n) == row(n - 1)),
                rows(below, &|n| row(height - n) == row(height - n - 1)),
            ],
            columns: [
                columns(left, &|n| are_same(n, n - 1)),
                columns(right, &|n| are_same(width - n, width - n - 1)),
            ],
            pixels: Vec::new(),
        };
        border.copy(original, painting);
    }

    /// Puts it back.
    pub(crate) fn put(&self, picture: &mut Picture) {
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
    fn at_another_size_what_was_painted_in_part_is_put_back_only_in_an_even_bar() {
        let original = picture(20, 14, |x, y| (x * 5 + y * 3) as u8);
        for ([above, below, left, right], (width, height)) in [
            ([3, 2, 0, 0], (40, 28)),
            ([0, 0, 4, 5], (30, 21)),
            ([1, 0, 0, 3], (10, 7)),
            ([2, 3, 4, 1], (33, 19)),
            ([14, 0, 0, 0], (9, 5)),
        ] {
            let painting = picture(20, 14, |x, y| {
                let inside = (above..14 - below).contains(&y) && (left..20 - right).contains(&x);
                (x * 5 + y * 3) as u8 + if inside { 50 } else { 0 }
            });
            let border = Border::of(&original, &painting).unwrap();
            for even in [false, true] {
                let other = picture(width, height, |x, y| match even {
                    true => 7,
                    false => (x * 4 + y * 2) as u8,
                });
                let mut painted = picture(width, height, |_, _| 201);
                border.copy_scaled(&other, &mut painted);
                // How many rows or columns, of one of `from` that becomes one of `to`.
                let count = |count: usize, from: usize, to: usize| match count * to / from {
                    0 => 0,
                    _ if even => (count * to).div_ceil(from),
                    whole => whole,
                };
                let (above, below) = (count(above, 14, height), count(below, 14, height));
                let (left, right) = (count(left, 20, width), count(right, 20, width));
                for (i, value) in painted.rgb().iter().enumerate() {
                    let (x, y) = (i / 3 % width, i / 3 / width);
                    let inside =
                        (above..height - below).contains(&y) && (left..width - right).contains(&x);
                    let expected = if inside { 201 } else { other.rgb()[i] };
                    assert_eq!(*value, expected, "{x}, {y}");
                }
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

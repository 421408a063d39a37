//! Where two views of a piece show the same: one is the other moved by so many rows and columns.

/// Height and width of what both show, of pieces of `side` pixels.
pub(super) fn overlap_size((row, column): (isize, isize), side: usize) -> (usize, usize) {
    (side - row.unsigned_abs(), side - column.unsigned_abs())
}

/// What two pictures of `[side][side][3]` both show, where the second begins at a pixel of the first.
pub(super) fn overlap(a: &[f32], b: &[f32], moved: (isize, isize), side: usize) -> [Vec<f32>; 2] {
    let (height, width) = overlap_size(moved, side);
    let cut = |picture: &[f32], row: isize, column: isize| {
        let (top, left) = (row.max(0) as usize, column.max(0) as usize);
        let mut part = Vec::with_capacity(3 * height * width);
        for y in top..top + height {
            part.extend_from_slice(&picture[3 * (y * side + left)..][..3 * width]);
        }
        part
    };
    [cut(a, moved.0, moved.1), cut(b, -moved.0, -moved.1)]
}

/// Adds what belongs to the parts that [`overlap`] cut out to the pictures that they are of.
pub(super) fn add_overlap(
    parts: [&[f32]; 2],
    moved: (isize, isize),
    side: usize,
    pictures: [&mut Vec<f32>; 2],
) {
    let (_, width) = overlap_size(moved, side);
    let corners = [moved, (-moved.0, -moved.1)];
    for ((part, (row, column)), picture) in parts.into_iter().zip(corners).zip(pictures) {
        let (top, left) = (row.max(0) as usize, column.max(0) as usize);
        for (y, row) in part.chunks_exact(3 * width).enumerate() {
            let start = 3 * ((top + y) * side + left);
            for (sum, value) in picture[start..start + 3 * width].iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

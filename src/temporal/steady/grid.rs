//! Square cells of a picture, with one number each: what is measured or decided for a cell is smoothed over its
//! neighbours and interpolated between the cells' centres, so that no seam shows.

use super::pyramid::{double_row, three_to_one, two_rows};

/// Side of the square cells that energy is averaged over, in pixels of their octave.
pub(super) const CELL: usize = 16;

/// Centres of the pixels of a cell.
const CENTRES: [f32; CELL] = {
    let mut centres = [0.5; CELL];
    let mut i = 1;
    while i < CELL {
        centres[i] = centres[i - 1] + 1.0;
        i += 1;
    }
    centres
};

/// Rows and columns of cells, with one value in each.
#[derive(Debug, Default)]
pub(super) struct Grid {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) cells: Vec<f32>,
    scratch: Vec<f32>,
}

impl Grid {
    /// Takes the size that covers `width` by `height` pixels.
    pub(super) fn fit(&mut self, width: usize, height: usize) {
        self.width = width.div_ceil(CELL);
        self.height = height.div_ceil(CELL);
        self.cells.resize(self.width * self.height, 0.0);
        self.scratch.resize(self.width * self.height, 0.0);
    }

    /// Averages each cell with its neighbours, weights (1 2 1)/4 in both directions.
    pub(super) fn smooth(&mut self) {
        let (width, height) = (self.width, self.height);
        for y in 0..height {
            let row = &self.cells[y * width..][..width];
            for x in 0..width {
                let (left, right) = (row[x.saturating_sub(1)], row[(x + 1).min(width - 1)]);
                self.scratch[y * width + x] = 0.25 * (left + right) + 0.5 * row[x];
            }
        }
        for y in 0..height {
            let (above, below) = (y.saturating_sub(1) * width, (y + 1).min(height - 1) * width);
            for x in 0..width {
                self.cells[y * width + x] = 0.25
                    * (self.scratch[above + x] + self.scratch[below + x])
                    + 0.5 * self.scratch[y * width + x];
            }
        }
    }

    /// The value at a place between the cells, in cells from the centre of the first.
    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let [(x0, fx), (y0, fy)] = [(x, self.width), (y, self.height)].map(|(position, size)| {
            let inside = position.clamp(0.0, (size - 1) as f32);
            (inside as usize, inside.fract())
        });
        let (x1, y1) = ((x0 + 1).min(self.width - 1), (y0 + 1).min(self.height - 1));
        let row = |y: usize| {
            let [a, b] = [x0, x1].map(|x| self.cells[y * self.width + x]);
            a + fx * (b - a)
        };
        row(y0) + fy * (row(y1) - row(y0))
    }

    /// Row `y` (in pixels) of the cells, interpolated between their centres, into `row`; `cell`, at most [`CELL`], is in
    /// pixels.
    #[inline(always)]
    pub(super) fn row(&self, y: usize, cell: usize, row: &mut [f32]) {
        let position = ((y as f32 + 0.5) / cell as f32 - 0.5).max(0.0);
        let upper = (position as usize).min(self.height - 1);
        let lower = (upper + 1).min(self.height - 1);
        let fraction = (position - upper as f32).min(1.0);
        let at = |x: usize| {
            let (a, b) = (
                self.cells[upper * self.width + x],
                self.cells[lower * self.width + x],
            );
            a + (b - a) * fraction
        };
        let half = cell / 2;
        let head = half.min(row.len());
        row[..head].fill(at(0));
        for (x, ramp) in row[head..].chunks_mut(cell).enumerate() {
            let (a, b) = (at(x.min(self.width - 1)), at((x + 1).min(self.width - 1)));
            let step = (b - a) / cell as f32;
            for (value, centre) in ramp.iter_mut().zip(&CENTRES) {
                *value = a + step * centre;
            }
        }
    }

    /// Row `y` of the cells as [`Grid::row`] at half size, doubled: equal but where the slope changes. `half` is scratch of
    /// twice half the length of the row, rounded up.
    #[inline(always)]
    pub(super) fn doubled_row(&self, y: usize, height: usize, half: &mut [f32], row: &mut [f32]) {
        let narrow = row.len().div_ceil(2);
        let (near, far) = half[..2 * narrow].split_at_mut(narrow);
        let [near_y, far_y] = two_rows(y, height.div_ceil(2));
        self.row(near_y, CELL / 2, near);
        self.row(far_y, CELL / 2, far);
        for (near, &far) in near.iter_mut().zip(&*far) {
            *near = three_to_one(*near, far);
        }
        double_row::<1, 2>(near, row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_interpolated_between_their_centres() {
        let mut grid = Grid::default();
        grid.fit(48, 16);
        grid.cells.copy_from_slice(&[0.0, 16.0, 16.0]);
        let mut row = vec![0.0; 48];
        grid.row(3, CELL, &mut row);
        assert_eq!(row[0], 0.0);
        assert_eq!(row[8], 0.5);
        assert_eq!(row[23], 15.5);
        assert_eq!(row[47], 16.0);
    }

    #[test]
    fn a_place_between_cells_is_between_their_values() {
        let mut grid = Grid::default();
        grid.fit(32, 32);
        grid.cells.copy_from_slice(&[0.0, 4.0, 8.0, 12.0]);
        assert_eq!(grid.at(0.0, 0.0), 0.0);
        assert_eq!(grid.at(0.5, 0.5), 6.0);
        assert_eq!(grid.at(-3.0, 9.0), 8.0);
    }
}

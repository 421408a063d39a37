//! Variational refinement: the motion field that best keeps brightness and gradients, and is smooth.
//!
//! Around the field W that the patches gave, the energy
//! Σ δ·Ψ(brightness) + γ·Ψ(gradients) + α·Ψ(|∇u|² + |∇v|²), Ψ(s²) = √(s² + ε²), is minimised as in Brox et al. 2004
//! with the normalised data terms of Zimmer et al. 2011 (the terms of OpenCV's `VariationalRefinement`): the target
//! picture is warped once, the robust weights are fixed in turn (outer iterations), and the linear system between is
//! solved by red-black successive over-relaxation. The unknown is the field itself, not its increment: the constant
//! parts of the linearised terms are moved to zero motion once, and the smoothness term needs no divergence of W.
//!
//! Every plane is kept *split by columns*: each row holds its even columns, then its odd ones. The four neighbours of
//! eight pixels of one colour are then eight consecutive values each, and red-black needs no masks.

use super::{
    pyramid::{BORDER, Level},
    simd::{Kernel, LANES, Vector},
    threads::Rows,
};
use std::ops::Range;

/// Weight of constant brightness (δ), of constant gradients (γ) and of smoothness (α), for grey levels 0..255.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights {
    /// δ.
    pub(super) brightness: f32,
    /// γ.
    pub(super) gradient: f32,
    /// α.
    pub(super) smoothness: f32,
}

/// Over-relaxation; below 2.
const OMEGA: f32 = 1.6;
/// Added to squared gradients in the normalisation, grey levels squared: keeps flat areas from deciding.
const ZETA: f32 = 0.1 * 0.1;
/// ε² of the robust function.
const EPSILON: f32 = 0.01 * 0.01;
/// Values left and right of each half row, and rows above and below.
const PAD: usize = LANES;

/// The shape of a plane split by columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Shape {
    width: usize,
    height: usize,
    /// Values of a half row with its pads.
    half: usize,
}

impl Shape {
    fn new(width: usize, height: usize) -> Self {
        let half = width.div_ceil(2).next_multiple_of(LANES) + 2 * PAD;
        Self {
            width,
            height,
            half,
        }
    }

    fn len(self) -> usize {
        (self.height + 2) * 2 * self.half
    }

    /// Place of the first value of a half row; row -1 and row `height` exist.
    #[inline(always)]
    fn at(self, row: isize, parity: usize) -> usize {
        ((row + 1) as usize * 2 + parity) * self.half + PAD
    }

    /// Place of one pixel.
    #[inline(always)]
    fn pixel(self, row: usize, column: usize) -> usize {
        self.at(row as isize, column & 1) + column / 2
    }

    /// Vectors that cover a half row.
    #[inline(always)]
    fn vectors(self) -> usize {
        self.width.div_ceil(2).div_ceil(LANES)
    }
}

/// Planes of the linear system; see the kernels for what each holds.
const PLANES: usize = 17;
const IX: usize = 0;
const IY: usize = 1;
const IZ: usize = 2;
const IXX: usize = 3;
const IXY: usize = 4;
const IYY: usize = 5;
const IXZ: usize = 6;
const IYZ: usize = 7;
/// Smoothness weights of the edges to the right and downwards.
const RIGHT: usize = 8;
const DOWN: usize = 9;
/// The system: inverse diagonal, coupling, right-hand sides.
const INVERSE_U: usize = 10;
const COUPLING: usize = 11;
const INVERSE_V: usize = 12;
const SIDE_U: usize = 13;
const SIDE_V: usize = 14;
/// The unknown field.
const U: usize = 15;
const V_: usize = 16;

/// Room for the refinement of one direction.
#[derive(Default)]
pub(super) struct Refiner {
    shape: Shape,
    planes: Vec<f32>,
    /// Mean of template and warped target, in the layout of a [`Level`].
    mean: Vec<f32>,
    /// Warped target minus template, likewise.
    change: Vec<f32>,
}

impl Refiner {
    /// Makes room for a level.
    pub(super) fn resize(&mut self, level: &Level) {
        let shape = Shape::new(level.width, level.height);
        if shape != self.shape {
            self.shape = shape;
            self.planes.clear();
            self.planes.resize(PLANES * shape.len(), 0.0);
            self.mean.clear();
            self.mean.resize(level.image.len(), 0.0);
            self.change.clear();
            self.change.resize(level.image.len(), 0.0);
        }
    }

    /// What the tiles of one stage share.
    pub(super) fn shared(&mut self) -> Shared {
        Shared {
            shape: self.shape,
            planes: Rows::of(&mut self.planes),
            mean: Rows::of(&mut self.mean),
            change: Rows::of(&mut self.change),
        }
    }
}

/// The planes of a [`Refiner`], for tiles of rows on several threads.
///
/// Within one stage a tile writes only its own rows, of planes (or of a colour of pixels) that no tile of that stage
/// reads beyond its own rows.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    shape: Shape,
    planes: Rows<f32>,
    mean: Rows<f32>,
    change: Rows<f32>,
}

impl Shared {
    /// # Safety
    /// The place is inside the plane.
    #[inline(always)]
    unsafe fn plane(&self, plane: usize, at: usize) -> *mut f32 {
        // SAFETY: as for this function.
        unsafe { self.planes.get().add(plane * self.shape.len() + at) }
    }
}

/// Warps the target along the field: fills `mean` and `change`.
pub(super) struct Warp<'a> {
    pub(super) shared: Shared,
    pub(super) template: &'a Level,
    pub(super) target: &'a Level,
    pub(super) u: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) rows: Range<usize>,
}

impl Kernel for Warp<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (width, height, stride) = (
            self.template.width,
            self.template.height,
            self.template.stride,
        );
        let ramp: [f32; LANES] = std::array::from_fn(|lane| lane as f32);
        let mut line_u = vec![0.0; width.next_multiple_of(LANES)];
        let mut line_v = line_u.clone();
        for y in self.rows {
            line_u[..width].copy_from_slice(&self.u[y * width..(y + 1) * width]);
            line_v[..width].copy_from_slice(&self.v[y * width..(y + 1) * width]);
            // SAFETY: positions are held inside the picture, whose border has a pixel right of and below each; the rows
            // written belong to this tile, or are the border rows next to them.
            unsafe {
                let border = V::splat(BORDER as f32);
                let zero = V::splat(0.0);
                let (right, bottom) = (V::splat((width - 1) as f32), V::splat((height - 1) as f32));
                let row = self.template.at(0, y);
                let (mean, change) = (
                    self.shared.mean.get().add(row),
                    self.shared.change.get().add(row),
                );
                let mut x = 0;
                while x < width {
                    let px = V::splat(x as f32)
                        + V::load(ramp.as_ptr())
                        + V::load(line_u.as_ptr().add(x));
                    let py = V::splat(y as f32) + V::load(line_v.as_ptr().add(x));
                    let warped = V::bilinear(
                        self.target.image.as_ptr(),
                        stride,
                        px.max(zero).min(right) + border,
                        py.max(zero).min(bottom) + border,
                    );
                    let here = V::load(self.template.image.as_ptr().add(row + x));
                    ((warped + here) * V::splat(0.5)).store(mean.add(x));
                    (warped - here).store(change.add(x));
                    x += LANES;
                }
                for line in [mean, change] {
                    for pad in 0..2 {
                        *line.sub(pad + 1) = *line;
                        *line.add(width + pad) = *line.add(width - 1);
                    }
                    let span = width + 4;
                    let copies = if y == 0 {
                        [-2, -1]
                    } else if y == height - 1 {
                        [1, 2]
                    } else {
                        continue;
                    };
                    for offset in copies {
                        let to = line.sub(2).offset(offset * stride as isize);
                        std::ptr::copy_nonoverlapping(line.sub(2), to, span);
                    }
                }
            }
        }
    }
}

/// Takes derivatives, moves the linearised terms to zero motion, and splits everything by columns.
pub(super) struct Linearise<'a> {
    pub(super) shared: Shared,
    pub(super) template: &'a Level,
    pub(super) u: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) rows: Range<usize>,
}

impl Kernel for Linearise<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self {
            shared, template, ..
        } = self;
        let (width, height, stride) = (template.width, template.height, template.stride);
        let ramp: [f32; LANES] = std::array::from_fn(|lane| lane as f32);
        let mut line_u = vec![0.0; (2 * LANES) * shared.shape.vectors()];
        let mut line_v = line_u.clone();
        for y in self.rows {
            line_u[..width].copy_from_slice(&self.u[y * width..(y + 1) * width]);
            line_v[..width].copy_from_slice(&self.v[y * width..(y + 1) * width]);
            for vector in 0..shared.shape.vectors() {
                let x = vector * 2 * LANES;
                // SAFETY: sixteen values from x on, and two on each side, are inside the rows and their borders of 24;
                // the rows written belong to this tile.
                unsafe {
                    let first = Self::derivatives::<V>(
                        &shared,
                        template.at(x, y),
                        stride,
                        &line_u[x..],
                        &line_v[x..],
                    );
                    let next = Self::derivatives::<V>(
                        &shared,
                        template.at(x + LANES, y),
                        stride,
                        &line_u[x + LANES..],
                        &line_v[x + LANES..],
                    );
                    // A pixel whose motion leads outside has nothing to compare with: only smoothness decides there.
                    let inside = |x: usize| {
                        let (zero, one) = (V::splat(0.0), V::splat(1.0));
                        let px = V::splat(x as f32)
                            + V::load(ramp.as_ptr())
                            + V::load(line_u.as_ptr().add(x));
                        let py = V::splat(y as f32) + V::load(line_v.as_ptr().add(x));
                        let beyond = |p: V, side: usize| {
                            let excess = (zero - p).max(p - V::splat((side - 1) as f32));
                            one - excess.max(zero).min(one)
                        };
                        beyond(px, width) * beyond(py, height)
                    };
                    let (inside_first, inside_next) = (inside(x), inside(x + LANES));
                    let even = shared.shape.at(y as isize, 0) + vector * LANES;
                    let odd = even + shared.shape.half;
                    for plane in 0..8 {
                        let (e, o) =
                            (first[plane] * inside_first).deinterleave(next[plane] * inside_next);
                        e.store(shared.plane(plane, even));
                        o.store(shared.plane(plane, odd));
                    }
                    for (plane, line) in [(U, &line_u), (V_, &line_v)] {
                        let (e, o) = V::load(line.as_ptr().add(x))
                            .deinterleave(V::load(line.as_ptr().add(x + LANES)));
                        e.store(shared.plane(plane, even));
                        o.store(shared.plane(plane, odd));
                    }
                }
            }
        }
    }
}

impl Linearise<'_> {
    /// The eight derivative planes at eight pixels.
    ///
    /// # Safety
    /// `at` is a pixel of the level with eight values, and two more on every side, in `mean` and `change`.
    #[inline(always)]
    unsafe fn derivatives<V: Vector>(
        shared: &Shared,
        at: usize,
        stride: usize,
        u: &[f32],
        v: &[f32],
    ) -> [V; 8] {
        // SAFETY: as for this function.
        unsafe {
            let mean = |dx: isize, dy: isize| {
                V::load(shared.mean.get().add(at).offset(dy * stride as isize + dx))
            };
            let change = |dx: isize, dy: isize| {
                V::load(
                    shared
                        .change
                        .get()
                        .add(at)
                        .offset(dy * stride as isize + dx),
                )
            };
            let (half, quarter) = (V::splat(0.5), V::splat(0.25));
            let (u, v) = (V::load(u.as_ptr()), V::load(v.as_ptr()));
            let here = mean(0, 0);
            let twice = here + here;
            let ix = (mean(1, 0) - mean(-1, 0)) * half;
            let iy = (mean(0, 1) - mean(0, -1)) * half;
            let ixx = (mean(2, 0) + mean(-2, 0) - twice) * quarter;
            let iyy = (mean(0, 2) + mean(0, -2) - twice) * quarter;
            let ixy = ((mean(1, 1) - mean(-1, 1)) - (mean(1, -1) - mean(-1, -1))) * quarter;
            let iz = change(0, 0);
            let ixz = (change(1, 0) - change(-1, 0)) * half;
            let iyz = (change(0, 1) - change(0, -1)) * half;
            [
                ix,
                iy,
                iz - ix * u - iy * v,
                ixx,
                ixy,
                iyy,
                ixz - ixx * u - ixy * v,
                iyz - ixy * u - iyy * v,
            ]
        }
    }
}

/// The smoothness weights of the present field.
pub(super) struct Smoothness {
    pub(super) shared: Shared,
    pub(super) weights: Weights,
    pub(super) rows: Range<usize>,
}

impl Kernel for Smoothness {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { shared, .. } = self;
        let shape = shared.shape;
        let alpha = self.weights.smoothness * 0.5;
        for y in self.rows {
            let last_row = y + 1 == shape.height;
            let below = if last_row { y } else { y + 1 } as isize;
            // SAFETY: places inside the planes; only weights of own rows are written, and this stage reads no weights.
            unsafe {
                let (alpha_v, epsilon) = (V::splat(alpha), V::splat(EPSILON));
                for parity in 0..2 {
                    let row = shape.at(y as isize, parity);
                    // Right of even column 2k is odd k; right of odd column 2k+1 is even k+1.
                    let right = shape.at(y as isize, 1 - parity) + parity;
                    let down = shape.at(below, parity);
                    for k in (0..shape.vectors()).map(|vector| vector * LANES) {
                        let difference = |plane: usize, to: usize| {
                            V::load(shared.plane(plane, to + k))
                                - V::load(shared.plane(plane, row + k))
                        };
                        let (ux, vx) = (difference(U, right), difference(V_, right));
                        let (uy, vy) = (difference(U, down), difference(V_, down));
                        let squares = ux.fma(ux, vx.fma(vx, uy.fma(uy, vy.fma(vy, epsilon))));
                        let weight = alpha_v / squares.sqrt();
                        weight.store(shared.plane(RIGHT, row + k));
                        let weight = if last_row { V::splat(0.0) } else { weight };
                        weight.store(shared.plane(DOWN, row + k));
                    }
                }
                // The last column has no neighbour on the right.
                let last = shape.pixel(y, shape.width - 1);
                let down = shape.pixel(below as usize, shape.width - 1);
                let uy = *shared.plane(U, down) - *shared.plane(U, last);
                let vy = *shared.plane(V_, down) - *shared.plane(V_, last);
                *shared.plane(RIGHT, last) = 0.0;
                if !last_row {
                    *shared.plane(DOWN, last) = alpha / (uy * uy + vy * vy + EPSILON).sqrt();
                }
            }
        }
    }
}

/// The linear system of the present weights.
pub(super) struct Assemble {
    pub(super) shared: Shared,
    pub(super) weights: Weights,
    pub(super) rows: Range<usize>,
}

impl Kernel for Assemble {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { shared, .. } = self;
        let shape = shared.shape;
        for y in self.rows {
            for parity in 0..2 {
                let row = shape.at(y as isize, parity);
                let above = shape.at(y as isize - 1, parity);
                // Left of even column 2k is odd k-1; left of odd column 2k+1 is even k.
                let left = shape.at(y as isize, 1 - parity) + parity - 1;
                for k in (0..shape.vectors()).map(|vector| vector * LANES) {
                    // SAFETY: places inside the planes; own rows of the system are written, which this stage does not
                    // read.
                    unsafe {
                        let load = |plane: usize| V::load(shared.plane(plane, row + k));
                        let (zeta, epsilon) = (V::splat(ZETA), V::splat(EPSILON));
                        let one = V::splat(1.0);
                        let (u, v) = (load(U), load(V_));

                        let (ix, iy, iz) = (load(IX), load(IY), load(IZ));
                        let norm = one / ix.fma(ix, iy.fma(iy, zeta));
                        let error = ix.fma(u, iy.fma(v, iz));
                        let weight = V::splat(self.weights.brightness * 0.5) * norm
                            / (error * error).fma(norm, epsilon).sqrt();
                        let (wx, wy) = (weight * ix, weight * iy);
                        let mut uu = wx.fma(ix, zeta);
                        let mut uv = wx * iy;
                        let mut vv = wy.fma(iy, zeta);
                        let mut side_u = wx * iz;
                        let mut side_v = wy * iz;

                        let (ixx, ixy, iyy) = (load(IXX), load(IXY), load(IYY));
                        let (ixz, iyz) = (load(IXZ), load(IYZ));
                        let cross = ixy.fma(ixy, zeta);
                        let norm_x = one / ixx.fma(ixx, cross);
                        let norm_y = one / iyy.fma(iyy, cross);
                        let error_x = ixx.fma(u, ixy.fma(v, ixz));
                        let error_y = ixy.fma(u, iyy.fma(v, iyz));
                        let squares = (error_x * error_x)
                            .fma(norm_x, (error_y * error_y).fma(norm_y, epsilon));
                        let weight = V::splat(self.weights.gradient * 0.5) / squares.sqrt();
                        let (weight_x, weight_y) = (weight * norm_x, weight * norm_y);
                        let (wxx, wxy) = (weight_x * ixx, weight_x * ixy);
                        let (wyx, wyy) = (weight_y * ixy, weight_y * iyy);
                        uu = wxx.fma(ixx, wyx.fma(ixy, uu));
                        uv = wxx.fma(ixy, wyx.fma(iyy, uv));
                        vv = wxy.fma(ixy, wyy.fma(iyy, vv));
                        side_u = wxx.fma(ixz, wyx.fma(iyz, side_u));
                        side_v = wxy.fma(ixz, wyy.fma(iyz, side_v));

                        let edges = load(RIGHT)
                            + load(DOWN)
                            + V::load(shared.plane(RIGHT, left + k))
                            + V::load(shared.plane(DOWN, above + k));
                        let zero = V::splat(0.0);
                        (one / (uu + edges)).store(shared.plane(INVERSE_U, row + k));
                        uv.store(shared.plane(COUPLING, row + k));
                        (one / (vv + edges)).store(shared.plane(INVERSE_V, row + k));
                        (zero - side_u).store(shared.plane(SIDE_U, row + k));
                        (zero - side_v).store(shared.plane(SIDE_V, row + k));
                    }
                }
            }
        }
    }
}

/// One half sweep of successive over-relaxation.
pub(super) struct Relax {
    pub(super) shared: Shared,
    /// 0 or 1: which pixels, by the parity of row plus column.
    pub(super) colour: usize,
    pub(super) rows: Range<usize>,
}

impl Kernel for Relax {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self { shared, .. } = self;
        let shape = shared.shape;
        for y in self.rows {
            let parity = (y + self.colour) & 1;
            let row = shape.at(y as isize, parity);
            let right = shape.at(y as isize, 1 - parity) + parity;
            let left = right - 1;
            let above = shape.at(y as isize - 1, parity);
            let below = shape.at(y as isize + 1, parity);
            for k in (0..shape.vectors()).map(|vector| vector * LANES) {
                // SAFETY: places inside the planes (rows -1 and `height` exist, and have weight 0); pixels of this
                // colour in own rows are written, of the other colour read.
                unsafe {
                    let load = |plane: usize, at: usize| V::load(shared.plane(plane, at + k));
                    let (to_right, to_left) = (load(RIGHT, row), load(RIGHT, left));
                    let (to_below, to_above) = (load(DOWN, row), load(DOWN, above));
                    let around = |plane: usize, side: V| {
                        let horizontal =
                            to_right.fma(load(plane, right), to_left.fma(load(plane, left), side));
                        to_below.fma(
                            load(plane, below),
                            to_above.fma(load(plane, above), horizontal),
                        )
                    };
                    let (u, v) = (load(U, row), load(V_, row));
                    let coupling = load(COUPLING, row);
                    let omega = V::splat(OMEGA);
                    let target =
                        (around(U, load(SIDE_U, row)) - coupling * v) * load(INVERSE_U, row);
                    let u = (target - u).fma(omega, u);
                    let target =
                        (around(V_, load(SIDE_V, row)) - coupling * u) * load(INVERSE_V, row);
                    let v = (target - v).fma(omega, v);
                    u.store(shared.plane(U, row + k));
                    v.store(shared.plane(V_, row + k));
                }
            }
        }
    }
}

/// Puts the refined field back into packed rows.
pub(super) struct Unsplit<'a> {
    pub(super) shared: Shared,
    pub(super) rows: Range<usize>,
    /// The rows, packed.
    pub(super) u: &'a mut [f32],
    pub(super) v: &'a mut [f32],
}

impl Kernel for Unsplit<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let shape = self.shared.shape;
        let mut line = vec![0.0; shape.vectors() * 2 * LANES];
        for (index, y) in self.rows.enumerate() {
            for (plane, output) in [(U, &mut *self.u), (V_, &mut *self.v)] {
                for k in (0..shape.vectors()).map(|vector| vector * LANES) {
                    // SAFETY: places inside the planes; the line has room for the whole row.
                    unsafe {
                        let even = V::load(self.shared.plane(plane, shape.at(y as isize, 0) + k));
                        let odd = V::load(self.shared.plane(plane, shape.at(y as isize, 1) + k));
                        let (first, next) = even.interleave(odd);
                        first.store(line.as_mut_ptr().add(2 * k));
                        next.store(line.as_mut_ptr().add(2 * k + LANES));
                    }
                }
                output[index * shape.width..(index + 1) * shape.width]
                    .copy_from_slice(&line[..shape.width]);
            }
        }
    }
}

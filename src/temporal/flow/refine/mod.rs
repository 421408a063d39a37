//! Variational refinement: the motion field that best keeps brightness and gradients, and is smooth.
//!
//! Around the field W that the patches gave, the energy
//! Σ δ·Ψ(brightness) + γ·Ψ(gradients) + α·Ψ(|∇u|² + |∇v|²), Ψ(s²) = √(s² + ε²), is minimised as in Brox et al. 2004
//! with the normalised data terms of Zimmer et al. 2011 (the terms of OpenCV's `VariationalRefinement`): the target
//! picture is warped (twice at the finest level), the robust weights are fixed in turn (outer iterations), and the linear system between is
//! solved by red-black successive over-relaxation. The unknown is the field itself, not its increment: the constant
//! parts of the linearised terms are moved to zero motion once, and the smoothness term needs no divergence of W. The
//! target is read by bicubic interpolation: bilinear blurs it against the template, and costs a tenth of the accuracy.
//!
//! Every plane is kept *split by columns*: each row holds its even columns, then its odd ones. The four neighbours of
//! eight pixels of one colour are then eight consecutive values each, and red-black needs no masks.

mod linearise;
mod solve;

use super::{
    pyramid::Level,
    simd::{LANES, enter},
    threads::{Rows, STRIPE, Threads, slice_rows, stripe},
};
use crate::kernels::InstructionSet;
use linearise::{Linearise, Unsplit, Warp};
use solve::{Assemble, Part, Relax, Smoothness};
use std::ops::Range;

/// How much is refined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Times that the target is warped anew.
    pub(crate) warps: usize,
    /// Times that the robust weights are renewed for each warp.
    pub(crate) outer: usize,
    /// Sweeps of the relaxation for each.
    pub(crate) sweeps: usize,
    /// Weights of the terms.
    pub(crate) weights: Weights,
}

/// Weight of constant brightness (δ), of constant gradients (γ) and of smoothness (α), for grey levels 0..255.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights {
    /// δ.
    pub(crate) brightness: f32,
    /// γ.
    pub(crate) gradient: f32,
    /// α.
    pub(crate) smoothness: f32,
}

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

/// One direction's field at a level, packed, with room to refine it.
pub(super) struct Field<'a> {
    pub(super) u: &'a mut [f32],
    pub(super) v: &'a mut [f32],
    pub(super) refiner: &'a mut Refiner,
}

/// Refines the fields of a pair of levels: the first points from the first level to the second, the second back.
pub(super) fn refine(
    threads: &mut Threads,
    set: InstructionSet,
    effort: Effort,
    pair: [&Level; 2],
    fields: &mut [Field<'_>],
) {
    let (width, height) = (pair[0].width, pair[0].height);
    let stripes = height.div_ceil(STRIPE);
    let count = fields.len();
    let mut each = |task: &(dyn Fn(usize, Range<usize>) + Sync)| {
        threads.run(count * stripes, |tile| {
            task(tile / stripes, stripe(tile % stripes, height));
        });
    };
    let shared: Vec<Shared> = fields
        .iter_mut()
        .map(|field| {
            field.refiner.resize(pair[0]);
            field.refiner.shared()
        })
        .collect();
    let weights = effort.weights;
    for _ in 0..effort.warps {
        each(&|direction, rows| {
            let (template, target) = (pair[direction], pair[1 - direction]);
            let (u, v) = (&*fields[direction].u, &*fields[direction].v);
            let shared = shared[direction];
            enter(
                set,
                Warp {
                    shared,
                    template,
                    target,
                    u,
                    v,
                    rows,
                },
            );
        });
        each(&|direction, rows| {
            let template = pair[direction];
            let (u, v) = (&*fields[direction].u, &*fields[direction].v);
            let shared = shared[direction];
            enter(
                set,
                Linearise {
                    shared,
                    template,
                    u,
                    v,
                    rows,
                },
            );
        });
        for _ in 0..effort.outer {
            each(&|direction, rows| {
                let shared = shared[direction];
                enter(
                    set,
                    Smoothness {
                        shared,
                        weights,
                        rows,
                    },
                );
            });
            each(&|direction, rows| {
                let shared = shared[direction];
                enter(
                    set,
                    Assemble {
                        shared,
                        weights,
                        rows,
                    },
                );
            });
            let halves = 2 * effort.sweeps;
            each(&|direction, rows| {
                let (shared, part) = (shared[direction], Part::Stripe(rows));
                enter(
                    set,
                    Relax {
                        shared,
                        halves,
                        part,
                    },
                );
            });
            each(&|direction, rows| {
                let (shared, part) = (shared[direction], Part::Seam(rows.end));
                enter(
                    set,
                    Relax {
                        shared,
                        halves,
                        part,
                    },
                );
            });
        }
        let outputs: Vec<[Rows<f32>; 2]> = fields
            .iter_mut()
            .map(|field| [Rows::of(field.u), Rows::of(field.v)])
            .collect();
        each(&|direction, rows| {
            // SAFETY: these rows belong to this tile alone.
            let [u, v] = outputs[direction].map(|plane| unsafe { slice_rows(plane, width, &rows) });
            let shared = shared[direction];
            enter(set, Unsplit { shared, rows, u, v });
        });
    }
}

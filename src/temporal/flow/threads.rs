//! The threads among which one estimator's work is shared.

use crate::kernels::WorkerPool;
use std::ops::Range;

/// A pool, or the calling thread alone where no other is wanted or could be started.
pub(super) struct Threads(Option<WorkerPool>);

impl Threads {
    /// `count` threads, the caller among them.
    pub(super) fn new(count: usize) -> Self {
        Self(
            (count > 1)
                .then(|| WorkerPool::new(count, "flow").ok())
                .flatten(),
        )
    }

    /// Does `task(tile)` for each tile once, in any order, and returns when all are done.
    pub(super) fn run(&mut self, tiles: usize, task: impl Fn(usize) + Sync) {
        match &mut self.0 {
            Some(pool) if pool.threads() > 1 => pool.run(tiles, &|_, tile| task(tile)),
            _ => (0..tiles).for_each(task),
        }
    }
}

/// A raw pointer that may cross threads: each tile writes rows of one buffer that no other tile touches.
pub(super) struct Rows<T>(*mut T);

impl<T> Clone for Rows<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Rows<T> {}
// SAFETY: a `Rows` is only a number; each place that writes through it states why that is sound.
unsafe impl<T> Send for Rows<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Rows<T> {}

impl<T> Rows<T> {
    /// The rows of a buffer.
    pub(super) fn of(buffer: &mut [T]) -> Self {
        Self(buffer.as_mut_ptr())
    }

    /// The first element.
    #[inline(always)]
    pub(super) fn get(self) -> *mut T {
        self.0
    }
}

/// Rows in a stripe: few enough to share among threads evenly, enough that taking one costs nothing.
pub(super) const STRIPE: usize = 24;

/// The rows of one stripe.
pub(super) fn stripe(index: usize, height: usize) -> Range<usize> {
    index * STRIPE..((index + 1) * STRIPE).min(height)
}

/// Rows of a packed plane, for the one tile that writes them.
///
/// # Safety
/// The plane has the rows, lives as long as the slice, and nothing else touches these rows meanwhile.
pub(super) unsafe fn slice_rows<'a, T>(
    plane: Rows<T>,
    width: usize,
    rows: &Range<usize>,
) -> &'a mut [T] {
    // SAFETY: as for this function.
    unsafe {
        std::slice::from_raw_parts_mut(plane.get().add(rows.start * width), rows.len() * width)
    }
}

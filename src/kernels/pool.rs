//! A few threads that wait for layers.
//!
//! A layer is cut into tiles; each of the workers, the caller among them, takes those of its own share and then what is
//! left of the others'. So the tiles of one place are as a rule made by the same core in every layer, whose cache holds
//! what the next layer reads there, and the more of it as layers take them forwards and backwards in turn. A helper that
//! the operating system wakes late finds the job closed and goes back to sleep: the caller waits only for helpers that
//! hold a tile, so a busy machine (decoder, encoder, optical flow) costs no stall per layer. Whoever waits spins for a
//! fraction of a millisecond, which bridges two layers of a frame, and then sleeps and leaves the processor to others.

use super::KernelError;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What a worker does for one tile: (worker, tile).
type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

const OPEN: u64 = 1 << 31;
const ACTIVE: u64 = OPEN - 1;
const GENERATION: u64 = 1 << 32;
/// Spins before a thread sleeps: a fraction of a millisecond, as long as the steps between two layers or two levels of motion.
const SPINS: u32 = 4_000;

#[derive(Clone, Copy)]
struct Job {
    task: *const Task<'static>,
    tiles: usize,
    backwards: bool,
}

/// Tiles taken of a worker's share, on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Taken(AtomicUsize);

struct State {
    /// Generation (high half), whether the job takes helpers, and how many hold tiles.
    ticket: AtomicU64,
    /// One per worker.
    taken: Box<[Taken]>,
    panicked: AtomicBool,
    stop: AtomicBool,
    job: Mutex<Option<Job>>,
    wake: Condvar,
    /// The last helper has let go of a closed job.
    done: Condvar,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Option<Job>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
// SAFETY: the pointer in `job` is only followed while the call that owns the closure waits.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

/// The threads of one engine.
pub(crate) struct WorkerPool {
    state: Arc<State>,
    helpers: Vec<JoinHandle<()>>,
}

impl WorkerPool {
    /// A pool in which `threads` work, the caller among them; the others are called `name-1` and so on.
    pub(crate) fn new(threads: usize, name: &str) -> Result<Self, KernelError> {
        let state = Arc::new(State {
            ticket: AtomicU64::new(0),
            taken: (0..threads.max(1)).map(|_| Taken::default()).collect(),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            job: Mutex::new(None),
            wake: Condvar::new(),
            done: Condvar::new(),
        });
        let mut pool = Self {
            state,
            helpers: Vec::new(),
        };
        for worker in 1..threads.max(1) {
            let state = Arc::clone(&pool.state);
            let helper = std::thread::Builder::new()
                .name(format!("{name}-{worker}"))
                .spawn(move || help(&state, worker))
                .map_err(|error| KernelError::Thread(error.to_string()))?;
            pool.helpers.push(helper);
        }
        Ok(pool)
    }

    /// Threads that work, the caller among them.
    pub(crate) fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Does `task(worker, tile)` for each tile once and returns when all are done.
    pub(crate) fn run(&mut self, tiles: usize, task: &Task<'_>) {
        let state = &*self.state;
        if self.helpers.is_empty() || tiles < 2 {
            (0..tiles).for_each(|tile| task(0, tile));
            return;
        }
        // SAFETY: only the lifetime changes; `run` returns after the last helper has let go of the task.
        let task: *const Task<'static> =
            unsafe { std::mem::transmute::<&Task<'_>, &Task<'static>>(task) };
        let generation =
            (state.ticket.load(Ordering::Relaxed) & !(GENERATION - 1)).wrapping_add(GENERATION);
        let job = Job {
            task,
            tiles,
            backwards: generation & GENERATION != 0,
        };
        for taken in &state.taken {
            taken.0.store(0, Ordering::Relaxed);
        }
        {
            let mut slot = state.lock();
            *slot = Some(job);
            state.ticket.store(generation | OPEN, Ordering::Release);
        }
        state.wake.notify_all();
        // Closes the job on the way out, also when the caller's own tile panics.
        let closing = Closing(state);
        work(state, job, 0);
        drop(closing);
        assert!(
            !state.panicked.swap(false, Ordering::Relaxed),
            "a helping thread panicked"
        );
    }
}

struct Closing<'a>(&'a State);
impl Drop for Closing<'_> {
    fn drop(&mut self) {
        for taken in &self.0.taken {
            taken.0.store(usize::MAX / 2, Ordering::Relaxed);
        }
        self.0.ticket.fetch_and(!OPEN, Ordering::AcqRel);
        let active = || self.0.ticket.load(Ordering::Acquire) & ACTIVE != 0;
        for _ in 0..SPINS {
            if !active() {
                return;
            }
            std::hint::spin_loop();
        }
        let mut slot = self.0.lock();
        while active() {
            slot = self
                .0
                .done
                .wait(slot)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        {
            let _slot = self.state.lock();
            self.state.stop.store(true, Ordering::Release);
        }
        self.state.wake.notify_all();
        for helper in self.helpers.drain(..) {
            // A helper's panic was reported by the call it happened in.
            let _ = helper.join();
        }
    }
}

fn work(state: &State, job: Job, worker: usize) {
    let workers = state.taken.len();
    for share in (worker..workers).chain(0..worker) {
        let tiles = share * job.tiles / workers..(share + 1) * job.tiles / workers;
        loop {
            let taken = state.taken[share].0.fetch_add(1, Ordering::Relaxed);
            if taken >= tiles.len() {
                break;
            }
            let tile = if job.backwards {
                tiles.end - 1 - taken
            } else {
                tiles.start + taken
            };
            // SAFETY: the job is open or this thread is counted active, so `run` has not returned and the task lives.
            unsafe { (*job.task)(worker, tile) };
        }
    }
}

/// Takes this helper off the active count, also when its tile panics.
struct Leaving<'a>(&'a State);
impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.panicked.store(true, Ordering::Relaxed);
        }
        let before = self.0.ticket.fetch_sub(1, Ordering::AcqRel);
        if before & (OPEN | ACTIVE) == 1 {
            // Under the lock, so that whoever is about to sleep hears of it.
            let _slot = self.0.lock();
            self.0.done.notify_one();
        }
    }
}

fn help(state: &State, worker: usize) {
    let mut seen = 0;
    loop {
        let Some(generation) = next_job(state, seen) else {
            return;
        };
        seen = generation;
        let mut ticket = state.ticket.load(Ordering::Acquire);
        let joined = loop {
            if ticket / GENERATION != generation || ticket & OPEN == 0 {
                break false;
            }
            match state.ticket.compare_exchange_weak(
                ticket,
                ticket + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => break true,
                Err(current) => ticket = current,
            }
        };
        if joined {
            let leaving = Leaving(state);
            let job = *state.lock();
            if let Some(job) = job {
                work(state, job, worker);
            }
            drop(leaving);
        }
    }
}

/// Waits for a generation other than `seen`; `None` when the pool closes.
fn next_job(state: &State, seen: u64) -> Option<u64> {
    let current = || state.ticket.load(Ordering::Acquire) / GENERATION;
    for _ in 0..SPINS {
        if state.stop.load(Ordering::Acquire) {
            return None;
        }
        let generation = current();
        if generation != seen {
            return Some(generation);
        }
        std::hint::spin_loop();
    }
    let mut slot = state.lock();
    loop {
        if state.stop.load(Ordering::Acquire) {
            return None;
        }
        let generation = current();
        if generation != seen {
            return Some(generation);
        }
        slot = state
            .wake
            .wait(slot)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_is_done_once() {
        for threads in [1, 2, 5] {
            let mut pool = WorkerPool::new(threads, "test").unwrap();
            for tiles in [0, 1, 2, 7, 100] {
                let counts: Vec<AtomicUsize> = (0..tiles).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tiles, &|worker, tile| {
                    assert!(worker < threads);
                    counts[tile].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    counts
                        .iter()
                        .all(|count| count.load(Ordering::Relaxed) == 1)
                );
            }
        }
    }

    #[test]
    fn a_panic_in_a_tile_reaches_the_caller_and_the_pool_lives_on() {
        let mut pool = WorkerPool::new(3, "test").unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(64, &|_, tile| assert!(tile != 40, "expected"));
        }));
        assert!(outcome.is_err());
        let done = AtomicUsize::new(0);
        pool.run(8, &|_, _| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 8);
    }
}

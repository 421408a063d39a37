//! Copies between the processor's memory and the card's, beside the kernels.
//!
//! A card copies while its multiprocessors work, but only to and from page-locked memory, and nothing may be copied over what
//! a kernel still reads. So both directions go through a *place*: the same number of bytes on both sides. On the way up the
//! processor fills a place, one stream carries it over while kernels run, and the kernels' own stream, in its turn, moves it
//! to where it belongs, which takes microseconds. On the way down it is the other way round. What the kernels see is the order
//! in which things were asked for.

use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaEvent, CudaSlice, CudaStream, DriverError, PinnedHostSlice};

use super::{CardError, Fetch, device::refused};

/// Bytes of a place on the way up, and how many there are at most: a picture of 3840×2160 with half of its motion.
const PIECE: usize = 4 << 20;
const PLACES: usize = 16;

/// Places on the way down that are kept.
const KEPT: usize = 4;

/// The same bytes on both sides.
#[derive(Debug)]
struct Place {
    host: PinnedHostSlice<u8>,
    card: CudaSlice<u8>,
    /// Recorded behind the last copy into the place on the other side, and behind the last one out of there.
    arrived: CudaEvent,
    left: CudaEvent,
}

impl Place {
    fn new(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self, DriverError> {
        let context = stream.context();
        // SAFETY: every bit pattern is a byte. (No flags: memory that the processor reads as fast as any.)
        let host = unsafe { context.alloc_pinned_with_flags::<u8>(bytes, 0) }?;
        Ok(Self {
            host,
            // SAFETY: every bit pattern is a byte.
            card: unsafe { stream.alloc::<u8>(bytes) }?,
            arrived: context.new_event(None)?,
            left: context.new_event(None)?,
        })
    }

    /// Whether no copy uses it any more.
    fn is_idle(&self) -> bool {
        self.arrived.is_complete() && self.left.is_complete()
    }

    /// Waits until no copy uses it any more.
    fn settle(&self) -> Result<(), DriverError> {
        self.arrived.synchronize()?;
        self.left.synchronize()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A driver that fails here fails again, and is reported, wherever it is asked for something next.
        let _ = self.settle();
    }
}

/// To the card.
#[derive(Debug)]
pub(super) struct Up {
    stream: Arc<CudaStream>,
    places: Vec<Place>,
    next: usize,
}

impl Up {
    pub(super) fn new(stream: Arc<CudaStream>) -> Self {
        Self {
            stream,
            places: Vec::new(),
            next: 0,
        }
    }

    /// Brings `bytes` to the beginning of `memory`, for what is started on `kernels` from now on. When this returns, the
    /// bytes have been read.
    pub(super) fn copy(
        &mut self,
        bytes: &[u8],
        kernels: &Arc<CudaStream>,
        memory: &mut CudaSlice<u8>,
    ) -> Result<(), DriverError> {
        self.stream.context().bind_to_thread()?;
        for (index, piece) in bytes.chunks(PIECE).enumerate() {
            if self.places.len() < PLACES && !self.places.get(self.next).is_some_and(Place::is_idle)
            {
                self.next = self.places.len();
                self.places.push(Place::new(&self.stream, PIECE)?);
            }
            let count = self.places.len();
            let place = &mut self.places[self.next];
            self.next = (self.next + 1) % count;
            let (start, size) = (index * PIECE, piece.len());
            // What was there last has left the processor's side, and will have left the card's.
            place.arrived.synchronize()?;
            self.stream.wait(&place.left)?;
            let host = &mut place.host.as_mut_slice()?[..size];
            host.copy_from_slice(piece);
            self.stream
                .memcpy_htod(&*host, &mut place.card.slice_mut(..size))?;
            place.arrived.record(&self.stream)?;
            kernels.wait(&place.arrived)?;
            kernels.memcpy_dtod(
                &place.card.slice(..size),
                &mut memory.slice_mut(start..start + size),
            )?;
            place.left.record(kernels)?;
        }
        Ok(())
    }
}

/// From the card.
#[derive(Debug)]
pub(super) struct Down {
    stream: Arc<CudaStream>,
    spare: Arc<Mutex<Vec<Place>>>,
}

impl Down {
    pub(super) fn new(stream: Arc<CudaStream>) -> Self {
        Self {
            stream,
            spare: Arc::default(),
        }
    }

    /// Starts to copy the first `bytes` of `memory`, as they are when what was started on `kernels` is done.
    pub(super) fn start(
        &self,
        memory: &CudaSlice<u8>,
        kernels: &Arc<CudaStream>,
        bytes: usize,
    ) -> Result<Fetched, DriverError> {
        let mut place = match self.take(bytes) {
            Some(place) => place,
            None => Place::new(kernels, bytes.max(16))?,
        };
        kernels.memcpy_dtod(&memory.slice(..bytes), &mut place.card.slice_mut(..bytes))?;
        place.left.record(kernels)?;
        self.stream.wait(&place.left)?;
        let host = &mut place.host.as_mut_slice()?[..bytes];
        self.stream.memcpy_dtoh(&place.card.slice(..bytes), host)?;
        place.arrived.record(&self.stream)?;
        Ok(Fetched {
            place: Some(place),
            bytes,
            spare: self.spare.clone(),
        })
    }

    /// The smallest place that is kept and large enough.
    fn take(&self, bytes: usize) -> Option<Place> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = spare.iter().enumerate();
        let fitting = fitting.filter(|(_, place)| place.host.len() >= bytes);
        let (index, _) = fitting.min_by_key(|(_, place)| place.host.len())?;
        Some(spare.swap_remove(index))
    }
}

/// Bytes on their way from the card.
#[derive(Debug)]
pub struct Fetched {
    place: Option<Place>,
    bytes: usize,
    spare: Arc<Mutex<Vec<Place>>>,
}

impl Fetch for Fetched {
    fn take(self, bytes: &mut [u8]) -> Result<(), CardError> {
        let read = |place: &Place, bytes: &mut [u8]| {
            place.arrived.synchronize()?;
            bytes.copy_from_slice(&place.host.as_slice()?[..self.bytes]);
            Ok(())
        };
        match &self.place {
            Some(place) => read(place, bytes).map_err(refused("run a kernel")),
            None => Ok(()),
        }
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else {
            return;
        };
        // One that does not settle is not used again.
        if place.settle().is_err() {
            return;
        }
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(place);
        if spare.len() > KEPT {
            spare.sort_by_key(|place| place.host.len());
            spare.remove(0);
        }
    }
}

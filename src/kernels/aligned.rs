//! Memory on cache-line boundaries that is grown, never shrunk, so that a warm engine asks the allocator for nothing.

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Bytes aligned to 64, viewed as whatever a kernel needs.
#[derive(Default)]
pub(crate) struct AlignedBuffer {
    lines: Vec<Line>,
}

impl AlignedBuffer {
    /// A buffer of at least `bytes` zero bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let mut buffer = Self::default();
        buffer.reserve(bytes);
        buffer
    }

    /// A buffer that holds these bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut buffer = Self::new(bytes.len());
        // SAFETY: the buffer has room for the bytes, and does not overlap them.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.as_mut_ptr(), bytes.len()) };
        buffer
    }

    /// A buffer that holds these values.
    pub(crate) fn from_f32(values: &[f32]) -> Self {
        let mut buffer = Self::new(values.len() * 4);
        // SAFETY: the buffer has room for the values, and does not overlap them.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), buffer.as_mut_ptr(), values.len())
        };
        buffer
    }

    /// Grows to at least `bytes`; what it held is lost.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        let lines = bytes.div_ceil(64);
        if lines > self.lines.len() {
            self.lines = Vec::new();
            self.lines = vec![Line([0; 64]); lines];
        }
    }

    /// Gives back what exceeds `bytes`; what it held is lost.
    pub(crate) fn resize(&mut self, bytes: usize) {
        if bytes.div_ceil(64) != self.lines.len() {
            self.lines = Vec::new();
            self.reserve(bytes);
        }
    }

    /// Bytes held.
    pub(crate) fn len(&self) -> usize {
        self.lines.len() * 64
    }

    /// The first byte, as a pointer to anything of alignment 64 or less.
    pub(crate) fn as_ptr<T>(&self) -> *const T {
        self.lines.as_ptr().cast()
    }

    /// The first byte, as a pointer to anything of alignment 64 or less.
    pub(crate) fn as_mut_ptr<T>(&mut self) -> *mut T {
        self.lines.as_mut_ptr().cast()
    }
}

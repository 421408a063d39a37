//! A card for tests: the kernels' source, compiled for the processor by a C++ compiler (see `emulator/emulator.h`).

use std::{
    ffi::{CString, c_char, c_int, c_uint, c_void},
    path::Path,
    process::Command,
    sync::{Arc, LazyLock, Mutex},
};

use libloading::Library;
use tempfile::TempDir;

use super::{Card, CardError, Fetch, Launch};

type Emulate = unsafe extern "C" fn(
    *const c_char,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    *const c_void,
) -> c_int;

type ParameterSize = unsafe extern "C" fn(*const c_char) -> usize;

/// The kernels as a shared library, and the folder that it lies in. One block at a time runs in it.
struct Emulator {
    library: Library,
    _folder: TempDir,
}

static EMULATOR: LazyLock<Arc<Mutex<Emulator>>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libkernels.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda/emulator/emulator.cpp");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    // Without the check that takes a switch of fibers for an error.
    let compiled = Command::new(&compiler)
        .args([
            "-std=c++17",
            "-O2",
            "-U_FORTIFY_SOURCE",
            "-Wall",
            "-Wno-unknown-pragmas",
            "-Werror",
        ])
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(
        compiled.is_ok_and(|status| status.success()),
        "{compiler} cannot compile {}: a C++ compiler is needed (CXX names another)",
        source.display()
    );
    // SAFETY: the library is the one just compiled; it runs no code when it is loaded but that of its kernels' table.
    let library = unsafe { Library::new(library) }.unwrap();
    Arc::new(Mutex::new(Emulator {
        library,
        _folder: folder,
    }))
});

#[derive(Clone)]
pub struct EmulatedCard(Arc<Mutex<Emulator>>);

impl std::fmt::Debug for EmulatedCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmulatedCard")
    }
}

impl EmulatedCard {
    pub(crate) fn new() -> Self {
        Self(EMULATOR.clone())
    }

    #[cfg(not(feature = "cuda"))]
    pub(crate) fn description(&self) -> &'static str {
        "an emulated card"
    }
}

impl Fetch for Vec<u8> {
    fn take(self, bytes: &mut [u8]) -> Result<(), CardError> {
        bytes.copy_from_slice(&self);
        Ok(())
    }
}

impl Card for EmulatedCard {
    type Memory = Vec<u128>;
    type Fetch = Vec<u8>;

    /// Filled with what is no number in either precision.
    fn reserve(&self, bytes: usize) -> Result<Vec<u128>, CardError> {
        Ok(vec![u128::MAX; bytes.div_ceil(16)])
    }

    fn address(&self, memory: &Vec<u128>) -> u64 {
        memory.as_ptr().expose_provenance() as u64
    }

    fn size(&self, memory: &Vec<u128>) -> usize {
        memory.len() * 16
    }

    fn upload(&self, bytes: &[u8], memory: &mut Vec<u128>) -> Result<(), CardError> {
        assert!(bytes.len() <= memory.len() * 16);
        // SAFETY: both lie in memory of at least this length.
        unsafe {
            memory
                .as_mut_ptr()
                .cast::<u8>()
                .copy_from(bytes.as_ptr(), bytes.len())
        };
        Ok(())
    }

    fn fetch(&self, memory: &Vec<u128>, bytes: usize) -> Result<Vec<u8>, CardError> {
        assert!(bytes <= memory.len() * 16);
        let mut fetched = vec![0; bytes];
        // SAFETY: both lie in memory of at least this length.
        unsafe {
            fetched
                .as_mut_ptr()
                .copy_from(memory.as_ptr().cast::<u8>(), bytes)
        };
        Ok(fetched)
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), CardError> {
        // What every card gives a block without being asked, and what it is asked for (`SHARED` of the device).
        let asked = ["features_", "gradient_"].map(|begins| launch.kernel.starts_with(begins));
        let shared = if asked.contains(&true) { 80 } else { 48 };
        assert!(launch.shared <= shared << 10, "{}", launch.name);
        let emulator = self.0.lock().unwrap();
        // SAFETY: the library has a function of this name and type.
        let emulate = unsafe { emulator.library.get::<Emulate>(b"emulate\0") }.unwrap();
        let name = CString::new(launch.kernel).unwrap();
        let [x, y, z] = launch.grid;
        let (parameters, bytes) = launch.parameters.bytes();
        // SAFETY: as above.
        let declared = unsafe { emulator.library.get::<ParameterSize>(b"parameter_size\0") };
        // SAFETY: the name ends with a zero.
        let declared = unsafe { declared.unwrap()(name.as_ptr()) };
        assert_eq!(bytes, declared, "{}: its argument", launch.kernel);
        // SAFETY: as the caller says.
        let status = unsafe {
            emulate(
                name.as_ptr(),
                x,
                y,
                z,
                launch.threads,
                launch.shared,
                parameters,
            )
        };
        assert_eq!(
            status, 0,
            "{}: 1 no such kernel, 2 threads that wait for ever",
            launch.name
        );
        Ok(())
    }
}

//! The kernels alone: see `Cargo.toml` beside this file.

#[allow(
    unused_imports,
    unused_macros,
    reason = "some kernels serve parts of the program that are not compiled here"
)]
#[path = "../../src/kernels/mod.rs"]
pub mod kernels;

//! The command `allaprima`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

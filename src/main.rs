//! The program: arguments, a command, an exit code. See `pointsman --help`.

use std::process::ExitCode;

/// A third less time in the allocator than the system's on this load (benches/README.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pointsman::cli::main()
}

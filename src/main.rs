//! The program: see `pointsman --help`.

fn main() {}

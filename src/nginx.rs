//! The contents of nginx's `upstream {}` blocks, as text: read with precise errors, and written again as
//! a group of ours together with what a group cannot say (yet).
//!
//! text -> `text` (statements of words, each with its place) -> [`UpstreamBlock`] -> [`Taken`].

mod balance;
mod check;
mod error;
mod server_line;
mod statement;
mod taken;
#[cfg(test)]
mod tests;
mod text;
mod units;
mod upstream;

pub use balance::{Balance, Better};
pub use check::{Check, CheckKind, StatusClass};
pub use error::{At, ParseError};
pub use server_line::ServerLine;
pub use taken::{Gap, Taken};
pub use upstream::{Directive, LONGEST_TEXT, MOST_SERVERS, Placed, UpstreamBlock};

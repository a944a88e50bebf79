//! The strict reading of HTTP/1 messages, and of the PROXY header before them: what is refused, each rule with its
//! source, and where a message ends.
//!
//! Two readers of one message that disagree about its end, its host or its path are how requests are smuggled. So
//! whatever could be read in two ways is refused before anyone else reads it.

mod body;
mod crc32c;
mod field;
mod head;
mod host;
pub mod proxy_header;
mod request_line;
pub mod response;
mod rule;
mod target;
#[cfg(test)]
mod tests;

pub use body::{Body, Part};
pub use field::is_shadow;
pub use head::{Head, HeadLimits, HeadReader};
pub use host::is_host;
pub use request_line::is_refused;
pub use rule::Rule;
pub use target::{is_target, normal_target};

/// How a body's end is known (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After this many bytes.
    Length(u64),
    /// By chunks.
    Chunked,
}

use memchr::memchr;

use super::field::{Field, all, is_value_byte};
use super::{Framing, Rule};

/// Follows a request's body to its end, without keeping any of it.
#[derive(Debug)]
pub struct Body {
    stage: Stage,
    /// Bytes of content so far.
    content: u64,
    /// The longest content allowed.
    longest: u64,
    /// The longest trailer section.
    trailers: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// So many bytes of content are left, and after them the end.
    Counted(u64),
    /// In a line of framing: the size of a chunk, or a trailer.
    Line {
        kind: Line,
        text: Vec<u8>,
    },
    /// So many bytes of a chunk are left.
    Chunk(u64),
    /// After a chunk's content: CR, then LF.
    ChunkEnd {
        has_return: bool,
    },
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Size,
    Trailer,
}

/// How far some bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of them belong to the body, and more must come.
    More,
    /// The body ends after this many of them.
    End(usize),
}

/// Of the line with a chunk's size; a size takes 15 bytes.
const LONGEST_EXTENSION: usize = 1024 + 15;

impl Body {
    /// Follows a body of this framing.
    ///
    /// # Errors
    /// [`Rule::BodySize`] when its announced length is over `longest`.
    pub fn new(framing: Framing, longest: u64, trailers: usize) -> Result<Self, Rule> {
        let stage = match framing {
            Framing::Empty => Stage::Done,
            Framing::Length(length) if length > longest => return Err(Rule::BodySize),
            Framing::Length(length) => Stage::Counted(length),
            Framing::Chunked => Stage::line(Line::Size),
        };
        Ok(Self {
            stage,
            content: 0,
            longest,
            trailers,
        })
    }

    /// Whether the end was seen.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Bytes of content so far.
    pub fn content(&self) -> u64 {
        self.content
    }

    /// Follows the next bytes.
    ///
    /// # Errors
    /// The rule that they break.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<Part, Rule> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_done() {
            rest = self.step(rest)?;
        }
        Ok(if self.is_done() {
            Part::End(bytes.len() - rest.len())
        } else {
            Part::More
        })
    }

    /// One step; what is left of the bytes, which are not empty.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Rule> {
        match &mut self.stage {
            Stage::Counted(left) | Stage::Chunk(left) => {
                let count = (bytes.len() as u64).min(*left);
                *left -= count;
                self.content += count;
                if *left == 0 {
                    self.stage = match self.stage {
                        Stage::Chunk(_) => Stage::ChunkEnd { has_return: false },
                        _ => Stage::Done,
                    };
                }
                Ok(bytes
                    .get(usize::try_from(count).unwrap_or(usize::MAX)..)
                    .unwrap_or_default())
            }
            Stage::ChunkEnd { has_return } => {
                let (first, rest) = bytes.split_first().ok_or(Rule::ChunkEnd)?;
                match (*has_return, first) {
                    (false, b'\r') => *has_return = true,
                    (true, b'\n') => self.stage = Stage::line(Line::Size),
                    _ => return Err(Rule::ChunkEnd),
                }
                Ok(rest)
            }
            Stage::Line { kind, text } => {
                let longest = match kind {
                    Line::Size => LONGEST_EXTENSION,
                    Line::Trailer => self.trailers,
                };
                let end = memchr(b'\n', bytes);
                let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
                if text.len() + part.len() > longest + 1 {
                    return Err(if *kind == Line::Size {
                        Rule::ChunkExtension
                    } else {
                        Rule::HeaderSize
                    });
                }
                text.extend_from_slice(part);
                if end.is_none() {
                    return Ok(rest);
                }
                let (kind, text) = (*kind, std::mem::take(text));
                let Some((b'\r', line)) = text.split_last() else {
                    return Err(Rule::BareLineFeed);
                };
                self.line(kind, line)?;
                Ok(rest.get(1..).unwrap_or_default())
            }
            Stage::Done => Ok(bytes),
        }
    }

    fn line(&mut self, kind: Line, line: &[u8]) -> Result<(), Rule> {
        self.stage = match kind {
            Line::Trailer if line.is_empty() => Stage::Done,
            Line::Trailer => {
                Field::parse(line).map_err(|_| Rule::Trailer)?;
                // All trailers together, so that there is no end to how many there can be but this.
                self.trailers = self
                    .trailers
                    .checked_sub(line.len())
                    .ok_or(Rule::HeaderSize)?;
                Stage::line(Line::Trailer)
            }
            Line::Size => match chunk_size(line)? {
                0 => Stage::line(Line::Trailer),
                size if self.content.saturating_add(size) > self.longest => {
                    return Err(Rule::BodySize);
                }
                size => Stage::Chunk(size),
            },
        };
        Ok(())
    }
}

impl Stage {
    fn line(kind: Line) -> Self {
        Self::Line {
            kind,
            text: Vec::new(),
        }
    }
}

/// RFC 9112 section 7.1: hexadecimal digits, and perhaps an extension, which nobody needs and everybody ignores.
fn chunk_size(line: &[u8]) -> Result<u64, Rule> {
    let count = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (digits, extension) = line.split_at(count);
    if !(1..=15).contains(&count) {
        return Err(Rule::ChunkSize);
    }
    match extension.trim_ascii_start().first() {
        None if extension.is_empty() => {}
        Some(b';') if all(extension, is_value_byte) => {}
        Some(b';') => return Err(Rule::ChunkExtension),
        _ => return Err(Rule::ChunkSize),
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Rule::ChunkSize)?;
    u64::from_str_radix(digits, 16).map_err(|_| Rule::ChunkSize)
}

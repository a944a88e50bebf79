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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// So many bytes of content are left, and after them the end.
    Counted(u64),
    /// At the line with the size of a chunk.
    Size,
    /// So many bytes of a chunk are left.
    Chunk(u64),
    /// Behind a chunk's content: CR LF.
    ChunkEnd,
    /// At a trailer, or the empty line behind the last.
    Trailer,
    Done,
}

/// How far some bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// So many of them are sound and belong to the body; more must come. What is left of them is the beginning of a
    /// line, and must be there again at the next call.
    More(usize),
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
            Framing::Chunked => Stage::Size,
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
        let mut sound = 0;
        while !self.is_done() {
            let rest = bytes.get(sound..).unwrap_or_default();
            match self.step(rest)? {
                0 => return Ok(Part::More(sound)),
                count => sound += count,
            }
        }
        Ok(Part::End(sound))
    }

    /// One step over so many of the bytes; 0 if there are too few.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Rule> {
        match self.stage {
            Stage::Counted(left) => Ok(self.pass_content(bytes, left, Stage::Counted, Stage::Done)),
            Stage::Chunk(left) => Ok(self.pass_content(bytes, left, Stage::Chunk, Stage::ChunkEnd)),
            Stage::ChunkEnd => match bytes {
                [] | [b'\r'] => Ok(0),
                [b'\r', b'\n', ..] => {
                    self.stage = Stage::Size;
                    Ok(2)
                }
                _ => Err(Rule::ChunkEnd),
            },
            Stage::Size => {
                let Some(line) = line(bytes, LONGEST_EXTENSION, Rule::ChunkExtension)? else {
                    return Ok(0);
                };
                let size = chunk_size(line)?;
                if self.content.saturating_add(size) > self.longest {
                    return Err(Rule::BodySize);
                }
                self.stage = if size == 0 {
                    Stage::Trailer
                } else {
                    Stage::Chunk(size)
                };
                Ok(line.len() + 2)
            }
            Stage::Trailer => {
                let Some(line) = line(bytes, self.trailers, Rule::HeaderSize)? else {
                    return Ok(0);
                };
                if line.is_empty() {
                    self.stage = Stage::Done;
                } else {
                    Field::parse(line).map_err(|_| Rule::Trailer)?;
                    // All trailers together: one by one there could be any number of them.
                    self.trailers = self.trailers.saturating_sub(line.len());
                }
                Ok(line.len() + 2)
            }
            Stage::Done => Ok(0),
        }
    }

    fn pass_content(
        &mut self,
        bytes: &[u8],
        left: u64,
        same: impl Fn(u64) -> Stage,
        next: Stage,
    ) -> usize {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.content += count as u64;
        let left = left - count as u64;
        self.stage = if left == 0 { next } else { same(left) };
        count
    }
}

/// The line that the bytes begin with, without its end; none if it is not whole.
fn line(bytes: &[u8], longest: usize, too_long: Rule) -> Result<Option<&[u8]>, Rule> {
    let end = memchr(b'\n', bytes);
    // With its CR a line may be one longer.
    if end.unwrap_or(bytes.len()) > longest + 1 {
        return Err(too_long);
    }
    let Some(line) = end.and_then(|end| bytes.get(..end)) else {
        return Ok(None);
    };
    match line.split_last() {
        Some((b'\r', line)) => Ok(Some(line)),
        _ => Err(Rule::BareLineFeed),
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

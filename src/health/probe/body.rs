use memchr::memmem::Finder;
use tokio::io::AsyncReadExt;

use super::Failure;
use super::raw::Wire;

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    Chunked,
    /// With the connection.
    Close,
}

/// Reads until the text has come. The first bytes of the body are there already.
pub(super) async fn look_for(
    text: &str,
    wire: &mut dyn Wire,
    framing: Framing,
    first: &[u8],
) -> Result<(), Failure> {
    let mut content = Content::new(framing);
    let finder = Finder::new(text);
    let mut looked_at = 0;
    let mut bytes = first.to_vec();
    loop {
        content.take(&bytes)?;
        // It may have begun with what came before.
        let from = usize::saturating_sub(looked_at, text.len());
        let fresh = content.seen.get(from..).unwrap_or_default();
        if finder.find(fresh).is_some() {
            return Ok(());
        }
        looked_at = content.seen.len();
        bytes.clear();
        if content.stage == Stage::Done {
            return Err(Failure::Body);
        }
        match wire.read_buf(&mut bytes).await {
            Ok(0) if framing == Framing::Close => return Err(Failure::Body),
            Ok(0) => return Err(Failure::Cut),
            Ok(_) => {}
            Err(error) => return Err(Failure::Broken(error.to_string())),
        }
    }
}

/// What has come of a body, without its chunks' frames.
struct Content {
    stage: Stage,
    seen: Vec<u8>,
    /// Of a chunk's size or its end: what has come of it.
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Counted(u64),
    Endless,
    Size,
    Chunk(u64),
    ChunkEnd,
    Done,
}

impl Content {
    fn new(framing: Framing) -> Self {
        Self {
            stage: match framing {
                Framing::Length(0) => Stage::Done,
                Framing::Length(length) => Stage::Counted(length),
                Framing::Chunked => Stage::Size,
                Framing::Close => Stage::Endless,
            },
            seen: Vec::new(),
            line: Vec::new(),
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() && self.stage != Stage::Done {
            let used = match self.stage {
                Stage::Counted(left) => self.pass(bytes, left, Stage::Counted, Stage::Done),
                Stage::Chunk(left) => self.pass(bytes, left, Stage::Chunk, Stage::ChunkEnd),
                Stage::Endless => self.pass(bytes, u64::MAX, |_| Stage::Endless, Stage::Done),
                Stage::Size | Stage::ChunkEnd => self.frame(bytes)?,
                Stage::Done => 0,
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn pass(&mut self, bytes: &[u8], left: u64, same: impl Fn(u64) -> Stage, next: Stage) -> usize {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let content = bytes.iter().take(count).copied();
        self.seen
            .extend(content.take(LOOKED_AT.saturating_sub(self.seen.len())));
        let left = left - count as u64;
        self.stage = match left {
            _ if self.seen.len() >= LOOKED_AT => Stage::Done,
            0 => next,
            left => same(left),
        };
        count
    }

    /// A line between the contents of chunks.
    fn frame(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let end = memchr::memchr(b'\n', bytes);
        let used = end.map_or(bytes.len(), |end| end + 1);
        self.line.extend(bytes.iter().take(used));
        if self.line.len() > LONGEST_LINE {
            return Err(Failure::NotHttp);
        }
        if end.is_some() {
            self.stage = match (self.stage, self.line.trim_ascii()) {
                (Stage::ChunkEnd, []) => Stage::Size,
                (Stage::ChunkEnd, _) => return Err(Failure::NotHttp),
                (_, line) => match size(line).ok_or(Failure::NotHttp)? {
                    0 => Stage::Done,
                    size => Stage::Chunk(size),
                },
            };
            self.line.clear();
        }
        Ok(used)
    }
}

fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let is_size = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let text = str::from_utf8(digits).ok().filter(|_| is_size)?;
    u64::from_str_radix(text, 16).ok()
}

/// So much of a body is looked at.
const LOOKED_AT: usize = 64 * 1024;
const LONGEST_LINE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen of a body that comes in pieces of this size.
    fn seen(framing: Framing, bytes: &[u8], size: usize) -> Result<(String, bool), Failure> {
        let mut content = Content::new(framing);
        for piece in bytes.chunks(size) {
            content.take(piece)?;
        }
        let is_done = content.stage == Stage::Done;
        Ok((String::from_utf8(content.seen).unwrap(), is_done))
    }

    #[test]
    fn content_is_seen_without_its_frames_however_it_is_cut() {
        let chunked = b"3\r\nall\r\n4;x=y\r\n is \r\n0A\r\nwell, bye.\r\n0\r\n\r\n";
        for size in 1..=chunked.len() {
            let whole = ("all is well, bye.".to_owned(), true);
            assert_eq!(seen(Framing::Chunked, chunked, size), Ok(whole));
            let counted = ("all".to_owned(), true);
            assert_eq!(seen(Framing::Length(3), b"all more", size), Ok(counted));
            let endless = ("all".to_owned(), false);
            assert_eq!(seen(Framing::Close, b"all", size), Ok(endless));
        }
    }

    #[test]
    fn what_is_no_chunk_is_no_answer() {
        for bytes in [
            &b"x\r\n"[..],
            b"\r\n",
            b"+1\r\na\r\n",
            b"1\r\nab\r\n",
            &[b'1'; 2000],
        ] {
            let seen = seen(Framing::Chunked, bytes, 7);
            assert_eq!(seen, Err(Failure::NotHttp), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn no_more_than_64_kib_are_looked_at() {
        let body = vec![b'a'; LOOKED_AT + 10];
        for framing in [Framing::Close, Framing::Length(body.len() as u64)] {
            let (seen, is_done) = seen(framing, &body, 1000).unwrap();
            assert_eq!((seen.len(), is_done), (LOOKED_AT, true));
        }
    }
}

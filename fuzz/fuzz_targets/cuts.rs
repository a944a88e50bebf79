//! How what a client sends is cut into reads.

/// The ends of the reads that the first four bytes choose, up to the end of the rest, and the rest.
pub fn of(input: &[u8]) -> Option<(impl Iterator<Item = usize> + Clone, &[u8])> {
    let (seed, sent) = input.split_first_chunk()?;
    let mut state = u32::from_le_bytes(*seed) | 1;
    let longest = state % 97 + 1;
    let mut end = 0;
    let ends = std::iter::from_fn(move || {
        // Xorshift: any numbers will do.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (end < sent.len()).then(|| {
            end = sent.len().min(end + 1 + (state % longest) as usize);
            end
        })
    });
    Some((ends, sent))
}

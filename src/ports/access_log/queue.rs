//! Lines on their way from the requests to the writer thread.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::WAKE_BYTES;
use crate::ports::shard::{Shards, shard_count};

/// Buffers of whole lines, one for each shard of threads, bounded in memory.
#[derive(Debug)]
pub(super) struct Queue {
    shards: Shards<Mutex<Vec<u8>>>,
    /// Bytes that one buffer may hold.
    limit: usize,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It will be written.
    Queued,
    /// It will be written, and the buffer has just become large enough to write at once.
    Wake,
    /// No buffer has room for it.
    Full,
}

impl Queue {
    /// `capacity` bytes in all, the buffer in the writer's hand included.
    pub(super) fn new(capacity: usize) -> Self {
        let limit = capacity / (shard_count() + 1);
        // All of it at once: address space only until a line is written there, and never moved by growing.
        let shards = Shards::new(|| Mutex::new(Vec::with_capacity(limit)));
        Self { shards, limit }
    }

    /// An empty buffer for [`Queue::swap`].
    pub(super) fn spare(&self) -> Vec<u8> {
        Vec::with_capacity(self.limit)
    }

    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Appends a line to the calling thread's buffer, or to another if that one is full or in use.
    pub(super) fn push(&self, line: &[u8]) -> Pushed {
        let mut busy = None;
        for shard in self.shards.mine_first() {
            let mut buffer = match shard.try_lock() {
                Ok(buffer) => buffer,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    busy = busy.or(Some(shard));
                    continue;
                }
            };
            let pushed = self.append(&mut buffer, line);
            if pushed != Pushed::Full {
                return pushed;
            }
        }
        // The locks are held for a copy of one line or a swap of two pointers, never for I/O: waiting beats losing a line.
        busy.map_or(Pushed::Full, |shard| self.append(&mut lock(shard), line))
    }

    /// Exchanges the buffer of shard `index` for `spare`, which must be empty.
    pub(super) fn swap(&self, index: usize, spare: &mut Vec<u8>) {
        if let Some(shard) = self.shards.iter().nth(index) {
            mem::swap(&mut *lock(shard), spare);
        }
    }

    fn append(&self, buffer: &mut Vec<u8>, line: &[u8]) -> Pushed {
        let before = buffer.len();
        let after = before + line.len();
        if after > self.limit {
            return Pushed::Full;
        }
        buffer.extend_from_slice(line);
        if before < WAKE_BYTES && after >= WAKE_BYTES {
            Pushed::Wake
        } else {
            Pushed::Queued
        }
    }
}

/// A poisoned buffer still holds whole lines: appending is the last thing done under the lock.
fn lock(shard: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(queue: &Queue) -> Vec<u8> {
        (0..queue.shards())
            .flat_map(|shard| {
                let mut spare = queue.spare();
                queue.swap(shard, &mut spare);
                spare
            })
            .collect()
    }

    #[test]
    fn a_full_buffer_leaves_room_in_the_others_until_all_are_full() {
        let queue = Queue::new(100 * 11);
        let line = [b'x'; 10];
        let queued = (0..1_000)
            .take_while(|_| queue.push(&line) != Pushed::Full)
            .count();
        assert_eq!(queued, queue.limit / 10 * queue.shards());
        assert_eq!(drained(&queue).len(), queued * 10);
        assert_eq!(queue.push(&line), Pushed::Queued);
    }

    #[test]
    fn the_writer_is_woken_once_by_the_line_that_passes_the_mark() {
        let queue = Queue::new(super::super::CAPACITY_BYTES);
        let line = [b'x'; 1024];
        let wakes: Vec<_> = (0..100)
            .filter(|_| queue.push(&line) == Pushed::Wake)
            .collect();
        assert_eq!(wakes, [WAKE_BYTES / 1024 - 1]);
    }

    #[test]
    fn a_line_finds_a_free_buffer_while_another_is_locked() {
        let queue = Queue {
            shards: Shards::with_count(2, || Mutex::new(Vec::new())),
            limit: 100,
        };
        let held = queue.shards.mine().unwrap().lock().unwrap();
        assert_eq!(queue.push(b"line"), Pushed::Queued);
        assert!(held.is_empty());
        drop(held);
        assert_eq!(drained(&queue), b"line");
    }
}

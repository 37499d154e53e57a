//! libqb's ring buffer, as words that two processes change. Invariant: every index is checked against the ring's own size and
//! every length against the ring and a limit; whatever the other side writes there, nothing is read or written outside.
//!
//! Seen with libqb 2.0.6. A chunk is its length in bytes, a mark, and its bytes up to a whole word; it may go round the end.

use std::sync::atomic::{AtomicU32, Ordering};

/// Where the next chunk is written, in words, in the header.
const WRITE: usize = 0;
/// Where the next chunk is read.
const READ: usize = 1;
/// How many words the data have.
const WORDS: usize = 2;

/// Before a chunk's bytes: its length and its mark.
const HEADER_WORDS: usize = 2;
/// Kept free by whoever writes: a header, and what a length that is no whole word needs.
const MARGIN: usize = 12;

/// A chunk that is complete.
const COMPLETE: u32 = 0xA1A1_A1A1;
/// One that has been read.
const DEAD: u32 = 0xD0D0_D0D0;
/// One that is being written.
const BEGUN: u32 = 0xA110_CED0;

/// What is wrong with a ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// It says something of itself that cannot be.
    #[error("The ring is damaged: {0}")]
    Damaged(String),
    /// Nobody reads it.
    #[error("The ring has no room for {bytes} bytes")]
    Full {
        /// How many were to be written.
        bytes: usize,
    },
}

/// One direction.
#[derive(Debug, Clone, Copy)]
pub struct Ring<'a> {
    header: &'a [AtomicU32],
    data: &'a [AtomicU32],
}

fn damaged<T>(what: impl Into<String>) -> Result<T, RingError> {
    Err(RingError::Damaged(what.into()))
}

impl<'a> Ring<'a> {
    /// Of these words: the header's, and the data's.
    ///
    /// # Errors
    /// [`RingError::Damaged`] if the header says another size.
    pub fn of(header: &'a [AtomicU32], data: &'a [AtomicU32]) -> Result<Ring<'a>, RingError> {
        let Some(words) = header.get(WORDS) else { return damaged("its header is cut off") };
        let words = words.load(Ordering::Relaxed) as usize;
        if words != data.len() || words <= HEADER_WORDS {
            return damaged(format!("it says {words} words and has {}", data.len()));
        }
        Ok(Ring { header, data })
    }

    fn index(&self, which: usize) -> Result<usize, RingError> {
        let index = self.header[which].load(Ordering::Acquire) as usize;
        if index < self.data.len() { Ok(index) } else { damaged(format!("place {index}")) }
    }

    /// The word so far behind a place.
    fn behind(&self, place: usize, by: usize) -> &AtomicU32 {
        &self.data[(place + by) % self.data.len()]
    }

    /// Where the next chunk is, behind one of so many bytes.
    fn step(&self, place: usize, bytes: usize) -> u32 {
        let next = (place + HEADER_WORDS + bytes.div_ceil(4)) % self.data.len();
        u32::try_from(next).expect("a ring's size is a word of its header")
    }

    /// Takes the next chunk out, if one is complete.
    ///
    /// # Errors
    /// [`RingError::Damaged`], also for a chunk that is longer than `limit` bytes.
    pub fn take(&self, limit: usize) -> Result<Option<Vec<u8>>, RingError> {
        let place = self.index(READ)?;
        if self.behind(place, 1).load(Ordering::Acquire) != COMPLETE {
            return Ok(None);
        }
        let length = self.data[place].load(Ordering::Relaxed) as usize;
        if length > limit || length + MARGIN > self.data.len() * 4 {
            return damaged(format!("a chunk of {length} bytes"));
        }
        let words = (0..length.div_ceil(4)).map(|word| self.behind(place, HEADER_WORDS + word));
        let mut bytes: Vec<u8> =
            words.flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        bytes.truncate(length);
        self.data[place].store(0, Ordering::Relaxed);
        self.behind(place, 1).store(DEAD, Ordering::Release);
        self.header[READ].store(self.step(place, length), Ordering::Release);
        Ok(Some(bytes))
    }

    /// Puts a chunk in. `is_read` says whether the other side has taken every chunk before it, which the places alone do not
    /// tell where they are the same.
    ///
    /// # Errors
    /// [`RingError::Full`] if there is no room now; [`RingError::Damaged`].
    pub fn put(&self, bytes: &[u8], is_read: bool) -> Result<(), RingError> {
        let (write, read) = (self.index(WRITE)?, self.index(READ)?);
        let all = self.data.len();
        let free = match (write.cmp(&read), is_read) {
            (std::cmp::Ordering::Equal, true) => all,
            (std::cmp::Ordering::Equal, false) => 0,
            _ => (read + all - write) % all - 1,
        };
        if free * 4 < bytes.len() + MARGIN {
            return Err(RingError::Full { bytes: bytes.len() });
        }
        let length = u32::try_from(bytes.len()).expect("shorter than a ring");
        self.data[write].store(0, Ordering::Relaxed);
        self.behind(write, 1).store(BEGUN, Ordering::Release);
        for (word, four) in bytes.chunks(4).enumerate() {
            let mut value = [0; 4];
            value[..four.len()].copy_from_slice(four);
            self.behind(write, HEADER_WORDS + word)
                .store(u32::from_ne_bytes(value), Ordering::Relaxed);
        }
        self.data[write].store(length, Ordering::Relaxed);
        self.header[WRITE].store(self.step(write, bytes.len()), Ordering::Release);
        self.behind(write, 1).store(COMPLETE, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(values: impl IntoIterator<Item = u32>) -> Vec<AtomicU32> {
        values.into_iter().map(AtomicU32::new).collect()
    }

    #[test]
    fn chunks_come_out_as_they_went_in_also_round_the_end() {
        let (header, data) = (words([0, 0, 64]), words([0; 64]));
        let ring = Ring::of(&header, &data).unwrap();
        for length in (0..100).chain([200, 244, 1, 2, 3, 244]) {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            ring.put(&bytes, true).unwrap();
            assert_eq!(ring.take(1024).unwrap(), Some(bytes), "{length}");
            assert_eq!(ring.take(1024), Ok(None));
        }
    }

    #[test]
    fn a_full_ring_takes_nothing_and_loses_nothing() {
        let (header, data) = (words([60, 60, 64]), words([0; 64]));
        let ring = Ring::of(&header, &data).unwrap();
        let mut put = 0_u8;
        while ring.put(&[put; 21], put == 0).is_ok() {
            put += 1;
        }
        assert!(put >= 5, "{put}");
        assert_eq!(ring.put(&[9; 21], false), Err(RingError::Full { bytes: 21 }));
        for number in 0..put {
            assert_eq!(ring.take(21).unwrap(), Some(vec![number; 21]));
        }
    }

    #[test]
    fn a_chunk_that_is_too_long_is_damage() {
        let (header, data) = (words([0, 0, 8]), words([17, COMPLETE, 1, 2, 3, 4, 5, 6]));
        let ring = Ring::of(&header, &data).unwrap();
        assert_eq!(ring.take(16), Err(RingError::Damaged("a chunk of 17 bytes".into())));
        assert!(ring.take(20).unwrap().is_some());
    }

    #[test]
    fn a_size_that_is_not_so_is_damage() {
        for size in [0, 1, 2, 7, 9, u32::MAX] {
            assert!(Ring::of(&words([0, 0, size]), &words([0; 8])).is_err(), "{size}");
        }
        assert!(Ring::of(&words([0, 0]), &words([0; 8])).is_err());
        assert!(Ring::of(&words([0, 0, 2]), &words([0; 2])).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_in_it_nothing_panics_or_grows(
            write in prop_oneof![0_u32..20, any::<u32>()],
            read in prop_oneof![0_u32..20, any::<u32>()],
            data in proptest::collection::vec(
                prop_oneof![Just(COMPLETE), Just(BEGUN), 0_u32..100, any::<u32>()],
                3..20,
            ),
            message in proptest::collection::vec(any::<u8>(), 0..64),
            is_read: bool,
        ) {
            let header = words([write, read, u32::try_from(data.len()).unwrap()]);
            let data = words(data);
            let ring = Ring::of(&header, &data).unwrap();
            for _ in 0..4 {
                if let Ok(Some(bytes)) = ring.take(1000) {
                    prop_assert!(bytes.len() < data.len() * 4);
                }
                let _ = ring.put(&message, is_read);
            }
        }
    }
}

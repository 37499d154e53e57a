//! XDR (RFC 4506), the part that libvirt uses: big-endian words, hypers, strings and opaque bytes
//! padded to four. Invariant: reading never panics and never allocates more than was received.

/// Why bytes could not be read as what they should have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XdrError {
    /// The message ends inside a value.
    #[error("The message ends {missing} bytes early")]
    Short {
        /// How many bytes more the value claims.
        missing: usize,
    },
    /// A string or list claims to be longer than the protocol allows.
    #[error("A length of {claimed} is more than the protocol's limit of {limit}")]
    TooLong {
        /// The length on the wire.
        claimed: u32,
        /// The protocol's limit.
        limit: u32,
    },
    /// A string is not UTF-8.
    #[error("A string is not UTF-8")]
    NotText,
    /// An optional's flag is neither 0 nor 1.
    #[error("A presence flag is {0}, neither 0 nor 1")]
    BadFlag(u32),
    /// Bytes are left over after the last value.
    #[error("The message is {0} bytes longer than its content")]
    Trailing(usize),
}

/// Longest string the protocol allows (`REMOTE_STRING_MAX` of current versions).
pub const STRING_MAX: u32 = 4 * 1024 * 1024;

/// Appends values to a message.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty message body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes written so far.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// An unsigned word.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// A signed word.
    pub fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// An unsigned hyper.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Opaque bytes of a fixed length, padded to four.
    pub fn fixed(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// A string that is always there. One that does not fit a length word cannot be sent; the
    /// server refuses anything beyond [`STRING_MAX`] anyway, and the client checks that first.
    pub fn string(&mut self, value: &str) {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.fixed(value.as_bytes());
    }

    /// A string that may be missing.
    pub fn optional_string(&mut self, value: Option<&str>) {
        self.u32(u32::from(value.is_some()));
        if let Some(value) = value {
            self.string(value);
        }
    }
}

/// Takes values off a message.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from a message body.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], XdrError> {
        let (head, tail) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| XdrError::Short { missing: length.saturating_sub(self.rest.len()) })?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], XdrError> {
        let (head, tail) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| XdrError::Short { missing: N.saturating_sub(self.rest.len()) })?;
        self.rest = tail;
        Ok(*head)
    }

    /// An unsigned word.
    pub fn u32(&mut self) -> Result<u32, XdrError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A signed word.
    pub fn i32(&mut self) -> Result<i32, XdrError> {
        self.array().map(i32::from_be_bytes)
    }

    /// An unsigned hyper.
    pub fn u64(&mut self) -> Result<u64, XdrError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A UUID: sixteen opaque bytes.
    pub fn uuid(&mut self) -> Result<[u8; 16], XdrError> {
        self.array()
    }

    /// A string that is always there.
    pub fn string(&mut self) -> Result<&'a str, XdrError> {
        let claimed = self.u32()?;
        if claimed > STRING_MAX {
            return Err(XdrError::TooLong { claimed, limit: STRING_MAX });
        }
        // Fits: STRING_MAX is far below usize::MAX on every target of this project.
        let length = claimed as usize;
        let padded = self.take(length.next_multiple_of(4))?;
        std::str::from_utf8(&padded[..length]).map_err(|_| XdrError::NotText)
    }

    /// Whether an optional value follows.
    pub fn present(&mut self) -> Result<bool, XdrError> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(XdrError::BadFlag(other)),
        }
    }

    /// A string that may be missing.
    pub fn optional_string(&mut self) -> Result<Option<&'a str>, XdrError> {
        if self.present()? { self.string().map(Some) } else { Ok(None) }
    }

    /// The number of elements of a list of at most `limit`.
    pub fn count(&mut self, limit: u32) -> Result<u32, XdrError> {
        let claimed = self.u32()?;
        if claimed > limit { Err(XdrError::TooLong { claimed, limit }) } else { Ok(claimed) }
    }

    /// Insists that nothing is left.
    pub fn end(&self) -> Result<(), XdrError> {
        if self.rest.is_empty() { Ok(()) } else { Err(XdrError::Trailing(self.rest.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_string_is_padded_to_four() {
        let mut writer = Writer::new();
        writer.string("tiny1");
        assert_eq!(writer.into_bytes(), b"\0\0\0\x05tiny1\0\0\0");
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_reading() {
        let bytes = 0xffff_ffff_u32.to_be_bytes();
        assert_eq!(
            Reader::new(&bytes).string(),
            Err(XdrError::TooLong { claimed: u32::MAX, limit: STRING_MAX })
        );
    }

    proptest! {
        #[test]
        fn strings_survive_the_round_trip(text in ".*", word: i32, hyper: u64) {
            let mut writer = Writer::new();
            writer.optional_string(Some(&text));
            writer.i32(word);
            writer.u64(hyper);
            writer.optional_string(None);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.optional_string(), Ok(Some(text.as_str())));
            prop_assert_eq!(reader.i32(), Ok(word));
            prop_assert_eq!(reader.u64(), Ok(hyper));
            prop_assert_eq!(reader.optional_string(), Ok(None));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.optional_string().is_ok() && reader.end().is_err() {}
        }
    }
}

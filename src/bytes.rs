//! Checked reads from a byte slice: the one way in which this crate looks at what a peer sent.

use byteorder::{BigEndian, ByteOrder};

/// The input ended in the middle of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unexpected end of input")]
pub struct UnexpectedEnd;

/// A cursor over a byte slice. Numbers are big-endian, as everywhere in RTMP, AMF0 and FLV but for
/// the one little-endian field that the chunk reader handles itself. A failed read consumes nothing.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], UnexpectedEnd> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or(UnexpectedEnd)?;
        self.bytes = tail;
        Ok(head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, UnexpectedEnd> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, UnexpectedEnd> {
        self.take(2).map(BigEndian::read_u16)
    }

    /// Two bytes, signed.
    pub fn i16(&mut self) -> Result<i16, UnexpectedEnd> {
        self.take(2).map(BigEndian::read_i16)
    }

    /// Three bytes.
    pub fn u24(&mut self) -> Result<u32, UnexpectedEnd> {
        self.take(3).map(BigEndian::read_u24)
    }

    /// Three bytes, signed (the composition time of a video tag).
    pub fn i24(&mut self) -> Result<i32, UnexpectedEnd> {
        self.take(3).map(BigEndian::read_i24)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, UnexpectedEnd> {
        self.take(4).map(BigEndian::read_u32)
    }

    /// Eight bytes, an IEEE 754 double.
    pub fn f64(&mut self) -> Result<f64, UnexpectedEnd> {
        self.take(8).map(BigEndian::read_f64)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_order_and_stops_at_the_end_without_consuming() {
        let mut reader = Reader::new(&[1, 0, 2, 0xFF, 0xFF, 0xFE, 9, 9]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.clone().u24(), Ok(0x00FF_FFFE));
        assert_eq!(reader.i24(), Ok(-2));
        assert_eq!(reader.u32(), Err(UnexpectedEnd));
        assert_eq!(reader.rest(), [9, 9]);
        assert_eq!(reader.take(2).unwrap(), [9, 9]);
        assert!(reader.is_empty());
        assert_eq!(reader.u8(), Err(UnexpectedEnd));
    }
}

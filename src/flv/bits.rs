use crate::bytes::UnexpectedEnd;

/// A cursor over the bits of a byte slice, most significant first, as codecs' headers are written.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits of the first byte that have been read, below 8.
    used: u8,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    pub(super) fn bit(&mut self) -> Result<bool, UnexpectedEnd> {
        let (first, rest) = self.bytes.split_first().ok_or(UnexpectedEnd)?;
        let bit = first << self.used & 0x80 != 0;
        self.used += 1;
        if self.used == 8 {
            (self.bytes, self.used) = (rest, 0);
        }
        Ok(bit)
    }

    /// An unsigned number of `count` bits, at most 32.
    pub(super) fn bits(&mut self, count: u8) -> Result<u32, UnexpectedEnd> {
        debug_assert!(count <= 32, "it has to fit");
        (0..count).try_fold(0, |number, _| Ok(number << 1 | u32::from(self.bit()?)))
    }

    pub(super) fn skip(&mut self, count: u32) -> Result<(), UnexpectedEnd> {
        (0..count).try_for_each(|_| self.bit().map(|_| ()))
    }

    /// An Exp-Golomb number, `ue(v)` (H.264, section 9.1; H.265, section 9.2). One of more than 32 bits is an error:
    /// no field has such a value.
    pub(super) fn exp_golomb(&mut self) -> Result<u32, UnexpectedEnd> {
        let zeros = self.zeros()?;
        if zeros >= 32 {
            return Err(UnexpectedEnd);
        }
        let rest = self.bits(zeros)?;
        Ok(((1_u64 << zeros) - 1) as u32 + rest)
    }

    /// A signed one, `se(v)`.
    pub(super) fn signed_exp_golomb(&mut self) -> Result<i32, UnexpectedEnd> {
        let code = i64::from(self.exp_golomb()?);
        let magnitude = (code + 1) / 2;
        Ok(if code % 2 == 0 { -magnitude } else { magnitude } as i32)
    }

    /// Skips a variable-length number of AV1, `uvlc()` (section 4.10.3).
    pub(super) fn skip_uvlc(&mut self) -> Result<(), UnexpectedEnd> {
        let zeros = self.zeros()?;
        if zeros >= 32 { Ok(()) } else { self.skip(u32::from(zeros)) }
    }

    /// How many zeros stand in front of the next one, which is skipped. More than 32 count as 32.
    fn zeros(&mut self) -> Result<u8, UnexpectedEnd> {
        let mut zeros = 0_u8;
        while !self.bit()? {
            zeros = zeros.saturating_add(1);
        }
        Ok(zeros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_are_read_in_order() {
        let mut reader = BitReader::new(&[0b1010_0110, 0xFF, 0, 0, 0, 0b0001_0000]);
        assert_eq!((reader.bit(), reader.bits(3), reader.bits(4)), (Ok(true), Ok(0b010), Ok(0b0110)));
        assert_eq!(reader.bits(32), Ok(0xFF00_0000));
        assert_eq!((reader.skip(3), reader.bits(5), reader.bit()), (Ok(()), Ok(16), Err(UnexpectedEnd)));
    }

    #[test]
    fn exp_golomb_codes_are_those_of_the_standards_table() {
        // 1, 010, 011, 00100, 00111
        let bytes = [0b1010_0110, 0b0100_0011, 0b1000_0000];
        let mut reader = BitReader::new(&bytes);
        let numbers: Vec<_> = (0..5).map(|_| reader.exp_golomb()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 6].map(Ok));
        let mut reader = BitReader::new(&bytes);
        let numbers: Vec<_> = (0..5).map(|_| reader.signed_exp_golomb()).collect();
        assert_eq!(numbers, [0, 1, -1, 2, -3].map(Ok));
        let longest = [0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFE];
        assert_eq!(BitReader::new(&longest).exp_golomb(), Ok(u32::MAX - 1), "31 zeros");
        assert_eq!(BitReader::new(&longest).signed_exp_golomb(), Ok(-i32::MAX));
        assert_eq!(
            BitReader::new(&[0, 0, 0, 0, 0xFF, 0, 0, 0, 0]).exp_golomb(),
            Err(UnexpectedEnd),
            "32 zeros"
        );
        assert_eq!(BitReader::new(&[0; 200]).exp_golomb(), Err(UnexpectedEnd));
    }
}

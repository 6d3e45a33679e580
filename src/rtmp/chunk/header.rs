use byteorder::{ByteOrder, LittleEndian};

use super::EXTENDED;
use crate::bytes::Reader;

/// Longest chunk header: 3 bytes basic, 11 bytes message, 4 bytes extended timestamp.
pub(super) const MAX_HEADER: usize = 18;

/// A chunk header as it is on the wire.
pub(super) struct Header {
    pub(super) chunk_stream: u32,
    pub(super) fields: Fields,
    /// The extended timestamp, if one is there.
    pub(super) extended: Option<u32>,
}

/// The message header: what types 0 to 3 carry (section 5.3.1.2).
pub(super) enum Fields {
    Full { timestamp: u32, length: u32, message_type: u8, stream_id: u32 },
    SameStream { delta: u32, length: u32, message_type: u8 },
    SameLength { delta: u32 },
    Same,
}

impl Header {
    /// The header at the front of `bytes` and its length; `None` if more bytes are needed to tell. `extended`
    /// tells what a chunk stream's extended timestamp may look like when it is repeated, if it has one.
    pub(super) fn parse(bytes: &[u8], extended: impl Fn(u32) -> Option<[u32; 2]>) -> Option<(Self, usize)> {
        let mut reader = Reader::new(bytes);
        let header = Self::read(&mut reader, extended)?;
        Some((header, bytes.len() - reader.rest().len()))
    }

    fn read(reader: &mut Reader<'_>, repeated: impl Fn(u32) -> Option<[u32; 2]>) -> Option<Self> {
        let first = reader.u8().ok()?;
        let chunk_stream = match first & 0x3F {
            0 => 64 + u32::from(reader.u8().ok()?),
            1 => 64 + u32::from(LittleEndian::read_u16(reader.take(2).ok()?)),
            number => u32::from(number),
        };
        let fields = Fields::read(first >> 6, reader)?;
        let extended = match fields {
            Fields::Full { timestamp: EXTENDED, .. }
            | Fields::SameStream { delta: EXTENDED, .. }
            | Fields::SameLength { delta: EXTENDED } => Some(reader.u32().ok()?),
            Fields::Same => match repeated(chunk_stream) {
                Some(forms) => repeated_extended(forms, reader)?,
                None => None,
            },
            _ => None,
        };
        Some(Self { chunk_stream, fields, extended })
    }
}

impl Fields {
    fn read(format: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(match format {
            0 => Self::Full {
                timestamp: reader.u24().ok()?,
                length: reader.u24().ok()?,
                message_type: reader.u8().ok()?,
                stream_id: LittleEndian::read_u32(reader.take(4).ok()?),
            },
            1 => Self::SameStream {
                delta: reader.u24().ok()?,
                length: reader.u24().ok()?,
                message_type: reader.u8().ok()?,
            },
            2 => Self::SameLength { delta: reader.u24().ok()? },
            _ => Self::Same,
        })
    }
}

/// Whether a type 3 header repeats its stream's extended timestamp. The specification says so and most
/// encoders do; some do not, and then payload follows at once. The bytes themselves tell: only an exact
/// repetition, of the field or of the time that it came to, is taken for one. `None`: too few bytes to tell.
fn repeated_extended(forms: [u32; 2], reader: &mut Reader<'_>) -> Option<Option<u32>> {
    let arrived = &reader.rest()[..reader.rest().len().min(4)];
    let repeats = forms.iter().any(|form| form.to_be_bytes().starts_with(arrived));
    match (repeats, arrived.len()) {
        (false, _) => Some(None),
        (true, 4) => reader.u32().ok().map(Some),
        (true, _) => None,
    }
}

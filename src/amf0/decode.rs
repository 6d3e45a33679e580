mod amf3;

use self::amf3::Amf3;
use super::{Amf0Error, MAX_DEPTH, MAX_VALUES, Object, Value, marker};
use crate::bytes::Reader;

pub use self::amf3::{MAX_AMF3_GROWTH, MAX_AMF3_TEXT};

/// Decodes the values of one message, in order.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    reader: Reader<'a>,
    values: usize,
    /// How many more bytes of text AMF3 values may have.
    amf3_room: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        let amf3_room = (bytes.len() * MAX_AMF3_GROWTH).min(MAX_AMF3_TEXT);
        Self { reader: Reader::new(bytes), values: 0, amf3_room }
    }

    /// The next value, or `None` at the end of the message.
    ///
    /// # Errors
    /// See [`Amf0Error`]. After an error the rest of the message cannot be read.
    pub fn next_value(&mut self) -> Result<Option<Value>, Amf0Error> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        self.value(0).map(Some)
    }

    /// What has not been decoded yet.
    pub fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    /// How many more values the message may have.
    pub(crate) fn values_left(&self) -> usize {
        MAX_VALUES.saturating_sub(self.values)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        self.count()?;
        let marker = self.reader.u8()?;
        Ok(match marker {
            marker::NUMBER => Value::Number(self.reader.f64()?),
            marker::BOOLEAN => Value::Boolean(self.reader.u8()? != 0),
            marker::STRING => Value::String(self.short_string()?),
            marker::OBJECT => Value::Object(self.properties(depth)?),
            marker::NULL => Value::Null,
            marker::UNDEFINED => Value::Undefined,
            marker::REFERENCE => Value::Reference(self.reader.u16()?),
            marker::ECMA_ARRAY => {
                self.reader.u32()?; // the count is advisory; encoders send constants
                Value::EcmaArray(self.properties(depth)?)
            }
            marker::STRICT_ARRAY => Value::StrictArray(self.elements(depth)?),
            marker::DATE => Value::Date { millis: self.reader.f64()?, time_zone: self.reader.i16()? },
            marker::LONG_STRING => Value::String(self.long_string()?),
            marker::UNSUPPORTED => Value::Unsupported,
            marker::XML_DOCUMENT => Value::XmlDocument(self.long_string()?),
            marker::TYPED_OBJECT => {
                Value::TypedObject { class: self.short_string()?, properties: self.properties(depth)? }
            }
            marker::AVMPLUS => Amf3::new(self).value(depth)?,
            // 0x04 and 0x0E are reserved, 0x09 ends objects.
            other => return Err(Amf0Error::Marker(other)),
        })
    }

    fn count(&mut self) -> Result<(), Amf0Error> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(Amf0Error::TooMany) } else { Ok(()) }
    }

    /// Key and value pairs up to 00 00 09. At the outermost level the end of the message will do:
    /// some encoders leave the end marker out.
    fn properties(&mut self, depth: usize) -> Result<Object, Amf0Error> {
        let depth = deeper(depth)?;
        let mut properties = Vec::new();
        while !(depth == 1 && self.reader.is_empty()) {
            let key = self.short_string()?;
            if key.is_empty() && self.reader.rest().first() == Some(&marker::OBJECT_END) {
                self.reader.u8()?;
                break;
            }
            properties.push((key, self.value(depth)?));
        }
        Ok(Object(properties))
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Value>, Amf0Error> {
        let depth = deeper(depth)?;
        let count = self.reader.u32()?;
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(self.value(depth)?);
        }
        Ok(elements)
    }

    fn short_string(&mut self) -> Result<String, Amf0Error> {
        let length = self.reader.u16()?;
        self.text(usize::from(length))
    }

    fn long_string(&mut self) -> Result<String, Amf0Error> {
        let length = self.reader.u32()?;
        self.text(usize::try_from(length).map_err(|_| Amf0Error::UnexpectedEnd)?)
    }

    fn text(&mut self, length: usize) -> Result<String, Amf0Error> {
        Ok(String::from_utf8_lossy(self.reader.take(length)?).into_owned())
    }
}

fn deeper(depth: usize) -> Result<usize, Amf0Error> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(Amf0Error::TooDeep) }
}

/// Decodes all values of a message.
///
/// # Errors
/// See [`Amf0Error`].
pub fn decode(bytes: &[u8]) -> Result<Vec<Value>, Amf0Error> {
    let mut decoder = Decoder::new(bytes);
    let mut values = Vec::new();
    while let Some(value) = decoder.next_value()? {
        values.push(value);
    }
    Ok(values)
}

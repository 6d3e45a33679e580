//! AMF3 values behind the AMF0 marker 0x11 (Adobe, "Action Message Format — AMF 3"), as the AMF0 values that they
//! come nearest to. Byte arrays are skipped, references to objects are null.

use super::{Amf0Error, Decoder, Object, Value, deeper};

/// Most bytes of text in the AMF3 values of one message: references let a few bytes stand for a long text again and
/// again.
pub const MAX_AMF3_TEXT: usize = 256 << 10;

/// And so many times the length of the message at the most: otherwise a thousand short ones, which fit into one aggregate,
/// would become a thousand times that much. Text that is no UTF-8 is three times as long when it has been made so.
pub const MAX_AMF3_GROWTH: usize = 4;

mod marker {
    pub(super) const UNDEFINED: u8 = 0x00;
    pub(super) const NULL: u8 = 0x01;
    pub(super) const FALSE: u8 = 0x02;
    pub(super) const TRUE: u8 = 0x03;
    pub(super) const INTEGER: u8 = 0x04;
    pub(super) const DOUBLE: u8 = 0x05;
    pub(super) const STRING: u8 = 0x06;
    pub(super) const XML_DOCUMENT: u8 = 0x07;
    pub(super) const DATE: u8 = 0x08;
    pub(super) const ARRAY: u8 = 0x09;
    pub(super) const OBJECT: u8 = 0x0A;
    pub(super) const XML: u8 = 0x0B;
    pub(super) const BYTE_ARRAY: u8 = 0x0C;
}

/// One value with what it may refer to. Each value behind a marker begins with empty tables.
pub(super) struct Amf3<'d, 'a> {
    decoder: &'d mut Decoder<'a>,
    strings: Vec<&'a [u8]>,
    traits: Vec<Traits<'a>>,
}

/// What objects of one class have in common (section 3.12).
struct Traits<'a> {
    class: &'a [u8],
    names: Vec<&'a [u8]>,
    is_dynamic: bool,
}

impl<'d, 'a> Amf3<'d, 'a> {
    pub(super) fn new(decoder: &'d mut Decoder<'a>) -> Self {
        Self { decoder, strings: Vec::new(), traits: Vec::new() }
    }

    pub(super) fn value(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        self.decoder.count()?;
        Ok(match self.decoder.reader.u8()? {
            marker::UNDEFINED => Value::Undefined,
            marker::NULL => Value::Null,
            marker::FALSE => Value::Boolean(false),
            marker::TRUE => Value::Boolean(true),
            marker::INTEGER => Value::Number(f64::from(signed(self.u29()?))),
            marker::DOUBLE => Value::Number(self.decoder.reader.f64()?),
            marker::STRING => {
                let text = self.string()?;
                Value::String(self.text(text)?)
            }
            marker::XML_DOCUMENT | marker::XML => match self.unless_reference()? {
                Some(length) => {
                    let text = self.decoder.reader.take(length)?;
                    Value::XmlDocument(self.text(text)?)
                }
                None => Value::Null,
            },
            marker::DATE => match self.unless_reference()? {
                Some(_) => Value::Date { millis: self.decoder.reader.f64()?, time_zone: 0 },
                None => Value::Null,
            },
            marker::BYTE_ARRAY => match self.unless_reference()? {
                Some(length) => self.decoder.reader.take(length).map(|_| Value::Unsupported)?,
                None => Value::Null,
            },
            marker::ARRAY => self.array(depth)?,
            marker::OBJECT => self.object(depth)?,
            _ => return Err(Amf0Error::Amf3("has a marker that is not supported")),
        })
    }

    /// Key and value pairs up to an empty key, then as many values as were announced (section 3.11).
    fn array(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        let Some(count) = self.unless_reference()? else { return Ok(Value::Null) };
        let depth = deeper(depth)?;
        let mut properties = Vec::new();
        self.pairs(depth, &mut properties)?;
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(self.value(depth)?);
        }
        if properties.is_empty() {
            return Ok(Value::StrictArray(elements));
        }
        let numbered = elements.into_iter().enumerate().map(|(index, element)| (index.to_string(), element));
        properties.extend(numbered);
        Ok(Value::EcmaArray(Object(properties)))
    }

    fn object(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        let Some(head) = self.unless_reference()? else { return Ok(Value::Null) };
        let depth = deeper(depth)?;
        let index = self.traits(head)?;
        let mut properties = Vec::new();
        for member in 0..self.traits[index].names.len() {
            let name = self.text(self.traits[index].names[member])?;
            properties.push((name, self.value(depth)?));
        }
        if self.traits[index].is_dynamic {
            self.pairs(depth, &mut properties)?;
        }
        let (class, properties) = (self.text(self.traits[index].class)?, Object(properties));
        Ok(if class.is_empty() { Value::Object(properties) } else { Value::TypedObject { class, properties } })
    }

    /// The index of an object's traits, which come with it or came with an earlier one. `head` lacks its lowest bit.
    fn traits(&mut self, head: usize) -> Result<usize, Amf0Error> {
        if head & 1 == 0 {
            let index = head >> 1;
            return if index < self.traits.len() { Ok(index) } else { Err(UNKNOWN) };
        }
        if head & 2 != 0 {
            return Err(Amf0Error::Amf3("is an object in a format of its class's own"));
        }
        let class = self.string()?;
        let mut names = Vec::new();
        for _ in 0..head >> 3 {
            self.decoder.count()?;
            names.push(self.string()?);
        }
        self.traits.push(Traits { class, names, is_dynamic: head & 4 != 0 });
        Ok(self.traits.len() - 1)
    }

    fn pairs(&mut self, depth: usize, properties: &mut Vec<(String, Value)>) -> Result<(), Amf0Error> {
        loop {
            let key = self.string()?;
            if key.is_empty() {
                return Ok(());
            }
            let key = self.text(key)?;
            properties.push((key, self.value(depth)?));
        }
    }

    /// A string or a reference to one; the empty string is never referred to (section 3.8).
    fn string(&mut self) -> Result<&'a [u8], Amf0Error> {
        let head = self.u29()? as usize;
        if head & 1 == 0 {
            return self.strings.get(head >> 1).copied().ok_or(UNKNOWN);
        }
        let string = self.decoder.reader.take(head >> 1)?;
        if !string.is_empty() {
            self.strings.push(string);
        }
        Ok(string)
    }

    fn text(&mut self, bytes: &[u8]) -> Result<String, Amf0Error> {
        let text = String::from_utf8_lossy(bytes);
        let left = self.decoder.amf3_room.checked_sub(text.len());
        self.decoder.amf3_room = left.ok_or(Amf0Error::TooMuchText)?;
        Ok(text.into_owned())
    }

    /// What stands beside the lowest bit of a head: a length or the like, or `None` if the value came earlier.
    fn unless_reference(&mut self) -> Result<Option<usize>, Amf0Error> {
        let head = self.u29()?;
        Ok((head & 1 == 1).then_some(head as usize >> 1))
    }

    /// 29 bits in one to four bytes (section 1.3.1).
    fn u29(&mut self) -> Result<u32, Amf0Error> {
        let mut number = 0;
        for _ in 0..3 {
            let byte = self.decoder.reader.u8()?;
            number = number << 7 | u32::from(byte & 0x7F);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Ok(number << 8 | u32::from(self.decoder.reader.u8()?))
    }
}

const UNKNOWN: Amf0Error = Amf0Error::Amf3("refers to what has not come before");

fn signed(number: u32) -> i32 {
    (number << 3).cast_signed() >> 3
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::amf0::{MAX_DEPTH, MAX_VALUES, decode};

    /// The value, and null behind it, which shows that it ended where it should.
    fn value(bytes: &[u8]) -> Result<Value, Amf0Error> {
        let mut values = decode(&[&[0x11], bytes, &[5]].concat())?;
        assert_eq!((values.len(), values.pop()), (2, Some(Value::Null)), "{bytes:02x?}");
        Ok(values.remove(0))
    }

    fn object(properties: &[(&str, Value)]) -> Object {
        properties.iter().cloned().collect()
    }

    /// Of class "P" with the members "a" and "b", then one dynamic "c"; its second object refers to the traits of the
    /// first and to its strings.
    const OBJECTS: &[u8] = &[
        9, 5, 1, // an array of two
        0x0A, 0x2B, 3, b'P', 3, b'a', 3, b'b', 4, 1, 3, 3, b'c', 6, 3, b'x', 1, //
        0x0A, 0x01, 4, 2, 2, 6, 0x0A, 2, 1,
    ];

    #[test]
    fn every_kind_becomes_what_it_is_nearest_to() {
        let text = |text: &str| Value::from(text);
        for (bytes, expected) in [
            (&[0][..], Value::Undefined),
            (&[1], Value::Null),
            (&[2], Value::Boolean(false)),
            (&[3], Value::Boolean(true)),
            (&[4, 0x7F], Value::Number(127.0)),
            (&[4, 0x81, 0], Value::Number(128.0)),
            (&[4, 0xBF, 0xFF, 0xFF, 0xFF], Value::Number(268_435_455.0)),
            (&[4, 0xC0, 0x80, 0x80, 0], Value::Number(-268_435_456.0)),
            (&[4, 0xFF, 0xFF, 0xFF, 0xFF], Value::Number(-1.0)),
            (&[5, 0x40, 0x74, 0, 0, 0, 0, 0, 0], Value::Number(320.0)),
            (&[6, 1], text("")),
            (&[6, 5, b'h', 0xFF], text("h\u{FFFD}")),
            (&[7, 5, b'<', b'>'], Value::XmlDocument("<>".into())),
            (&[0x0B, 0], Value::Null),
            (&[8, 1, 0x40, 0x74, 0, 0, 0, 0, 0, 0], Value::Date { millis: 320.0, time_zone: 0 }),
            (&[0x0C, 7, 1, 2, 3], Value::Unsupported),
            (&[9, 5, 1, 2, 3], Value::StrictArray(vec![Value::Boolean(false), Value::Boolean(true)])),
            (
                &[9, 3, 3, b'k', 3, 1, 6, 0],
                Value::EcmaArray(object(&[("k", Value::Boolean(true)), ("0", text("k"))])),
            ),
            (&[0x0A, 0x0B, 1, 3, b'w', 4, 1, 1], Value::Object(object(&[("w", Value::Number(1.0))]))),
            (&[0x0A, 0], Value::Null),
        ] {
            assert_eq!(value(bytes), Ok(expected), "{bytes:02x?}");
        }
    }

    #[test]
    fn traits_and_strings_are_referred_to() {
        let first = [("a", Value::Number(1.0)), ("b", Value::Boolean(true)), ("c", Value::from("x"))];
        let second = [("a", Value::Number(2.0)), ("b", Value::Boolean(false)), ("c", Value::Null)];
        let typed = |properties: &[_]| Value::TypedObject { class: "P".into(), properties: object(properties) };
        assert_eq!(value(OBJECTS), Ok(Value::StrictArray(vec![typed(&first), typed(&second)])));
    }

    #[test]
    fn cut_off_anywhere_is_an_error() {
        for end in 0..OBJECTS.len() {
            assert_eq!(decode(&[&[0x11], &OBJECTS[..end]].concat()), Err(Amf0Error::UnexpectedEnd), "{end}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for bytes in [&[0x0D][..], &[0xFF], &[6, 0], &[0x0A, 1], &[0x0A, 7], &[9, 1, 4]] {
            assert!(matches!(value(bytes), Err(Amf0Error::Amf3(_))), "{bytes:02x?}: {:?}", value(bytes));
        }
    }

    #[test]
    fn lengths_and_counts_are_not_believed() {
        const MOST: [u8; 4] = [0xFF; 4];
        for marker in [6, 7, 9, 0x0B, 0x0C] {
            let bytes = [&[0x11, marker], &MOST[..], &[1]].concat();
            assert_eq!(decode(&bytes), Err(Amf0Error::UnexpectedEnd), "{marker}");
        }
        let members = [&[0x11, 0x0A, 0xFF, 0xFF, 0xFF, 0xFB, 1][..], &[1].repeat(1 << 20)].concat();
        assert_eq!(decode(&members), Err(Amf0Error::TooMany));
    }

    #[test]
    fn depth_values_and_text_are_bounded_at_their_edges() {
        let nested = |depth: usize| [[9, 3, 1].repeat(depth), vec![1]].concat();
        assert!(value(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(value(&nested(MAX_DEPTH + 1)), Err(Amf0Error::TooDeep));

        // The marker, the array and the null behind it count, too.
        let array = |count: usize| {
            let head = (count << 1 | 1) as u16;
            [&[9, 0x80 | (head >> 7) as u8, head as u8 & 0x7F, 1][..], &[1].repeat(count)].concat()
        };
        assert!(value(&array(MAX_VALUES - 3)).is_ok());
        assert_eq!(value(&array(MAX_VALUES - 2)), Err(Amf0Error::TooMany));

        // A text, and references to it.
        let head = |number: usize| {
            let number = number << 1 | 1;
            [0x80 | (number >> 14) as u8, 0x80 | (number >> 7) as u8, number as u8 & 0x7F]
        };
        let repeated = |byte: u8, length: usize, count: usize| {
            let text = [&[6][..], &head(length), &vec![byte; length]].concat();
            [&[9][..], &head(count), &[1], &text, &[6, 0].repeat(count - 1)].concat()
        };
        let half = MAX_AMF3_TEXT / 2;
        assert!(value(&repeated(b'x', half, 2)).is_ok());
        assert_eq!(value(&repeated(b'x', half, 3)), Err(Amf0Error::TooMuchText));
        let two = [&[0x11], &repeated(b'x', half, 2)[..], &[0x11, 6, 3, b'x']].concat();
        assert_eq!(decode(&two), Err(Amf0Error::TooMuchText), "one bound for all of a message");
        assert!(value(&repeated(b'x', 1000, MAX_AMF3_GROWTH)).is_ok());
        assert_eq!(value(&repeated(b'x', 1000, MAX_AMF3_GROWTH + 1)), Err(Amf0Error::TooMuchText));
        assert!(value(&repeated(0xFF, 1000, 1)).is_ok());
        assert_eq!(
            value(&repeated(0xFF, 1000, 2)),
            Err(Amf0Error::TooMuchText),
            "as long as it is for viewers"
        );
    }
}

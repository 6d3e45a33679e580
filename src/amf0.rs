//! AMF0, the value format of RTMP commands and FLV script tags (Adobe, "Action Message Format — AMF 0").
//!
//! Decoding believes nothing that a peer claims: element counts are advisory and never allocated for, and
//! depth and number of values are bounded ([`MAX_DEPTH`], [`MAX_VALUES`]). AMF3 values, which may stand among AMF0
//! ones, become the AMF0 values that they are nearest to.

mod decode;
mod encode;

pub use decode::{Decoder, MAX_AMF3_GROWTH, MAX_AMF3_TEXT, decode};
pub use encode::encode;

use crate::bytes::UnexpectedEnd;

/// How deep objects and arrays may be nested.
pub const MAX_DEPTH: usize = 32;

/// How many values one message may hold, nested ones included.
pub const MAX_VALUES: usize = 4096;

mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const REFERENCE: u8 = 0x07;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0A;
    pub(super) const DATE: u8 = 0x0B;
    pub(super) const LONG_STRING: u8 = 0x0C;
    pub(super) const UNSUPPORTED: u8 = 0x0D;
    pub(super) const XML_DOCUMENT: u8 = 0x0F;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
    /// One AMF3 value follows.
    pub(super) const AVMPLUS: u8 = 0x11;
}

/// One AMF0 value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Section 2.2.
    Number(f64),
    /// Section 2.3.
    Boolean(bool),
    /// Sections 2.4 and 2.14: short or long, by length. Invalid UTF-8 was replaced when decoding.
    String(String),
    /// Section 2.5.
    Object(Object),
    /// Section 2.7.
    Null,
    /// Section 2.8.
    Undefined,
    /// Section 2.9: the index of an earlier complex value of the same message. Kept as it is, never followed.
    Reference(u16),
    /// Section 2.10: an object by another name; its count is not kept.
    EcmaArray(Object),
    /// Section 2.12.
    StrictArray(Vec<Self>),
    /// Section 2.13.
    Date {
        /// Milliseconds since 1970.
        millis: f64,
        /// Reserved, should be 0.
        time_zone: i16,
    },
    /// Section 2.15.
    Unsupported,
    /// Section 2.17.
    XmlDocument(String),
    /// Section 2.18.
    TypedObject {
        /// The registered name.
        class: String,
        /// The properties.
        properties: Object,
    },
}

impl Value {
    /// The number, or one that came as text (some encoders write numbers as strings).
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The properties of an object, typed object or ECMA array: encoders use them interchangeably.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) | Self::EcmaArray(object) | Self::TypedObject { properties: object, .. } => {
                Some(object)
            }
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

/// Properties in the order in which they were sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(pub Vec<(String, Value)>);

impl Object {
    /// The value of `key`; of duplicates the last.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Gives `key` one value, in the place of its first or at the end.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        let mut value = Some(value.into());
        self.0.retain_mut(|(name, slot)| {
            if name != key {
                return true;
            }
            match value.take() {
                Some(value) => {
                    *slot = value;
                    true
                }
                None => false,
            }
        });
        if let Some(value) = value {
            self.0.push((key.to_owned(), value));
        }
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }
}

impl<'a> FromIterator<(&'a str, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (&'a str, Value)>>(properties: I) -> Self {
        Self(properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

/// Why bytes are not AMF0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Amf0Error {
    /// A value is cut off.
    #[error("AMF0 value is cut off")]
    UnexpectedEnd,
    /// A marker that is reserved, unknown, or an object end where a value belongs.
    #[error("AMF0 marker {0:#04x} where a value belongs")]
    Marker(u8),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("AMF0 value is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More values than [`MAX_VALUES`].
    #[error("AMF0 message has more than {MAX_VALUES} values")]
    TooMany,
    /// AMF3 values with more text than [`MAX_AMF3_TEXT`], repetitions included.
    #[error("AMF3 values of one message have more than {MAX_AMF3_TEXT} bytes of text")]
    TooMuchText,
    /// An AMF3 value that cannot be read, and why.
    #[error("AMF3 value {0}")]
    Amf3(&'static str),
}

impl From<UnexpectedEnd> for Amf0Error {
    fn from(_: UnexpectedEnd) -> Self {
        Self::UnexpectedEnd
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn object(properties: &[(&str, Value)]) -> Object {
        properties.iter().cloned().collect()
    }

    fn every_kind() -> Vec<Value> {
        let inner = object(&[("a", Value::Number(-0.5)), ("", Value::Null)]);
        vec![
            Value::Number(1e9),
            Value::Boolean(true),
            Value::from("héllo"),
            Value::String("x".repeat(70_000)),
            Value::Object(inner.clone()),
            Value::Null,
            Value::Undefined,
            Value::Reference(3),
            Value::EcmaArray(object(&[("inner", Value::Object(inner.clone()))])),
            Value::StrictArray(vec![Value::Null, Value::StrictArray(vec![Value::from("deep")])]),
            Value::Date { millis: 1.7e12, time_zone: -60 },
            Value::Unsupported,
            Value::XmlDocument("<a/>".into()),
            Value::TypedObject { class: "org.Thing".into(), properties: inner },
        ]
    }

    fn encoded(values: &[Value]) -> Vec<u8> {
        let mut bytes = Vec::new();
        values.iter().for_each(|value| encode(value, &mut bytes));
        bytes
    }

    #[test]
    fn every_kind_comes_back_as_it_was() {
        let values = every_kind();
        assert_eq!(decode(&encoded(&values)).unwrap(), values);
    }

    #[test]
    fn wire_bytes_are_those_of_the_specification() {
        let value = Value::EcmaArray(object(&[("w", Value::Number(320.0))]));
        let bytes = [8, 0, 0, 0, 1, 0, 1, b'w', 0, 0x40, 0x74, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(encoded(std::slice::from_ref(&value)), bytes);
        assert_eq!(decode(&bytes).unwrap(), [value]);
    }

    #[test]
    fn cut_off_anywhere_is_an_error_or_fewer_values_and_never_a_panic() {
        for value in every_kind() {
            let bytes = encoded(std::slice::from_ref(&value));
            let ends = (1..bytes.len()).rev().take(64).chain(1..bytes.len().min(64));
            for end in ends {
                if let Ok(values) = decode(&bytes[..end]) {
                    // Only the outermost object may lack its end marker.
                    assert!(matches!(&values[..], [v] if v.as_object().is_some()), "{value:?} at {end}");
                }
            }
        }
    }

    #[test]
    fn the_count_of_an_array_is_not_believed() {
        let huge_strict = [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 5, 5];
        assert_eq!(decode(&huge_strict), Err(Amf0Error::UnexpectedEnd));
        let wrong_ecma = [8, 0, 0, 0, 99, 0, 1, b'a', 5, 0, 0, 9];
        assert_eq!(decode(&wrong_ecma).unwrap(), [Value::EcmaArray(object(&[("a", Value::Null)]))]);
    }

    #[test]
    fn an_outermost_object_may_lack_its_end() {
        let bytes = [3, 0, 1, b'a', 1, 1];
        assert_eq!(decode(&bytes).unwrap(), [Value::Object(object(&[("a", Value::Boolean(true))]))]);
        let nested = [3, 0, 1, b'a', 3, 0, 1, b'b', 1, 1];
        assert_eq!(decode(&nested), Err(Amf0Error::UnexpectedEnd));
    }

    #[test]
    fn depth_and_number_of_values_are_bounded_at_their_edges() {
        let nested = |depth: usize| [0x0A, 0, 0, 0, 1].repeat(depth).into_iter().chain([5]).collect::<Vec<_>>();
        assert!(decode(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(decode(&nested(MAX_DEPTH + 1)), Err(Amf0Error::TooDeep));
        assert_eq!(decode(&nested(1000)), Err(Amf0Error::TooDeep));
        let objects = [3, 0, 1, b'a'].repeat(1000);
        assert_eq!(decode(&objects), Err(Amf0Error::TooDeep));
        assert!(decode(&[5].repeat(MAX_VALUES)).is_ok());
        assert_eq!(decode(&[5].repeat(MAX_VALUES + 1)), Err(Amf0Error::TooMany));
    }

    #[test]
    fn reserved_markers_are_named() {
        for marker in [0x04, 0x09, 0x0E, 0x12, 0xFF] {
            assert_eq!(decode(&[marker]), Err(Amf0Error::Marker(marker)));
        }
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(decode(&[2, 0, 2, 0xFF, b'a']).unwrap(), [Value::from("\u{FFFD}a")]);
    }

    #[test]
    fn numbers_may_come_as_text_and_the_last_duplicate_wins() {
        let mut properties = object(&[("w", Value::from("1280")), ("w", Value::from(" 640 "))]);
        assert_eq!(properties.get("w").and_then(Value::as_number), Some(640.0));
        properties.set("w", 1.0);
        assert_eq!(properties, object(&[("w", Value::Number(1.0))]));
        properties.set("h", 2.0);
        properties.remove("w");
        assert_eq!(properties, object(&[("h", Value::Number(2.0))]));
    }
}

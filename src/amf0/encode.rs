use byteorder::{BigEndian, ByteOrder};

use super::{Object, Value, marker};

/// Appends `value` to `out`.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            out.push(marker::NUMBER);
            put_f64(out, *number);
        }
        Value::Boolean(value) => out.extend_from_slice(&[marker::BOOLEAN, u8::from(*value)]),
        Value::String(text) => encode_string(text, out),
        Value::Object(object) => {
            out.push(marker::OBJECT);
            encode_properties(object, out);
        }
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
        Value::Reference(index) => {
            out.push(marker::REFERENCE);
            out.extend_from_slice(&index.to_be_bytes());
        }
        Value::EcmaArray(object) => {
            out.push(marker::ECMA_ARRAY);
            put_length(out, object.0.len());
            encode_properties(object, out);
        }
        Value::StrictArray(elements) => {
            out.push(marker::STRICT_ARRAY);
            put_length(out, elements.len());
            elements.iter().for_each(|element| encode(element, out));
        }
        Value::Date { millis, time_zone } => {
            out.push(marker::DATE);
            put_f64(out, *millis);
            out.extend_from_slice(&time_zone.to_be_bytes());
        }
        Value::Unsupported => out.push(marker::UNSUPPORTED),
        Value::XmlDocument(text) => {
            out.push(marker::XML_DOCUMENT);
            put_length(out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Value::TypedObject { class, properties } => {
            out.push(marker::TYPED_OBJECT);
            put_short(out, class);
            encode_properties(properties, out);
        }
    }
}

fn encode_string(text: &str, out: &mut Vec<u8>) {
    if text.len() <= usize::from(u16::MAX) {
        out.push(marker::STRING);
        put_short(out, text);
    } else {
        out.push(marker::LONG_STRING);
        put_length(out, text.len());
        out.extend_from_slice(text.as_bytes());
    }
}

fn encode_properties(object: &Object, out: &mut Vec<u8>) {
    for (key, value) in &object.0 {
        put_short(out, key);
        encode(value, out);
    }
    out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

/// A text behind its 16-bit length; what does not fit is cut off at a character (no decoded key is that long).
fn put_short(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

fn put_f64(out: &mut Vec<u8>, number: f64) {
    let mut bytes = [0; 8];
    BigEndian::write_f64(&mut bytes, number);
    out.extend_from_slice(&bytes);
}

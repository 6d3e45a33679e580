//! Commands: a name, a transaction number, a command object and arguments (RTMP 1.0, section 7.2).

use crate::amf0::{self, Amf0Error, Decoder, Object, Value};

/// One command message, decoded leniently: whatever is missing behind the name is null.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// What is to be done, or `_result`, `_error`, `onStatus`.
    pub name: String,
    /// Answers carry the number of what they answer; 0 asks for no answer.
    pub transaction: f64,
    /// The command object, often null.
    pub object: Value,
    /// What follows the command object.
    pub arguments: Vec<Value>,
}

impl Command {
    /// A command without an object.
    pub fn new(name: &str, transaction: f64, arguments: Vec<Value>) -> Self {
        Self { name: name.to_owned(), transaction, object: Value::Null, arguments }
    }

    /// Decodes the payload of a command message. Undecodable arguments are dropped with what follows them; an
    /// undecodable name is an error.
    ///
    /// # Errors
    /// If the payload does not begin with the command's name.
    pub fn decode(payload: &[u8]) -> Result<Self, Amf0Error> {
        let mut decoder = Decoder::new(payload);
        let name = match decoder.next_value()? {
            Some(Value::String(name)) => name,
            Some(_) => return Err(Amf0Error::Marker(payload[0])),
            None => return Err(Amf0Error::UnexpectedEnd),
        };
        let mut next = || match decoder.next_value() {
            // Bombs are an attack, not an unknown dialect.
            Err(error @ (Amf0Error::TooDeep | Amf0Error::TooMany | Amf0Error::TooMuchText)) => Err(error),
            other => Ok(other.ok().flatten()),
        };
        let transaction = next()?.and_then(|value| value.as_number()).unwrap_or(0.0);
        let object = next()?.unwrap_or(Value::Null);
        let mut arguments = Vec::new();
        while let Some(argument) = next()? {
            arguments.push(argument);
        }
        Ok(Self { name, transaction, object, arguments })
    }

    /// The payload of a command message in AMF0.
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        amf0::encode(&Value::from(self.name.as_str()), &mut payload);
        amf0::encode(&Value::Number(self.transaction), &mut payload);
        amf0::encode(&self.object, &mut payload);
        self.arguments.iter().for_each(|argument| amf0::encode(argument, &mut payload));
        payload
    }

    /// The text of an argument without the NULs that some encoders fill it up with; empty if it is missing or no text.
    pub fn text(&self, index: usize) -> &str {
        self.arguments.get(index).and_then(Value::as_str).unwrap_or_default().trim_end_matches('\0')
    }
}

/// Whether a status is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// All is well.
    Status,
    /// The client should give up.
    Error,
}

/// The info object of `onStatus`, `_result` and `_error`. All three fields are always there: clients crash or
/// hang without them.
pub fn info(level: Level, code: &str, description: &str) -> Object {
    let level = match level {
        Level::Status => "status",
        Level::Error => "error",
    };
    [("level", Value::from(level)), ("code", Value::from(code)), ("description", Value::from(description))]
        .into_iter()
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_back_as_they_were() {
        let mut command = Command::new("publish", 5.0, vec![Value::from("cam1"), Value::from("live")]);
        command.object = Value::Object(info(Level::Status, "a", "b"));
        assert_eq!(Command::decode(&command.encode()).unwrap(), command);
    }

    #[test]
    fn what_is_missing_is_null_and_what_cannot_be_read_is_dropped() {
        let mut payload = Vec::new();
        amf0::encode(&Value::from("connect"), &mut payload);
        let bare = Command::decode(&payload).unwrap();
        assert_eq!((bare.transaction, &bare.object, bare.text(0)), (0.0, &Value::Null, ""));
        payload.extend_from_slice(&[0, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0, 5, 0x11, 0x0A, 1]);
        let flash = Command::decode(&payload).unwrap();
        assert_eq!((flash.transaction, flash.arguments.len()), (1.0, 0));
    }

    #[test]
    fn no_name_or_a_nesting_bomb_is_an_error() {
        assert_eq!(Command::decode(&[]), Err(Amf0Error::UnexpectedEnd));
        assert_eq!(Command::decode(&[5]), Err(Amf0Error::Marker(5)));
        let mut bomb = Command::new("connect", 1.0, Vec::new()).encode();
        bomb.extend([3, 0, 1, b'a'].repeat(1000));
        assert_eq!(Command::decode(&bomb), Err(Amf0Error::TooDeep));
    }
}

//! What every layer speaks of: timestamps, packets, and the name of a stream.

use std::fmt;
use std::sync::Arc;

/// Milliseconds on a stream's own clock. Wraps after 2³² ms (49 d 17 h), so two timestamps are compared
/// by their signed distance (RTMP 1.0, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// Signed milliseconds from `earlier` to `self`; negative if `self` comes before it.
    pub fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// The timestamp `delta` milliseconds later, wrapping.
    pub fn advanced(self, delta: u32) -> Self {
        Self(self.0.wrapping_add(delta))
    }
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Data => "data",
        })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Which track a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// An audio payload, as an RTMP audio message and an FLV audio tag carry it.
    Audio,
    /// A video payload, as an RTMP video message and an FLV video tag carry it.
    Video,
    /// AMF0 values: a handler's name (`onMetaData`, `onCuePoint`, …) and what belongs to it.
    Data,
}

/// One whole message of a publisher: the payload of an RTMP message, which is also the body of an FLV tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The track.
    pub kind: PacketKind,
    /// Decoding time.
    pub timestamp: Timestamp,
    /// Payload, its codec header included.
    pub payload: Vec<u8>,
}

/// Longest stream name in bytes, after normalisation.
pub const MAX_STREAM_NAME: usize = 512;

/// The key of a stream: its app and name joined with a slash, without empty parts and query.
///
/// Encoders split the same URL differently (`rtmp://h/a/b/c` is app `a/b` with name `c` for one and app
/// `a` with name `b/c` for another), so the two are only ever used joined. The empty name is the default
/// stream, what `rtmp://host` alone publishes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

/// Why a text is not the name of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamNameError {
    /// Longer than [`MAX_STREAM_NAME`].
    #[error("stream name is longer than {MAX_STREAM_NAME} bytes")]
    TooLong,
    /// A part is `.` or `..`.
    #[error("stream name has a part that is \".\" or \"..\"")]
    DotPart,
    /// Control characters, NUL among them.
    #[error("stream name has a control character")]
    ControlCharacter,
}

impl StreamName {
    /// Joins app and name; a query behind either is cut off.
    ///
    /// # Errors
    /// See [`StreamNameError`].
    pub fn new(app: &str, name: &str) -> Result<Self, StreamNameError> {
        let parts = [without_query(app), without_query(name)];
        let mut joined = String::new();
        for part in parts.iter().flat_map(|text| text.split('/')) {
            match part {
                // "_definst_" is what Flash Media Server calls the unnamed instance of an app.
                "" | "_definst_" => continue,
                "." | ".." => return Err(StreamNameError::DotPart),
                _ if part.chars().any(char::is_control) => return Err(StreamNameError::ControlCharacter),
                _ => {}
            }
            if joined.len() + part.len() >= MAX_STREAM_NAME {
                return Err(StreamNameError::TooLong);
            }
            if !joined.is_empty() {
                joined.push('/');
            }
            joined.push_str(part);
        }
        Ok(Self(joined.into()))
    }

    /// The normalised path; empty for the default stream.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the default stream.
    pub fn is_default(&self) -> bool {
        self.0.is_empty()
    }
}

fn without_query(text: &str) -> &str {
    text.split_once('?').map_or(text, |(path, _)| path)
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_default() { "(default stream)" } else { &self.0 })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_compared_across_the_wrap() {
        assert_eq!(Timestamp(5).since(Timestamp(u32::MAX - 4)), 10);
        assert_eq!(Timestamp(u32::MAX).since(Timestamp(4)), -5);
        assert_eq!(Timestamp(u32::MAX).advanced(1), Timestamp(0));
    }

    #[test]
    fn names_as_real_encoders_send_them() {
        for (app, name, key) in [
            ("", "", ""),
            ("live", "", "live"),
            ("", "s", "s"),
            ("live", "s?token=abc", "live/s"),
            ("live?vhost=x", "s", "live/s"),
            ("app?auth=1", "", "app"),
            ("a/b", "c", "a/b/c"),
            ("a", "b/c", "a/b/c"),
            ("/live/", "/cam1/", "live/cam1"),
            ("live//x", "y", "live/x/y"),
            ("live/_definst_", "cam", "live/cam"),
            ("live", "Kamera ü", "live/Kamera ü"),
        ] {
            assert_eq!(StreamName::new(app, name).unwrap().as_str(), key, "{app} {name}");
        }
    }

    #[test]
    fn absurd_names_are_refused() {
        use StreamNameError::*;
        assert_eq!(StreamName::new("live", "../x"), Err(DotPart));
        assert_eq!(StreamName::new("live/./x", ""), Err(DotPart));
        assert_eq!(StreamName::new("live", "a\0b"), Err(ControlCharacter));
        assert_eq!(StreamName::new("live", "a\nb"), Err(ControlCharacter));
        let longest = "x".repeat(MAX_STREAM_NAME - 1);
        assert!(StreamName::new("", &longest).is_ok());
        assert_eq!(StreamName::new("", &format!("{longest}x")), Err(TooLong));
        assert_eq!(StreamName::new("live", &longest), Err(TooLong));
    }

    #[test]
    fn the_default_stream_has_a_readable_name() {
        assert_eq!(StreamName::new("", "").unwrap().to_string(), "(default stream)");
    }
}

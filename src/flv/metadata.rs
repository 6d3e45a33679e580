//! `onMetaData` and the other data messages (annex E.5; RTMP 1.0, section 7.1.2).

use super::tag::Tracks;
use crate::amf0::{self, Decoder, Object, Value};

/// Wraps a data message that the server is to keep for those who come later; `onMetaData` is kept anyway.
const SET_DATA_FRAME: [&str; 2] = ["@setDataFrame", "setDataFrame"];
const ON_META_DATA: &str = "onMetaData";

/// What a recording's metadata has and a live stream's must not: players would believe it.
const ONLY_FOR_FILES: [&str; 4] = ["filesize", "fileSize", "keyframes", "lasttimestamp"];

/// How many values viewers get on top of the publisher's: what cannot be read any more with them is not taken.
const OWN_VALUES: usize = 3;

/// No picture is wider, and no sound sampled more often.
const MAX_NUMBER: f64 = 1e6;

/// A data message of a publisher.
#[derive(Debug, Clone, PartialEq)]
pub enum DataMessage<'a> {
    /// `onMetaData`, with or without `@setDataFrame`.
    Metadata(Metadata),
    /// For Flash players alone, or a request to the server: of no use to viewers.
    Ignored,
    /// Anything else (`onCuePoint`, `onTextData`, …): the body of a script tag.
    Other(&'a [u8]),
}

/// The publisher's description of its stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata(pub Object);

impl<'a> DataMessage<'a> {
    /// Reads the payload of a data message; `None` if it is no handler's name with its values.
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        Self::parse_with_room(payload, OWN_VALUES)
    }

    /// The same, for metadata to which so many values may be added.
    fn parse_with_room(payload: &'a [u8], room: usize) -> Option<Self> {
        let mut decoder = Decoder::new(payload);
        let mut body = payload;
        let mut name = decoder.next_value().ok()??;
        if name.as_str().is_some_and(|name| SET_DATA_FRAME.contains(&name)) {
            body = decoder.rest();
            name = decoder.next_value().ok()??;
        }
        Some(match name.as_str()? {
            ON_META_DATA => {
                let values = decoder.next_value().ok()??;
                if decoder.values_left() < room {
                    return None;
                }
                Self::Metadata(Metadata(values.as_object()?.clone()))
            }
            "@clearDataFrame" | "|RtmpSampleAccess" => Self::Ignored,
            _ => Self::Other(body),
        })
    }
}

impl Metadata {
    /// Which tracks the publisher announces, by the presence of a codec id; `None` if it says nothing.
    pub fn announced(&self) -> Option<Tracks> {
        let has = |key| self.0.get(key).is_some_and(|value| !matches!(value, Value::Null | Value::Undefined));
        let tracks = Tracks { audio: has("audiocodecid"), video: has("videocodecid") };
        (tracks != Tracks::default()).then_some(tracks)
    }

    /// A value that is a whole number, above 0 and not absurd; `None` for all others.
    pub fn whole_number(&self, key: &str) -> Option<u32> {
        let number = self.0.get(key)?.as_number()?;
        let is_sound = number.fract() == 0.0 && (1.0..=MAX_NUMBER).contains(&number);
        is_sound.then_some(number as u32)
    }

    /// How many audio channels the publisher announces.
    pub fn channels(&self) -> Option<u8> {
        if let Some(channels) = self.whole_number("audiochannels") {
            return u8::try_from(channels).ok();
        }
        match self.0.get("stereo")? {
            Value::Boolean(true) => Some(2),
            Value::Boolean(false) => Some(1),
            _ => None,
        }
    }

    /// The body of the script tag that viewers get: the publisher's values without those that only files
    /// have, with `hasAudio` and `hasVideo` as they are, which browser players believe above the file header.
    pub fn script_tag(&self, tracks: Tracks) -> Vec<u8> {
        let mut values = self.0.clone();
        ONLY_FOR_FILES.iter().for_each(|key| values.remove(key));
        values.set("duration", 0.0);
        values.set("hasAudio", tracks.audio);
        values.set("hasVideo", tracks.video);
        let mut body = Vec::new();
        amf0::encode(&Value::from(ON_META_DATA), &mut body);
        amf0::encode(&Value::EcmaArray(values), &mut body);
        body
    }
}

/// The body of a metadata tag with other `hasAudio` and `hasVideo`; `None` if it has these already, or is no metadata.
pub(super) fn with_flags(body: &[u8], tracks: Tracks) -> Option<Vec<u8>> {
    let DataMessage::Metadata(metadata) = DataMessage::parse_with_room(body, 0)? else { return None };
    let is_so = |key, flag| metadata.0.get(key) == Some(&Value::Boolean(flag));
    let are_so = is_so("hasAudio", tracks.audio) && is_so("hasVideo", tracks.video);
    (!are_so).then(|| metadata.script_tag(tracks))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::amf0::MAX_VALUES;

    fn payload(values: &[Value]) -> Vec<u8> {
        let mut bytes = Vec::new();
        values.iter().for_each(|value| amf0::encode(value, &mut bytes));
        bytes
    }

    fn properties() -> Object {
        [
            ("width", Value::Number(320.0)),
            ("videocodecid", Value::Number(7.0)),
            ("filesize", Value::Number(9.0)),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn metadata_is_found_wrapped_or_bare_as_object_or_array() {
        let expected = Some(DataMessage::Metadata(Metadata(properties())));
        let (name, object) = (Value::from("onMetaData"), Value::Object(properties()));
        for wrapper in SET_DATA_FRAME {
            let wrapped = payload(&[Value::from(wrapper), name.clone(), Value::EcmaArray(properties())]);
            assert_eq!(DataMessage::parse(&wrapped), expected);
        }
        assert_eq!(DataMessage::parse(&payload(&[name, object])), expected);
    }

    #[test]
    fn other_messages_lose_only_the_wrapper() {
        let bare = payload(&[Value::from("onCuePoint"), Value::Null]);
        assert_eq!(DataMessage::parse(&bare), Some(DataMessage::Other(&bare)));
        let wrapped = [payload(&[Value::from("@setDataFrame")]), bare.clone()].concat();
        assert_eq!(DataMessage::parse(&wrapped), Some(DataMessage::Other(&bare)));
        let access = payload(&[Value::from("|RtmpSampleAccess"), Value::Boolean(true)]);
        assert_eq!(DataMessage::parse(&access), Some(DataMessage::Ignored));
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        for bytes in
            [&b""[..], &[0, 0, 0], &payload(&[Value::Number(1.0)]), &payload(&[Value::from("onMetaData")])]
        {
            assert_eq!(DataMessage::parse(bytes), None);
        }
    }

    #[test]
    fn viewers_get_the_publishers_values_and_true_flags() {
        let metadata = Metadata(properties());
        assert_eq!(metadata.announced(), Some(Tracks { audio: false, video: true }));
        let body = metadata.script_tag(Tracks { audio: true, video: false });
        let values = amf0::decode(&body).unwrap();
        assert_eq!(values[0].as_str(), Some("onMetaData"));
        let sent = values[1].as_object().unwrap();
        assert_eq!(sent.get("width"), Some(&Value::Number(320.0)));
        assert_eq!(sent.get("hasAudio"), Some(&Value::Boolean(true)));
        assert_eq!(sent.get("hasVideo"), Some(&Value::Boolean(false)));
        assert_eq!(sent.get("filesize"), None);
        assert_eq!(Metadata::default().announced(), None);
    }

    #[test]
    fn flags_are_true_however_many_values_there_are() {
        // The name and the object count, too.
        let most = MAX_VALUES - 2 - OWN_VALUES;
        let metadata = |count: usize| {
            let object = Object((0..count).map(|number| (number.to_string(), Value::Null)).collect());
            payload(&[Value::from("onMetaData"), Value::Object(object)])
        };
        let longest = metadata(most);
        let Some(DataMessage::Metadata(taken)) = DataMessage::parse(&longest) else { panic!("not taken") };
        let tag = taken.script_tag(Tracks { audio: true, video: true });
        assert!(with_flags(&tag, Tracks { audio: true, video: false }).is_some());
        assert_eq!(DataMessage::parse(&metadata(most + 1)), None);
    }

    #[test]
    fn numbers_are_taken_if_they_make_sense() {
        let with = |value: Value| Metadata([("audiochannels", value)].into_iter().collect());
        let number = |value: f64| with(Value::Number(value)).whole_number("audiochannels");
        assert_eq!([1.0, 1e6].map(number), [Some(1), Some(1_000_000)]);
        assert_eq!([0.0, -1.0, 0.5, 1e6 + 1.0, f64::NAN, f64::INFINITY].map(number), [None; 6]);
        assert_eq!(with(Value::from("two")).whole_number("audiochannels"), None);
        assert_eq!([6.0, 256.0].map(|value| with(Value::Number(value)).channels()), [Some(6), None]);
        let stereo = |value: Value| Metadata([("stereo", value)].into_iter().collect()).channels();
        assert_eq!([true, false].map(|value| stereo(Value::Boolean(value))), [Some(2), Some(1)]);
        assert_eq!(stereo(Value::Null), None);
    }
}

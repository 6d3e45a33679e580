use crate::amf0::{Object, Value};

/// What clients that know Enhanced RTMP say of it, each of them enough (Enhanced RTMP v2, "Enhancing
/// NetConnection connect Command").
const ENHANCED: [&str; 4] = ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"];

/// Of `capsEx` what works here: several tracks, modifiers, and their nanoseconds; not reconnect requests.
const CAPABILITIES: u32 = 2 | 4 | 8;

/// In a FourCC info map: can be passed on.
const CAN_FORWARD: f64 = 4.0;

/// Longest `flashVer` that is kept, in characters.
const MAX_CLIENT: usize = 64;

/// The command object of `connect`, or nothing in its place.
pub(super) struct ConnectInfo<'a>(Option<&'a Object>);

impl<'a> ConnectInfo<'a> {
    pub(super) fn new(object: &'a Value) -> Self {
        Self(object.as_object())
    }

    /// What the client calls the app. One that leaves it out means that of its URL.
    pub(super) fn app(&self) -> &'a str {
        self.text("app")
            .or_else(|| self.text("tcUrl").or_else(|| self.text("tcurl")).map(path))
            .unwrap_or_default()
    }

    /// What the client calls itself.
    pub(super) fn client(&self) -> String {
        let version = self.text("flashVer").unwrap_or_default();
        version.chars().filter(|c| !c.is_control()).take(MAX_CLIENT).collect()
    }

    /// What to answer to a client that asks for Enhanced RTMP.
    pub(super) fn enhanced(&self) -> Vec<(&'static str, Value)> {
        if !ENHANCED.iter().any(|key| self.get(key).is_some()) {
            return Vec::new();
        }
        let asked = self.get("capsEx").and_then(Value::as_number).unwrap_or_default() as u32;
        let any_codec = || Value::Object([("*", Value::Number(CAN_FORWARD))].into_iter().collect());
        vec![
            ("capsEx", Value::Number(f64::from(asked & CAPABILITIES))),
            ("videoFourCcInfoMap", any_codec()),
            ("audioFourCcInfoMap", any_codec()),
            ("fourCcList", Value::StrictArray(vec![Value::from("*")])),
        ]
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.as_str().map(|text| text.trim_end_matches('\0'))
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0?.get(key)
    }
}

/// What stands behind host and port. Some clients put their URL in quotes.
fn path(url: &str) -> &str {
    let url = url.trim_matches('"');
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    behind_scheme.split_once('/').map_or("", |(_, path)| path)
}

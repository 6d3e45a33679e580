use std::fmt;
use std::net::SocketAddr;

use percent_encoding::percent_decode_str;

use crate::media::StreamName;
use crate::peer::Peer;

/// Longest name of a client's program that is kept, in characters.
const MAX_PROGRAM: usize = 256;

/// Somebody wants to publish or to play a stream.
#[derive(Clone)]
#[non_exhaustive]
pub struct Attempt {
    /// The stream.
    pub stream: StreamName,
    /// Where the client is, behind trusted proxies, too. Port 0 is one that the proxy did not tell.
    pub client: SocketAddr,
    /// What the client calls itself (`flashVer` in RTMP, `User-Agent` in HTTP), or empty.
    pub program: String,
    parameters: Vec<(String, String)>,
    pub(super) peer: Peer,
}

impl Attempt {
    /// To publish. Encoders put queries behind the app, the name, or both; the name's comes first. They seldom escape
    /// anything, so what is there is taken as it is.
    pub(crate) fn to_publish(stream: StreamName, peer: Peer, program: &str, app: &str, name: &str) -> Self {
        let queries = [name, app].into_iter().filter_map(|text| Some(text.split_once('?')?.1));
        let parameters = queries.flat_map(pairs).map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self::new(stream, peer, program, parameters.collect())
    }

    /// To play over HTTP, with the query of the request's target.
    pub(crate) fn to_play(stream: StreamName, peer: Peer, program: &str, query: &str) -> Self {
        let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let parameters = pairs(query).map(|(key, value)| (decode(key), decode(value)));
        Self::new(stream, peer, program, parameters.collect())
    }

    /// The value of a parameter behind the `?`; the first, if there are more of this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// All parameters with their values, of which some may be secrets.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn new(stream: StreamName, peer: Peer, program: &str, parameters: Vec<(String, String)>) -> Self {
        let program = program.chars().filter(|c| !c.is_control()).take(MAX_PROGRAM).collect();
        Self { stream, client: peer.client(), program, parameters, peer }
    }
}

/// Without the parameters' values: keys and tokens are no business of logs.
impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters: Vec<_> = self.parameters().map(|(key, _)| key).collect();
        f.debug_struct("Attempt")
            .field("stream", &self.stream)
            .field("client", &self.client)
            .field("program", &self.program)
            .field("parameters", &parameters)
            .finish()
    }
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

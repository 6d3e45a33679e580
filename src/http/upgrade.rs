//! The handshake that turns a request into a WebSocket (RFC 6455, 4.2).

use tiny_http::{HTTPVersion, Method, Request};
use tungstenite::handshake::derive_accept_key;

use super::answer::SERVER;
use super::front::{Answer, header_of, text, with_header};
use super::head::{CONNECTION_UPGRADE, UPGRADE_HEADER};

/// The only version there is.
const VERSION: &str = "13";

/// Length of a key: 16 bytes in Base64.
const KEY_LENGTH: usize = 24;

/// The pages whose WebSockets are taken, by their origins.
#[derive(Debug)]
pub(super) struct Origins {
    /// None: all, or none but our own.
    pub(super) listed: Vec<String>,
    /// Whether it is all if none are listed.
    pub(super) cors: bool,
}

/// Why there is no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Request,
    Connection,
    Key,
    Version,
}

impl Origins {
    /// Whether this request's page may play. What is no browser has no page, and may; so may our own pages.
    pub(super) fn allow(&self, request: &Request) -> bool {
        self.allow_origin(header_of(request, "Origin"), header_of(request, "Host"))
    }

    fn allow_origin(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let is_own = authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host));
        let is_listed = || self.listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin));
        is_own || if self.listed.is_empty() { self.cors } else { is_listed() }
    }
}

/// Whether a request asks for a WebSocket. Other upgrades are passed over.
pub(super) fn is_asked_for(request: &Request) -> bool {
    let protocols = header_of(request, "Upgrade").unwrap_or_default();
    protocols.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// The head of the answer that makes a WebSocket of the connection, if the request asks for that.
pub(super) fn handshake(request: &Request) -> Result<Option<Box<[u8]>>, Refused> {
    if !is_asked_for(request) {
        return Ok(None);
    }
    if *request.method() != Method::Get || *request.http_version() < HTTPVersion(1, 1) {
        return Err(Refused::Request);
    }
    if header_of(request, UPGRADE_HEADER) != Some(CONNECTION_UPGRADE) {
        return Err(Refused::Connection);
    }
    if header_of(request, "Sec-WebSocket-Version") != Some(VERSION) {
        return Err(Refused::Version);
    }
    let key = header_of(request, "Sec-WebSocket-Key").filter(|key| is_key(key)).ok_or(Refused::Key)?;
    Ok(Some(head(key)))
}

fn head(key: &str) -> Box<[u8]> {
    let accept = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nServer: {SERVER}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    head.into_bytes().into_boxed_slice()
}

fn is_key(key: &str) -> bool {
    let digits = key.strip_suffix("==").unwrap_or_default();
    key.len() == KEY_LENGTH && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
}

impl Refused {
    pub(super) fn response(self) -> Answer {
        match self {
            Self::Request => text(400, "A WebSocket begins with a GET request of HTTP/1.1."),
            Self::Connection => {
                text(400, "A WebSocket begins with Connection: Upgrade; a proxy may have left it out.")
            }
            Self::Key => text(400, "A WebSocket begins with a Sec-WebSocket-Key of 16 bytes in Base64."),
            Self::Version => {
                let response = text(426, "This is not the version of WebSocket that is spoken here.");
                with_header(response, "Sec-WebSocket-Version", VERSION)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sixteen_bytes_and_answered_as_specified() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for wrong in ["", "==", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub2 jZQ=="] {
            assert!(!is_key(wrong), "{wrong}");
        }
        let head = String::from_utf8_lossy(&head("dGhlIHNhbXBsZSBub25jZQ==")).into_owned();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    }

    #[test]
    fn pages_are_known_by_their_origin() {
        let origins =
            |listed: &[&str], cors| Origins { listed: listed.iter().map(|o| (*o).into()).collect(), cors };
        let (ours, theirs) = (Some("http://H:8090"), Some("https://example.org"));
        let allows = |origins: &Origins| {
            [None, ours, theirs, Some("null")].map(|o| origins.allow_origin(o, Some("h:8090")))
        };
        assert_eq!(allows(&origins(&[], true)), [true; 4]);
        assert_eq!(allows(&origins(&[], false)), [true, true, false, false]);
        for cors in [true, false] {
            assert_eq!(allows(&origins(&["https://Example.org"], cors)), [true, true, true, false]);
            assert_eq!(allows(&origins(&["http://example.org", "null"], cors)), [true, true, false, true]);
        }
        assert!(!origins(&[], false).allow_origin(theirs, None));
        assert!(!origins(&[], false).allow_origin(Some("http://h:80901"), Some("h:8090")));
    }
}

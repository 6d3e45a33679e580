//! Request heads: read by httparse, vetted, and written anew for tiny_http.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Longest request head in bytes.
pub(crate) const MAX_HEAD: usize = 16 << 10;

/// Longest request body in bytes.
pub(crate) const MAX_BODY: usize = 64 << 10;

/// Most header lines in a request.
const MAX_HEADERS: usize = 64;

/// The request headers that rtmpd has a use for; no other reaches tiny_http.
const FORWARDED: [&str; 13] = [
    "Host",
    "Origin",
    "User-Agent",
    "Referer",
    "Authorization",
    "Accept-Encoding",
    "If-None-Match",
    "Access-Control-Request-Method",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Private-Network",
    "Upgrade",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
];

/// What proxies and browsers add to requests that are not of a program on this machine, or not for its own sake.
const SIGNS_OF_OTHERS: [&str; 7] =
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via", "Origin"];

/// Tells tiny_http's workers that a request is one of this machine's own. Clients cannot set it either.
pub(crate) const LOCAL_HEADER: &str = "X-Rtmpd-Local";

/// Tells tiny_http's workers that the request's Connection header lists an upgrade. That header itself must not: tiny_http
/// would take all that follows for the request's body.
pub(crate) const UPGRADE_HEADER: &str = "X-Rtmpd-Upgrade";
pub(crate) const CONNECTION_UPGRADE: &str = "listed";

/// Names the connection to tiny_http's workers. Clients cannot set it: only [`FORWARDED`] passes.
pub(crate) const CONNECTION_HEADER: &str = "X-Rtmpd-Connection";

/// Why a request is refused before anybody looks at what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("not an HTTP request: {0}")]
    Malformed(httparse::Error),
    #[error("the request's target must be a path")]
    Target,
    #[error("the request's head is longer than {MAX_HEAD} bytes or has more than {MAX_HEADERS} lines")]
    TooLong,
    #[error("the request's body length is malformed")]
    Length,
    #[error("the request's body is longer than {MAX_BODY} bytes")]
    BodyTooLong,
    #[error("requests with Transfer-Encoding are not taken")]
    TransferEncoding,
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    Version,
    #[error("the connection begins with a malformed PROXY header")]
    Preface,
    #[error("the request was not complete in time")]
    Timeout,
    #[error("the request was not complete when others needed its place")]
    Displaced,
    #[error("the server is shutting down")]
    Shutdown,
}

impl HeadError {
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Target | Self::Length | Self::Preface => "400 Bad Request",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::BodyTooLong => "413 Content Too Large",
            Self::TransferEncoding => "501 Not Implemented",
            Self::Version => "505 HTTP Version Not Supported",
            Self::Timeout => "408 Request Timeout",
            Self::Displaced | Self::Shutdown => "503 Service Unavailable",
        }
    }
}

/// A request that may be passed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Vetted {
    /// How many bytes the head took.
    pub(crate) head_length: usize,
    /// How many bytes of body follow it.
    pub(crate) body_length: usize,
    /// The head written anew, without its last, empty line.
    pub(crate) rewritten: String,
    /// The addresses in all its X-Forwarded-For headers, in order, separated by commas.
    pub(crate) forwarded_for: String,
    /// Whether it says that it is for this machine, and nothing in it says that it was passed on by a proxy, or made by
    /// a page of another site, whose name may well have been made to lead here.
    pub(crate) is_for_loopback: bool,
}

/// Looks at what has been received so far; `None` means that the head is not complete.
pub(crate) fn vet(received: &[u8]) -> Result<Option<Vetted>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head_length = match request.parse(received) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if received.len() < MAX_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLong),
        Err(httparse::Error::Version) => return Err(HeadError::Version),
        Err(error) => return Err(HeadError::Malformed(error)),
    };
    let (method, version) = (request.method.unwrap_or_default(), request.version.unwrap_or_default());
    let target = origin_form(request.path.unwrap_or_default())?;
    let body_length = body_length(request.headers)?;
    let rewritten = rewrite(method, &target, version, request.headers, body_length);
    let is_for_loopback =
        request.path.is_some_and(|path| path.starts_with('/')) && is_for_loopback(request.headers);
    let forwarded_for = forwarded_for(request.headers);
    Ok(Some(Vetted { head_length, body_length, rewritten, forwarded_for, is_for_loopback }))
}

/// The target as a path with its query; other characters than ASCII, which some players send, are escaped.
fn origin_form(target: &str) -> Result<String, HeadError> {
    const OTHER: &AsciiSet = &CONTROLS.add(b' ');
    let path = match target.split_once("://") {
        Some(("http" | "https", rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    };
    if !path.starts_with('/') && path != "*" {
        return Err(HeadError::Target);
    }
    Ok(utf8_percent_encode(path, OTHER).to_string())
}

/// The values of all headers of this name.
fn named<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

fn forwarded_for(headers: &[httparse::Header<'_>]) -> String {
    let values: Vec<_> = named(headers, "X-Forwarded-For").map(String::from_utf8_lossy).collect();
    values.join(",")
}

fn is_for_loopback(headers: &[httparse::Header<'_>]) -> bool {
    let is_alone = SIGNS_OF_OTHERS.iter().all(|sign| named(headers, sign).next().is_none());
    let mut hosts = named(headers, "Host");
    let (host, other) = (hosts.next(), hosts.next());
    is_alone && other.is_none() && host.is_some_and(is_loopback_name)
}

/// Whether the value of a `Host` header names this machine, with or without a port.
fn is_loopback_name(host: &[u8]) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
        let Some((own, rest)) = host.split_at_checked(name.len()) else { return false };
        let is_port = |rest: &[u8]| {
            rest.strip_prefix(b":").is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit))
        };
        own.eq_ignore_ascii_case(name.as_bytes()) && (rest.is_empty() || is_port(rest))
    })
}

fn body_length(headers: &[httparse::Header<'_>]) -> Result<usize, HeadError> {
    if named(headers, "Transfer-Encoding").next().is_some() {
        return Err(HeadError::TransferEncoding);
    }
    let mut lengths = named(headers, "Content-Length");
    let Some(value) = lengths.next() else { return Ok(0) };
    if lengths.any(|other| other != value) || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::Length);
    }
    // A number too large for the type is too large for us.
    let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    if length > MAX_BODY { Err(HeadError::BodyTooLong) } else { Ok(length) }
}

/// Whether a Connection header lists this option.
fn has_option(headers: &[httparse::Header<'_>], option: &str) -> bool {
    let mut options = named(headers, "Connection").flat_map(|value| value.split(|byte| *byte == b','));
    options.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
}

fn rewrite(
    method: &str,
    target: &str,
    version: u8,
    headers: &[httparse::Header<'_>],
    body_length: usize,
) -> String {
    let mut head = format!("{method} {target} HTTP/1.{version}\r\nConnection: close\r\n");
    for name in FORWARDED {
        // tiny_http takes nothing but ASCII.
        let value = named(headers, name).next().filter(|value| value.is_ascii());
        if let Some(value) = value.and_then(|value| std::str::from_utf8(value).ok()) {
            let _infallible = write!(head, "{name}: {value}\r\n");
        }
    }
    if has_option(headers, "upgrade") {
        let _infallible = write!(head, "{UPGRADE_HEADER}: {CONNECTION_UPGRADE}\r\n");
    }
    if body_length > 0 {
        let _infallible = write!(head, "Content-Length: {body_length}\r\n");
    }
    head
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn vetted(request: &str) -> Vetted {
        vet(request.as_bytes()).unwrap().unwrap()
    }

    fn error(request: &str) -> HeadError {
        vet(request.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_head_is_rewritten_with_what_is_of_use() {
        let request = "GET /live/cam1.flv?x=1 HTTP/1.1\r\nhost: h\r\nRange: bytes=0-\r\nConnection: keep-alive\r\n\
                       X-Rtmpd-Connection: 1\r\nUser-Agent: \u{fc}\r\norigin: http://o\r\n\r\nrest";
        let head = vetted(request);
        assert_eq!(
            head.rewritten,
            "GET /live/cam1.flv?x=1 HTTP/1.1\r\nConnection: close\r\nHost: h\r\nOrigin: http://o\r\n"
        );
        assert_eq!((head.head_length, head.body_length), (request.len() - 4, 0));
        let forwarded =
            "GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nA: b\r\nx-forwarded-for: ::1\r\n\r\n";
        assert_eq!(vetted(forwarded).forwarded_for, "1.2.3.4, 5.6.7.8,::1");
    }

    #[test]
    fn a_request_of_this_machines_own_has_its_name_and_nothing_of_others() {
        let is_local = |head: &str| vetted(&format!("{head}\r\n\r\n")).is_for_loopback;
        for host in ["localhost", "LocalHost:8090", "127.0.0.1:1", "[::1]", "[::1]:8090"] {
            assert!(is_local(&format!("GET /api HTTP/1.1\r\nHost: {host}")), "{host}");
        }
        for host in
            ["", "localhost.", "localhost:", "localhost:8o", "127.0.0.10", "::1", "evil", "localhost.evil:80"]
        {
            assert!(!is_local(&format!("GET /api HTTP/1.1\r\nHost: {host}")), "{host}");
        }
        assert!(
            !is_local("GET /api HTTP/1.0") && !is_local("GET http://localhost/api HTTP/1.1\r\nHost: localhost")
        );
        assert!(!is_local("GET /api HTTP/1.1\r\nHost: localhost\r\nHost: localhost"));
        for sign in [
            "origin: null",
            "Origin: http://localhost",
            "X-FORWARDED-FOR: 127.0.0.1",
            "Forwarded: for=x",
            "Via: y",
        ] {
            assert!(!is_local(&format!("GET /api HTTP/1.1\r\nHost: localhost\r\n{sign}")), "{sign}");
        }
        assert!(!vetted("GET / HTTP/1.1\r\nX-Rtmpd-Local: 1\r\n\r\n").rewritten.contains("Local"));
    }

    #[test]
    fn an_upgrade_is_passed_on_beside_the_connection_header() {
        let request = |options: &str| format!("GET / HTTP/1.1\r\n{options}Upgrade: WebSocket\r\n\r\n");
        for options in ["Connection: Upgrade\r\n", "connection: keep-alive , UPGRADE\r\n"] {
            let head = vetted(&request(options)).rewritten;
            assert!(
                head.starts_with("GET / HTTP/1.1\r\nConnection: close\r\nUpgrade: WebSocket\r\n"),
                "{head}"
            );
            assert!(head.ends_with("X-Rtmpd-Upgrade: listed\r\n"), "{head}");
        }
        for options in ["", "Connection: upgrades\r\n", "X-Rtmpd-Upgrade: listed\r\n"] {
            assert!(!vetted(&request(options)).rewritten.contains("X-Rtmpd-Upgrade"), "{options}");
        }
    }

    #[test]
    fn every_split_is_incomplete_until_the_end() {
        let request = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
        for end in 0..request.len() {
            assert_eq!(vet(&request[..end]), Ok(None), "{end}");
        }
        assert_eq!(vet(request).unwrap().unwrap().body_length, 5);
    }

    #[test]
    fn targets_become_paths() {
        assert!(vetted("GET http://h:1/a?b HTTP/1.1\r\n\r\n").rewritten.starts_with("GET /a?b HTTP/1.1\r\n"));
        assert!(vetted("GET http://h HTTP/1.1\r\n\r\n").rewritten.starts_with("GET / HTTP/1.1\r\n"));
        assert!(vetted("OPTIONS * HTTP/1.1\r\n\r\n").rewritten.starts_with("OPTIONS * HTTP/1.1\r\n"));
        assert_eq!(error("CONNECT h:443 HTTP/1.1\r\n\r\n"), HeadError::Target);
        assert_eq!(error("GET live HTTP/1.1\r\n\r\n"), HeadError::Target);
    }

    #[test]
    fn what_rtmpd_never_needs_is_refused() {
        assert_eq!(error("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HeadError::Version);
        assert_eq!(error("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), HeadError::TransferEncoding);
        for (length, expected) in [
            ("100000000000", HeadError::BodyTooLong),
            ("99999999999999999999999999", HeadError::BodyTooLong),
            ("65537", HeadError::BodyTooLong),
            ("-1", HeadError::Length),
            ("+5", HeadError::Length),
            ("5, 5", HeadError::Length),
            ("", HeadError::Length),
            ("5\r\nContent-Length: 6", HeadError::Length),
        ] {
            assert_eq!(
                error(&format!("GET / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n")),
                expected,
                "{length}"
            );
        }
        assert_eq!(vetted("GET / HTTP/1.1\r\nContent-Length: 65536\r\n\r\n").body_length, MAX_BODY);
        assert!(matches!(vet(b"\x16\x03\x01\x02\0\x01"), Err(HeadError::Malformed(_))));
        assert!(matches!(vet(b"GET / HTTP/1.1\r\nA: \x01\r\n\r\n"), Err(HeadError::Malformed(_))));
    }

    #[test]
    fn heads_are_bounded_at_the_edge() {
        let line = "GET / HTTP/1.1\r\nA: ";
        let longest = format!("{line}{}\r\n\r\n", "x".repeat(MAX_HEAD - line.len() - 4));
        assert_eq!(vetted(&longest).head_length, MAX_HEAD);
        assert_eq!(
            error(&format!("{line}{}\r\n\r\n", "x".repeat(MAX_HEAD - line.len() - 3))),
            HeadError::TooLong
        );
        assert_eq!(error(&format!("{line}{}", "x".repeat(MAX_HEAD - line.len()))), HeadError::TooLong);
        let lines = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
        vetted(&lines(MAX_HEADERS));
        assert_eq!(error(&lines(MAX_HEADERS + 1)), HeadError::TooLong);
    }
}

//! Answers that are written by hand: those of the gate, and the heads of live responses.

use std::fmt::Write as _;

use super::routes::ALLOWED;
use crate::delivery::Answers;
use crate::stream::burst::Framing;

/// What the server calls itself.
pub(crate) const SERVER: &str = concat!("rtmpd/", env!("CARGO_PKG_VERSION"));

/// Seconds after which a client that was refused for want of room may try again.
const RETRY_AFTER: u32 = 2;

/// Why there is nothing to play.
pub(crate) const NOT_LIVE: &str = "This stream is not live.";
pub(crate) const NO_TRACK: &str = "This stream has no such track.";
pub(crate) const NO_KEYFRAME: &str = "This stream has no keyframe at hand.";
pub(crate) const NOT_PLAYABLE: &str =
    "Browsers cannot play this stream's codecs; with ?enhanced=raw it comes as it was published.";

/// The headers that let pages of any origin read an answer.
pub(crate) const CORS: [(&str, &str); 2] =
    [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "Content-Length, Retry-After")];

/// A whole answer with a line of text for a body.
pub(crate) fn plain(status: &str, text: &str, cors: bool) -> Box<[u8]> {
    let mut answer = head(status, "HTTP/1.1", cors);
    let _infallible = write!(
        answer,
        "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: {}\r\n",
        text.len() + 1
    );
    if status.starts_with("503") {
        let _infallible = write!(answer, "Retry-After: {RETRY_AFTER}\r\n");
    }
    if status.starts_with("405") {
        let _infallible = write!(answer, "Allow: {ALLOWED}\r\n");
    }
    let _infallible = write!(answer, "\r\n{text}\n");
    answer.into_bytes().into_boxed_slice()
}

/// The head of a live response. Nothing between server and player may keep it or hold it back.
pub(crate) fn live(framing: Framing, cors: bool) -> Box<[u8]> {
    let version = if framing == Framing::Chunked { "HTTP/1.1" } else { "HTTP/1.0" };
    let mut head = head("200 OK", version, cors);
    head.push_str(
        "Content-Type: video/x-flv\r\n\
         Cache-Control: no-cache, no-store, no-transform\r\n\
         Pragma: no-cache\r\n\
         Expires: 0\r\n\
         Accept-Ranges: none\r\n\
         X-Accel-Buffering: no\r\n",
    );
    if framing == Framing::Chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes().into_boxed_slice()
}

/// Everything that a viewer may be answered.
pub(crate) fn for_viewer(framing: Framing, cors: bool) -> Answers {
    Answers {
        live: live(framing, cors),
        not_found: plain("404 Not Found", NOT_LIVE, cors),
        no_track: plain("404 Not Found", NO_TRACK, cors),
        not_playable: plain("406 Not Acceptable", NOT_PLAYABLE, cors),
        unavailable: plain("503 Service Unavailable", "The server is shutting down.", cors),
    }
}

fn head(status: &str, version: &str, cors: bool) -> String {
    let mut head = format!("{version} {status}\r\nServer: {SERVER}\r\nConnection: close\r\n");
    for (name, value) in CORS.iter().filter(|_| cors) {
        let _infallible = write!(head, "{name}: {value}\r\n");
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_heads_fit_the_version_that_the_client_speaks() {
        let chunked = String::from_utf8_lossy(&live(Framing::Chunked, true)).into_owned();
        assert!(chunked.starts_with("HTTP/1.1 200 OK\r\n") && chunked.ends_with("\r\n\r\n"));
        assert!(chunked.contains("Transfer-Encoding: chunked\r\n"));
        assert!(chunked.contains("Access-Control-Allow-Origin: *\r\n"));
        let plain = String::from_utf8_lossy(&live(Framing::Plain, false)).into_owned();
        assert!(plain.starts_with("HTTP/1.0 200 OK\r\n"));
        assert!(!plain.contains("Transfer-Encoding") && !plain.contains("Access-Control"));
        assert!(plain.contains("Connection: close\r\n"));
    }

    #[test]
    fn refusals_say_when_to_try_again_and_what_is_allowed() {
        let full = String::from_utf8_lossy(&plain("503 Service Unavailable", "Full.", false)).into_owned();
        assert!(full.contains("Retry-After: 2\r\n") && full.contains("Content-Length: 6\r\n"), "{full}");
        let wrong = String::from_utf8_lossy(&plain("405 Method Not Allowed", "No.", false)).into_owned();
        assert!(wrong.contains("Allow: GET, HEAD, OPTIONS\r\n"));
    }
}

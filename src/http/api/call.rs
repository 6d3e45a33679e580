//! What a call asks for, from its method and target alone.

use crate::http::routes::{is_media, split_target};

/// Most entries of a list in one answer, and as many as there are without `?count=`.
const MAX_COUNT: usize = 1000;

const READ: &str = "GET, HEAD, OPTIONS";
const READ_OR_END: &str = "GET, HEAD, DELETE, OPTIONS";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Versions,
    Summaries,
    /// Whether with the bitrates of the last minutes.
    Streams(Page, bool),
    Stream(String),
    Clients(Page),
    Client(String),
    EndClient(String),
}

/// Why a call is none. With the methods that its path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallError {
    NotFound,
    Page,
    Method(&'static str),
    /// It asks which there are.
    Options(&'static str),
}

/// Which part of a list: SRS's `?start=` and `?count=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    start: usize,
    count: usize,
}

/// Who is there: a publication or a viewer, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientId {
    Publisher(u64),
    Viewer(u64),
}

/// Whether a target belongs to the API, and not to a stream whose app has the same name.
pub(in crate::http) fn is_api(target: &str) -> bool {
    let path = split_target(target).0;
    (path == "/api" || path.starts_with("/api/")) && !is_media(target)
}

impl Call {
    pub(super) fn parse(method: &str, target: &str) -> Result<Self, CallError> {
        let (path, query) = split_target(target);
        let path = path.strip_prefix("/api/v1/").ok_or(CallError::NotFound)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let (list, id) = path.split_once('/').map_or((path, None), |(list, id)| (list, Some(id)));
        let allow = if list == "clients" && id.is_some() { READ_OR_END } else { READ };
        let page = || Page::parse(query);
        let call = match (list, id) {
            ("versions", None) => Self::Versions,
            ("summaries", None) => Self::Summaries,
            ("streams", None) => Self::Streams(page()?, query.split('&').any(|pair| pair == "history=1")),
            ("clients", None) => Self::Clients(page()?),
            ("streams", Some(id)) => Self::Stream(id.into()),
            ("clients", Some(id)) if method == "DELETE" => Self::EndClient(id.into()),
            ("clients", Some(id)) => Self::Client(id.into()),
            _ => return Err(CallError::NotFound),
        };
        match method {
            "GET" | "HEAD" => Ok(call),
            "DELETE" if allow == READ_OR_END => Ok(call),
            "OPTIONS" => Err(CallError::Options(allow)),
            _ => Err(CallError::Method(allow)),
        }
    }

    /// Whether it shows addresses or changes something.
    pub(super) fn needs_operator(&self) -> bool {
        matches!(self, Self::Clients(_) | Self::Client(_) | Self::EndClient(_))
    }
}

impl Page {
    pub(super) const TAKEN: &str = "start takes a number from 0 on, count one from 1 to 1000.";

    fn parse(query: &str) -> Result<Self, CallError> {
        let mut page = Self { start: 0, count: MAX_COUNT };
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("start", value)) => page.start = value.parse().map_err(|_| CallError::Page)?,
                Some(("count", value)) => {
                    let count = value.parse().ok().filter(|count| (1..=MAX_COUNT).contains(count));
                    page.count = count.ok_or(CallError::Page)?;
                }
                _ => {}
            }
        }
        Ok(page)
    }

    pub(super) fn of<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.start).take(self.count).collect()
    }
}

impl ClientId {
    /// Reads what [`publisher_id`] and [`viewer_id`] write, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, number) = text.split_at_checked(1)?;
        let number = number.parse().ok().filter(|parsed: &u64| parsed.to_string() == number)?;
        match kind {
            "p" => Some(Self::Publisher(number)),
            "v" => Some(Self::Viewer(number)),
            _ => None,
        }
    }
}

pub(super) fn publisher_id(publication: u64) -> String {
    format!("p{publication}")
}

pub(super) fn viewer_id(viewer: u64) -> String {
    format!("v{viewer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> Result<Call, CallError> {
        Call::parse("GET", target)
    }

    #[test]
    fn calls_are_found_by_path() {
        let all = Page { start: 0, count: MAX_COUNT };
        assert_eq!(get("/api/v1/versions"), Ok(Call::Versions));
        assert_eq!(get("/api/v1/summaries/?x=y"), Ok(Call::Summaries));
        assert_eq!(get("/api/v1/streams"), Ok(Call::Streams(all, false)));
        assert_eq!(get("/api/v1/streams/?history=1"), Ok(Call::Streams(all, true)));
        assert_eq!(get("/api/v1/streams/s1"), Ok(Call::Stream("s1".into())));
        assert_eq!(get("/api/v1/clients"), Ok(Call::Clients(all)));
        assert_eq!(get("/api/v1/clients/p2"), Ok(Call::Client("p2".into())));
        assert_eq!(Call::parse("DELETE", "/api/v1/clients/v3"), Ok(Call::EndClient("v3".into())));
        for target in [
            "/api",
            "/api/",
            "/api/v1",
            "/api/v1/",
            "/api/v2/streams",
            "/api/v1/streamsx",
            "/api/v1/versions/1",
        ] {
            assert_eq!(get(target), Err(CallError::NotFound), "{target}");
            assert!(is_api(target), "{target}");
        }
        assert!(!is_api("/apis") && !is_api("/") && !is_api("/api/v1/cam.flv?x"), "a stream may be called so");
    }

    #[test]
    fn methods_are_those_of_the_path() {
        let parse = Call::parse;
        assert_eq!(parse("HEAD", "/api/v1/versions"), Ok(Call::Versions));
        assert_eq!(parse("DELETE", "/api/v1/clients"), Err(CallError::Method(READ)));
        assert_eq!(parse("DELETE", "/api/v1/streams/s1"), Err(CallError::Method(READ)));
        assert_eq!(parse("POST", "/api/v1/clients/v1"), Err(CallError::Method(READ_OR_END)));
        assert_eq!(parse("OPTIONS", "/api/v1/clients/v1"), Err(CallError::Options(READ_OR_END)));
        assert_eq!(parse("DELETE", "/api/v1/nothing"), Err(CallError::NotFound));
    }

    #[test]
    fn lists_come_in_pages() {
        let page = |query: &str| Page::parse(query).map(|page| page.of((0..2000).collect()));
        assert_eq!(page(""), Ok((0..1000).collect()));
        assert_eq!(page("start=1995&count=10"), Ok((1995..2000).collect()));
        assert_eq!(page("count=1&start=18446744073709551615"), Ok(vec![]));
        assert_eq!(page("count=1000"), Ok((0..1000).collect()));
        for query in ["count=0", "count=1001", "count=", "start=-1", "start=x", "start=18446744073709551616"] {
            assert_eq!(page(query), Err(CallError::Page), "{query}");
        }
    }

    #[test]
    fn numbers_of_clients_are_read_as_they_are_written() {
        assert_eq!(ClientId::parse(&publisher_id(12)), Some(ClientId::Publisher(12)));
        assert_eq!(ClientId::parse(&viewer_id(u64::MAX)), Some(ClientId::Viewer(u64::MAX)));
        for text in ["", "p", "12", "p012", "p+1", "P1", "v1 ", "x1", "é1", "p18446744073709551616"] {
            assert_eq!(ClientId::parse(text), None, "{text}");
        }
    }
}

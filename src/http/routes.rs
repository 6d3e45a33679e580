//! What a request asks for, from its method and target alone.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::api::is_api;
use crate::flv::variant::Form;
use crate::media::{PacketKind, StreamName};
use crate::stream::cursor::Start;
use crate::stream::headers::Wanted;

/// Where a request may ask to begin.
const STARTS: &[(&str, Start)] = &[("gop", Start::Gop), ("key", Start::Key), ("live", Start::Live)];

/// The path of the default stream, or of the one that the query names.
const MEDIA_PATH: &str = "/service/httpflv";

const METRICS_PATH: &str = "/metrics";

const MEDIA_SUFFIX: &str = ".flv";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// A live stream.
    Live { name: StreamName, start: Option<Start>, wait: Option<Duration>, wanted: Wanted },
    /// One picture of a live stream.
    Still { name: StreamName, wanted: Wanted },
    /// An embedded file: its index in the list.
    Asset(&'static str),
    /// Whether the server is well.
    Health,
    /// The API, which looks at method and path itself.
    Api,
    /// Figures for Prometheus.
    Metrics,
    /// OPTIONS.
    Options,
}

/// Why a request gets no route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RouteError {
    NotFound,
    BadRequest(String),
    MethodNotAllowed,
}

/// The methods that everything here answers.
pub(crate) const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// Whether an answer to this target belongs to media, which pages of other origins may read.
pub(crate) fn is_media(target: &str) -> bool {
    let path = split_target(target).0;
    path.ends_with(MEDIA_SUFFIX) || path == MEDIA_PATH
}

/// What stands behind the question mark.
pub(crate) fn query(target: &str) -> &str {
    split_target(target).1
}

/// Finds the route of a request, which may ask to wait for at most `max_wait`. `assets` are the paths of the embedded
/// files.
pub(crate) fn route(
    method: &str,
    target: &str,
    max_wait: Duration,
    mut assets: impl Iterator<Item = &'static str>,
) -> Result<Route, RouteError> {
    let (path, query) = split_target(target);
    if is_api(target) {
        return Ok(Route::Api);
    }
    match method {
        "OPTIONS" => return Ok(Route::Options),
        "GET" | "HEAD" => {}
        _ => return Err(RouteError::MethodNotAllowed),
    }
    if path == "/healthz" {
        return Ok(Route::Health);
    }
    if path == METRICS_PATH {
        return Ok(Route::Metrics);
    }
    if let Some(asset) = assets.find(|asset| *asset == path) {
        return Ok(Route::Asset(asset));
    }
    let query = Query::parse(query, max_wait)?;
    let name = if path == MEDIA_PATH {
        name(query.app.as_deref().unwrap_or_default(), query.stream.as_deref().unwrap_or_default())?
    } else {
        let path = decode(path)?;
        // Looked at as a whole first: a path that climbs is wrong, whatever it ends in.
        name("", &path)?;
        name("", path.strip_suffix(MEDIA_SUFFIX).ok_or(RouteError::NotFound)?)?
    };
    let wanted = query.wanted()?;
    if query.still {
        let wanted = match wanted.only {
            Some(PacketKind::Audio) => {
                return Err(RouteError::BadRequest("still=1 is a picture, and only=audio has none".into()));
            }
            _ => Wanted { only: Some(PacketKind::Video), ..wanted },
        };
        return Ok(Route::Still { name, wanted });
    }
    Ok(Route::Live { name, start: query.start, wait: query.wait, wanted })
}

fn name(app: &str, stream: &str) -> Result<StreamName, RouteError> {
    if [app, stream].iter().any(|text| text.contains('?')) {
        return Err(RouteError::BadRequest("a stream name has no question mark".into()));
    }
    StreamName::new(app, stream).map_err(|error| RouteError::BadRequest(error.to_string()))
}

/// Where a stream plays.
pub(crate) fn play_path(name: &StreamName) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_');
    match name.is_default() {
        true => MEDIA_PATH.to_owned(),
        false => format!("/{}{MEDIA_SUFFIX}", utf8_percent_encode(name.as_str(), ESCAPED)),
    }
}

pub(super) fn split_target(target: &str) -> (&str, &str) {
    let target = target.split_once('#').map_or(target, |(target, _)| target);
    target.split_once('?').unwrap_or((target, ""))
}

/// The parameters that a media request may have. Others are passed over: players and proxies add their own.
#[derive(Debug, Default)]
struct Query {
    app: Option<String>,
    stream: Option<String>,
    start: Option<Start>,
    wait: Option<Duration>,
    still: bool,
    track: u8,
    only: Option<PacketKind>,
    raw: bool,
    legacy_hevc: bool,
}

impl Query {
    fn parse(query: &str, max_wait: Duration) -> Result<Self, RouteError> {
        let mut parsed = Self::default();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "app" => parsed.app = Some(decode(&value.replace('+', " "))?),
                "stream" => parsed.stream = Some(decode(&value.replace('+', " "))?),
                "start" => parsed.start = Some(choice(key, value, STARTS)?),
                "wait" => parsed.wait = Some(wait(value, max_wait)?),
                "still" => parsed.still = choice(key, value, &[("1", true), ("0", false)])?,
                "track" => parsed.track = track(value)?,
                "only" => {
                    let kinds = [("audio", PacketKind::Audio), ("video", PacketKind::Video)];
                    parsed.only = Some(choice(key, value, &kinds)?);
                }
                "enhanced" => parsed.raw = choice(key, value, &[("browser", false), ("raw", true)])?,
                "hevc" => parsed.legacy_hevc = choice(key, value, &[("enhanced", false), ("legacy", true)])?,
                _ => {}
            }
        }
        Ok(parsed)
    }

    fn wanted(&self) -> Result<Wanted, RouteError> {
        let form = match (self.raw, self.legacy_hevc) {
            (false, false) => Form::Browser,
            (false, true) => Form::LegacyHevc,
            (true, false) => Form::Raw,
            (true, true) => {
                let why = "enhanced=raw is as it came in; it cannot be had with hevc=legacy";
                return Err(RouteError::BadRequest(why.into()));
            }
        };
        Ok(Wanted { form, track: self.track, only: self.only })
    }
}

/// One of the values that a parameter takes.
fn choice<T: Copy>(key: &str, value: &str, choices: &[(&str, T)]) -> Result<T, RouteError> {
    choices.iter().find(|(name, _)| *name == value).map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        RouteError::BadRequest(format!("{key} takes {} or {last}", others.join(", ")))
    })
}

fn track(value: &str) -> Result<u8, RouteError> {
    value.parse().map_err(|_| RouteError::BadRequest("track takes a number from 0 to 255".into()))
}

fn wait(value: &str, max: Duration) -> Result<Duration, RouteError> {
    let seconds = value.parse().ok().map(Duration::from_secs).filter(|wait| *wait <= max);
    seconds.ok_or_else(|| RouteError::BadRequest(format!("wait takes seconds from 0 to {}", max.as_secs())))
}

/// Undoes percent-encoding, once and strictly.
fn decode(text: &str) -> Result<String, RouteError> {
    let bytes = text.as_bytes();
    let broken = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if bytes.iter().enumerate().any(|(at, &byte)| byte == b'%' && broken(at)) {
        return Err(RouteError::BadRequest("a percent sign must be followed by two hexadecimal digits".into()));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| RouteError::BadRequest("the path must be UTF-8".into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MAX_WAIT: Duration = Duration::from_secs(90);

    fn get(target: &str) -> Result<Route, RouteError> {
        route("GET", target, MAX_WAIT, ["/", "/resource/httpflv"].into_iter())
    }

    fn live(name: &str) -> Result<Route, RouteError> {
        let (name, wanted) = (StreamName::new("", name).unwrap(), Wanted::default());
        Ok(Route::Live { name, start: None, wait: None, wanted })
    }

    #[test]
    fn streams_are_found_by_path_and_by_query() {
        for (target, name) in [
            ("/live/cam1.flv", "live/cam1"),
            ("/live/cam1.flv?token=x", "live/cam1"),
            ("/live.flv", "live"),
            ("/a/b/c.flv", "a/b/c"),
            ("//live//cam1.flv", "live/cam1"),
            ("/live/K%C3%BCche%201.flv", "live/Küche 1"),
            ("/live/100%25.flv", "live/100%"),
            ("/service/httpflv", ""),
            ("/service/httpflv?app=live&stream=cam1", "live/cam1"),
            ("/service/httpflv?port=1935&app=live+x&stream=a%2Fb", "live x/a/b"),
            ("/service/httpflv?stream=s", "s"),
            ("/.flv", ""),
        ] {
            assert_eq!(get(target), live(name), "{target}");
        }
    }

    #[test]
    fn waits_are_taken_within_their_limit() {
        for (target, seconds) in [("/a.flv?wait=0", 0), ("/a.flv?wait=90", 90)] {
            let wait = Some(Duration::from_secs(seconds));
            let (name, wanted) = (StreamName::new("a", "").unwrap(), Wanted::default());
            assert_eq!(get(target), Ok(Route::Live { name, start: None, wait, wanted }));
        }
        for target in ["/a.flv?wait=91", "/a.flv?wait=-1", "/a.flv?wait=x", "/a.flv?wait="] {
            assert!(
                matches!(get(target), Err(RouteError::BadRequest(why)) if why.contains("0 to 90")),
                "{target}"
            );
        }
    }

    #[test]
    fn a_request_says_where_to_begin() {
        let start = |query: &str| match get(&format!("/a.flv?{query}")) {
            Ok(Route::Live { start, .. }) => Ok(start),
            Err(RouteError::BadRequest(why)) => Err(why),
            other => unreachable!("{other:?}"),
        };
        for (query, expected) in [
            ("", None),
            ("start=gop", Some(Start::Gop)),
            ("start=key", Some(Start::Key)),
            ("only=audio&start=live", Some(Start::Live)),
        ] {
            assert_eq!(start(query), Ok(expected), "{query}");
        }
        for query in ["start=nonsense", "start=first", "start=", "start"] {
            assert!(start(query).is_err_and(|why| why == "start takes gop, key or live"), "{query}");
        }
    }

    #[test]
    fn a_still_is_of_video() {
        let name = StreamName::new("a", "").unwrap();
        let wanted = Wanted { only: Some(PacketKind::Video), track: 1, ..Wanted::default() };
        assert_eq!(get("/a.flv?still=1&track=1"), Ok(Route::Still { name, wanted }));
        assert_eq!(get("/a.flv?still=0"), live("a"));
        for query in ["still", "still=yes", "still=1&only=audio"] {
            assert!(matches!(get(&format!("/a.flv?{query}")), Err(RouteError::BadRequest(_))), "{query}");
        }
    }

    #[test]
    fn tracks_and_forms_are_taken_by_name() {
        let wanted = |query: &str| match get(&format!("/a.flv?{query}")) {
            Ok(Route::Live { wanted, .. }) => Ok((wanted.form, wanted.track, wanted.only)),
            Err(RouteError::BadRequest(why)) => Err(why),
            other => unreachable!("{other:?}"),
        };
        assert_eq!(wanted("track=255&only=audio"), Ok((Form::Browser, 255, Some(PacketKind::Audio))));
        assert_eq!(wanted("only=video&enhanced=browser"), Ok((Form::Browser, 0, Some(PacketKind::Video))));
        assert_eq!(wanted("hevc=legacy"), Ok((Form::LegacyHevc, 0, None)));
        assert_eq!(wanted("enhanced=raw&hevc=enhanced"), Ok((Form::Raw, 0, None)));
        for (query, cure) in [
            ("track=256", "0 to 255"),
            ("track=", "0 to 255"),
            ("only=both", "audio or video"),
            ("enhanced=1", "browser or raw"),
            ("hevc=12", "enhanced or legacy"),
            ("enhanced=raw&hevc=legacy", "cannot be had"),
        ] {
            assert!(wanted(query).is_err_and(|why| why.contains(cure)), "{query}");
        }
    }

    #[test]
    fn bad_paths_are_named() {
        for target in [
            "/live/../cam1.flv",
            "/live/%2e%2e/cam1.flv",
            "/live/%2E%2E%2Fx.flv",
            "/live/%00.flv",
            "/live/%zz.flv",
            "/live/%f.flv",
            "/live/%",
            "/live/%FF.flv",
            "/live/a%3Fb.flv",
            "/../etc/passwd",
            "/live/%0A",
            "/live/%0d%0aX.flv",
            "/service/httpflv?app=..",
            "/service/httpflv?stream=%0A",
        ] {
            assert!(matches!(get(target), Err(RouteError::BadRequest(_))), "{target}: {:?}", get(target));
        }
    }

    #[test]
    fn the_rest_is_pages_health_or_nothing() {
        assert_eq!(get("/"), Ok(Route::Asset("/")));
        assert_eq!(get("/resource/httpflv?app=a"), Ok(Route::Asset("/resource/httpflv")));
        assert_eq!(get("/healthz"), Ok(Route::Health));
        assert_eq!((get("/metrics?x"), get("/api/v1/streams")), (Ok(Route::Metrics), Ok(Route::Api)));
        assert_eq!(
            route("DELETE", "/api/nothing", MAX_WAIT, [].into_iter()),
            Ok(Route::Api),
            "which says what it takes"
        );
        assert_eq!(get("/api/cam1.flv"), live("api/cam1"));
        assert_eq!(get("/live/cam1"), Err(RouteError::NotFound));
        assert_eq!(get("/favicon.ico"), Err(RouteError::NotFound));
        assert_eq!(route("POST", "/a.flv", MAX_WAIT, [].into_iter()), Err(RouteError::MethodNotAllowed));
        assert_eq!(route("OPTIONS", "*", MAX_WAIT, [].into_iter()), Ok(Route::Options));
        assert!(
            is_media("/a.flv?x") && is_media("/service/httpflv?x") && !is_media("/") && !is_media("/x?a.flv")
        );
    }
}

//! The pages and what they load, embedded by the build script (static/build.rs).

use std::io::Cursor;

use tiny_http::{Header, Response, StatusCode};

/// An embedded file.
pub(crate) struct Asset {
    /// The path it is served under.
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    /// Changes with the content.
    pub(crate) hash: &'static str,
    pub(crate) body: &'static [u8],
    /// The same compressed, where that saves something.
    pub(crate) gzip: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Scripts come from here, but for the engine where the build had no npm; nothing is inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self'; media-src 'self' blob:; \
     worker-src 'self' blob:; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'";

/// The player may be shown in pages of other sites, the entry page not: it has buttons.
const NOT_FRAMED: &str = "; frame-ancestors 'none'";

/// The paths of all embedded files.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|asset| asset.path)
}

/// The answer with the file of this path. `version` is the hash that the address carries, if any, `known` is
/// what the client says that it has (`If-None-Match`), `encodings` what it takes (`Accept-Encoding`).
pub(crate) fn respond(
    path: &str,
    version: Option<&str>,
    known: Option<&str>,
    encodings: Option<&str>,
) -> Option<Response<Cursor<&'static [u8]>>> {
    let asset = ASSETS.iter().find(|asset| asset.path == path)?;
    let gzip = asset.gzip.filter(|_| encodings.is_some_and(takes_gzip));
    // Of each encoding its own: they are not the same bytes.
    let etag = format!("\"{}{}\"", asset.hash, if gzip.is_some() { "-gzip" } else { "" });
    let is_known = |tag: &str| tag.trim().trim_start_matches("W/") == etag;
    let unchanged = known.is_some_and(|known| known.split(',').any(is_known));
    let is_page = asset.content_type.starts_with("text/html");
    // A page from before an upgrade asks for what is no more: what it gets instead must not be kept under that address.
    let is_for_ever = version == Some(asset.hash) && !is_page;
    let cache = if is_for_ever { "public, max-age=31536000, immutable" } else { "no-cache" };
    let (status, body) = if unchanged { (304, &[][..]) } else { (200, gzip.unwrap_or(asset.body)) };
    let frames = if path == "/" { NOT_FRAMED } else { "" };
    let policy = format!("{CONTENT_SECURITY_POLICY}; script-src 'self' {ENGINE}{frames}");
    let headers = [
        ("Content-Type", asset.content_type),
        ("ETag", &etag),
        ("Cache-Control", cache),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
        ("Content-Security-Policy", &policy),
    ];
    let encoding = [("Vary", "Accept-Encoding"), ("Content-Encoding", "gzip")];
    let encoding = match (asset.gzip, gzip) {
        (None, _) => &[],
        (Some(_), None) => &encoding[..1],
        _ => &encoding[..],
    };
    let headers = headers.iter().chain(encoding).filter_map(|(name, value)| header(name, value)).collect();
    Some(Response::new(StatusCode(status), headers, Cursor::new(body), Some(body.len()), None))
}

/// Whether an `Accept-Encoding` (RFC 9110, 12.5.3) takes gzip. `*` is not looked at: nobody says that alone.
fn takes_gzip(encodings: &str) -> bool {
    encodings.split(',').any(|entry| {
        let (coding, weight) = entry.split_once(';').unwrap_or((entry, ""));
        let is_refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        ["gzip", "x-gzip"].iter().any(|name| coding.trim().eq_ignore_ascii_case(name)) && !is_refused
    })
}

/// A header, unless it is malformed; ours are not.
pub(crate) fn header(name: &str, value: &str) -> Option<Header> {
    Header::from_bytes(name, value).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Status, length and the headers that tell of the encoding.
    fn get(known: Option<&str>, encodings: Option<&str>) -> (u16, usize, String, Vec<String>) {
        let response = respond("/static/player.js", None, known, encodings).unwrap();
        let of = |name: &str| {
            let mut headers = response.headers().iter();
            headers.find(|header| header.field.as_str() == name).map(|header| header.value.to_string())
        };
        let encoding = [of("Content-Encoding"), of("Vary")].into_iter().flatten().collect();
        (response.status_code().0, response.data_length().unwrap(), of("ETag").unwrap(), encoding)
    }

    #[test]
    fn only_what_an_address_means_is_kept_for_ever() {
        let cache = |path: &str, version: Option<&str>| {
            let response = respond(path, version, None, None).unwrap();
            let mut headers = response.headers().iter();
            headers.find(|header| header.field.equiv("Cache-Control")).unwrap().value.to_string()
        };
        let hash = |path| ASSETS.iter().find(|asset| asset.path == path).unwrap().hash;
        assert_eq!(
            cache("/static/player.js", Some(hash("/static/player.js"))),
            "public, max-age=31536000, immutable"
        );
        for version in [None, Some(""), Some("deadbeef"), Some(hash("/static/console.js"))] {
            assert_eq!(cache("/static/player.js", version), "no-cache", "{version:?}");
        }
        assert_eq!(cache("/", Some(hash("/"))), "no-cache", "pages have no addresses with hashes");
    }

    #[test]
    fn files_go_out_compressed_to_those_who_take_that() {
        let (status, plain, etag, encoding) = get(None, None);
        assert_eq!((status, &encoding[..]), (200, &["Accept-Encoding".to_owned()][..]));
        let (status, gzip, gzip_etag, encoding) = get(None, Some("br;q=1.0, GZIP ; q=0.5"));
        assert_eq!((status, &encoding[..]), (200, &["gzip".to_owned(), "Accept-Encoding".to_owned()][..]));
        assert!(gzip < plain / 2, "{gzip} of {plain} bytes");
        for refused in ["br", "gzip;q=0", "gzip;q=0.0, br", "x"] {
            assert_eq!(get(None, Some(refused)).1, plain, "{refused}");
        }
        assert_ne!(etag, gzip_etag);
        assert_eq!(get(Some(&etag), None).0, 304);
        assert_eq!(get(Some(&format!("W/{gzip_etag}, \"x\"")), Some("gzip")).0, 304);
        assert_eq!(get(Some(&etag), Some("gzip")).0, 200);
    }
}

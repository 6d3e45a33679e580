//! The pages and what they load, embedded by the build script (static/build.rs).

use std::io::Cursor;

use tiny_http::{Header, Response, StatusCode};

/// An embedded file.
pub(crate) struct Asset {
    /// The path it is served under.
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    /// Changes with the content.
    pub(crate) etag: &'static str,
    pub(crate) body: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Scripts come from here, or from the CDN where the build had no npm; nothing is inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' https://cdn.jsdelivr.net; \
     connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; style-src 'self'; img-src 'self' data:; \
     base-uri 'none'; form-action 'self'";

/// The paths of all embedded files.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|asset| asset.path)
}

/// The answer with the file of this path. `versioned` says that the address carries the file's hash, `known` is
/// what the client says that it has (`If-None-Match`).
pub(crate) fn respond(
    path: &str,
    versioned: bool,
    known: Option<&str>,
) -> Option<Response<Cursor<&'static [u8]>>> {
    let asset = ASSETS.iter().find(|asset| asset.path == path)?;
    let unchanged = known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == asset.etag));
    let is_page = asset.content_type.starts_with("text/html");
    let cache = if versioned && !is_page { "public, max-age=31536000, immutable" } else { "no-cache" };
    let (status, body) = if unchanged { (304, &[][..]) } else { (200, asset.body) };
    let headers = [
        ("Content-Type", asset.content_type),
        ("ETag", asset.etag),
        ("Cache-Control", cache),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
        ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ];
    let headers = headers.iter().filter_map(|(name, value)| header(name, value)).collect();
    Some(Response::new(StatusCode(status), headers, Cursor::new(body), Some(body.len()), None))
}

/// A header, unless it is malformed; ours are not.
pub(crate) fn header(name: &str, value: &str) -> Option<Header> {
    Header::from_bytes(name, value).ok()
}

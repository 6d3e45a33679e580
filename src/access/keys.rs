use std::fmt;
use std::path::Path;

use hmac::Mac as _;

use super::Denial;
use super::digest::digest;
use super::file::{FileError, Source};
use crate::media::{StreamName, StreamNameError};

const PURPOSE: &[u8] = b"rtmpd publish key";

/// The keys with which streams may be published. Only digests of them are kept.
#[derive(Clone, Default)]
pub struct PublishKeys(Vec<PublishKey>);

#[derive(Clone)]
struct PublishKey {
    /// What it covers: the stream of this name and those below it.
    path: StreamName,
    digest: [u8; 32],
}

/// Why a key is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The path is none.
    #[error(transparent)]
    Path(#[from] StreamNameError),
    /// The path has a question mark.
    #[error("a path has no question mark")]
    Query,
    /// The key is empty.
    #[error("the key is empty")]
    Empty,
    /// The key has a character that encoders cannot send in a query: they would tear it there.
    #[error("a key has no white space, control characters, &, ? or /")]
    Character,
}

impl PublishKeys {
    /// Takes a key for the stream `path` and all below it at whole segments: `live` covers `live` and `live/cam`, and not
    /// `live2`. The empty path covers everything. Where a longer path covers a stream, the keys of shorter ones do not
    /// count. Several keys of one path are all valid.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn add(&mut self, path: &str, key: &str) -> Result<(), KeyError> {
        let is_torn = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '&' | '?' | '/');
        match key {
            "" => return Err(KeyError::Empty),
            _ if path.contains('?') => return Err(KeyError::Query),
            _ if key.contains(is_torn) => return Err(KeyError::Character),
            _ => {}
        }
        let digest = digest(PURPOSE, key).finalize().into_bytes().into();
        self.0.push(PublishKey { path: StreamName::new(path, "")?, digest });
        Ok(())
    }

    /// Reads a file of lines `PATH KEY`, or `KEY` alone for everything. Empty lines and lines that begin with `#` are
    /// passed over.
    ///
    /// # Errors
    /// See [`FileError`]. A file without any key is one, for it would let anyone publish.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let source = Source { what: "publish keys", path };
        let contents = source.read()?;
        let text = std::str::from_utf8(&contents).map_err(|error| {
            let line = contents[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            source.error(Some(line), "this is not UTF-8")
        })?;
        let mut keys = Self::default();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            keys.add_line(line).map_err(|reason| source.error(Some(index + 1), reason))?;
        }
        if keys.is_empty() {
            return Err(source.error(None, "there is no key in it; a line is PATH KEY, or KEY alone"));
        }
        Ok(keys)
    }

    /// Whether there is no key, and so none is needed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether the stream may be published with the key that was given.
    pub(super) fn check(&self, stream: &StreamName, given: Option<&str>) -> Result<(), Denial> {
        if self.is_empty() {
            return Ok(());
        }
        let covering = || self.0.iter().filter(|key| key.covers(stream));
        let Some(longest) = covering().map(|key| key.path.as_str().len()).max() else {
            return Err(Denial::KeyNotFound);
        };
        let given = digest(PURPOSE, given.ok_or(Denial::KeyMissing)?);
        // All of them are looked at, and each in constant time: how long it takes says nothing about any.
        let of_path = covering().filter(|key| key.path.as_str().len() == longest);
        let matches = of_path.filter(|key| given.clone().verify_slice(&key.digest).is_ok()).count();
        if matches > 0 { Ok(()) } else { Err(Denial::KeyWrong) }
    }

    fn add_line(&mut self, line: &str) -> Result<(), String> {
        if line.trim_start().starts_with('#') {
            return Ok(());
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let added = match words[..] {
            [] => return Ok(()),
            [key] => self.add("", key),
            [path, key] => self.add(path, key),
            _ => return Err("a line is PATH KEY, or KEY alone for every stream".into()),
        };
        added.map_err(|error| error.to_string())
    }
}

impl PublishKey {
    fn covers(&self, stream: &StreamName) -> bool {
        let rest = stream.as_str().strip_prefix(self.path.as_str());
        self.path.is_default() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The paths alone.
impl fmt::Debug for PublishKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|key| key.path.as_str())).finish()
    }
}

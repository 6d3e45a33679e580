use std::fmt;
use std::path::Path;

use hmac::Mac as _;

use super::digest::digest;
use super::file::{FileError, Source};

const PURPOSE: &[u8] = b"rtmpd API token";

/// Shortest token of the API, in bytes.
pub const MIN_API_TOKEN: usize = 16;

/// What operators show to the API: `Authorization: Bearer TOKEN`. Only a digest of it is kept.
///
/// ```
/// use rtmpd::Server;
/// use rtmpd::access::ApiToken;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let token = ApiToken::new("0123456789abcdef")?;
/// let server = Server::builder().configure(|config| config.access.api_token = Some(token));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ApiToken([u8; 32]);

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is shorter than [`MIN_API_TOKEN`].
    #[error("the token is shorter than {MIN_API_TOKEN} bytes; openssl rand -hex 32 makes a good one")]
    Short,
    /// It has a character that does not go into a header.
    #[error(
        "a token is of visible ASCII characters, without white space; openssl rand -hex 32 makes a good one"
    )]
    Character,
}

impl ApiToken {
    /// Takes a token.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn new(token: &str) -> Result<Self, TokenError> {
        if token.len() < MIN_API_TOKEN {
            return Err(TokenError::Short);
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Character);
        }
        Ok(Self(digest(PURPOSE, token).finalize().into_bytes().into()))
    }

    /// Reads a file with a token; line ends at its end do not belong to it.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let source = Source { what: "API token", path };
        let contents = source.read()?;
        let text = std::str::from_utf8(&contents).map_err(|_| source.error(None, TokenError::Character))?;
        Self::new(text.trim_end_matches(['\r', '\n'])).map_err(|error| source.error(None, error))
    }

    /// Whether this is it; in constant time.
    pub(super) fn is(&self, given: &str) -> bool {
        digest(PURPOSE, given).verify_slice(&self.0).is_ok()
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(…)")
    }
}

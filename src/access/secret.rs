use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use super::file::{FileError, Source};
use super::{Attempt, Denial};
use crate::media::StreamName;

/// Shortest secret for play links, in bytes.
pub const MIN_PLAY_SECRET: usize = 16;

/// What signs play links. A link says until when it may be used, and is signed with the HMAC-SHA256 of
/// `STREAM?expires=UNIXSECONDS`.
///
/// ```
/// use rtmpd::StreamName;
/// use rtmpd::access::PlaySecret;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let secret = PlaySecret::new(b"0123456789abcdef")?;
/// let link = secret.signed_path(&StreamName::new("live", "cam1")?, 2_000_000_000);
/// assert!(link.starts_with("/live/cam1.flv?expires=2000000000&signature="));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PlaySecret(Hmac<Sha256>);

/// A secret is shorter than [`MIN_PLAY_SECRET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret is shorter than {MIN_PLAY_SECRET} bytes; openssl rand -hex 32 makes a good one")]
pub struct ShortSecret;

impl PlaySecret {
    /// Takes a secret.
    ///
    /// # Errors
    /// [`ShortSecret`].
    pub fn new(secret: &[u8]) -> Result<Self, ShortSecret> {
        if secret.len() < MIN_PLAY_SECRET {
            return Err(ShortSecret);
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| unreachable!("HMAC takes keys of any length"))
    }

    /// Reads a file with a secret; line ends at its end do not belong to it.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let source = Source { what: "play secret", path };
        let contents = source.read()?;
        let end = contents.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
        Self::new(&contents[..end]).map_err(|error| source.error(None, error))
    }

    /// The query that lets a stream be played until `expires`, in seconds of Unix time. It fits every address at which
    /// the stream plays, and the page's.
    pub fn sign(&self, stream: &StreamName, expires: u64) -> String {
        let signature = self.mac(stream, expires).finalize().into_bytes();
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("expires={expires}&signature={hex}")
    }

    /// The path at which a stream plays, with that query.
    pub fn signed_path(&self, stream: &StreamName, expires: u64) -> String {
        const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_');
        let query = self.sign(stream, expires);
        match stream.is_default() {
            true => format!("/service/httpflv?{query}"),
            false => format!("/{}.flv?{query}", utf8_percent_encode(stream.as_str(), ESCAPED)),
        }
    }

    pub(super) fn check(&self, attempt: &Attempt) -> Result<(), Denial> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        self.check_at(now, attempt)
    }

    pub(super) fn check_at(&self, now: u64, attempt: &Attempt) -> Result<(), Denial> {
        let (expires, signature) = (attempt.parameter("expires"), attempt.parameter("signature"));
        let (expires, signature) = expires.zip(signature).ok_or(Denial::SignatureMissing)?;
        let is_number = expires.bytes().all(|byte| byte.is_ascii_digit());
        let expires = expires.parse().ok().filter(|_| is_number).ok_or(Denial::SignatureWrong)?;
        let signature = bytes_of(signature).ok_or(Denial::SignatureWrong)?;
        // In constant time, and before the time is looked at: who made a link up learns nothing.
        self.mac(&attempt.stream, expires).verify_slice(&signature).map_err(|_| Denial::SignatureWrong)?;
        if now < expires { Ok(()) } else { Err(Denial::Expired) }
    }

    fn mac(&self, stream: &StreamName, expires: u64) -> Hmac<Sha256> {
        // No stream has a question mark in its name.
        self.0.clone().chain_update(format!("{}?expires={expires}", stream.as_str()))
    }
}

impl fmt::Debug for PlaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlaySecret(…)")
    }
}

/// The bytes of a signature in hexadecimal digits.
fn bytes_of(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (high << 4 | low) as u8;
    }
    Some(bytes)
}

use std::fmt;

/// Longest text of a [`Denied`] that a client is told, in bytes: ffmpeg shows no more.
pub const MAX_REASON: usize = 200;

/// Why an embedding program refuses an attempt: a text that the client is told, and that is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied(String);

impl Denied {
    /// Refuses with this text. It is told as one line of at most [`MAX_REASON`] bytes.
    pub fn new(reason: &str) -> Self {
        let mut line = String::new();
        for c in reason.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if line.len() + c.len_utf8() > MAX_REASON {
                break;
            }
            line.push(c);
        }
        Self(line)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Denied {}

/// Why an attempt is refused, for the log and for the client, who reads here what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    #[error("This is not allowed from your network.")]
    Network,
    #[error("A publish key is needed: put ?key=KEY behind the stream's name.")]
    KeyMissing,
    #[error("The publish key is wrong: check what is behind ?key= in the stream's name.")]
    KeyWrong,
    #[error("No publish key of this server covers the stream: check its name.")]
    KeyNotFound,
    #[error("This stream plays by signed links, and the signature is missing: ask for a link.")]
    SignatureMissing,
    #[error("The link's signature is wrong for this stream: ask for another link.")]
    SignatureWrong,
    #[error("The link has expired: ask for another.")]
    Expired,
    #[error("Pages of this site may not play here: --ws-origin names those that may.")]
    Origin,
    #[error(transparent)]
    Program(#[from] Denied),
    #[error("The program that decides about this has panicked.")]
    Panicked,
}

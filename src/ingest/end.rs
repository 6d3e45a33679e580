use std::fmt;
use std::io;
use std::time::Duration;

use super::transport::TlsFailure;
use crate::access::Denial;
use crate::admission::Refusal;
use crate::proxy::PrefaceError;
use crate::rtmp::session::SessionError;
use crate::stream::EndReason;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    Closed,
    Lost(io::Error),
    Protocol(SessionError),
    Tls(TlsFailure),
    TooLate(&'static str),
    Idle(Duration),
    Refused(String),
    /// It may not publish what it wants to, which has been logged.
    Denied(Denial),
    Replaced,
    Kicked,
    /// It held so many bytes in unfinished messages.
    OutOfMemory(usize),
    Shutdown,
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.to_string())
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        error.downcast().map_or_else(Self::Lost, Self::Tls)
    }
}

impl From<PrefaceError> for End {
    fn from(error: PrefaceError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("connection closed by the publisher"),
            Self::Lost(error) => write!(f, "connection lost: {error}"),
            Self::Protocol(error) => error.fmt(f),
            Self::Tls(failure) => failure.fmt(f),
            Self::TooLate(what) => write!(f, "{what} in time"),
            Self::Idle(time) => write!(f, "nothing received for {} s", time.as_secs()),
            Self::Refused(why) => f.write_str(why),
            Self::Denied(denial) => denial.fmt(f),
            Self::Replaced => f.write_str("another publisher took over"),
            Self::Kicked => EndReason::Kicked.fmt(f),
            Self::OutOfMemory(bytes) => {
                write!(f, "unfinished messages of {bytes} bytes when all connections together held too much")
            }
            Self::Shutdown => f.write_str("server shutdown"),
        }
    }
}

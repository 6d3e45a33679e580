use std::fmt;

use super::websocket::Violation;
use crate::stream::EndReason;

/// Why a viewer's response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaveReason {
    /// The stream did; the viewer has had the last chunk.
    Ended(EndReason),
    /// Somebody who may do so has ended it; the viewer has had the last chunk, unless it took nothing.
    Kicked,
    /// The viewer closed its connection, or it was lost.
    Left,
    /// It sent what no WebSocket may.
    Broken(Violation),
    /// It took nothing for too long.
    Stalled,
    /// It skipped too often.
    TooSlow,
    /// It took nothing while memory was short.
    OutOfMemory,
    /// The server could not wait for it any longer.
    CutOff,
    /// The server made a mistake while it served this viewer or others.
    Failure,
}

impl fmt::Display for LeaveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(reason) => reason.fmt(f),
            Self::Kicked => EndReason::Kicked.fmt(f),
            Self::Left => f.write_str("closed by the viewer"),
            Self::Broken(violation) => violation.fmt(f),
            Self::Stalled => f.write_str("took nothing for too long"),
            Self::TooSlow => f.write_str("too slow for the stream, skipped too often"),
            Self::OutOfMemory => f.write_str("took nothing while memory was short"),
            Self::Failure => f.write_str("closed after an error of the server"),
            Self::CutOff => f.write_str("cut off by shutdown"),
        }
    }
}

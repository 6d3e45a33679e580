use std::collections::VecDeque;
use std::io::Write as _;
use std::net::Shutdown;
use std::time::Instant;

use mio::net::TcpStream;

use super::client::LINGER;

/// How many there may be.
const MAX_TURNED_AWAY: usize = 16;

/// Connections for which there was no room, kept open for [`LINGER`] so that they get to know why: a close with
/// unread input would reset them.
#[derive(Debug, Default)]
pub(super) struct TurnedAway(VecDeque<(TcpStream, Instant)>);

impl TurnedAway {
    /// Answers without waiting for the request.
    pub(super) fn add(&mut self, mut socket: TcpStream, answer: &[u8]) {
        if socket.write_all(answer).and_then(|()| socket.shutdown(Shutdown::Write)).is_ok() {
            self.0.push_back((socket, Instant::now()));
            self.0.drain(..self.0.len().saturating_sub(MAX_TURNED_AWAY));
        }
    }

    /// Closes those that have been kept for long enough.
    pub(super) fn tick(&mut self, now: Instant) {
        self.0.retain(|(_, since)| now.saturating_duration_since(*since) < LINGER);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

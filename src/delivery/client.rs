use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;

use super::totals::Counters;
use super::{Answers, ViewerRequest};
use crate::media::StreamName;
use crate::peer::Peer;
use crate::stream::burst::Framing;
use crate::stream::headers::{NotThere, Wanted};

/// A viewer's connection, from its request to its end.
pub(crate) struct Client {
    pub(super) socket: TcpStream,
    peer: Peer,
    pub(super) name: StreamName,
    pub(super) framing: Framing,
    pub(super) wanted: Wanted,
    pub(super) answers: Arc<Answers>,
    pub(super) counters: Arc<Counters>,
    _permit: Box<dyn Send>,
}

/// What a peer's side of a connection shows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    /// It will send nothing any more. It may still read, or be gone: only sending tells.
    HalfClosed,
    Gone,
}

/// Most bytes that wait in the kernel for one viewer without having been sent. More would be of no use: what is
/// unsent for long should be skipped, and one who reads nothing should not cost several megabytes of buffers. An
/// ordinary keyframe fits in, so that it goes out in one write. The buffer for what is under way has no limit here.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MAX_UNSENT: u32 = 1 << 20;

impl Client {
    pub(super) fn new(request: ViewerRequest, counters: Arc<Counters>) -> io::Result<Self> {
        let ViewerRequest { socket, peer, permit, name, wanted, framing, answers, .. } = request;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket2::SockRef::from(&socket).set_tcp_notsent_lowat(MAX_UNSENT)?;
        let socket = TcpStream::from_std(socket);
        Ok(Self { socket, peer, name, framing, wanted, answers, counters, _permit: permit })
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether the peer is still there. What it sends is of no interest and thrown away.
    pub(super) fn presence(&self) -> Presence {
        let mut waste = [0; 4096];
        // A bound on how much is thrown away at a time: a peer that sends for ever costs no more than this.
        for _ in 0..16 {
            match (&self.socket).read(&mut waste) {
                Ok(0) => return Presence::HalfClosed,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Presence::Here,
                Err(_) => return Presence::Gone,
            }
        }
        Presence::Here
    }

    pub(super) fn refuse_not_found(mut self) {
        log::info!("viewer {} refused: {} is not live", self.peer, self.name);
        let answers = Arc::clone(&self.answers);
        self.finish_with(&answers.not_found);
    }

    /// The stream does not have what is asked for.
    pub(super) fn refuse_variant(mut self, why: NotThere) {
        let answers = Arc::clone(&self.answers);
        let (reason, answer) = match why {
            NotThere::Track => ("has no such track", &answers.no_track),
            NotThere::Form => ("has nothing that browsers can play", &answers.not_playable),
        };
        log::info!("viewer {} refused: {} {reason}", self.peer, self.name);
        self.finish_with(answer);
    }

    pub(super) fn refuse_unavailable(mut self) {
        let answers = Arc::clone(&self.answers);
        self.finish_with(&answers.unavailable);
    }

    /// Nothing has been sent yet, so a short answer fits the socket's buffer.
    fn finish_with(&mut self, answer: &[u8]) {
        self.counters.refused();
        if let Err(error) = self.socket.write_all(answer) {
            log::debug!("viewer {} lost: {error}", self.peer);
        }
        self.close();
    }

    /// Closes so that what was sent arrives: unread input would make the kernel reset the connection.
    pub(super) fn close(&self) {
        let _already_gone = self.socket.shutdown(Shutdown::Write);
        self.presence();
    }
}

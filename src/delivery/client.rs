use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;

use super::leave::LeaveReason;
use super::roster::{Listing, Roster};
use super::totals::Counters;
use super::websocket::Incoming;
use super::{Answers, ViewerRequest};
use crate::deadline::after;
use crate::media::StreamName;
use crate::peer::Peer;
use crate::stream::burst::Framing;
use crate::stream::headers::{NotThere, Wanted};
use crate::stream::watching::Protocol;

/// A viewer's connection, from its request to its end.
pub(crate) struct Client {
    pub(super) socket: TcpStream,
    peer: Peer,
    pub(super) name: StreamName,
    pub(super) protocol: Protocol,
    pub(super) framing: Framing,
    pub(super) wanted: Wanted,
    pub(super) answers: Arc<Answers>,
    pub(super) counters: Arc<Counters>,
    pub(super) listing: Listing,
    /// The head of the response of a WebSocket, until it has joined.
    pub(super) upgraded: Option<Box<[u8]>>,
    incoming: Option<Box<Incoming>>,
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
    pub(super) fn new(
        request: ViewerRequest,
        counters: Arc<Counters>,
        roster: &Arc<Roster>,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let listing = roster.enter(&request, now, after(now, request.wait));
        let ViewerRequest { socket, peer, permit, name, protocol, wanted, framing, answers, upgraded, .. } =
            request;
        let incoming = (framing == Framing::WebSocket).then(Box::default);
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket2::SockRef::from(&socket).set_tcp_notsent_lowat(MAX_UNSENT)?;
        let socket = TcpStream::from_std(socket);
        Ok(Self {
            socket,
            peer,
            name,
            protocol,
            framing,
            wanted,
            answers,
            counters,
            listing,
            upgraded,
            incoming,
            _permit: permit,
        })
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether the peer is still there. What it sends is of no interest and thrown away, but for a WebSocket's frames.
    pub(super) fn presence(&mut self) -> Presence {
        let mut received = [0; 4096];
        // A bound on how much is read at a time: a peer that sends for ever costs no more than this.
        for _ in 0..16 {
            // Nothing is read that could make the answer grow.
            if self.is_owed_an_answer() {
                return Presence::Here;
            }
            match self.socket.read(&mut received) {
                Ok(0) => return Presence::HalfClosed,
                Ok(count) => self.incoming.iter_mut().for_each(|incoming| incoming.take(&received[..count])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Presence::Here,
                Err(_) => return Presence::Gone,
            }
        }
        Presence::Here
    }

    /// Whether a WebSocket's peer has sent something that wants an answer.
    pub(super) fn is_owed_an_answer(&self) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| incoming.is_owed_an_answer())
    }

    /// What to answer to a WebSocket's frames, and whether and why that is the end.
    pub(super) fn take_answer(&mut self) -> Option<(Box<[u8]>, Option<LeaveReason>)> {
        self.incoming.as_mut()?.take_answer()
    }

    pub(super) fn refuse_not_found(mut self) {
        self.log_refusal("is not live");
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
        self.log_refusal(reason);
        self.finish_with(answer);
    }

    /// Somebody who may do so has ended its wait.
    pub(super) fn kick(mut self) {
        log::info!("viewer {} stopped waiting for {}: {}", self.peer, self.name, LeaveReason::Kicked);
        let answers = Arc::clone(&self.answers);
        self.finish_with(&answers.not_found);
    }

    pub(super) fn refuse_unavailable(mut self) {
        let answers = Arc::clone(&self.answers);
        self.finish_with(&answers.unavailable);
    }

    /// Says what the stream lacks.
    fn log_refusal(&self, reason: &str) {
        let (peer, name) = (self.peer, &self.name);
        self.counters.refusals.say(|more| log::info!("viewer {peer} refused: {name} {reason}{more}"));
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
    pub(super) fn close(&mut self) {
        let _already_gone = self.socket.shutdown(Shutdown::Write);
        self.presence();
    }
}

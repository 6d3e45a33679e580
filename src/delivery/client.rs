use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;

use super::{Answers, ViewerRequest};
use crate::media::StreamName;
use crate::peer::Peer;
use crate::stream::burst::Framing;

/// A viewer's connection, from its request to its end.
pub(crate) struct Client {
    pub(super) socket: TcpStream,
    peer: Peer,
    pub(super) name: StreamName,
    pub(super) framing: Framing,
    pub(super) answers: Arc<Answers>,
    _permit: Box<dyn Send>,
}

impl Client {
    pub(super) fn new(request: ViewerRequest) -> io::Result<Self> {
        let ViewerRequest { socket, peer, permit, name, framing, answers, .. } = request;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket: TcpStream::from_std(socket), peer, name, framing, answers, _permit: permit })
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether the peer has closed its side. What it sends is of no interest and thrown away.
    pub(super) fn has_left(&self) -> bool {
        let mut waste = [0; 4096];
        // A bound on how much is thrown away at a time: a peer that sends for ever costs no more than this.
        for _ in 0..16 {
            match (&self.socket).read(&mut waste) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    pub(super) fn refuse_not_found(mut self) {
        log::info!("viewer {} refused: {} is not live", self.peer, self.name);
        let answers = Arc::clone(&self.answers);
        self.finish_with(&answers.not_found);
    }

    pub(super) fn refuse_unavailable(mut self) {
        let answers = Arc::clone(&self.answers);
        self.finish_with(&answers.unavailable);
    }

    /// Nothing has been sent yet, so a short answer fits the socket's buffer.
    fn finish_with(&mut self, answer: &[u8]) {
        if let Err(error) = self.socket.write_all(answer) {
            log::debug!("viewer {} lost: {error}", self.peer);
        }
        self.close();
    }

    /// Closes so that what was sent arrives: unread input would make the kernel reset the connection.
    pub(super) fn close(&self) {
        let _already_gone = self.socket.shutdown(Shutdown::Write);
        self.has_left();
    }
}

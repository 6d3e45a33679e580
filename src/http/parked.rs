use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};

use crate::admission::Permit;
use crate::peer::Peer;

/// A client's socket, with what counts it. The socket is a non-blocking one.
#[derive(Debug)]
pub(super) struct ClientSocket {
    pub(super) socket: TcpStream,
    pub(super) peer: Peer,
    pub(super) permit: Permit,
}

/// The sockets of clients whose requests are being answered, by the number that their request carries.
#[derive(Debug, Default)]
pub(super) struct Parked(Mutex<HashMap<u64, ClientSocket>>);

impl Parked {
    pub(super) fn park(&self, id: u64, socket: ClientSocket) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, socket);
    }

    /// Whose socket it is, if it is there.
    pub(super) fn peer(&self, id: u64) -> Option<Peer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(|client| client.peer)
    }

    /// Takes a socket away: whoever has it is the one who answers.
    pub(super) fn take(&self, id: u64) -> Option<ClientSocket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }
}

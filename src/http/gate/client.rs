use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::exchange::{Exchange, Request};
use crate::admission::{Permit, Refusal};
use crate::deadline::after;
use crate::http::head::{HeadError, MAX_BODY, MAX_HEAD, Vetted, vet};
use crate::http::parked::ClientSocket;
use crate::peer::Peer;
use crate::proxy::{Preface, TrustedProxies, preface};

/// How long a client may take to fetch a whole answer (a page, a script).
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// How long to read on after an answer, so that unread input does not reset the connection before it arrives.
pub(super) const LINGER: Duration = Duration::from_millis(500);

/// How long a client has in any case before others may need its place: in a storm of honest ones each gets its turn.
const GRACE: Duration = Duration::from_millis(250);

/// How much is read after an answer at the most.
const MAX_WASTE: usize = 1 << 20;

/// The client's own socket; its connection to tiny_http has the next number.
pub(super) fn token_of(id: u64) -> Token {
    Token(2 * id as usize)
}

pub(super) fn id_of(token: Token) -> u64 {
    token.0 as u64 / 2
}

/// A client between its connection and its answer.
pub(super) struct Client {
    /// Not here while the client's socket is parked.
    connection: Option<Connection>,
    pub(super) peer: Peer,
    pub(super) state: State,
    since: Instant,
    /// When the present state must have ended.
    pub(super) deadline: Instant,
}

struct Connection {
    socket: TcpStream,
    permit: Permit,
}

pub(super) enum State {
    /// Its request is being received.
    Receiving(Incoming),
    /// Its request waits until tiny_http has answered others.
    Queued(Request),
    /// tiny_http is being asked.
    Asking(Exchange),
    /// An answer is being sent, and so many bytes of it have been.
    Answering(Vec<u8>, usize),
    /// The answer has been sent; so many bytes have been thrown away since.
    Lingering(usize),
}

/// What has come of a request.
#[derive(Default)]
pub(super) struct Incoming {
    received: Vec<u8>,
    head: Option<Vetted>,
    /// Whether a PROXY header may come first.
    may_have_preface: bool,
}

/// What is to be done about a client now.
pub(super) enum Step {
    /// Nothing, until its socket is ready again.
    Wait,
    /// Its request is whole.
    Ask,
    /// Its request is refused.
    Refuse(Refused),
    /// It is over.
    Close,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error(transparent)]
    Full(#[from] Refusal),
}

impl Client {
    pub(super) fn new(
        socket: TcpStream,
        peer: Peer,
        permit: Permit,
        may_have_preface: bool,
        patience: Duration,
    ) -> Self {
        let incoming = Incoming { may_have_preface, ..Incoming::default() };
        let connection = Some(Connection { socket, permit });
        let now = Instant::now();
        Self { connection, peer, state: State::Receiving(incoming), since: now, deadline: after(now, patience) }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let Some(Connection { socket, .. }) = &mut self.connection else { return Ok(()) };
        registry.register(socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// The address whose connections are counted together.
    pub(super) fn counted_as(&self) -> IpAddr {
        self.connection.as_ref().map_or(self.peer.ip(), |connection| connection.permit.address())
    }

    /// Whether it may be dropped when others need its place: it has had its time, and nobody works for it.
    pub(super) fn dawdles(&self, now: Instant) -> bool {
        match self.state {
            State::Queued(_) | State::Asking(_) => false,
            State::Lingering(_) => true,
            State::Receiving(_) | State::Answering(..) => now.saturating_duration_since(self.since) >= GRACE,
        }
    }

    /// Whether it has sent nothing at all.
    pub(super) fn is_mute(&self) -> bool {
        matches!(&self.state, State::Receiving(incoming) if incoming.received.is_empty())
    }

    /// Does what its socket allows now.
    pub(super) fn advance(&mut self, proxies: &TrustedProxies) -> Step {
        loop {
            let Some(Connection { socket, .. }) = &mut self.connection else { return Step::Wait };
            let done = match &mut self.state {
                State::Receiving(_) => return self.receive(proxies),
                State::Queued(_) | State::Asking(_) => return Step::Wait,
                State::Answering(answer, sent) => send(socket, answer, sent),
                State::Lingering(wasted) => {
                    return match waste(socket, wasted) {
                        Ok(true) => Step::Wait,
                        Ok(false) | Err(_) => Step::Close,
                    };
                }
            };
            match done {
                Ok(true) => {
                    self.state = State::Lingering(0);
                    self.deadline = Instant::now() + LINGER;
                }
                Ok(false) => return Step::Wait,
                Err(error) => {
                    log::debug!("client {} lost: {error}", self.peer);
                    return Step::Close;
                }
            }
        }
    }

    /// Begins to send an answer.
    pub(super) fn answer(&mut self, answer: Vec<u8>) {
        self.state = State::Answering(answer, 0);
        self.deadline = Instant::now() + ANSWER_PATIENCE;
    }

    /// How many bytes are kept for it because it has not taken its answer.
    pub(super) fn held(&self) -> usize {
        match &self.state {
            State::Answering(answer, _) => answer.len(),
            _ => 0,
        }
    }

    /// A word to one who must go at once, unless he is being told something else.
    pub(super) fn say_last(mut self, answer: &[u8]) {
        if let (Some(Connection { socket, .. }), State::Receiving(_)) = (&mut self.connection, &self.state) {
            let _may_be_lost = send(socket, answer, &mut 0);
        }
    }

    /// Gives the socket out of hand, to be parked. The poll no longer looks at it.
    pub(super) fn park(&mut self, registry: &Registry) -> Option<ClientSocket> {
        let Connection { mut socket, permit } = self.connection.take()?;
        let _gone_with_it = registry.deregister(&mut socket);
        Some(ClientSocket { socket: socket.into(), peer: self.peer, permit })
    }

    /// Takes the socket back.
    pub(super) fn unpark(&mut self, parked: ClientSocket) {
        let ClientSocket { socket, permit, .. } = parked;
        self.connection = Some(Connection { socket: TcpStream::from_std(socket), permit });
    }

    fn receive(&mut self, proxies: &TrustedProxies) -> Step {
        match self.try_receive(proxies) {
            Ok(true) => Step::Ask,
            Ok(false) => Step::Wait,
            Err(Interrupted::Left) => {
                log::debug!("HTTP connection from {} closed without a request", self.peer);
                Step::Close
            }
            Err(Interrupted::Refused(refused)) => Step::Refuse(refused),
        }
    }

    /// Reads on; returns whether the request is whole and waits in the state.
    fn try_receive(&mut self, proxies: &TrustedProxies) -> Result<bool, Interrupted> {
        let (Some(Connection { socket, permit }), State::Receiving(incoming)) =
            (&mut self.connection, &mut self.state)
        else {
            return Ok(false);
        };
        let mut buffer = [0; 4096];
        loop {
            let count = match socket.read(&mut buffer) {
                Ok(0) => return Err(Interrupted::Left),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(Interrupted::Left),
            };
            incoming.received.extend_from_slice(&buffer[..count]);
            if let Some(client) = incoming.take_preface()? {
                self.peer = self.peer.speaks_for(client);
                permit.move_to(client.ip(), proxies.trusts(client.ip()))?;
            }
            if incoming.may_have_preface || !incoming.is_whole(count)? {
                continue;
            }
            let (mut request, forwarded_for) = incoming.take_request();
            let client = proxies.client_of(self.peer, &forwarded_for);
            if client != self.peer {
                permit.move_to(client.ip(), proxies.trusts(client.ip()))?;
                self.peer = client;
            }
            request.is_local &= self.peer.is_on_this_machine() && !proxies.trusts(self.peer.ip());
            self.state = State::Queued(request);
            return Ok(true);
        }
    }
}

/// Why receiving ends before the request is whole.
enum Interrupted {
    Left,
    Refused(Refused),
}

impl<E: Into<Refused>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl Incoming {
    /// Takes a PROXY header off the front, if one may be there and is; gives the client that it names.
    fn take_preface(&mut self) -> Result<Option<std::net::SocketAddr>, HeadError> {
        if !self.may_have_preface {
            return Ok(None);
        }
        match preface(&self.received).map_err(|_| HeadError::Preface)? {
            Preface::Incomplete => Ok(None),
            Preface::Absent => {
                self.may_have_preface = false;
                Ok(None)
            }
            Preface::Header { client, length } => {
                self.may_have_preface = false;
                self.received.drain(..length);
                Ok(client)
            }
        }
    }

    /// Whether head and body are whole, now that `new` bytes have come.
    fn is_whole(&mut self, new: usize) -> Result<bool, HeadError> {
        // Vetting starts from the front each time; a head that comes in bits must not make that costly.
        let fresh = &self.received[self.received.len().saturating_sub(new)..];
        let is_first = fresh.len() == self.received.len();
        if self.head.is_none() && (is_first || fresh.contains(&b'\n') || self.received.len() >= MAX_HEAD) {
            self.head = vet(&self.received)?;
        }
        debug_assert!(self.head.is_none() || self.received.len() <= MAX_HEAD + MAX_BODY + 4096);
        Ok(self.head.as_ref().is_some_and(|head| self.received.len() >= head.head_length + head.body_length))
    }

    /// The whole request, and the addresses for which it was forwarded.
    fn take_request(&mut self) -> (Request, String) {
        let Some(head) = self.head.take() else { return Default::default() };
        let body = self.received[head.head_length..head.head_length + head.body_length].to_vec();
        let is_local = head.is_for_loopback;
        (Request { head: head.rewritten, body, is_local }, head.forwarded_for)
    }
}

/// Sends on; returns whether everything has been sent, and the sending side closed.
fn send(socket: &mut TcpStream, answer: &[u8], sent: &mut usize) -> io::Result<bool> {
    while *sent < answer.len() {
        match socket.write(&answer[*sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    socket.shutdown(Shutdown::Write)?;
    Ok(true)
}

/// Throws away what comes; returns whether more may come.
fn waste(socket: &mut TcpStream, wasted: &mut usize) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    while *wasted < MAX_WASTE {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => *wasted += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

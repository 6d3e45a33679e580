//! The gate: the public side of HTTP. Every connection gets a short-lived thread that reads one request, within a
//! time and a length, and passes it on; then the thread ends, and the socket is closed or a viewer's.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::answer::plain;
use super::front::Front;
use super::head::{CONNECTION_HEADER, HeadError, MAX_BODY, MAX_HEAD, Vetted, vet};
use super::private::SECRET_HEADER;
use crate::admission::{Admission, Permit, Refusal};
use crate::config::Config;
use crate::listener::{Accepted, Listener, Stopper};
use crate::occasional::Occasional;
use crate::threads::Threads;

/// How long tiny_http may take to answer.
const FRONT_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may take to fetch a whole answer (a page, a script).
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// How long to read on after an answer, so that unread input does not reset the connection before it arrives.
const LINGER: Duration = Duration::from_millis(500);

/// How often a thread that waits for a client looks whether the server is shutting down.
const TICK: Duration = Duration::from_millis(100);

/// How many refused connections are kept open for as long, for the same reason.
const MAX_REFUSED: usize = 16;

/// A client's socket, with what counts it.
pub(crate) struct ClientSocket {
    pub(crate) socket: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: Box<dyn Send>,
}

/// The sockets of clients whose requests are being answered, by the number that their request carries.
#[derive(Default)]
pub(crate) struct Parked {
    next: AtomicU64,
    sockets: Mutex<HashMap<u64, ClientSocket>>,
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parked").finish_non_exhaustive()
    }
}

impl Parked {
    fn park(&self, socket: ClientSocket) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).insert(id, socket);
        id
    }

    /// Takes a socket away: whoever has it is the one who answers.
    pub(crate) fn take(&self, id: u64) -> Option<ClientSocket> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }
}

/// Accepts connections.
pub(crate) struct Gate {
    connections: Arc<Admission>,
    requests: Arc<Admission>,
    shared: Arc<Shared>,
    /// With the time when they were refused.
    refused: VecDeque<(TcpStream, Instant)>,
    refusals: Occasional,
}

/// What all connections need.
struct Shared {
    parked: Arc<Parked>,
    front: Arc<Front>,
    stopper: Stopper,
    patience: Duration,
    cors: bool,
    errors: Mutex<Occasional>,
}

impl Gate {
    pub(crate) fn new(config: &Config, parked: Arc<Parked>, front: Arc<Front>, stopper: Stopper) -> Self {
        let limits = &config.limits;
        let (patience, cors, errors) = (config.timeouts.request, config.cors, Mutex::default());
        Self {
            connections: Admission::new(limits.http_connections, limits.http_connections_per_address),
            requests: Admission::new(limits.http_requests, 0),
            shared: Arc::new(Shared { parked, front, stopper, patience, cors, errors }),
            refused: VecDeque::new(),
            refusals: Occasional::default(),
        }
    }

    /// Lets clients in until the listener is stopped.
    pub(crate) fn accept(mut self, mut listener: Listener, threads: &Threads) {
        loop {
            let patience = (!self.refused.is_empty()).then_some(LINGER);
            match listener.accept_within(patience) {
                Accepted::Connection(socket, peer) => match self.admit(peer) {
                    Ok((connection, request)) => self.begin(socket, peer, connection, request, threads),
                    Err(refusal) => self.refuse(socket, peer, refusal),
                },
                Accepted::Nothing => {}
                Accepted::Stopped => return,
            }
            let now = Instant::now();
            self.refused.retain(|(_, since)| now.saturating_duration_since(*since) < LINGER);
        }
    }

    fn admit(&self, peer: SocketAddr) -> Result<(Permit, Permit), Refusal> {
        Ok((self.connections.admit(peer.ip())?, self.requests.admit(peer.ip())?))
    }

    fn begin(
        &mut self,
        socket: TcpStream,
        peer: SocketAddr,
        connection: Permit,
        request: Permit,
        threads: &Threads,
    ) {
        let shared = Arc::clone(&self.shared);
        let client = ClientSocket { socket, peer, permit: Box::new(connection) };
        let body = move || {
            let _request = request;
            shared.serve(client);
        };
        if let Err(error) = threads.spawn(format!("http:{}", peer.port()), body) {
            self.refusals
                .say(|more| log::error!("viewer {peer} refused: no thread for its request: {error}{more}"));
        }
    }

    /// Answers 503 without waiting for the request.
    fn refuse(&mut self, mut socket: TcpStream, peer: SocketAddr, refusal: Refusal) {
        self.refusals.say(|more| log::warn!("HTTP connection from {peer} refused: {refusal}{more}"));
        let answer = plain("503 Service Unavailable", "The server is full; try again.", self.shared.cors);
        let sent = socket
            .set_nonblocking(true)
            .and_then(|()| socket.write_all(&answer))
            .and_then(|()| socket.shutdown(Shutdown::Write));
        if sent.is_ok() {
            self.refused.push_back((socket, Instant::now()));
            self.refused.drain(..self.refused.len().saturating_sub(MAX_REFUSED));
        }
    }
}

impl Shared {
    fn serve(&self, mut client: ClientSocket) {
        let mut received = Vec::new();
        match self.read_head(&client.socket, &mut received) {
            Ok(Some(head)) => self.pass_on(client, &head, &received[head.head_length..]),
            Ok(None) => log::debug!("HTTP connection from {} closed without a request", client.peer),
            Err(error) => {
                log::info!("HTTP request from {} refused: {error}", client.peer);
                let answer = plain(error.status(), &error.to_string(), self.cors);
                self.send(&mut client, &answer);
            }
        }
    }

    /// Reads a whole request into `received`, which then ends with its body; `None` if the client left.
    fn read_head(&self, mut socket: &TcpStream, received: &mut Vec<u8>) -> Result<Option<Vetted>, HeadError> {
        let deadline = Deadline { at: Instant::now() + self.patience, stopper: &self.stopper };
        let mut buffer = [0; 2048];
        let mut head = None;
        loop {
            let Some(tick) = deadline.tick() else {
                return Err(if self.stopper.is_stopped() { HeadError::Shutdown } else { HeadError::Timeout });
            };
            let count = match socket.set_read_timeout(Some(tick)).and_then(|()| socket.read(&mut buffer)) {
                Ok(0) => return Ok(None),
                Ok(count) => count,
                Err(error) if is_timeout(&error) => continue,
                Err(_) => return Ok(None),
            };
            let first = received.is_empty();
            received.extend_from_slice(&buffer[..count]);
            // Vetting starts from the front each time; a head that comes in bits must not make that costly.
            if head.is_none() && (first || buffer[..count].contains(&b'\n') || received.len() >= MAX_HEAD) {
                head = vet(received)?;
            }
            if let Some(vetted) = head.take_if(|head| received.len() >= head.head_length + head.body_length) {
                received.truncate(vetted.head_length + vetted.body_length);
                return Ok(Some(vetted));
            }
            debug_assert!(received.len() <= MAX_HEAD + MAX_BODY);
        }
    }

    /// Has the request answered by tiny_http, unless a worker takes the socket.
    fn pass_on(&self, client: ClientSocket, head: &Vetted, body: &[u8]) {
        let peer = client.peer;
        let id = self.parked.park(client);
        let answer = self.ask_front(id, head, body);
        let Some(mut client) = self.parked.take(id) else { return };
        match answer {
            Ok(answer) => self.send(&mut client, &answer),
            Err(error) => {
                self.errors.lock().unwrap_or_else(PoisonError::into_inner).say(|more| {
                    log::error!(
                        "HTTP request from {peer} refused: the private server does not answer: {error}{more}"
                    );
                });
                let text = "The server cannot answer just now; try again.";
                self.send(&mut client, &plain("503 Service Unavailable", text, self.cors));
            }
        }
    }

    /// The whole answer, so that tiny_http never waits for a client. Answers are our own and not long.
    fn ask_front(&self, id: u64, head: &Vetted, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut front = self.front.current();
        let mut connection = front.connect(FRONT_PATIENCE).or_else(|error| {
            self.front.replace(&front, &error);
            front = self.front.current();
            front.connect(FRONT_PATIENCE)
        })?;
        let secret = front.secret().map(|secret| format!("{SECRET_HEADER}: {secret}\r\n")).unwrap_or_default();
        let mut request = format!("{}{secret}{CONNECTION_HEADER}: {id}\r\n\r\n", head.rewritten).into_bytes();
        request.extend_from_slice(body);
        let mut answer = Vec::new();
        let exchanged = connection.write_all(&request).and_then(|()| connection.read_to_end(&mut answer));
        if let Err(error) = exchanged {
            self.front.replace(&front, &error);
            return Err(error);
        }
        close_after(answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Sends a whole answer and closes, so that it arrives.
    fn send(&self, client: &mut ClientSocket, answer: &[u8]) {
        let deadline = Deadline { at: Instant::now() + ANSWER_PATIENCE, stopper: &self.stopper };
        let socket = &mut client.socket;
        let sent = write_by(socket, answer, &deadline).and_then(|()| socket.shutdown(Shutdown::Write));
        if let Err(error) = sent {
            return log::debug!("client {} lost: {error}", client.peer);
        }
        linger(socket, &Deadline { at: Instant::now() + LINGER, stopper: &self.stopper });
    }
}

/// Tells the client that the connection ends with this answer; tiny_http does not say so itself.
fn close_after(mut answer: Vec<u8>) -> Option<Vec<u8>> {
    let first_line = answer.windows(2).position(|pair| pair == b"\r\n")? + 2;
    answer.splice(first_line..first_line, *b"Connection: close\r\n");
    Some(answer)
}

/// The end of a wait for a client: a time, or the server's shutdown.
struct Deadline<'a> {
    at: Instant,
    stopper: &'a Stopper,
}

impl Deadline<'_> {
    /// How long to wait before looking again; `None` once it is over.
    fn tick(&self) -> Option<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        (!left.is_zero() && !self.stopper.is_stopped()).then(|| left.min(TICK))
    }
}

/// Writes everything, unless the deadline comes between two writes.
fn write_by(socket: &mut TcpStream, mut bytes: &[u8], deadline: &Deadline<'_>) -> io::Result<()> {
    socket.set_write_timeout(Some(TICK))?;
    loop {
        match socket.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
        if bytes.is_empty() {
            return Ok(());
        }
        deadline.tick().ok_or(io::ErrorKind::TimedOut)?;
    }
}

fn linger(socket: &mut TcpStream, deadline: &Deadline<'_>) {
    let mut waste = [0; 2048];
    while let Some(tick) = deadline.tick() {
        match socket.set_read_timeout(Some(tick)).and_then(|()| socket.read(&mut waste)) {
            Ok(1..) => {}
            Err(error) if is_timeout(&error) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

//! The gate: the public side of HTTP. One thread reads every client's request, within a time and a length, has
//! tiny_http answer it over the private socket, and sends the answer; or a worker has taken the client's socket
//! meanwhile, and it is a viewer's. No client has a thread, so that those who dawdle cost next to nothing.

mod client;
mod displacement;
mod exchange;
mod turned_away;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Poll, Token};

use self::client::{Client, Refused, State, Step, id_of, token_of};
use self::displacement::gives_way;
use self::exchange::Exchange;
use self::turned_away::TurnedAway;
use super::answer::plain;
use super::front::Front;
use super::head::HeadError;
use super::parked::Parked;
use crate::admission::{Admission, Permit, Refusal};
use crate::config::{Config, DESCRIPTORS_FOR_EXCHANGES, MAX_ANSWERS};
use crate::listener::{Accepted, Listener, Stopper};
use crate::occasional::Occasional;
use crate::peer::Peer;
use crate::proxy::TrustedProxies;

/// How long tiny_http may take to answer.
const FRONT_PATIENCE: Duration = Duration::from_secs(10);

/// How many requests tiny_http has before it at a time; others wait for their turn.
const MAX_EXCHANGES: usize = 8;
const _: () = assert!(3 * MAX_EXCHANGES <= DESCRIPTORS_FOR_EXCHANGES);

/// How long no connection is accepted when there is no room for its request.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// How many connections are accepted before those who are there have their turn.
const MAX_ACCEPTS: usize = 64;

/// How often deadlines are looked at while there are any.
const TICK: Duration = Duration::from_millis(100);

/// How long requests that are being answered may take when the gate is told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

const MAX_EVENTS: usize = 1024;

const LISTENER: Token = Token(0);
const WAKE: Token = Token(1);

/// Everything between the public port and tiny_http.
pub(crate) struct Gate {
    /// Not there any more once the gate is to stop.
    listener: Option<Listener>,
    /// When to look for connections; nothing tells but the listener's readiness if this is `None`.
    accept_at: Option<Instant>,
    poll: Poll,
    stopper: Stopper,
    connections: Arc<Admission>,
    proxies: TrustedProxies,
    max_requests: usize,
    patience: Duration,
    cors: bool,
    parked: Arc<Parked>,
    front: Arc<Front>,
    /// The oldest first.
    clients: BTreeMap<u64, Client>,
    next_id: u64,
    exchanges: usize,
    /// Whose request waits for its turn.
    queue: VecDeque<u64>,
    turned_away: TurnedAway,
    next_tick: Instant,
    refusals: Occasional,
    errors: Occasional,
}

impl Gate {
    pub(crate) fn new(
        mut listener: Listener,
        config: &Config,
        parked: Arc<Parked>,
        front: Arc<Front>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        listener.register(poll.registry(), LISTENER)?;
        let limits = &config.limits;
        Ok(Self {
            listener: Some(listener),
            accept_at: None,
            stopper: Stopper::new(poll.registry(), WAKE)?,
            poll,
            connections: Admission::new("HTTP", limits.http_connections, limits.http_connections_per_address),
            proxies: TrustedProxies::new(&config.trusted_proxies),
            max_requests: limits.http_requests,
            patience: config.timeouts.request,
            cors: config.cors,
            parked,
            front,
            clients: BTreeMap::new(),
            next_id: 1,
            exchanges: 0,
            queue: VecDeque::new(),
            turned_away: TurnedAway::default(),
            next_tick: Instant::now(),
            refusals: Occasional::default(),
            errors: Occasional::default(),
        })
    }

    pub(crate) fn connections(&self) -> Arc<Admission> {
        Arc::clone(&self.connections)
    }

    pub(crate) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Lets clients in until stopped, and then answers those whose requests tiny_http has already.
    pub(crate) fn run(&mut self) {
        let mut events = Events::with_capacity(MAX_EVENTS);
        while !self.stopper.is_stopped() {
            self.turn(&mut events);
            self.accept();
        }
        self.send_the_rest_away();
        let deadline = Instant::now() + LAST_ANSWERS;
        while !self.clients.is_empty() && Instant::now() < deadline {
            self.turn(&mut events);
        }
    }

    /// Waits for sockets, and does what they allow and what is due.
    fn turn(&mut self, events: &mut Events) {
        if let Err(error) = self.poll.poll(events, self.time_to_wait())
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.errors.say(|more| log::error!("HTTP: cannot wait for sockets: {error}{more}"));
        }
        for token in events.iter().map(mio::event::Event::token) {
            match token {
                // Unless accepting has a pause.
                LISTENER => self.accept_at = self.accept_at.or_else(|| Some(Instant::now())),
                WAKE => {}
                token if token == token_of(id_of(token)) => self.advance(id_of(token)),
                token => self.advance_exchange(id_of(token)),
            }
        }
        self.begin_exchanges();
        self.tick();
    }

    fn time_to_wait(&self) -> Option<Duration> {
        let has_deadlines = !self.clients.is_empty() || !self.turned_away.is_empty();
        let until = [self.accept_at, has_deadlines.then_some(self.next_tick)].into_iter().flatten().min();
        until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    fn accept(&mut self) {
        let now = Instant::now();
        if self.accept_at.is_none_or(|at| now < at) {
            return;
        }
        for _ in 0..MAX_ACCEPTS {
            if self.clients.len() >= self.max_requests && !self.make_room() {
                // All are at work: whoever comes now waits in the kernel's queue for a moment.
                return self.accept_at = Some(now + ROOM_PAUSE);
            }
            let Some(listener) = &mut self.listener else { return };
            match listener.accept() {
                Accepted::Connection(socket, peer) => self.admit(socket, peer),
                Accepted::Nothing => return self.accept_at = None,
                Accepted::Failed(pause) => return self.accept_at = Some(now + pause),
            }
        }
    }

    fn admit(&mut self, socket: TcpStream, address: SocketAddr) {
        let peer = Peer::direct(address);
        let trusted = self.proxies.trusts(peer.ip());
        let permit = match self.permit(peer, trusted) {
            Ok(permit) => permit,
            Err(refusal) => return self.turn_away(socket, peer, refusal),
        };
        let id = self.next_id;
        self.next_id += 1;
        let mut client = Client::new(socket, peer, permit, trusted, self.patience);
        match client.register(self.poll.registry(), token_of(id)) {
            Ok(()) => {
                self.clients.insert(id, client);
                // Its request has often come with it.
                self.advance(id);
            }
            Err(error) => {
                self.errors.say(|more| log::error!("viewer {peer} refused: cannot wait for it: {error}{more}"));
            }
        }
    }

    fn permit(&mut self, peer: Peer, trusted: bool) -> Result<Permit, Refusal> {
        match self.connections.admit(peer.ip(), trusted) {
            Err(Refusal::Total(_)) if self.make_room() => self.connections.admit(peer.ip(), trusted),
            other => other,
        }
    }

    /// Has the oldest request that dawdles give way to another. Returns whether there was one.
    fn make_room(&mut self) -> bool {
        let now = Instant::now();
        self.drop_oldest(|client| client.dawdles(now))
    }

    /// Drops one of these clients; returns whether there was one.
    fn drop_oldest(&mut self, is_one: impl Fn(&Client) -> bool) -> bool {
        let of_these = self.clients.iter().filter(|(_, client)| is_one(client));
        let candidates: Vec<_> = of_these.map(|(id, client)| (*id, client.counted_as())).collect();
        gives_way(&candidates).inspect(|id| self.displace(*id)).is_some()
    }

    fn displace(&mut self, id: u64) {
        let Some(client) = self.clients.remove(&id) else { return };
        let (peer, error) = (client.peer, HeadError::Displaced);
        self.refusals.say(|more| log::warn!("HTTP request from {peer} refused: {error}{more}"));
        client.say_last(&plain(error.status(), &error.to_string(), self.cors));
    }

    /// Answers 503 without waiting for the request.
    fn turn_away(&mut self, socket: TcpStream, peer: Peer, refusal: Refusal) {
        self.refusals.say(|more| log::warn!("HTTP connection from {peer} refused: {refusal}{more}"));
        self.turned_away.add(socket, &self.full());
    }

    fn full(&self) -> Vec<u8> {
        plain("503 Service Unavailable", "The server is full; try again.", self.cors).into()
    }

    /// Does what a client's socket allows.
    fn advance(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match client.advance(&self.proxies) {
            Step::Wait => {}
            Step::Ask => {
                client.deadline = Instant::now() + FRONT_PATIENCE;
                self.queue.push_back(id);
            }
            Step::Refuse(refused) => self.refuse(id, &refused),
            Step::Close => {
                self.clients.remove(&id);
            }
        }
    }

    /// Says no in the log and to the client.
    fn refuse(&mut self, id: u64, refused: &Refused) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let peer = client.peer;
        self.refusals.say(|more| log::info!("HTTP request from {peer} refused: {refused}{more}"));
        let answer = match refused {
            Refused::Head(error) => plain(error.status(), &error.to_string(), self.cors).into(),
            Refused::Full(_) => self.full(),
        };
        self.answer(id, answer);
    }

    fn answer(&mut self, id: u64, answer: Vec<u8>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.answer(answer);
        self.advance(id);
        // Most answers have gone out by now; those that have not wait for slow clients, and have a bound.
        if self.clients.get(&id).is_some_and(|client| client.held() > 0) {
            while self.clients.values().map(Client::held).sum::<usize>() > MAX_ANSWERS
                && self.drop_oldest(|client| client.held() > 0)
            {}
        }
    }

    /// Has tiny_http asked for those whose turn it is.
    fn begin_exchanges(&mut self) {
        while self.exchanges < MAX_EXCHANGES
            && let Some(id) = self.queue.pop_front()
        {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            let State::Queued(request) = &mut client.state else { continue };
            let (request, registry) = (std::mem::take(request), self.poll.registry());
            let private = Token(token_of(id).0 + 1);
            self.exchanges += 1;
            match Exchange::begin(&self.front, registry, private, id, &request) {
                Ok(exchange) => {
                    client.state = State::Asking(exchange);
                    client.deadline = Instant::now() + FRONT_PATIENCE;
                    if let Some(socket) = client.park(registry) {
                        self.parked.park(id, socket);
                    }
                    self.advance_exchange(id);
                }
                Err(error) => self.end_exchange(id, Err(error)),
            }
        }
    }

    fn advance_exchange(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let State::Asking(exchange) = &mut client.state else { return };
        match exchange.advance() {
            Ok(None) => {}
            Ok(Some(answer)) => self.end_exchange(id, Ok(answer)),
            Err(error) => {
                exchange.give_up(&self.front, &error);
                self.end_exchange(id, Err(error));
            }
        }
    }

    /// Sends the answer, unless a worker has taken the client's socket.
    fn end_exchange(&mut self, id: u64, answer: io::Result<Vec<u8>>) {
        self.exchanges -= 1;
        let Some(client) = self.clients.get_mut(&id) else { return };
        if let State::Asking(_) = client.state {
            let Some(socket) = self.parked.take(id) else {
                self.clients.remove(&id);
                return;
            };
            client.unpark(socket);
            if let Err(error) = client.register(self.poll.registry(), token_of(id)) {
                log::debug!("client {} lost: {error}", client.peer);
                self.clients.remove(&id);
                return;
            }
        }
        let peer = client.peer;
        let answer = answer.unwrap_or_else(|error| self.cannot_answer(peer, &error));
        self.answer(id, answer);
    }

    fn cannot_answer(&mut self, peer: Peer, error: &io::Error) -> Vec<u8> {
        self.errors.say(|more| {
            log::error!("HTTP request from {peer} refused: the private server does not answer: {error}{more}");
        });
        plain("503 Service Unavailable", "The server cannot answer just now; try again.", self.cors).into()
    }

    /// Looks at every deadline.
    fn tick(&mut self) {
        let now = Instant::now();
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.turned_away.tick(now);
        let late = self.clients.iter().filter(|(_, client)| now >= client.deadline).map(|(id, _)| *id);
        for id in late.collect::<Vec<_>>() {
            self.too_late(id);
        }
    }

    fn too_late(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let (is_mute, peer) = (client.is_mute(), client.peer);
        let error = io::Error::from(io::ErrorKind::TimedOut);
        match &mut client.state {
            State::Receiving(_) if !is_mute => self.refuse(id, &HeadError::Timeout.into()),
            State::Queued(_) => {
                let answer = self.cannot_answer(peer, &error);
                self.answer(id, answer);
            }
            State::Asking(exchange) => {
                exchange.give_up(&self.front, &error);
                self.end_exchange(id, Err(error));
            }
            // Browsers connect ahead of time and often say nothing.
            _ => {
                log::debug!("HTTP connection from {peer} closed: too slow");
                self.clients.remove(&id);
            }
        }
    }

    /// Keeps only those whose requests tiny_http is answering.
    fn send_the_rest_away(&mut self) {
        self.listener = None;
        self.turned_away.clear();
        for (id, client) in &self.clients {
            if matches!(client.state, State::Receiving(_)) && !client.is_mute() {
                self.queue.push_back(*id);
            }
        }
        for id in std::mem::take(&mut self.queue) {
            self.refuse(id, &HeadError::Shutdown.into());
        }
        self.clients.retain(|_, client| matches!(client.state, State::Asking(_)));
    }
}

//! Clients that no server likes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::bystander::Bystander;
use super::deadline::{seconds, wait_until};
use super::flv::Tag;
use super::http;
use super::rtmp::RtmpClient;

/// Connects as a client on a poor line: small segments, and room for next to nothing.
pub fn connect_with_small_buffer(server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_tcp_mss(536).unwrap();
    socket.connect(&server.into()).unwrap();
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(seconds(60))).unwrap();
    socket
}

/// Closes with a reset instead of a goodbye.
pub fn reset(socket: TcpStream) {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(socket);
}

/// A connection that says `bytes`, and that no read or write holds up.
pub fn half_open(server: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut socket = http::connect(server);
    let _it_may_be_refused_already = socket.write_all(bytes);
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Whether the server has hung up, now or before; what it said is added to `said`.
pub fn has_ended(mut socket: &TcpStream, said: &mut Vec<u8>) -> bool {
    let mut part = [0; 4096];
    loop {
        match socket.read(&mut part) {
            Ok(0) => return true,
            Ok(count) => said.extend_from_slice(&part[..count]),
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// Sends `part` again and again until the server takes no more or `limit` bytes are sent; how many it took.
pub fn flood(socket: &mut TcpStream, part: &[u8], limit: usize) -> usize {
    socket.set_write_timeout(Some(seconds(2))).unwrap();
    let mut taken = 0;
    while taken < limit
        && let Ok(count) = socket.write(part)
    {
        taken += count;
    }
    taken
}

/// How long it takes a new viewer to connect and to see a first keyframe.
#[track_caller]
pub fn time_to_join(server: SocketAddr) -> Duration {
    let start = Instant::now();
    http::play(server, Bystander::PLAY).find_tag("a keyframe", Tag::is_keyframe);
    start.elapsed()
}

/// A new viewer who reads nothing after the first words, unless the server turns it away.
pub fn try_to_join(server: SocketAddr) -> Option<TcpStream> {
    let mut socket = TcpStream::connect(server).ok()?;
    socket.set_read_timeout(Some(seconds(2))).unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", Bystander::PLAY);
    socket.write_all(request.as_bytes()).ok()?;
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).ok()?;
    (answer == *b"HTTP/1.1 200").then_some(socket)
}

/// Many clients of one kind, each watched until the server has ended it.
pub struct Crowd {
    clients: Vec<Client>,
    start: Instant,
}

struct Client {
    socket: TcpStream,
    said: Vec<u8>,
    ended: Option<Duration>,
}

/// How one client of a crowd ended.
pub struct Ended {
    pub after: Duration,
    /// What the server said to it.
    pub said: String,
}

impl Crowd {
    /// `count` clients who each begin with `bytes`.
    pub fn start(server: SocketAddr, count: usize, bytes: &[u8]) -> Self {
        Self::watching(Instant::now(), (0..count).map(|_| half_open(server, bytes)))
    }

    /// These clients, who have just come.
    pub fn of(clients: Vec<RtmpClient>) -> Self {
        let sockets = clients.into_iter().map(RtmpClient::into_socket);
        Self::watching(Instant::now(), sockets.inspect(|socket| socket.set_nonblocking(true).unwrap()))
    }

    fn watching(start: Instant, sockets: impl Iterator<Item = TcpStream>) -> Self {
        let client = |socket| Client { socket, said: Vec::new(), ended: None };
        Self { clients: sockets.map(client).collect(), start }
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// How many the server has not ended.
    pub fn alive(&mut self) -> usize {
        let now = self.start.elapsed();
        for client in self.clients.iter_mut().filter(|client| client.ended.is_none()) {
            if has_ended(&client.socket, &mut client.said) {
                client.ended = Some(now);
            }
        }
        self.clients.iter().filter(|client| client.ended.is_none()).count()
    }

    /// Each who is still there says `bytes`.
    pub fn say(&mut self, bytes: &[u8]) {
        for client in self.clients.iter_mut().filter(|client| client.ended.is_none()) {
            let _it_may_have_ended_just_now = client.socket.write_all(bytes);
        }
    }

    /// Waits until the server has ended all. Each says `drip` once a second until then.
    #[track_caller]
    pub fn wait_for_ends(mut self, limit: Duration, drip: &[u8]) -> Vec<Ended> {
        let mut next = seconds(1);
        wait_until("all to be ended", limit, || {
            if self.elapsed() >= next {
                self.say(drip);
                next += seconds(1);
            }
            (self.alive() == 0).then_some(())
        });
        let end = |client: Client| Ended {
            after: client.ended.expect("it has ended"),
            said: String::from_utf8_lossy(&client.said).into_owned(),
        };
        self.clients.into_iter().map(end).collect()
    }
}

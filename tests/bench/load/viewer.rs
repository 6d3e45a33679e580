//! A viewer that never blocks, and checks every tag that it gets.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, Type};

use super::order::Order;
use super::response::{Arrival, Progress, Response};

/// What fits a packet on Ethernet. Over loopback packets are 64 KiB, and the kernel keeps megabytes for a connection whose
/// other end does not read, until the server can notice anything.
const ETHERNET_SEGMENT: u32 = 1448;

/// A viewer's connection, its request, and what has come of it.
pub struct Viewer {
    socket: TcpStream,
    request: Vec<u8>,
    response: Response,
    pub order: Order,
    pub connected: Instant,
    pub state: State,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum State {
    Playing,
    /// The server has ended the response in good order.
    Ended,
    /// The server has answered with this status.
    Refused(u16),
    /// The response was cut off.
    Lost(&'static str),
    /// The response made no sense.
    Corrupt(&'static str),
}

/// What a viewer asks for.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub path: &'a str,
    pub websocket: bool,
}

const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

impl Viewer {
    /// Connects, and asks once it can; `None` says that tags come without being asked for. `remote` has the
    /// kernel buffer as little for it as for a viewer in a network.
    pub fn join(
        address: SocketAddr,
        request: Option<Request<'_>>,
        remote: bool,
        (registry, token): (&Registry, Token),
    ) -> io::Result<Self> {
        let mut socket = if remote { connect_as_in_a_network(address)? } else { TcpStream::connect(address)? };
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let request = request.map(|Request { path, websocket }| {
            let upgrade = if websocket { HANDSHAKE } else { "" };
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bench\r\n{upgrade}\r\n")
        });
        let response = if request.is_some() { Response::new() } else { Response::of_tags() };
        Ok(Self {
            socket,
            request: request.unwrap_or_default().into_bytes(),
            response,
            order: Order::new(),
            connected: Instant::now(),
            state: State::Playing,
        })
    }

    /// Does what an event is good for. Reads all there is.
    pub fn on_event(&mut self, event: &Event, buffer: &mut [u8], on_frame: impl FnMut(&Arrival)) {
        if event.is_writable() && !self.request.is_empty() {
            self.ask();
        }
        self.read_all(buffer, event.is_read_closed() || event.is_error(), on_frame);
    }

    /// No more events.
    pub fn turn_away(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.socket)
    }

    fn ask(&mut self) {
        match self.socket.write(&self.request) {
            Ok(count) => drop(self.request.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.state = State::Lost("cannot ask"),
        }
    }

    /// Reads until there is no more. A read that does not fill the buffer has emptied the socket, unless the end is
    /// behind it.
    pub fn read_all(&mut self, buffer: &mut [u8], to_the_end: bool, mut on_frame: impl FnMut(&Arrival)) {
        while self.state == State::Playing {
            let count = self.read_once(buffer, &mut on_frame);
            if count == 0 || (count < buffer.len() && !to_the_end) {
                return;
            }
        }
    }

    /// Reads at most once, and at most what the buffer has room for; says how much it was.
    pub fn read_once(&mut self, buffer: &mut [u8], mut on_frame: impl FnMut(&Arrival)) -> usize {
        match self.socket.read(buffer) {
            Ok(0) => {
                self.state = if self.response.may_end() { State::Ended } else { State::Lost("cut off") };
                0
            }
            Ok(count) => {
                let order = &mut self.order;
                self.response.take(&buffer[..count], |frame| {
                    if order.follow(&frame) {
                        on_frame(&frame);
                    }
                });
                self.state = match self.response.progress() {
                    Progress::Open => State::Playing,
                    Progress::Ended => State::Ended,
                    Progress::Refused(status) => State::Refused(status),
                    Progress::Broken(why) => State::Corrupt(why),
                };
                count
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(_) => {
                self.state = State::Lost("reset");
                0
            }
        }
    }
}

fn connect_as_in_a_network(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_mss(ETHERNET_SEGMENT)?;
    socket.connect(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}

//! Public listening sockets, which no error ends, and the ends of loops that wait for connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use socket2::{Domain, Protocol, Socket, Type};

use crate::occasional::Occasional;

/// How many connections the kernel may hold for us: a storm of joins must not wait for a second try.
const BACKLOG: i32 = 4096;

/// First and longest pause after a failed accept (out of descriptors, most likely).
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

const LISTENER: Token = Token(0);
const WAKE: Token = Token(1);

/// A listening socket.
pub(crate) struct Listener {
    socket: TcpListener,
    errors: Occasional,
    pause: Duration,
}

/// What came of looking for a connection.
pub(crate) enum Accepted {
    /// The socket is a non-blocking one.
    Connection(mio::net::TcpStream, SocketAddr),
    /// None is there; the socket becomes readable with the next.
    Nothing,
    /// None could be had; another try makes sense after this time.
    Failed(Duration),
}

/// Tells a loop that waits in a [`Poll`] to end.
#[derive(Debug, Clone)]
pub(crate) struct Stopper {
    stopped: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stopper {
    /// Wakes `registry`'s poll with `token` once it is stopped.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self { stopped: Arc::default(), waker: Arc::new(Waker::new(registry, token)?) })
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            log::error!("cannot wake a listener to stop it: {error}");
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

impl Listener {
    /// Listens on `address`. The IPv6 wildcard listens on IPv4, too, and falls back to it alone.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let bound = match bind(address) {
            Err(error) if address.ip().is_unspecified() && address.is_ipv6() && !is_final(&error) => {
                bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
            }
            other => other,
        };
        Ok(Self { socket: TcpListener::from_std(bound?), errors: Occasional::default(), pause: BACK_OFF.0 })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Has `registry`'s poll tell with `token` when there are connections.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Takes the next connection, without waiting.
    pub(crate) fn accept(&mut self) -> Accepted {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
        loop {
            match self.socket.accept() {
                Ok((socket, peer)) => {
                    self.pause = BACK_OFF.0;
                    // IPv4 in IPv6 clothes is what a socket for both families sees; people and logs call it IPv4.
                    return Accepted::Connection(
                        socket,
                        SocketAddr::new(peer.ip().to_canonical(), peer.port()),
                    );
                }
                Err(error) if error.kind() == WouldBlock => return Accepted::Nothing,
                // These concern one connection that is gone already; others will pass when something is closed.
                Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) => {}
                Err(error) => {
                    self.errors
                        .say(|more| log::error!("cannot accept a connection, trying again: {error}{more}"));
                    let pause = self.pause;
                    self.pause = (pause * 2).min(BACK_OFF.1);
                    return Accepted::Failed(pause);
                }
            }
        }
    }
}

/// A listener with a thread of its own, which blocks until there is a connection.
pub(crate) struct Acceptor {
    listener: Listener,
    poll: Poll,
    events: Events,
    stopper: Stopper,
}

impl Acceptor {
    pub(crate) fn new(mut listener: Listener) -> io::Result<Self> {
        let poll = Poll::new()?;
        listener.register(poll.registry(), LISTENER)?;
        let stopper = Stopper::new(poll.registry(), WAKE)?;
        Ok(Self { listener, poll, events: Events::with_capacity(8), stopper })
    }

    pub(crate) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits for the next connection; `None` once stopped. The socket is a blocking one.
    pub(crate) fn accept(&mut self) -> Option<(TcpStream, SocketAddr)> {
        while !self.stopper.is_stopped() {
            match self.listener.accept() {
                Accepted::Connection(socket, peer) => {
                    let socket = TcpStream::from(socket);
                    match socket.set_nonblocking(false) {
                        Ok(()) => return Some((socket, peer)),
                        Err(error) => log::debug!("connection from {peer} lost: {error}"),
                    }
                }
                Accepted::Nothing => self.wait(None),
                Accepted::Failed(pause) => self.wait(Some(pause)),
            }
        }
        None
    }

    fn wait(&mut self, timeout: Option<Duration>) {
        if let Err(error) = self.poll.poll(&mut self.events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            log::error!("cannot wait for connections: {error}");
            std::thread::sleep(BACK_OFF.1);
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Unix: a restart must not wait for old connections to time out. Elsewhere the option means something else.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether trying IPv4 instead cannot help.
fn is_final(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn acceptor(address: &str) -> (Acceptor, SocketAddr) {
        let listener = Listener::bind(address.parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        (Acceptor::new(listener).unwrap(), address)
    }

    #[test]
    fn accepts_until_stopped() {
        let (mut acceptor, address) = acceptor("127.0.0.1:0");
        let stopper = acceptor.stopper();
        let client = TcpStream::connect(address).unwrap();
        let (_, peer) = acceptor.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let waiting = std::thread::spawn(move || acceptor.accept().is_none());
        stopper.stop();
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn the_wildcard_takes_both_families() {
        let (mut acceptor, address) = acceptor("[::]:0");
        let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).unwrap();
        assert_eq!(acceptor.accept().unwrap().1.ip(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let first = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let second = Listener::bind(first.address().unwrap());
        assert_eq!(second.err().unwrap().kind(), io::ErrorKind::AddrInUse);
    }
}

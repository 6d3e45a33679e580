//! A public listening socket that can be told to stop, and that no error ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Protocol, Socket, Type};

use crate::occasional::Occasional;

/// How many connections the kernel may hold for us: a storm of joins must not wait for a second try.
const BACKLOG: i32 = 4096;

/// First and longest pause after a failed accept (out of descriptors, most likely).
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

const LISTENER: Token = Token(0);
const WAKE: Token = Token(1);

/// Accepts connections until it is stopped.
pub(crate) struct Listener {
    listener: TcpListener,
    poll: Poll,
    stopper: Stopper,
    events: Events,
    errors: Occasional,
    pause: Duration,
}

/// What came of waiting for a connection.
pub(crate) enum Accepted {
    Connection(TcpStream, SocketAddr),
    /// None came in time.
    Nothing,
    Stopped,
}

/// Ends a [`Listener`]'s [`accept`](Listener::accept) from another thread.
#[derive(Debug, Clone)]
pub(crate) struct Stopper {
    stopped: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stopper {
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
        let mut listener = TcpListener::from_std(bound?);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let stopper = Stopper { stopped: Arc::default(), waker };
        let errors = Occasional::default();
        Ok(Self { listener, poll, stopper, events: Events::with_capacity(8), errors, pause: BACK_OFF.0 })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(crate) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits for the next connection; `None` once stopped. The socket is a blocking one.
    pub(crate) fn accept(&mut self) -> Option<(TcpStream, SocketAddr)> {
        loop {
            match self.accept_within(None) {
                Accepted::Connection(socket, peer) => return Some((socket, peer)),
                Accepted::Nothing => {}
                Accepted::Stopped => return None,
            }
        }
    }

    /// Waits for the next connection, for about `patience` at most.
    pub(crate) fn accept_within(&mut self, patience: Option<Duration>) -> Accepted {
        let mut waited = false;
        while !self.stopper.is_stopped() {
            let accepted = self.listener.accept().and_then(|(socket, peer)| {
                let socket = TcpStream::from(socket);
                socket.set_nonblocking(false)?;
                // IPv4 in IPv6 clothes is what a socket for both families sees; people and logs call it IPv4.
                Ok((socket, SocketAddr::new(peer.ip().to_canonical(), peer.port())))
            });
            match accepted {
                Ok((socket, peer)) => {
                    self.pause = BACK_OFF.0;
                    return Accepted::Connection(socket, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if std::mem::replace(&mut waited, patience.is_some()) {
                        return Accepted::Nothing;
                    }
                    self.wait(patience);
                }
                Err(error) => self.back_off(&error),
            }
        }
        Accepted::Stopped
    }

    /// Some errors concern one connection that is gone already; others will pass when something is closed.
    fn back_off(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        self.errors.say(|left_out| log::error!("cannot accept a connection, trying again: {error}{left_out}"));
        self.wait(Some(self.pause));
        self.pause = (self.pause * 2).min(BACK_OFF.1);
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

    #[test]
    fn accepts_until_stopped() {
        let mut listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (address, stopper) = (listener.address().unwrap(), listener.stopper());
        let client = TcpStream::connect(address).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let waiting = std::thread::spawn(move || listener.accept().is_none());
        stopper.stop();
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn a_wait_for_a_connection_may_have_an_end() {
        let mut listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let patience = Some(Duration::from_millis(1));
        assert!(matches!(listener.accept_within(patience), Accepted::Nothing));
        let _client = TcpStream::connect(listener.address().unwrap()).unwrap();
        assert!(matches!(listener.accept_within(patience), Accepted::Connection(..)));
        listener.stopper().stop();
        assert!(matches!(listener.accept_within(patience), Accepted::Stopped));
    }

    #[test]
    fn the_wildcard_takes_both_families() {
        let mut listener = Listener::bind("[::]:0".parse().unwrap()).unwrap();
        let port = listener.address().unwrap().port();
        let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let first = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let second = Listener::bind(first.address().unwrap());
        assert_eq!(second.err().unwrap().kind(), io::ErrorKind::AddrInUse);
    }
}

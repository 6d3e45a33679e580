mod tls;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustls::ServerConfig;

pub(super) use self::tls::TlsFailure;
use self::tls::TlsLayer;
use super::end::End;
use crate::listener::Stopper;
use crate::proxy::{MAX_PROXY_HEADER, Preface, preface};

/// A connection's bytes, in both directions. Reads and writes wait for a [tick](super::TICK) at the most.
pub(super) struct Transport {
    socket: Socket,
    /// Between the socket and RTMP, on the port for it.
    tls: Option<Box<TlsLayer>>,
}

/// What the network sees.
struct Socket {
    stream: TcpStream,
    /// What was received while a PROXY header was looked for, and belongs to the client.
    received: Vec<u8>,
    /// How many bytes have been taken off the line since.
    count: u64,
}

impl Transport {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(super::TICK))?;
        stream.set_write_timeout(Some(super::TICK))?;
        Ok(Self { socket: Socket { stream, received: Vec::new(), count: 0 }, tls: None })
    }

    /// What follows is TLS. The handshake happens as bytes are read and written.
    pub(super) fn begin_tls(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        self.tls = Some(Box::new(TlsLayer::new(config).map_err(io::Error::other)?));
        Ok(())
    }

    /// Takes a PROXY header off the front, and says for whom it speaks, if it does. For connections from trusted
    /// proxies alone.
    pub(super) fn take_preface(
        &mut self,
        deadline: Instant,
        stopper: &Stopper,
    ) -> Result<Option<SocketAddr>, End> {
        let Socket { stream, received, .. } = &mut self.socket;
        let mut buffer = [0; MAX_PROXY_HEADER];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => received.extend_from_slice(&buffer[..count]),
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(End::Lost(error)),
            }
            if !received.is_empty() {
                match preface(received)? {
                    Preface::Incomplete => {}
                    Preface::Absent => return Ok(None),
                    Preface::Header { client, length } => {
                        received.drain(..length);
                        return Ok(client);
                    }
                }
            }
            if stopper.is_stopped() {
                return Err(End::Shutdown);
            }
            if Instant::now() >= deadline {
                return Err(End::TooLate("no connect command"));
            }
        }
    }

    /// Whether a TLS handshake has begun or is awaited.
    pub(super) fn is_shaking_hands(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_shaking_hands())
    }

    /// How many bytes have come: with TLS those of its records, be they whole or not.
    pub(super) fn received(&self) -> u64 {
        self.socket.count
    }

    /// Whether TLS has received anything at all.
    pub(super) fn has_tls_input(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_input())
    }

    /// Whether more may have come than the last read has taken.
    pub(super) fn is_behind(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_behind())
    }

    /// Whether something was taken to be written, or is to be said for TLS's own sake, and has not gone out. The next
    /// write, even of nothing, goes on with it.
    pub(super) fn has_unsent(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_unsent())
    }

    /// Reads what is there, and does not wait for it.
    pub(super) fn read_at_once(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.stream.set_nonblocking(true)?;
        let read = self.read(buffer);
        self.socket.stream.set_nonblocking(false)?;
        read
    }

    /// Says that nothing more will be written.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.close(&mut self.socket)?;
        }
        self.socket.stream.shutdown(Shutdown::Write)
    }

    /// Takes what the peer still sends off the line, unread.
    pub(super) fn discard(&mut self) -> io::Result<usize> {
        self.socket.read(&mut [0; 4096])
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.read(&mut self.socket, buffer),
            None => self.socket.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.write(&mut self.socket, bytes),
            None => self.socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.flush(&mut self.socket),
            None => self.socket.flush(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.received.is_empty() {
            let count = self.stream.read(buffer)?;
            self.count += count as u64;
            return Ok(count);
        }
        let count = self.received.as_slice().read(buffer)?;
        self.received.drain(..count);
        Ok(count)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Whether nothing has gone wrong: it just took longer than a tick.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

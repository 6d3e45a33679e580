use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use super::end::End;
use crate::listener::Stopper;
use crate::proxy::{MAX_PROXY_HEADER, Preface, preface};

/// A connection's bytes, in both directions. Reads and writes wait for a [tick](super::TICK) at the most.
pub(super) struct Transport {
    socket: TcpStream,
    /// What was received while a PROXY header was looked for, and belongs to the client.
    received: Vec<u8>,
}

impl Transport {
    pub(super) fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(super::TICK))?;
        socket.set_write_timeout(Some(super::TICK))?;
        Ok(Self { socket, received: Vec::new() })
    }

    /// Takes a PROXY header off the front, and says for whom it speaks, if it does. For connections from trusted
    /// proxies alone.
    pub(super) fn take_preface(
        &mut self,
        deadline: Instant,
        stopper: &Stopper,
    ) -> Result<Option<SocketAddr>, End> {
        let mut buffer = [0; MAX_PROXY_HEADER];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(End::Lost(error)),
            }
            if !self.received.is_empty() {
                match preface(&self.received)? {
                    Preface::Incomplete => {}
                    Preface::Absent => return Ok(None),
                    Preface::Header { client, length } => {
                        self.received.drain(..length);
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

    /// Says that nothing more will be written.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.received.is_empty() {
            return self.socket.read(buffer);
        }
        let count = self.received.as_slice().read(buffer)?;
        self.received.drain(..count);
        Ok(count)
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Whether nothing has gone wrong: it just took longer than a tick.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

//! TLS between a socket whose reads and writes may time out anywhere, and RTMP.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use super::is_timeout;

/// What is taken off the socket at once: two records of the largest size. All of it is decrypted at once, so that
/// nothing is left lying when the socket is waited for.
const READ_BUFFER: usize = 32 << 10;

/// Most bytes that rustls holds of what is to be written; it holds a record of 16 KiB of what was received.
const WRITE_BUFFER: usize = 64 << 10;

/// First byte of a ClientHello: its record is a handshake's.
const HANDSHAKE_RECORD: u8 = 0x16;

/// Why TLS with a peer cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
pub(in super::super) enum TlsFailure {
    /// RTMP's first byte is its version.
    #[error("peer speaks plain RTMP, not TLS; rtmp:// clients use the RTMP port")]
    Rtmp,
    #[error("peer speaks HTTP, not TLS; players use the HTTP port")]
    Http,
    #[error("peer does not speak TLS: its first byte is {0:#04x}, not 0x16")]
    FirstByte(u8),
    #[error("TLS failed: {0}")]
    Tls(#[from] rustls::Error),
}

pub(super) struct TlsLayer {
    connection: ServerConnection,
    received: Box<[u8]>,
    /// What of `received` rustls has not taken yet.
    rest: Range<usize>,
    has_input: bool,
    /// Whether the last read of the socket has filled the buffer.
    was_full: bool,
    /// What went wrong behind the last bytes that were given out.
    failure: Option<TlsFailure>,
}

impl TlsLayer {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let mut connection = ServerConnection::new(config)?;
        connection.set_buffer_limit(Some(WRITE_BUFFER));
        let received = vec![0; READ_BUFFER].into_boxed_slice();
        Ok(Self { connection, received, rest: 0..0, has_input: false, was_full: false, failure: None })
    }

    pub(super) fn is_shaking_hands(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(super) fn has_input(&self) -> bool {
        self.has_input
    }

    pub(super) fn is_behind(&self) -> bool {
        self.was_full
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.connection.wants_write()
    }

    /// Gives out what has been decrypted; if that is nothing, reads the socket once. That this brought no byte of RTMP
    /// (a part of a record, or of the handshake) looks to the caller like a read that has taken too long.
    pub(super) fn read(&mut self, socket: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
        let waiting = self.decrypt(buffer)?;
        if waiting != Some(0) {
            return Ok(waiting.unwrap_or(0));
        }
        let count = socket.read(&mut self.received)?;
        if count == 0 {
            // Many say no close_notify. RTMP has its own goodbye, and a cut in a message is seen there.
            return Ok(0);
        }
        (self.rest, self.was_full) = (0..count, count == READ_BUFFER);
        if !std::mem::replace(&mut self.has_input, true) {
            check_first_byte(self.received[0]).map_err(io::Error::other)?;
        }
        match self.decrypt(buffer)? {
            Some(0) => Err(io::ErrorKind::WouldBlock.into()),
            other => Ok(other.unwrap_or(0)),
        }
    }

    /// Decrypts into `buffer` what has been received; `None` if there is nothing and nothing will come, because the
    /// peer has said so.
    fn decrypt(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut count = 0;
        while count < buffer.len() {
            match self.connection.reader().read(&mut buffer[count..]) {
                Ok(0) => return Ok(Some(count).filter(|&count| count > 0)),
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.failure.is_some() || !self.take_records()? {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        match self.failure.take_if(|_| count == 0) {
            Some(failure) => Err(io::Error::other(failure)),
            None => Ok(Some(count)),
        }
    }

    /// Has rustls take some of what was received; returns whether it did.
    fn take_records(&mut self) -> io::Result<bool> {
        let mut rest = &self.received[self.rest.clone()];
        if rest.is_empty() {
            return Ok(false);
        }
        let taken = self.connection.read_tls(&mut rest)?;
        self.rest.start += taken;
        if let Err(error) = self.connection.process_new_packets() {
            self.failure = Some(error.into());
        }
        Ok(taken > 0)
    }

    /// Takes bytes once everything before them has gone out. They are sent at once as far as possible; what is left of
    /// them is [unsent](Self::has_unsent).
    pub(super) fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        self.flush(socket)?;
        let count = self.connection.writer().write(bytes)?;
        match self.flush(socket) {
            Err(error) if !is_timeout(&error) => Err(error),
            _ => Ok(count),
        }
    }

    pub(super) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Says that nothing more will be sent, behind everything that is to be sent before.
    pub(super) fn close(&mut self, socket: &mut impl Write) -> io::Result<()> {
        self.connection.send_close_notify();
        self.flush(socket)
    }
}

fn check_first_byte(byte: u8) -> Result<(), TlsFailure> {
    match byte {
        HANDSHAKE_RECORD => Ok(()),
        3 => Err(TlsFailure::Rtmp),
        b'A'..=b'Z' => Err(TlsFailure::Http),
        other => Err(TlsFailure::FirstByte(other)),
    }
}

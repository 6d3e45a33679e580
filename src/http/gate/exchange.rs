use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use mio::{Interest, Registry, Token};

use crate::http::front::{Front, Generation};
use crate::http::head::{CONNECTION_HEADER, LOCAL_HEADER};
use crate::http::private::{Connection, SECRET_HEADER};

/// One request to tiny_http and its answer, over the private socket, as far as both have come.
pub(super) struct Exchange {
    connection: Box<dyn Connection>,
    generation: Arc<Generation>,
    request: Vec<u8>,
    sent: usize,
    /// The whole answer, so that tiny_http never waits for a client. Answers are our own and not long.
    answer: Vec<u8>,
}

impl Exchange {
    /// Connects, and has `token` tell when there is more to do. `id` is what the socket is parked under.
    pub(super) fn begin(
        front: &Front,
        registry: &Registry,
        token: Token,
        id: u64,
        request: &Request,
    ) -> io::Result<Self> {
        let mut generation = front.current();
        let mut connection = generation.connect().or_else(|error| {
            front.replace(&generation, &error);
            generation = front.current();
            generation.connect()
        })?;
        registry.register(&mut connection, token, Interest::READABLE | Interest::WRITABLE)?;
        let secret =
            generation.secret().map(|secret| format!("{SECRET_HEADER}: {secret}\r\n")).unwrap_or_default();
        let local = if request.is_local { format!("{LOCAL_HEADER}: 1\r\n") } else { String::new() };
        let head = format!("{}{secret}{local}{CONNECTION_HEADER}: {id}\r\n\r\n", request.head);
        let request = [head.as_bytes(), &request.body].concat();
        Ok(Self { connection, generation, request, sent: 0, answer: Vec::new() })
    }

    /// Sends and receives what can be; gives the answer once it is whole.
    pub(super) fn advance(&mut self) -> io::Result<Option<Vec<u8>>> {
        while self.sent < self.request.len() {
            match self.connection.write(&self.request[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                // A connection over loopback may still be under way.
                Err(error) if is_too_early(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let mut buffer = [0; 8192];
        loop {
            match self.connection.read(&mut buffer) {
                Ok(0) => {
                    let answer = close_after(std::mem::take(&mut self.answer));
                    return answer.map(Some).ok_or(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(count) => self.answer.extend_from_slice(&buffer[..count]),
                Err(error) if is_too_early(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Has tiny_http's server replaced, for which this exchange has shown that it does not answer.
    pub(super) fn give_up(&self, front: &Front, error: &io::Error) {
        front.replace(&self.generation, error);
    }
}

/// A vetted request, ready to be passed on.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// The head without its last, empty line.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    /// Whether it was made on this machine, by no page of another site, and has come without a proxy.
    pub(super) is_local: bool,
}

fn is_too_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

/// Tells the client that the connection ends with this answer, and which protocol is required if that is why; tiny_http
/// lets nobody say so.
fn close_after(mut answer: Vec<u8>) -> Option<Vec<u8>> {
    let first_line = answer.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let headers = match answer.get(..13) {
        Some(b"HTTP/1.1 426 ") => &b"Connection: close, Upgrade\r\nUpgrade: websocket\r\n"[..],
        _ => b"Connection: close\r\n",
    };
    answer.splice(first_line..first_line, headers.iter().copied());
    Some(answer)
}

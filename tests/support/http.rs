//! A blocking HTTP client on a bare socket, for requests as odd as a test likes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::deadline::seconds;
use super::flv::FlvReader;

pub struct Reply {
    pub status: u16,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    pub body: Body,
    headers: Vec<(String, String)>,
}

/// A response's body without the chunks it came in.
pub struct Body {
    stream: BufReader<TcpStream>,
    framing: Framing,
    is_complete: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// `left` bytes of the current chunk are still to come.
    Chunked {
        left: u64,
    },
    Length {
        left: u64,
    },
    UntilClose,
    /// HEAD, 204 and 304 have none.
    None,
}

pub fn get(server: SocketAddr, path: &str) -> Reply {
    request(server, "GET", path)
}

/// An HTTP/1.1 request without a body.
pub fn request(server: SocketAddr, method: &str, path: &str) -> Reply {
    send(server, &format!("{method} {path} HTTP/1.1\r\nHost: {server}\r\n\r\n"))
}

/// Sends `head` as it is and reads the reply's head.
#[track_caller]
pub fn send(server: SocketAddr, head: &str) -> Reply {
    let mut stream = connect(server);
    stream.write_all(head.as_bytes()).unwrap();
    Reply::read(stream, head.starts_with("HEAD "))
}

/// Plays a stream: a 200 whose body is FLV.
#[track_caller]
pub fn play(server: SocketAddr, path: &str) -> FlvReader<Body> {
    let reply = get(server, path);
    assert_eq!(reply.status, 200, "GET {path}");
    assert_eq!(reply.header("content-type"), Some("video/x-flv"));
    FlvReader::open(reply.body)
}

/// A connection on which nothing can hang for ever.
pub fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(IO_LIMIT)).unwrap();
    stream.set_write_timeout(Some(IO_LIMIT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Waits for the peer to close the connection, and gives back what it said before, and when it closed.
#[track_caller]
pub fn read_until_closed(mut stream: TcpStream, limit: Duration) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    stream.set_read_timeout(Some(limit)).unwrap();
    let mut said = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(n) => said.extend_from_slice(&part[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(e) => panic!("the peer has not closed within {limit:?}: {e}"),
        }
    }
    (said, start.elapsed())
}

impl Reply {
    /// Reads a reply's head from `stream`.
    #[track_caller]
    pub fn read(stream: TcpStream, is_to_head: bool) -> Self {
        let mut stream = BufReader::new(stream);
        let status_line = read_line(&mut stream);
        let mut words = status_line.splitn(3, ' ');
        let version = words.next().unwrap_or_default().to_owned();
        let status = words.next().and_then(|status| status.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("not a status line: {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = read_line(&mut stream);
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a header: {line:?}"));
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let framing = if is_to_head || matches!(status, 204 | 304) {
            Framing::None
        } else if find("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            Framing::Chunked { left: 0 }
        } else if let Some(length) = find("content-length") {
            Framing::Length { left: length.parse().unwrap() }
        } else {
            Framing::UntilClose
        };
        Self { status, version, headers, body: Body { stream, framing, is_complete: false } }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn is_chunked(&self) -> bool {
        matches!(self.body.framing, Framing::Chunked { .. })
    }

    /// The whole body as text.
    #[track_caller]
    pub fn text(mut self) -> String {
        let mut text = String::new();
        self.body.read_to_string(&mut text).unwrap();
        text
    }
}

impl Body {
    /// Whether the body has ended as its framing promised: the last chunk, the announced length, or the close.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The connection, to set its timeouts, say.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    fn read_chunked(&mut self, part: &mut [u8], left: u64) -> std::io::Result<usize> {
        let mut left = left;
        if left == 0 {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                // Closed without the last chunk.
                return Ok(0);
            }
            left = u64::from_str_radix(line.trim_end(), 16)
                .unwrap_or_else(|_| panic!("not a chunk's size: {line:?}"));
            if left == 0 {
                let mut end = [0; 2];
                self.stream.read_exact(&mut end)?;
                assert_eq!(&end, b"\r\n", "the end of the last chunk");
                self.is_complete = true;
                return Ok(0);
            }
        }
        let n = self.read_limited(part, left)?;
        left -= n as u64;
        if left == 0 && n > 0 {
            let mut end = [0; 2];
            self.stream.read_exact(&mut end)?;
            assert_eq!(&end, b"\r\n", "the end of a chunk");
        }
        self.framing = Framing::Chunked { left };
        Ok(n)
    }

    fn read_limited(&mut self, part: &mut [u8], left: u64) -> std::io::Result<usize> {
        let most = part.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.stream.read(&mut part[..most])
    }
}

impl Read for Body {
    fn read(&mut self, part: &mut [u8]) -> std::io::Result<usize> {
        if self.is_complete || part.is_empty() {
            return Ok(0);
        }
        match self.framing {
            Framing::Chunked { left } => self.read_chunked(part, left),
            Framing::Length { left } => {
                let n = self.read_limited(part, left)?;
                self.framing = Framing::Length { left: left - n as u64 };
                self.is_complete = left == n as u64;
                Ok(n)
            }
            Framing::UntilClose => {
                let n = self.stream.read(part)?;
                self.is_complete = n == 0;
                Ok(n)
            }
            Framing::None => Ok(0),
        }
    }
}

#[track_caller]
fn read_line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    let n = stream.read_line(&mut line).unwrap_or_else(|e| panic!("no line of a reply's head: {e}"));
    assert!(n > 0, "the connection was closed inside a reply's head");
    assert!(line.ends_with("\r\n"), "a head's line that ends otherwise than in CR LF: {line:?}");
    line.trim_end().to_owned()
}

const IO_LIMIT: Duration = seconds(30);

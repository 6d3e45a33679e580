//! A strict WebSocket client of the tests' own (RFC 6455), which sees each frame.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::http::{self, Body, Reply};

/// An open WebSocket. As a reader it gives what is in the binary messages, up to the close frame.
pub struct WebSocket {
    connection: Body,
    /// What has been read of the newest message and not been taken.
    message: Vec<u8>,
    taken: usize,
    /// The close frame, once it has come.
    pub closed: Option<Close>,
}

#[derive(PartialEq, Eq, Debug, Clone)]
pub struct Close {
    pub code: Option<u16>,
    pub reason: String,
}

#[derive(PartialEq, Eq, Debug)]
pub enum Frame {
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(Close),
}

/// The headers of a handshake, behind `Host`.
pub const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub const PING: u8 = 0x89;
pub const CLOSE: u8 = 0x88;

impl WebSocket {
    /// Waits for the answer, which comes when the stream is there.
    #[track_caller]
    pub fn open(server: SocketAddr, path: &str) -> Self {
        Self::of(http::send(server, &format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n{HANDSHAKE}\r\n")))
    }

    /// Of the reply to a handshake.
    #[track_caller]
    pub fn of(reply: Reply) -> Self {
        assert_eq!(reply.status, 101);
        let header = |name| reply.header(name).map(str::to_ascii_lowercase);
        assert_eq!(header("upgrade").as_deref(), Some("websocket"));
        assert_eq!(header("connection").as_deref(), Some("upgrade"));
        assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!((reply.header("content-length"), reply.header("transfer-encoding")), (None, None));
        Self { connection: reply.body, message: Vec::new(), taken: 0, closed: None }
    }

    /// The next frame; `None` when the connection has ended between two.
    ///
    /// # Panics
    ///
    /// When it is not one that this server has a use for, in its shortest form.
    #[track_caller]
    pub fn next_frame(&mut self) -> Option<Frame> {
        let mut first = [0];
        if self.connection.read(&mut first).expect("a frame") == 0 {
            return None;
        }
        assert_eq!(self.closed, None, "a frame behind the close frame");
        let [length] = self.exactly();
        let length = match length {
            0..126 => u64::from(length),
            126 => u64::from(u16::from_be_bytes(self.exactly())),
            127 => u64::from_be_bytes(self.exactly()),
            _ => panic!("a frame from a server is not masked"),
        };
        assert!(
            u8::try_from(length).is_ok_and(|short| short < 126) || first[0] == 0x82,
            "a long control frame"
        );
        let mut payload = vec![0; length as usize];
        self.connection.read_exact(&mut payload).unwrap();
        Some(match first[0] {
            0x82 => Frame::Binary(payload),
            0x8A => Frame::Pong(payload),
            0x88 => {
                let (code, reason) = match payload.split_first_chunk() {
                    Some((code, reason)) => (Some(u16::from_be_bytes(*code)), reason),
                    None => (None, &payload[..]),
                };
                let close = Close { code, reason: String::from_utf8(reason.to_vec()).unwrap() };
                self.closed = Some(close.clone());
                Frame::Close(close)
            }
            other => panic!("a frame that begins with {other:#04x}"),
        })
    }

    /// The next frame that is no media.
    #[track_caller]
    pub fn next_answer(&mut self) -> Option<Frame> {
        loop {
            match self.next_frame() {
                Some(Frame::Binary(_)) => {}
                other => return other,
            }
        }
    }

    /// Sends a frame with this first byte, masked.
    pub fn send(&self, first: u8, payload: &[u8]) {
        let length = match payload.len() {
            short @ 0..126 => vec![0x80 | short as u8],
            long => [&[0x80 | 126][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
        };
        let mask = [0xA5, 0x5A, 0x0F, 0xF0];
        let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let frame = [&[first][..], &length, &mask, &masked.collect::<Vec<_>>()].concat();
        self.send_raw(&frame);
    }

    pub fn send_raw(&self, bytes: &[u8]) {
        self.try_send_raw(bytes).unwrap();
    }

    /// The same where the server may take no more.
    pub fn try_send_raw(&self, bytes: &[u8]) -> std::io::Result<()> {
        self.connection.socket().write_all(bytes)
    }

    /// How long to wait for the server to take something.
    pub fn set_write_limit(&self, limit: Duration) {
        self.connection.socket().set_write_timeout(Some(limit)).unwrap();
    }

    fn exactly<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.connection.read_exact(&mut bytes).unwrap();
        bytes
    }
}

impl Read for WebSocket {
    fn read(&mut self, part: &mut [u8]) -> std::io::Result<usize> {
        while self.taken == self.message.len() {
            match self.next_frame() {
                Some(Frame::Binary(message)) => (self.message, self.taken) = (message, 0),
                Some(Frame::Pong(_)) => {}
                Some(Frame::Close(_)) | None => return Ok(0),
            }
        }
        let count = part.len().min(self.message.len() - self.taken);
        part[..count].copy_from_slice(&self.message[self.taken..][..count]);
        self.taken += count;
        Ok(count)
    }
}

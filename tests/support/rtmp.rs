//! A small RTMP client of the tests' own, to say what real publishers would not.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::flv::{Kind, Tag};
use super::http::connect;

/// A connection after a simple handshake. Each message goes out as one chunk.
pub struct RtmpClient {
    socket: TcpStream,
    chunk_size: usize,
    partial: HashMap<u8, Message>,
}

#[derive(Clone, Default, Debug)]
pub struct Message {
    pub kind: u8,
    pub payload: Vec<u8>,
    length: usize,
}

pub enum Amf<'a> {
    Number(f64),
    Text(&'a str),
    Null,
    Object(&'a [(&'a str, Self)]),
    /// Encoded already.
    Raw(&'a [u8]),
}

impl RtmpClient {
    #[track_caller]
    pub fn connect(server: SocketAddr) -> Self {
        Self::try_connect(server).expect("a handshake")
    }

    /// The same with a server that may hang up.
    pub fn try_connect(server: SocketAddr) -> io::Result<Self> {
        Self::try_over(connect(server))
    }

    /// The same with `header` in front of everything, as a proxy says it.
    pub fn try_connect_behind(server: SocketAddr, header: &[u8]) -> io::Result<Self> {
        let mut socket = connect(server);
        socket.write_all(header)?;
        Self::try_over(socket)
    }

    /// The same over a connection that is there already.
    pub fn try_over(mut socket: TcpStream) -> io::Result<Self> {
        let mut hello = vec![0; 1537];
        hello[0] = 3;
        for (at, byte) in hello.iter_mut().enumerate().skip(9) {
            *byte = (at * 7) as u8;
        }
        socket.write_all(&hello)?;
        let mut answer = vec![0; 3073];
        socket.read_exact(&mut answer)?;
        assert_eq!(answer[0], 3, "S0");
        assert_eq!(answer[1537 + 8..], hello[9..], "S2 echoes C1");
        socket.write_all(&answer[1..1537])?;
        let mut client = Self { socket, chunk_size: 128, partial: HashMap::new() };
        client.send(SET_CHUNK_SIZE, 0, 0, &OWN_CHUNK_SIZE.to_be_bytes());
        Ok(client)
    }

    /// The same, and as far as the app: it has not asked to publish.
    #[track_caller]
    pub fn connect_to_app(server: SocketAddr, app: &str) -> Self {
        let mut client = Self::connect(server);
        let command = [("app", Amf::Text(app)), ("type", Amf::Text("nonprivate"))];
        client.command(0, &[Amf::Text("connect"), Amf::Number(1.0), Amf::Object(&command)]);
        client.wait_for_command(&["_result"]).expect("the server accepts the app");
        client
    }

    /// Our end of the connection, which is what the server's log calls it.
    pub fn address(&self) -> String {
        self.socket.local_addr().unwrap().to_string()
    }

    pub fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Asks to publish, as OBS does; the message stream, or the code of the refusal, or [`CLOSED`].
    pub fn publish(&mut self, app: &str, name: &str) -> Result<u32, String> {
        let command = [("app", Amf::Text(app)), ("type", Amf::Text("nonprivate"))];
        self.command(0, &[Amf::Text("connect"), Amf::Number(1.0), Amf::Object(&command)]);
        let answer = self.wait_for_command(&["_result", "_error"])?;
        if answer.command() != Some("_result") {
            return Err(answer.code());
        }
        self.command(0, &[Amf::Text("releaseStream"), Amf::Number(2.0), Amf::Null, Amf::Text(name)]);
        self.command(0, &[Amf::Text("FCPublish"), Amf::Number(3.0), Amf::Null, Amf::Text(name)]);
        self.command(0, &[Amf::Text("createStream"), Amf::Number(4.0), Amf::Null]);
        let stream = loop {
            let answer = self.wait_for_command(&["_result"])?;
            if answer.payload[10..].starts_with(&amf_bytes(&[Amf::Number(4.0)])) {
                let number = answer.payload.last_chunk::<8>().expect("the number of the stream");
                break f64::from_be_bytes(*number) as u32;
            }
        };
        self.command(
            stream,
            &[Amf::Text("publish"), Amf::Number(5.0), Amf::Null, Amf::Text(name), Amf::Text("live")],
        );
        let code = self.wait_for_command(&["onStatus"])?.code();
        if code == "NetStream.Publish.Start" { Ok(stream) } else { Err(code) }
    }

    /// Ends the stream in good order, as ffmpeg does: nobody is to wait for its return.
    pub fn unpublish(&mut self, stream: u32) {
        let number = Amf::Number(f64::from(stream));
        self.command(0, &[Amf::Text("deleteStream"), Amf::Number(9.0), Amf::Null, number]);
    }

    /// The same, and waits for the server to hang up: closing with its answers unread could overtake the goodbye.
    pub fn say_goodbye(mut self, stream: u32) {
        self.unpublish(stream);
        let _ = self.socket.shutdown(Shutdown::Write);
        let _ = self.socket.set_read_timeout(Some(Duration::from_secs(2)));
        let _ = io::copy(&mut self.socket, &mut io::sink());
    }

    /// Publishes a tag of a file; metadata gets the `@setDataFrame` that publishers put before it.
    pub fn send_tag(&mut self, stream: u32, tag: &Tag) {
        match tag.kind {
            Kind::Audio => self.send(AUDIO, stream, tag.timestamp, &tag.body),
            Kind::Video => self.send(VIDEO, stream, tag.timestamp, &tag.body),
            Kind::Script => {
                let body = [amf_bytes(&[Amf::Text("@setDataFrame")]).as_slice(), &tag.body].concat();
                self.send(DATA, stream, tag.timestamp, &body);
            }
        }
    }

    pub fn command(&mut self, stream: u32, values: &[Amf<'_>]) {
        self.send(COMMAND, stream, 0, &amf_bytes(values));
    }

    /// Sends one message; a peer that has closed the connection is no error here, but where the answer is read.
    pub fn send(&mut self, kind: u8, stream: u32, timestamp: u32, payload: &[u8]) {
        let _ = self.try_send(kind, stream, timestamp, payload);
    }

    /// The same for those who want to know.
    pub fn try_send(&mut self, kind: u8, stream: u32, timestamp: u32, payload: &[u8]) -> io::Result<()> {
        let mut bytes = chunk_header(kind, stream, timestamp, payload.len());
        bytes.extend_from_slice(payload);
        self.try_send_raw(&bytes)
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.try_send_raw(bytes);
    }

    pub fn try_send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// The next message from the server; `None` when it has closed the connection.
    #[track_caller]
    pub fn read_message(&mut self) -> Option<Message> {
        loop {
            let [first] = self.read_bytes()?;
            let (format, id) = (first >> 6, first & 0x3f);
            assert!(id >= 2, "a chunk stream id that this client does not expect");
            let mut message = self.partial.remove(&id).unwrap_or_default();
            let mut has_long_time = false;
            if format < 3 {
                let time: [u8; 3] = self.read_bytes()?;
                has_long_time = time == [0xff; 3];
            }
            if format < 2 {
                let [a, b, c, kind] = self.read_bytes()?;
                message.length = u32::from_be_bytes([0, a, b, c]) as usize;
                message.kind = kind;
            }
            if format == 0 {
                let _stream: [u8; 4] = self.read_bytes()?;
            }
            assert!(!has_long_time, "an extended timestamp from a server that answers commands");
            let mut part = vec![0; self.chunk_size.min(message.length - message.payload.len())];
            self.socket.read_exact(&mut part).ok()?;
            message.payload.extend_from_slice(&part);
            let is_whole = message.payload.len() == message.length;
            let header = Message { payload: Vec::new(), ..message.clone() };
            self.partial.insert(id, if is_whole { header } else { message.clone() });
            if is_whole {
                if message.kind == SET_CHUNK_SIZE {
                    let size = message.payload.first_chunk::<4>().expect("a chunk size");
                    self.chunk_size = u32::from_be_bytes(*size) as usize;
                }
                return Some(message);
            }
        }
    }

    /// Waits for the server to close the connection; the codes of what it said before.
    #[track_caller]
    pub fn read_until_closed(mut self, limit: Duration) -> Vec<String> {
        let end = std::time::Instant::now() + limit;
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let mut codes = Vec::new();
        while let Some(message) = self.read_message() {
            codes.push(message.code());
        }
        assert!(
            std::time::Instant::now() < end,
            "the server has not closed within {limit:?}, but said {codes:?}"
        );
        codes
    }

    /// The next command of one of these names, or [`CLOSED`].
    pub fn wait_for_command(&mut self, names: &[&str]) -> Result<Message, String> {
        loop {
            let message = self.read_message().ok_or(CLOSED)?;
            if message.command().is_some_and(|name| names.contains(&name)) {
                return Ok(message);
            }
        }
    }

    fn read_bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.socket.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}

impl Message {
    pub fn command(&self) -> Option<&str> {
        if self.kind != COMMAND {
            return None;
        }
        text_at(&self.payload, 0)
    }

    /// The `code` of a status, or nothing.
    pub fn code(&self) -> String {
        const KEY: &[u8] = b"\x00\x04code";
        let at = self.payload.windows(KEY.len()).position(|part| part == KEY);
        at.and_then(|at| text_at(&self.payload, at + KEY.len())).unwrap_or_default().to_owned()
    }
}

/// The bytes in front of a message's payload: a chunk of format 0 on chunk stream 4.
pub fn chunk_header(kind: u8, stream: u32, timestamp: u32, length: usize) -> Vec<u8> {
    const EXTENDED: u32 = 0xff_ffff;
    let mut bytes = vec![4];
    bytes.extend_from_slice(&timestamp.min(EXTENDED).to_be_bytes()[1..]);
    bytes.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    bytes.push(kind);
    bytes.extend_from_slice(&stream.to_le_bytes());
    if timestamp >= EXTENDED {
        bytes.extend_from_slice(&timestamp.to_be_bytes());
    }
    bytes
}

pub fn amf_bytes(values: &[Amf<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        match value {
            Amf::Number(number) => {
                bytes.push(0);
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            Amf::Text(text) => {
                bytes.push(2);
                put_text(&mut bytes, text);
            }
            Amf::Null => bytes.push(5),
            Amf::Object(pairs) => {
                bytes.push(3);
                for (key, value) in *pairs {
                    put_text(&mut bytes, key);
                    bytes.extend(amf_bytes(std::slice::from_ref(value)));
                }
                bytes.extend_from_slice(&[0, 0, 9]);
            }
            Amf::Raw(raw) => bytes.extend_from_slice(raw),
        }
    }
    bytes
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn text_at(bytes: &[u8], at: usize) -> Option<&str> {
    let [2, high, low, rest @ ..] = bytes.get(at..)? else { return None };
    std::str::from_utf8(rest.get(..usize::from(u16::from_be_bytes([*high, *low])))?).ok()
}

/// Instead of a code: the server has closed the connection without a word.
pub const CLOSED: &str = "closed";
pub const AUDIO: u8 = 8;
pub const VIDEO: u8 = 9;
pub const DATA: u8 = 18;
pub const COMMAND: u8 = 20;
const SET_CHUNK_SIZE: u8 = 1;
/// The largest message there is.
const OWN_CHUNK_SIZE: u32 = 0xff_ffff;

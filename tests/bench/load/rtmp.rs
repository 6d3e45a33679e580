//! A publisher's connection to any RTMP server.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rtmpd::amf0::{self, Object, Value};
use rtmpd::media::{PacketKind, Timestamp};
use rtmpd::rtmp::chunk::{ChunkLimits, ChunkReader, ChunkStreamId, ChunkWriter};
use rtmpd::rtmp::command::Command;
use rtmpd::rtmp::handshake::PACKET_LENGTH;
use rtmpd::rtmp::message::{Message, MessageType};

use super::frames::Frame;
use super::publisher::Outlet;

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// After how many frames the server's acknowledgements are read: one that sends many would stall otherwise.
const FRAMES_PER_LOOK: u32 = 64;

const CREATE_STREAM: f64 = 2.0;

/// A connection on which a publish has been accepted.
pub struct Rtmp {
    socket: TcpStream,
    writer: ChunkWriter,
    bytes: Vec<u8>,
    stream_id: u32,
    frames: u32,
}

impl Rtmp {
    pub fn publish(server: SocketAddr, app: &str, name: &str, chunk_size: u32) -> io::Result<Self> {
        let mut socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        shake_hands(&mut socket)?;
        let mut rtmp =
            Self { socket, writer: ChunkWriter::default(), bytes: Vec::new(), stream_id: 0, frames: 0 };
        let mut answers = Answers::new();
        rtmp.message(MessageType::SET_CHUNK_SIZE, 0, chunk_size.to_be_bytes().to_vec())?;
        let mut connect = Command::new("connect", 1.0, Vec::new());
        let url = format!("rtmp://{server}/{app}");
        let properties: Object =
            [("app", Value::from(app)), ("tcUrl", Value::from(url.as_str()))].into_iter().collect();
        connect.object = Value::Object(properties);
        rtmp.command(&connect)?;
        rtmp.command(&Command::new("createStream", CREATE_STREAM, Vec::new()))?;
        let created = answers.find(&mut rtmp.socket, |answer| answer.transaction == CREATE_STREAM)?;
        rtmp.stream_id = created.arguments.first().and_then(Value::as_number).unwrap_or(1.0) as u32;
        rtmp.command(&Command::new("publish", 3.0, vec![Value::from(name), Value::from("live")]))?;
        let status = answers.find(&mut rtmp.socket, |answer| answer.name == "onStatus")?;
        let info = status.arguments.first().and_then(Value::as_object);
        match info.and_then(|info| info.get("code")).and_then(Value::as_str) {
            Some("NetStream.Publish.Start") => {}
            other => return Err(io::Error::other(format!("{name} cannot be published: {other:?}"))),
        }
        rtmp.headers()?;
        Ok(rtmp)
    }

    /// Metadata and sequence headers.
    fn headers(&mut self) -> io::Result<()> {
        let mut metadata = Vec::new();
        amf0::encode(&Value::from("@setDataFrame"), &mut metadata);
        amf0::encode(&Value::from("onMetaData"), &mut metadata);
        let values: Object =
            [("videocodecid", Value::Number(7.0)), ("audiocodecid", Value::Number(10.0))].into_iter().collect();
        amf0::encode(&Value::EcmaArray(values), &mut metadata);
        self.message(MessageType::DATA_AMF0, 0, metadata)?;
        self.message(MessageType::VIDEO, 0, vec![0x17, 0, 0, 0, 0, 1, 100, 0, 31, 255])?;
        self.message(MessageType::AUDIO, 0, vec![0xAF, 0, 0x12, 0x10])
    }

    fn command(&mut self, command: &Command) -> io::Result<()> {
        self.message(MessageType::COMMAND_AMF0, 0, command.encode())
    }

    fn message(&mut self, message_type: MessageType, timestamp: u32, payload: Vec<u8>) -> io::Result<()> {
        let stream_id = if message_type == MessageType::SET_CHUNK_SIZE { 0 } else { self.stream_id };
        let message = Message { timestamp: Timestamp(timestamp), message_type, stream_id, payload };
        self.bytes.clear();
        self.writer.write(ChunkStreamId(4), &message, &mut self.bytes);
        self.socket.write_all(&self.bytes)
    }

    fn discard_answers(&mut self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        let mut waste = [0; 4096];
        while matches!(self.socket.read(&mut waste), Ok(1..)) {}
        self.socket.set_nonblocking(false)
    }
}

impl Outlet for Rtmp {
    fn send(&mut self, frame: Frame) -> io::Result<()> {
        self.frames += 1;
        if self.frames.is_multiple_of(FRAMES_PER_LOOK) {
            self.discard_answers()?;
        }
        let video = frame.kind == PacketKind::Video;
        let message_type = if video { MessageType::VIDEO } else { MessageType::AUDIO };
        self.message(message_type, frame.timestamp, frame.payload)
    }

    /// What encoders send when they are stopped. The server's last words are read: closing with unread input would
    /// reset the connection, and the last frames would be lost.
    fn finish(mut self) -> io::Result<()> {
        let stream = Value::Number(f64::from(self.stream_id));
        self.command(&Command::new("deleteStream", 0.0, vec![stream]))?;
        self.socket.shutdown(Shutdown::Write)?;
        let mut waste = [0; 4096];
        while matches!(self.socket.read(&mut waste), Ok(1..)) {}
        Ok(())
    }
}

/// The simple handshake.
fn shake_hands(socket: &mut TcpStream) -> io::Result<()> {
    let mut hello = vec![0; 1 + PACKET_LENGTH];
    hello[0] = 3;
    socket.write_all(&hello)?;
    let mut answer = vec![0; 1 + 2 * PACKET_LENGTH];
    socket.read_exact(&mut answer)?;
    socket.write_all(&answer[1..=PACKET_LENGTH])
}

/// What the server answers while the publish is being agreed on.
struct Answers {
    reader: ChunkReader,
    buffer: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        Self { reader: ChunkReader::new(ChunkLimits::default()), buffer: Vec::new() }
    }

    /// The next answer that is `wanted`; others are passed over.
    fn find(&mut self, socket: &mut TcpStream, wanted: impl Fn(&Command) -> bool) -> io::Result<Command> {
        loop {
            let mut input = &self.buffer[..];
            while let Some(message) = self.reader.read(&mut input).map_err(io::Error::other)? {
                if message.message_type != MessageType::COMMAND_AMF0 {
                    continue;
                }
                let command = Command::decode(&message.payload).map_err(io::Error::other)?;
                if command.name == "_error" {
                    return Err(io::Error::other("the server answers with an error"));
                }
                if wanted(&command) {
                    self.buffer = input.to_vec();
                    return Ok(command);
                }
            }
            self.buffer.resize(4096, 0);
            match socket.read(&mut self.buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.buffer.truncate(count),
            }
        }
    }
}

//! RTMP sessions in memory: a client that says what it is told, and a loop that drives a session with bytes.

use rtmpd::amf0::{Object, Value};
use rtmpd::media::Timestamp;
use rtmpd::rtmp::aggregate::MAX_PARTS;
use rtmpd::rtmp::chunk::{ChunkLimits, ChunkReader, ChunkStreamId, ChunkWriter};
use rtmpd::rtmp::command::Command;
use rtmpd::rtmp::handshake::{PACKET_LENGTH, RANDOM_LENGTH};
use rtmpd::rtmp::message::{Message, MessageType};
use rtmpd::rtmp::session::{Event, MAX_NAME, MAX_OUTPUT, Session, SessionError};

/// A client that writes what it is told and reads what the session answers.
pub struct Client {
    pub session: Session,
    writer: ChunkWriter,
    reader: ChunkReader,
}

impl Client {
    /// Through the handshake.
    pub fn new() -> Self {
        let session = Session::new(ChunkLimits::default(), Box::new([7; RANDOM_LENGTH]));
        let mut client =
            Self { session, writer: ChunkWriter::default(), reader: ChunkReader::new(ChunkLimits::default()) };
        let mut hello = vec![0; 1 + 2 * PACKET_LENGTH];
        hello[0] = 3;
        client.session.handle_input(&hello).unwrap();
        assert_eq!(client.session.take_output().len(), 1 + 2 * PACKET_LENGTH);
        client
    }

    pub fn connected(app: &str) -> Self {
        let mut client = Self::new();
        client.connect(app).unwrap();
        client.replies();
        client
    }

    pub fn publishing(app: &str, name: &str) -> Self {
        let mut client = Self::connected(app);
        client.command("createStream", 4.0, &[], 0).unwrap();
        client.command("publish", 5.0, &[Value::from(name), Value::from("live")], 1).unwrap();
        assert!(matches!(client.session.poll_event(), Some(Event::PublishRequested(_))));
        client.session.accept_publish().unwrap();
        client.replies();
        client
    }

    pub fn send(
        &mut self,
        message_type: MessageType,
        stream_id: u32,
        payload: Vec<u8>,
    ) -> Result<(), SessionError> {
        let message = Message { timestamp: Timestamp(40), message_type, stream_id, payload };
        let mut bytes = Vec::new();
        self.writer.write(ChunkStreamId(5), &message, &mut bytes);
        self.session.handle_input(&bytes)
    }

    pub fn command(
        &mut self,
        name: &str,
        txn: f64,
        arguments: &[Value],
        stream_id: u32,
    ) -> Result<(), SessionError> {
        let payload = Command::new(name, txn, arguments.to_vec()).encode();
        self.send(MessageType::COMMAND_AMF0, stream_id, payload)
    }

    pub fn connect(&mut self, app: &str) -> Result<(), SessionError> {
        let mut command = Command::new("connect", 1.0, Vec::new());
        let properties = [("app", Value::from(app)), ("flashVer", Value::from("Test/1.0"))];
        command.object = Value::Object(properties.into_iter().collect());
        self.send(MessageType::COMMAND_AMF0, 0, command.encode())
    }

    pub fn replies(&mut self) -> Vec<Message> {
        let output = self.session.take_output();
        let mut input = &output[..];
        let mut replies = Vec::new();
        while let Some(reply) = self.reader.read(&mut input).unwrap() {
            replies.push(reply);
        }
        assert!(input.is_empty());
        replies
    }

    /// The commands among the replies, as (name, transaction, message stream, code or empty).
    pub fn answers(&mut self) -> Vec<(String, f64, u32, String)> {
        let commands =
            self.replies().into_iter().filter(|reply| reply.message_type == MessageType::COMMAND_AMF0);
        commands
            .map(|reply| {
                let command = Command::decode(&reply.payload).unwrap();
                let info = command.arguments.first().and_then(Value::as_object).cloned().unwrap_or_default();
                check_info(&info);
                let code = info.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
                (command.name, command.transaction, reply.stream_id, code)
            })
            .collect()
    }
}

/// Clients crash or hang on an info object that lacks one of the three.
pub fn check_info(info: &Object) {
    if !info.0.is_empty() {
        for key in ["level", "code", "description"] {
            assert!(info.get(key).and_then(Value::as_str).is_some(), "{key} is missing in {info:?}");
        }
    }
}

pub fn answer(name: &str, txn: f64, stream_id: u32, code: &str) -> (String, f64, u32, String) {
    (name.into(), txn, stream_id, code.into())
}

/// The handshake of a client, as simple as can be.
pub fn hello() -> Vec<u8> {
    let mut bytes = vec![0; 1 + 2 * PACKET_LENGTH];
    bytes[0] = 3;
    bytes
}

/// A whole session as bytes: handshake, commands, media, goodbye.
pub fn written() -> Vec<u8> {
    let mut bytes = hello();
    let mut writer = ChunkWriter::default();
    let mut put = |message_type, stream_id, payload: Vec<u8>| {
        let message = Message { timestamp: Timestamp(1000), message_type, stream_id, payload };
        writer.write(ChunkStreamId(4), &message, &mut bytes);
    };
    let mut connect = Command::new("connect", 1.0, Vec::new());
    connect.object = Value::Object([("app", Value::from("live"))].into_iter().collect());
    put(MessageType::COMMAND_AMF0, 0, connect.encode());
    put(MessageType::COMMAND_AMF0, 0, Command::new("createStream", 2.0, Vec::new()).encode());
    put(MessageType::COMMAND_AMF0, 1, Command::new("publish", 3.0, vec![Value::from("s")]).encode());
    put(MessageType::VIDEO, 1, vec![0x17; 300]);
    put(MessageType::SET_CHUNK_SIZE, 0, 4096_u32.to_be_bytes().to_vec());
    put(MessageType::AUDIO, 1, vec![0xAF; 300]);
    put(MessageType::COMMAND_AMF0, 0, Command::new("FCUnpublish", 4.0, Vec::new()).encode());
    bytes
}

/// What came of a session.
pub struct Driven {
    pub events: Vec<Event>,
    pub output: Vec<u8>,
    pub end: Option<SessionError>,
}

/// Feeds a session in pieces, as `ingest` does, and accepts what it asks.
#[track_caller]
pub fn drive<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Driven {
    let limits = ChunkLimits::default();
    let mut session = Session::new(limits.clone(), Box::new([7; RANDOM_LENGTH]));
    let mut driven = Driven { events: Vec::new(), output: Vec::new(), end: None };
    for piece in pieces {
        driven.end = session.handle_input(piece).err();
        driven.take_from(&mut session, piece.len());
        assert!(session.unfinished_bytes() <= limits.partial_bytes, "{} bytes", session.unfinished_bytes());
        if driven.end.is_some() || session.is_closing() {
            break;
        }
    }
    driven
}

impl Driven {
    /// That both have been told the same, however their bytes came. What is answered, and when, may differ: a refused
    /// player is not listened to any more, and answers add up until they are taken.
    #[track_caller]
    pub fn assert_same(&self, other: &Self) {
        let differs = |driven: &Self| {
            let plays = driven.events.iter().any(|event| matches!(event, Event::PlayRequested { .. }));
            plays || driven.end == Some(SessionError::TooManyCommands)
        };
        if !differs(self) && !differs(other) {
            assert_eq!((&self.events, self.end), (&other.events, other.end));
        }
    }

    /// Takes events and output, neither of which may be more than its bound after so much input.
    #[track_caller]
    fn take_from(&mut self, session: &mut Session, input: usize) {
        let before = self.events.len();
        while let Some(event) = session.poll_event() {
            match event {
                Event::PublishRequested(_) => self.end = self.end.or(session.accept_publish().err()),
                Event::PlayRequested { .. } => session.reject("NetStream.Play.Failed", "Not here."),
                _ => {}
            }
            self.events.push(event);
        }
        let (events, output) = (self.events.len() - before, session.take_output());
        assert!(events <= input + MAX_PARTS, "{events} events of {input} bytes");
        assert!(output.len() <= OUTPUT_BOUND, "{} bytes of output", output.len());
        self.output.extend(output);
    }
}

/// What a session may have to say at a time: the answers to a last message come on top of [`MAX_OUTPUT`].
pub const OUTPUT_BOUND: usize = MAX_OUTPUT + MAX_NAME + 4096;

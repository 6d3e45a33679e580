//! The client's side of a session: publishes one stream to a server.
//!
//! The loop around a [`Client`], once it is connected:
//!
//! 1. write what [`take_output`](Client::take_output) gives;
//! 2. read some bytes and [`handle_input`](Client::handle_input) them;
//! 3. from the top, until the client [`is_publishing`](Client::is_publishing);
//! 4. [`send`](Client::send) packets when their time has come and write them; what the server says meanwhile is handled
//!    as before, for a server may ask whether anybody is there, or end the stream;
//! 5. [`finish`](Client::finish), and write the last output.

use std::fmt;

use super::chunk::{ChunkError, ChunkLimits, ChunkReader, ChunkStreamId, ChunkWriter};
use super::command::Command;
use super::handshake::{ClientHandshake, HandshakeError, RANDOM_LENGTH};
use super::message::{Message, MessageType, UserControl};
use crate::amf0::{self, Amf0Error, Value};
use crate::flv::tag::MAX_TAG_BODY;
use crate::media::{Packet, PacketKind, Timestamp};

/// Chunk size of what the client sends: most packets are one chunk.
const CHUNK_SIZE: u32 = 60_000;

/// What the client says of itself; servers look for a familiar beginning.
pub(crate) const PROGRAM: &str = concat!("FMLE/3.0 (compatible; rtmpd/", env!("CARGO_PKG_VERSION"), ")");

/// Longest text of a server's that is kept, in characters.
const MAX_SAID: usize = 256;

/// How a metadata message begins that does not ask the server to keep it.
const METADATA: &[u8] = b"\x02\x00\x0aonMetaData";

// The transaction numbers: those of the two commands whose answers are needed to go on, and of the others.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 4.0;
const RELEASE_STREAM: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const PUBLISH: f64 = 5.0;
const FC_UNPUBLISH: f64 = 6.0;
const DELETE_STREAM: f64 = 7.0;

/// What is published where.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The server's name or address, with the port unless that is 1935, as in a URL.
    pub host: String,
    /// The app, with its query if there is one; may be empty.
    pub app: String,
    /// The stream's name, likewise.
    pub name: String,
}

/// Queries carry keys, and are not shown.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |text: &str| text.split('?').next().map(str::to_owned);
        let Self { host, app, name } = self;
        f.debug_struct("Target")
            .field("host", host)
            .field("app", &path(app))
            .field("name", &path(name))
            .finish()
    }
}

/// Why a client cannot go on, or not send something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server does not speak plain RTMP.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The chunk stream is broken or beyond a limit.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command cannot be decoded.
    #[error("bad command: {0}")]
    Command(#[from] Amf0Error),
    /// The answer to `createStream` has no stream in it.
    #[error("the server gives no number of a stream")]
    NoStream,
    /// The server says no, to what was asked for or in the middle of the stream.
    #[error("the server refuses: {description} ({code})")]
    Refused {
        /// Such as `NetStream.Publish.BadName`.
        code: String,
        /// For people.
        description: String,
    },
    /// The server has ended the stream or the connection in good order.
    #[error("the server ends the stream: {description} ({code})")]
    Ended {
        /// Such as `NetConnection.Connect.Closed`.
        code: String,
        /// For people.
        description: String,
    },
    /// The server has not said yet that the stream may be sent, or it has been finished.
    #[error("the stream is not being published")]
    NotPublishing,
    /// A payload is longer than [`MAX_TAG_BODY`].
    #[error("a packet of {0} bytes is too long")]
    TooLong(usize),
}

/// Publishes one stream. See the [module](self) for how it is driven.
#[derive(Debug)]
pub struct Client {
    target: Target,
    handshake: Option<ClientHandshake>,
    reader: ChunkReader,
    writer: ChunkWriter,
    output: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// `connect` has no answer yet.
    Connecting,
    /// `createStream` has none.
    Creating,
    /// `publish` has none.
    Asked {
        stream_id: u32,
    },
    Publishing {
        stream_id: u32,
    },
    /// The client has said goodbye.
    Finished,
}

impl Client {
    /// A client that is connected and has not said anything yet. `random` goes into the handshake; it need not be
    /// secret, only different for each connection.
    pub fn new(target: Target, random: &[u8; RANDOM_LENGTH]) -> Self {
        let mut output = Vec::new();
        Self {
            target,
            handshake: Some(ClientHandshake::begin(random, &mut output)),
            // A server that is published to has only commands to send.
            reader: ChunkReader::new(ChunkLimits::default().for_commands()),
            writer: ChunkWriter::default(),
            output,
            stage: Stage::Connecting,
        }
    }

    /// Takes bytes from the server, all of them.
    ///
    /// # Errors
    /// See [`ClientError`]. After an error the connection is of no more use.
    pub fn handle_input(&mut self, mut input: &[u8]) -> Result<(), ClientError> {
        if let Some(handshake) = &mut self.handshake {
            if !handshake.read(&mut input, &mut self.output)? {
                return Ok(());
            }
            self.handshake = None;
            self.connect();
        }
        while let Some(message) = self.reader.read(&mut input)? {
            self.handle_message(&message)?;
        }
        Ok(())
    }

    /// What is to be written to the server; empty if there is nothing.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether packets may be sent: the server has agreed, and the stream is not finished.
    pub fn is_publishing(&self) -> bool {
        matches!(self.stage, Stage::Publishing { .. })
    }

    /// Sends a packet: metadata and sequence headers first, then frames in the order of their timestamps.
    ///
    /// # Errors
    /// [`ClientError::NotPublishing`] and [`ClientError::TooLong`]; nothing is sent then.
    pub fn send(&mut self, packet: Packet) -> Result<(), ClientError> {
        let Stage::Publishing { stream_id } = self.stage else { return Err(ClientError::NotPublishing) };
        let Packet { kind, timestamp, mut payload } = packet;
        if kind == PacketKind::Data && payload.starts_with(METADATA) {
            // What servers keep for those who come later.
            let mut kept = Vec::new();
            amf0::encode(&Value::from("@setDataFrame"), &mut kept);
            kept.append(&mut payload);
            payload = kept;
        }
        if payload.len() > MAX_TAG_BODY {
            return Err(ClientError::TooLong(payload.len()));
        }
        let (chunk_stream, message_type) = match kind {
            PacketKind::Audio => (ChunkStreamId(4), MessageType::AUDIO),
            PacketKind::Data => (ChunkStreamId(5), MessageType::DATA_AMF0),
            PacketKind::Video => (ChunkStreamId(6), MessageType::VIDEO),
        };
        self.write(chunk_stream, &Message { timestamp, message_type, stream_id, payload });
        Ok(())
    }

    /// Ends the stream in good order. Does nothing before there is one.
    pub fn finish(&mut self) {
        let (Stage::Asked { stream_id } | Stage::Publishing { stream_id }) = self.stage else { return };
        let name = Value::from(self.target.name.as_str());
        self.command(0, &Command::new("FCUnpublish", FC_UNPUBLISH, vec![name]));
        let number = Value::from(f64::from(stream_id));
        self.command(0, &Command::new("deleteStream", DELETE_STREAM, vec![number]));
        self.stage = Stage::Finished;
    }

    fn handle_message(&mut self, message: &Message) -> Result<(), ClientError> {
        match message.message_type {
            MessageType::COMMAND_AMF0 => self.handle_command(&Command::decode(&message.payload)?),
            MessageType::USER_CONTROL => {
                if let Ok(UserControl::PingRequest { timestamp }) = UserControl::decode(&message.payload) {
                    self.control(MessageType::USER_CONTROL, UserControl::PingResponse { timestamp }.encode());
                }
                Ok(())
            }
            // A server's windows are for those to whom it sends megabytes.
            _ => Ok(()),
        }
    }

    fn handle_command(&mut self, command: &Command) -> Result<(), ClientError> {
        match (command.name.as_str(), self.stage) {
            ("_result", Stage::Connecting) if command.transaction == CONNECT => self.create_stream(),
            ("_result", Stage::Creating) if command.transaction == CREATE_STREAM => {
                let number = command.arguments.first().and_then(Value::as_number);
                self.publish(number.ok_or(ClientError::NoStream)? as u32);
            }
            ("_error", Stage::Connecting) if command.transaction == CONNECT => return Err(refused(command)),
            ("_error", Stage::Creating) if command.transaction == CREATE_STREAM => {
                return Err(refused(command));
            }
            ("onStatus", stage) => return self.handle_status(command, stage),
            // The answers to what many servers do not know, and onFCPublish.
            _ => {}
        }
        Ok(())
    }

    fn handle_status(&mut self, command: &Command, stage: Stage) -> Result<(), ClientError> {
        if said(command, "level") == "error" {
            return Err(refused(command));
        }
        let (code, description) = (said(command, "code"), said(command, "description"));
        match (code.as_str(), stage) {
            ("NetStream.Publish.Start", Stage::Asked { stream_id }) => {
                self.stage = Stage::Publishing { stream_id };
            }
            (_, Stage::Finished) => {}
            ("NetStream.Unpublish.Success" | "NetConnection.Connect.Closed", _) => {
                return Err(ClientError::Ended { code, description });
            }
            _ => {}
        }
        Ok(())
    }

    fn connect(&mut self) {
        let Target { host, app, .. } = &self.target;
        let properties = [
            ("app", Value::from(app.as_str())),
            ("type", Value::from("nonprivate")),
            ("flashVer", Value::from(PROGRAM)),
            ("tcUrl", Value::String(format!("rtmp://{host}/{app}"))),
        ];
        let mut command = Command::new("connect", CONNECT, Vec::new());
        command.object = Value::Object(properties.into_iter().collect());
        self.command(0, &command);
    }

    fn create_stream(&mut self) {
        self.control(MessageType::SET_CHUNK_SIZE, CHUNK_SIZE.to_be_bytes().to_vec());
        let name = Value::from(self.target.name.as_str());
        self.command(0, &Command::new("releaseStream", RELEASE_STREAM, vec![name.clone()]));
        self.command(0, &Command::new("FCPublish", FC_PUBLISH, vec![name]));
        self.command(0, &Command::new("createStream", CREATE_STREAM, Vec::new()));
        self.stage = Stage::Creating;
    }

    fn publish(&mut self, stream_id: u32) {
        let arguments = vec![Value::from(self.target.name.as_str()), Value::from("live")];
        self.command(stream_id, &Command::new("publish", PUBLISH, arguments));
        self.stage = Stage::Asked { stream_id };
    }

    fn control(&mut self, message_type: MessageType, payload: Vec<u8>) {
        let message = Message { timestamp: Timestamp(0), message_type, stream_id: 0, payload };
        self.write(ChunkStreamId::CONTROL, &message);
    }

    fn command(&mut self, stream_id: u32, command: &Command) {
        let (message_type, payload) = (MessageType::COMMAND_AMF0, command.encode());
        let message = Message { timestamp: Timestamp(0), message_type, stream_id, payload };
        self.write(ChunkStreamId::COMMAND, &message);
    }

    fn write(&mut self, chunk_stream: ChunkStreamId, message: &Message) {
        self.writer.write(chunk_stream, message, &mut self.output);
    }
}

fn refused(command: &Command) -> ClientError {
    ClientError::Refused { code: said(command, "code"), description: said(command, "description") }
}

/// A text of the info object, fit for a log.
fn said(command: &Command, key: &str) -> String {
    let info = command.arguments.first().and_then(Value::as_object);
    let text = info.and_then(|info| info.get(key)).and_then(Value::as_str).unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(MAX_SAID).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use crate::amf0::{Object, Value};
use crate::media::Timestamp;
use crate::rtmp::chunk::{ChunkStreamId, ChunkWriter};
use crate::rtmp::command::{Command, Level, info};
use crate::rtmp::message::{Message, MessageType, PEER_BANDWIDTH_DYNAMIC, UserControl};

/// Chunk size of what this server sends. ffmpeg takes the number over for what it sends, and would otherwise
/// stay at 128 bytes for the whole session.
const OUTGOING_CHUNK_SIZE: u32 = 60_000;

/// What the server says of itself; encoders look for a familiar one.
const SERVER_VERSION: &str = "FMS/3,0,1,123";
const CAPABILITIES: f64 = 31.0;

/// Everything that a session sends, in the order in which it is sent.
#[derive(Debug, Default)]
pub(super) struct Replies {
    writer: ChunkWriter,
    output: Vec<u8>,
}

impl Replies {
    pub(super) fn output_mut(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// What precedes the answer to `connect`.
    pub(super) fn prepare_connection(&mut self, window: u32) {
        self.control(MessageType::WINDOW_ACKNOWLEDGEMENT_SIZE, window.to_be_bytes().to_vec());
        let bandwidth = [&window.to_be_bytes()[..], &[PEER_BANDWIDTH_DYNAMIC]].concat();
        self.control(MessageType::SET_PEER_BANDWIDTH, bandwidth);
        self.control(MessageType::SET_CHUNK_SIZE, OUTGOING_CHUNK_SIZE.to_be_bytes().to_vec());
    }

    /// Answers `connect`; `extensions` are further properties of the server.
    pub(super) fn connected(&mut self, transaction: f64, extensions: Vec<(&str, Value)>) {
        let server = [("fmsVer", Value::from(SERVER_VERSION)), ("capabilities", Value::Number(CAPABILITIES))];
        let properties: Object = server.into_iter().chain(extensions).collect();
        let mut status = info(Level::Status, "NetConnection.Connect.Success", "Connection succeeded.");
        // Whatever the client proposed: from here on it is AMF0.
        status.set("objectEncoding", 0.0);
        let mut command = Command::new("_result", transaction, vec![Value::Object(status)]);
        command.object = Value::Object(properties);
        self.command(0, &command);
    }

    pub(super) fn result(&mut self, transaction: f64, value: Value) {
        if transaction != 0.0 {
            self.command(0, &Command::new("_result", transaction, vec![value]));
        }
    }

    /// Answers `createStream`, whose client cannot go on without the number: not even a transaction of 0 means that
    /// it does not wait.
    pub(super) fn created_stream(&mut self, transaction: f64, stream_id: u32) {
        let number = Value::Number(f64::from(stream_id));
        self.command(0, &Command::new("_result", transaction, vec![number]));
    }

    pub(super) fn error(&mut self, transaction: f64, code: &str, description: &str) {
        let info = Value::Object(info(Level::Error, code, description));
        self.command(0, &Command::new("_error", transaction, vec![info]));
    }

    /// Some hardware encoders publish only after this, and only if its transaction number is there.
    pub(super) fn fc_publish(&mut self, name: &str) {
        let info = Value::Object(info(Level::Status, "NetStream.Publish.Start", name));
        self.command(0, &Command::new("onFCPublish", 0.0, vec![info]));
    }

    pub(super) fn status(&mut self, stream_id: u32, level: Level, code: &str, description: &str) {
        let info = Value::Object(info(level, code, description));
        self.command(stream_id, &Command::new("onStatus", 0.0, vec![info]));
    }

    pub(super) fn user_control(&mut self, event: UserControl) {
        self.control(MessageType::USER_CONTROL, event.encode());
    }

    pub(super) fn acknowledge(&mut self, total: u32) {
        self.control(MessageType::ACKNOWLEDGEMENT, total.to_be_bytes().to_vec());
    }

    fn control(&mut self, message_type: MessageType, payload: Vec<u8>) {
        self.send(ChunkStreamId::CONTROL, message_type, 0, payload);
    }

    fn command(&mut self, stream_id: u32, command: &Command) {
        self.send(ChunkStreamId::COMMAND, MessageType::COMMAND_AMF0, stream_id, command.encode());
    }

    fn send(
        &mut self,
        chunk_stream: ChunkStreamId,
        message_type: MessageType,
        stream_id: u32,
        payload: Vec<u8>,
    ) {
        let message = Message { timestamp: Timestamp(0), message_type, stream_id, payload };
        self.writer.write(chunk_stream, &message, &mut self.output);
    }
}

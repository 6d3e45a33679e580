use super::connect::ConnectInfo;
use super::{
    Event, MAX_APP, MAX_NAME, MAX_NET_STREAMS, PublishRequest, Session, SessionError, Stage, WINDOW, Waiting,
    without_selector,
};
use crate::amf0::Value;
use crate::rtmp::command::{Command, Level};
use crate::rtmp::message::{Message, MessageType};

impl Session {
    pub(super) fn handle_command(&mut self, payload: &[u8], stream_id: u32) -> Result<(), SessionError> {
        let command = Command::decode(payload)?;
        if self.stage == Stage::Greeting && command.name != "connect" {
            return Err(SessionError::NotConnected);
        }
        match command.name.as_str() {
            "connect" => self.connect(&command)?,
            "createStream" => self.create_stream(&command),
            "publish" => self.publish(&command, stream_id)?,
            "play" => self.play(&command, stream_id)?,
            "FCPublish" => self.prepare_publish(&command),
            // This ends the publication already: ffmpeg often resets the connection before its deleteStream.
            "FCUnpublish" => {
                self.replies.result(command.transaction, Value::Undefined);
                self.close_stream(0);
            }
            "closeStream" => self.close_stream(stream_id),
            "deleteStream" => self.delete_stream(&command),
            "getStreamLength" => self.replies.result(command.transaction, Value::Number(0.0)),
            // Answers to what we never ask.
            "_result" | "_error" | "onStatus" => {}
            // releaseStream, _checkbw and whatever else waits for an answer gets an empty one.
            _ => self.replies.result(command.transaction, Value::Undefined),
        }
        Ok(())
    }

    fn connect(&mut self, command: &Command) -> Result<(), SessionError> {
        let info = ConnectInfo::new(&command.object);
        let app = info.app();
        if app.len() > MAX_APP {
            let description = "The app's name is too long.";
            self.replies.error(command.transaction, "NetConnection.Connect.Rejected", description);
            return Err(SessionError::NameTooLong);
        }
        self.app = app.to_owned();
        self.client = info.client();
        if self.stage == Stage::Greeting {
            self.stage = Stage::Connected;
            self.replies.prepare_connection(WINDOW);
        }
        self.replies.connected(command.transaction, info.enhanced());
        Ok(())
    }

    fn create_stream(&mut self, command: &Command) {
        let free = self.net_streams.trailing_ones();
        if free < MAX_NET_STREAMS {
            self.net_streams |= 1 << free;
            self.replies.created_stream(command.transaction, free + 1);
        } else {
            self.replies.error(command.transaction, "NetConnection.Call.Failed", "Too many streams.");
        }
    }

    fn delete_stream(&mut self, command: &Command) {
        let number = number_in(command);
        self.close_stream(number);
        self.net_streams &= !net_stream(number);
    }

    fn close_stream(&mut self, number: u32) {
        if let Some(stream_id) = self.published_by(number) {
            self.finish_publish(stream_id);
        }
    }

    /// The stream that is published, unless this is the number of another of the client's streams. Some clients say none,
    /// or a wrong one.
    pub(super) fn published_by(&self, number: u32) -> Option<u32> {
        let Stage::Publishing { stream_id } = self.stage else { return None };
        self.may_mean(number, stream_id).then_some(stream_id)
    }

    fn may_mean(&self, number: u32, stream_id: u32) -> bool {
        number == stream_id || self.net_streams & net_stream(number) == 0
    }

    /// Whether a message ends the publication of this stream, once that has begun.
    pub(super) fn ends(&self, stream_id: u32, message: &Message) -> bool {
        let payload = match message.message_type {
            MessageType::COMMAND_AMF0 => &message.payload[..],
            MessageType::COMMAND_AMF3 => without_selector(&message.payload),
            _ => return false,
        };
        let Ok(command) = Command::decode(payload) else { return false };
        let number = match command.name.as_str() {
            "FCUnpublish" => 0,
            "closeStream" => message.stream_id,
            "deleteStream" => number_in(&command),
            _ => return false,
        };
        self.may_mean(number, stream_id)
    }

    /// What comes before `publish`; a name that is too long is not sent back.
    fn prepare_publish(&mut self, command: &Command) {
        let name = command.text(0);
        self.replies.result(command.transaction, Value::Undefined);
        self.replies.fc_publish(if name.len() <= MAX_NAME { name } else { "" });
    }

    fn publish(&mut self, command: &Command, stream_id: u32) -> Result<(), SessionError> {
        let name = self.checked_name(command, stream_id)?;
        if self.stage != Stage::Connected {
            let description = "This connection publishes already; use another for another stream.";
            self.replies.status(stream_id, Level::Error, "NetStream.Publish.BadName", description);
            return Ok(());
        }
        self.stage = Stage::Asked { stream_id };
        let (app, client) = (self.app.clone(), self.client.clone());
        self.waiting.push_back(Waiting::Event(Event::PublishRequested(PublishRequest { app, name, client })));
        Ok(())
    }

    fn play(&mut self, command: &Command, stream_id: u32) -> Result<(), SessionError> {
        let name = self.checked_name(command, stream_id)?;
        if self.stage != Stage::Connected {
            let description = "This connection publishes; use another to play.";
            self.replies.status(stream_id, Level::Error, "NetStream.Play.Failed", description);
            return Ok(());
        }
        self.stage = Stage::Asked { stream_id };
        self.waiting.push_back(Waiting::Event(Event::PlayRequested { app: self.app.clone(), name }));
        Ok(())
    }

    fn checked_name(&mut self, command: &Command, stream_id: u32) -> Result<String, SessionError> {
        let name = command.text(0);
        if name.len() > MAX_NAME {
            let description = "The stream's name is too long.";
            self.replies.status(stream_id, Level::Error, "NetStream.Publish.BadName", description);
            return Err(SessionError::NameTooLong);
        }
        Ok(name.to_owned())
    }

    fn finish_publish(&mut self, stream_id: u32) {
        self.stage = Stage::Connected;
        let code = "NetStream.Unpublish.Success";
        self.replies.status(stream_id, Level::Status, code, "Publishing has ended.");
        self.waiting.push_back(Waiting::Event(Event::PublishFinished));
    }
}

/// Which NetStream a command is about.
fn number_in(command: &Command) -> u32 {
    command.arguments.first().and_then(Value::as_number).unwrap_or_default() as u32
}

/// The bit of a NetStream; none for numbers that were never given.
fn net_stream(number: u32) -> u64 {
    number.checked_sub(1).and_then(|index| 1_u64.checked_shl(index)).unwrap_or(0)
}

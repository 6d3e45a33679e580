//! One client's conversation with the server, from the first byte to the last.
//!
//! The session takes commands in any order and with any transaction number, because encoders differ in both,
//! and answers each as its client waits for it. It asks before it accepts: a publish becomes an
//! [`Event::PublishRequested`], and only [`Session::accept_publish`] tells the client that it may begin.

mod acknowledge;
mod commands;
mod connect;
mod media;
mod replies;

use std::collections::VecDeque;
use std::fmt;

use self::acknowledge::Acknowledge;
use self::replies::Replies;
use super::chunk::{ChunkError, ChunkLimits, ChunkReader};
use super::command::Level;
use super::handshake::{Handshake, HandshakeError, RANDOM_LENGTH};
use super::message::{Message, MessageType, UserControl};
use crate::amf0::Amf0Error;
use crate::bytes::Reader;
use crate::media::Packet;

/// How many bytes we say that each side may send before it expects an acknowledgement (section 5.4.4).
const WINDOW: u32 = 2_500_000;

/// Longest app with its query in bytes.
pub const MAX_APP: usize = 1024;

/// Longest name with its query in bytes: stream keys carry signed tokens.
pub const MAX_NAME: usize = 4096;

/// Most NetStreams that one client may have at a time.
pub const MAX_NET_STREAMS: u32 = u64::BITS;

/// Most bytes of answers that wait to be [taken](Session::take_output). Real clients make for some hundreds.
pub const MAX_OUTPUT: usize = 64 << 10;

/// Most bytes that wait behind a request for its answer. Relays send their first frames without waiting for it, and who
/// feeds the stream now may be waited for.
pub const MAX_UNANSWERED: usize = 1 << 20;

/// Places for what waits to be given out that are kept while nothing does.
const KEPT_PLACES: usize = 8;

/// What a client asks for or gives.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The client wants to publish and waits for [`Session::accept_publish`] or [`Session::reject`].
    PublishRequested(PublishRequest),
    /// A packet of the accepted stream.
    Packet(Packet),
    /// The client ended its publication in good order; it may begin another.
    PublishFinished,
    /// The client wants to play; there is only [`Session::reject`] for it.
    PlayRequested {
        /// The app, as sent.
        app: String,
        /// The stream's name, as sent.
        name: String,
    },
}

/// Who wants to publish what.
#[derive(Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// The app, as sent, with its query.
    pub app: String,
    /// The stream's name, as sent, with its query.
    pub name: String,
    /// What the client calls itself (`flashVer`), or empty.
    pub client: String,
}

/// Queries carry keys, and are not shown.
impl fmt::Debug for PublishRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |text: &str| text.split('?').next().map(str::to_owned);
        let Self { app, name, client } = self;
        f.debug_struct("PublishRequest")
            .field("app", &path(app))
            .field("name", &path(name))
            .field("client", client)
            .finish()
    }
}

/// Why a session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The peer does not speak plain RTMP.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The chunk stream is broken or beyond a limit.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command cannot be decoded.
    #[error("bad command: {0}")]
    Command(#[from] Amf0Error),
    /// Anything but `connect` as the first command.
    #[error("peer sent a command before connect")]
    NotConnected,
    /// App or name is longer than [`MAX_APP`] or [`MAX_NAME`].
    #[error("peer sent an app longer than {MAX_APP} or a stream name longer than {MAX_NAME} bytes")]
    NameTooLong,
    /// Commands came so fast that the answers to them hold more than [`MAX_OUTPUT`].
    #[error("peer sent more commands at once than can be answered")]
    TooManyCommands,
    /// More than [`MAX_UNANSWERED`] came behind a request that has not been answered.
    #[error("peer sent more than {MAX_UNANSWERED} bytes behind a request without an answer")]
    TooMuchUnanswered,
}

/// The server's side of one client's session.
#[derive(Debug)]
pub struct Session {
    handshake: Option<Handshake>,
    /// For a client that publishes; before that it has far less.
    limits: ChunkLimits,
    reader: ChunkReader,
    replies: Replies,
    waiting: VecDeque<Waiting>,
    stage: Stage,
    /// What came behind a request that waits for its answer, as it came.
    unanswered: Vec<u8>,
    app: String,
    client: String,
    /// The NetStreams that there are, a bit each; the lowest is number 1.
    net_streams: u64,
    acknowledge: Acknowledge,
}

/// What waits to be given out.
#[derive(Debug)]
enum Waiting {
    Event(Event),
    /// A message that becomes a packet when its turn comes: the packet may be longer.
    Media(Message),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing but `connect` is expected.
    Greeting,
    Connected,
    /// A publish (or a play) waits for its answer.
    Asked {
        stream_id: u32,
    },
    Publishing {
        stream_id: u32,
    },
    /// An error has been sent; input is no longer looked at.
    Closing,
}

impl Session {
    /// A session whose peer has sent nothing yet. `random` goes into the handshake.
    pub fn new(limits: ChunkLimits, random: Box<[u8; RANDOM_LENGTH]>) -> Self {
        Self {
            handshake: Some(Handshake::new(random)),
            reader: ChunkReader::new(limits.for_commands()),
            limits,
            replies: Replies::default(),
            waiting: VecDeque::new(),
            stage: Stage::Greeting,
            unanswered: Vec::new(),
            app: String::new(),
            client: String::new(),
            net_streams: 0,
            acknowledge: Acknowledge::default(),
        }
    }

    /// Takes bytes from the peer, all of them. What stands behind a request is not looked at before that is answered: it
    /// is not for who may be refused.
    ///
    /// # Errors
    /// See [`SessionError`]. After an error the session is over; what [`take_output`](Self::take_output)
    /// still has for the peer should be written before closing.
    pub fn handle_input(&mut self, mut input: &[u8]) -> Result<(), SessionError> {
        if self.stage == Stage::Closing {
            return Ok(());
        }
        self.acknowledge.receive(input.len());
        if let Some(handshake) = &mut self.handshake {
            if !handshake.read(&mut input, self.replies.output_mut())? {
                return Ok(());
            }
            self.handshake = None;
        }
        self.read(input)?;
        if let Some(total) = self.acknowledge.due() {
            self.replies.acknowledge(total);
        }
        Ok(())
    }

    /// The next thing that the client asks for or gives.
    pub fn poll_event(&mut self) -> Option<Event> {
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting {
                Waiting::Event(event) => return Some(event),
                Waiting::Media(message) => {
                    if let Some(packet) = media::packet(message) {
                        return Some(Event::Packet(packet));
                    }
                }
            }
        }
        // Messages of a few bytes make it long, and it would stay so for the whole session.
        self.waiting.shrink_to(KEPT_PLACES);
        None
    }

    /// What is to be written to the peer; empty if there is nothing.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(self.replies.output_mut())
    }

    /// Bytes of messages that have begun and not ended, and of those that wait for an answer to their peer's request: what
    /// the session holds for the peer.
    pub fn unfinished_bytes(&self) -> usize {
        self.reader.unfinished_bytes() + self.unanswered.len()
    }

    /// How many bytes more may come behind a request before its answer.
    pub fn room_for_unanswered(&self) -> usize {
        MAX_UNANSWERED.saturating_sub(self.unanswered.len())
    }

    /// Whether what came behind a request to publish ends the publication already. This looks through all of that, so it
    /// is for moments at which it matters.
    pub fn is_taken_back(&self) -> bool {
        let Stage::Asked { stream_id } = self.stage else { return false };
        let mut reader = self.reader.clone();
        reader.set_limits(self.limits.clone());
        let mut unanswered = &self.unanswered[..];
        while let Ok(Some(message)) = reader.read(&mut unanswered) {
            if self.ends(stream_id, &message) {
                return true;
            }
        }
        false
    }

    /// Whether the handshake is over and the client has connected.
    pub fn is_connected(&self) -> bool {
        self.stage != Stage::Greeting
    }

    /// Whether anything has arrived at all.
    pub fn has_input(&self) -> bool {
        self.acknowledge.has_received()
    }

    /// Whether the session is over once the output has been written.
    pub fn is_closing(&self) -> bool {
        self.stage == Stage::Closing
    }

    /// Answers [`Event::PublishRequested`]: the client may send, and what it has sent already is taken. Without a request
    /// this does nothing.
    ///
    /// # Errors
    /// As [`handle_input`](Self::handle_input): of what came behind the request.
    pub fn accept_publish(&mut self) -> Result<(), SessionError> {
        let Stage::Asked { stream_id } = self.stage else { return Ok(()) };
        self.replies.user_control(UserControl::StreamBegin { stream_id });
        self.replies.status(stream_id, Level::Status, "NetStream.Publish.Start", "Publishing has begun.");
        self.stage = Stage::Publishing { stream_id };
        self.reader.set_limits(self.limits.clone());
        let unanswered = std::mem::take(&mut self.unanswered);
        self.read(&unanswered)
    }

    /// Refuses what was asked for, or ends what was accepted, with an error of this code and description.
    /// The session is then closing.
    pub fn reject(&mut self, code: &str, description: &str) {
        let stream_id = match self.stage {
            Stage::Asked { stream_id } | Stage::Publishing { stream_id } => stream_id,
            _ => 0,
        };
        self.replies.status(stream_id, Level::Error, code, description);
        self.stage = Stage::Closing;
    }

    /// Tells the client, in good order, that the server ends the session.
    pub fn close(&mut self, description: &str) {
        match self.stage {
            Stage::Asked { stream_id } | Stage::Publishing { stream_id } => {
                self.replies.status(stream_id, Level::Status, "NetStream.Unpublish.Success", description);
            }
            _ => {}
        }
        if self.is_connected() && !self.is_closing() {
            self.replies.status(0, Level::Status, "NetConnection.Connect.Closed", description);
        }
        self.stage = Stage::Closing;
    }

    /// Handles the messages in `input` up to a request, and keeps what is behind that.
    fn read(&mut self, mut input: &[u8]) -> Result<(), SessionError> {
        while !matches!(self.stage, Stage::Asked { .. }) {
            let Some(message) = self.reader.read(&mut input)? else { return Ok(()) };
            self.handle_message(message)?;
            if self.replies.output_mut().len() > MAX_OUTPUT {
                return Err(SessionError::TooManyCommands);
            }
        }
        if self.unanswered.len() + input.len() > MAX_UNANSWERED {
            return Err(SessionError::TooMuchUnanswered);
        }
        self.unanswered.extend_from_slice(input);
        Ok(())
    }

    fn handle_message(&mut self, message: Message) -> Result<(), SessionError> {
        match message.message_type {
            MessageType::COMMAND_AMF0 => self.handle_command(&message.payload, message.stream_id)?,
            MessageType::COMMAND_AMF3 => {
                self.handle_command(without_selector(&message.payload), message.stream_id)?;
            }
            MessageType::WINDOW_ACKNOWLEDGEMENT_SIZE => {
                if let Ok(window) = Reader::new(&message.payload).u32() {
                    self.acknowledge.announce(window);
                }
            }
            MessageType::USER_CONTROL => {
                if let Ok(UserControl::PingRequest { timestamp }) = UserControl::decode(&message.payload) {
                    self.replies.user_control(UserControl::PingResponse { timestamp });
                }
            }
            MessageType::AGGREGATE => self.handle_aggregate(&message),
            // Acknowledgements and bandwidth limits are for those who send media; the rest is unknown to us.
            _ => self.handle_media(message),
        }
        Ok(())
    }
}

/// AMF3 messages begin with a selector byte, 0 for AMF0 values; some senders leave it out.
fn without_selector(payload: &[u8]) -> &[u8] {
    payload.strip_prefix(&[0]).unwrap_or(payload)
}

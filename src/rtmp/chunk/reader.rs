use super::header::{Fields, Header, MAX_HEADER};
use super::{DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE};
use crate::bytes::{Reader, UnexpectedEnd};
use crate::media::Timestamp;
use crate::rtmp::message::{Message, MessageType};

/// After a type 0 chunk, a type 3 chunk that begins a new message adds the type 0 timestamp again
/// (section 5.3.1.2.4). No real delta is longer than this; a longer one is an absolute time, and adds nothing.
const MAX_IMPLIED_DELTA: u32 = 5_000;

/// What a peer may make the reader hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkLimits {
    /// Longest audio or video message in bytes.
    pub media_message: usize,
    /// Longest message of any other type in bytes.
    pub other_message: usize,
    /// Most bytes of messages that have begun and not ended, over all chunk streams, the chunk in progress as if it
    /// were whole.
    pub partial_bytes: usize,
    /// Most chunk streams in use.
    pub chunk_streams: usize,
    /// Most messages that may be given up half-way because another began in their place.
    pub broken_messages: u32,
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self {
            media_message: 16 << 20,
            other_message: 1 << 20,
            partial_bytes: 17 << 20,
            chunk_streams: 64,
            broken_messages: 16,
        }
    }
}

impl ChunkLimits {
    /// These limits for a peer that only has commands to send: what it may not do yet, it needs no room for.
    #[must_use]
    pub fn for_commands(&self) -> Self {
        const ROOM: usize = 64 << 10;
        Self {
            media_message: self.media_message.min(ROOM),
            other_message: self.other_message.min(ROOM),
            partial_bytes: self.partial_bytes.min(2 * ROOM),
            ..*self
        }
    }
}

/// Why a chunk stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// A type 2 or 3 header on a chunk stream that has none to take the rest from.
    #[error("chunk type {format} on chunk stream {chunk_stream}, which has no header yet")]
    NoHeader {
        /// The header's type.
        format: u8,
        /// The chunk stream.
        chunk_stream: u32,
    },
    /// Longer than [`ChunkLimits`] allows for its type.
    #[error("message of type {message_type} announces {length} bytes; the limit is {limit}")]
    MessageTooLong {
        /// The message's type.
        message_type: u8,
        /// What its header announces.
        length: u32,
        /// What is allowed.
        limit: usize,
    },
    /// More than [`ChunkLimits::partial_bytes`].
    #[error("unfinished messages hold more than {0} bytes")]
    TooMuchUnfinished(usize),
    /// More than [`ChunkLimits::chunk_streams`].
    #[error("more than {0} chunk streams")]
    TooManyChunkStreams(usize),
    /// More than [`ChunkLimits::broken_messages`].
    #[error("more than {0} messages were broken off by another")]
    TooManyBroken(u32),
    /// Zero, or with its top bit set (section 5.4.1).
    #[error("chunk size {0} is not allowed")]
    ChunkSize(u32),
    /// A Set Chunk Size or Abort message that is cut off.
    #[error("protocol control message is too short")]
    ShortControl,
}

impl From<UnexpectedEnd> for ChunkError {
    fn from(_: UnexpectedEnd) -> Self {
        Self::ShortControl
    }
}

/// Puts messages together from chunks.
///
/// Bytes are taken from the caller's buffer straight into the message they belong to; only a header that is
/// cut by the end of the input is kept aside. Memory grows with the bytes that arrive, never with the lengths
/// that headers announce. Set Chunk Size and Abort take effect in here and are not given out.
#[derive(Debug, Clone)]
pub struct ChunkReader {
    limits: ChunkLimits,
    chunk_size: u32,
    streams: Vec<(u32, ChunkStream)>,
    /// Where `streams` was last used: most chunks follow one of the same stream.
    last_used: usize,
    /// A header whose end has not arrived, or bytes that turned out to lie behind one.
    aside: Aside,
    /// The chunk whose payload comes next: its stream's index in `streams`, and how much is left.
    payload: Option<(usize, usize)>,
    partial_bytes: usize,
    broken_messages: u32,
}

/// The state of one chunk stream: what the next header may leave out, and the message in progress.
#[derive(Debug, Clone, Default)]
struct ChunkStream {
    timestamp: u32,
    delta: u32,
    length: u32,
    message_type: u8,
    stream_id: u32,
    /// The last header's extended timestamp as it was on the wire, if it had one.
    extended: Option<u32>,
    in_message: bool,
    payload: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
struct Aside {
    bytes: [u8; MAX_HEADER],
    length: usize,
}

impl ChunkReader {
    /// Expects the first chunk header.
    pub fn new(limits: ChunkLimits) -> Self {
        Self {
            limits,
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
            last_used: 0,
            aside: Aside::default(),
            payload: None,
            partial_bytes: 0,
            broken_messages: 0,
        }
    }

    /// Changes what the peer may make the reader hold from the next message on.
    pub fn set_limits(&mut self, limits: ChunkLimits) {
        self.limits = limits;
    }

    /// Bytes of messages that have begun and not ended.
    pub fn unfinished_bytes(&self) -> usize {
        self.partial_bytes
    }

    /// Takes bytes off the front of `input` up to the end of the next message, and gives that message;
    /// `None` if the input ends before it does.
    ///
    /// # Errors
    /// See [`ChunkError`]. After an error the chunk stream cannot be read on.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            let ended = match self.payload {
                Some((index, left)) => self.read_payload(index, left, input),
                None => match self.read_header(input)? {
                    Some(header) => self.begin_chunk(header)?,
                    None => return Ok(None),
                },
            };
            match ended {
                Some(message) => match self.apply_control(message)? {
                    Some(message) => return Ok(Some(message)),
                    None => continue,
                },
                None if input.is_empty() && self.aside.length == 0 => return Ok(None),
                None => {}
            }
        }
    }

    /// Takes a whole header, or puts its first part aside.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, ChunkError> {
        if self.aside.length == 0 {
            if let Some((header, used)) = self.parse_header(input) {
                *input = &input[used..];
                return Ok(Some(header));
            }
            self.aside.put(input);
            *input = &[];
            return Ok(None);
        }
        // Byte by byte, so that nothing behind the header is put aside that could have stayed in the input.
        loop {
            if let Some((header, used)) = self.parse_header(self.aside.as_slice()) {
                self.aside.take(used);
                return Ok(Some(header));
            }
            let Some((byte, rest)) = input.split_first() else { return Ok(None) };
            self.aside.put(std::slice::from_ref(byte));
            *input = rest;
        }
    }

    /// The header at the front of `bytes` and its length; `None` if more bytes are needed to tell.
    fn parse_header(&self, bytes: &[u8]) -> Option<(Header, usize)> {
        Header::parse(bytes, |chunk_stream| {
            let stream = &self.streams[self.find(chunk_stream)?].1;
            stream.extended.map(|raw| [raw, stream.timestamp])
        })
    }

    /// Applies a header to its stream. Gives the message if it has no payload.
    fn begin_chunk(&mut self, header: Header) -> Result<Option<Message>, ChunkError> {
        let index = self.find_or_add(&header)?;
        self.last_used = index;
        let stream = &self.streams[index].1;
        let continues = stream.in_message
            && match header.fields {
                Fields::Full { .. } => false,
                Fields::SameStream { length, .. } => length == stream.length,
                Fields::SameLength { .. } | Fields::Same => true,
            };
        if !continues {
            self.begin_message(index, &header)?;
        }
        let stream = &mut self.streams[index].1;
        let missing = stream.length as usize - stream.payload.len();
        if missing == 0 {
            return Ok(Some(self.end_message(index)));
        }
        let chunk = missing.min(self.chunk_size as usize);
        if self.partial_bytes + chunk > self.limits.partial_bytes {
            return Err(ChunkError::TooMuchUnfinished(self.limits.partial_bytes));
        }
        self.payload = Some((index, chunk));
        Ok(None)
    }

    fn begin_message(&mut self, index: usize, header: &Header) -> Result<(), ChunkError> {
        let stream = &mut self.streams[index].1;
        if stream.in_message {
            self.broken_messages += 1;
            if self.broken_messages > self.limits.broken_messages {
                return Err(ChunkError::TooManyBroken(self.limits.broken_messages));
            }
        }
        self.partial_bytes -= stream.payload.len();
        stream.begin(&header.fields, header.extended);
        let message_type = MessageType(stream.message_type);
        let limit = if message_type.is_media() { self.limits.media_message } else { self.limits.other_message };
        if stream.length as usize > limit {
            return Err(ChunkError::MessageTooLong {
                message_type: message_type.0,
                length: stream.length,
                limit,
            });
        }
        Ok(())
    }

    /// Copies payload from what was put aside, or else from `input`. Gives the message if this ends it.
    fn read_payload(&mut self, index: usize, left: usize, input: &mut &[u8]) -> Option<Message> {
        let stream = &mut self.streams[index].1;
        let count = if self.aside.length > 0 {
            let count = left.min(self.aside.length);
            stream.payload.extend_from_slice(&self.aside.as_slice()[..count]);
            self.aside.take(count);
            count
        } else {
            let (taken, rest) = input.split_at(left.min(input.len()));
            stream.payload.extend_from_slice(taken);
            *input = rest;
            taken.len()
        };
        self.partial_bytes += count;
        self.payload = (left > count).then_some((index, left - count));
        let complete = stream.payload.len() == stream.length as usize;
        complete.then(|| self.end_message(index))
    }

    fn end_message(&mut self, index: usize) -> Message {
        let stream = &mut self.streams[index].1;
        stream.in_message = false;
        self.partial_bytes -= stream.payload.len();
        Message {
            timestamp: Timestamp(stream.timestamp),
            message_type: MessageType(stream.message_type),
            stream_id: stream.stream_id,
            payload: std::mem::take(&mut stream.payload),
        }
    }

    /// Acts on the two messages that concern the chunk stream itself; gives back any other.
    fn apply_control(&mut self, message: Message) -> Result<Option<Message>, ChunkError> {
        let mut reader = Reader::new(&message.payload);
        match message.message_type {
            MessageType::SET_CHUNK_SIZE => match reader.u32()? {
                size @ 1..=0x7FFF_FFFF => self.chunk_size = size.min(MAX_CHUNK_SIZE),
                size => return Err(ChunkError::ChunkSize(size)),
            },
            MessageType::ABORT => {
                let chunk_stream = reader.u32()?;
                if let Some(index) = self.find(chunk_stream) {
                    self.partial_bytes -= self.streams[index].1.abort();
                }
            }
            _ => return Ok(Some(message)),
        }
        Ok(None)
    }

    fn find(&self, chunk_stream: u32) -> Option<usize> {
        match self.streams.get(self.last_used) {
            Some((number, _)) if *number == chunk_stream => Some(self.last_used),
            _ => self.streams.iter().position(|(number, _)| *number == chunk_stream),
        }
    }

    /// The stream of a header. A new one may begin with type 1 too: librtmp sends its first ping so.
    fn find_or_add(&mut self, header: &Header) -> Result<usize, ChunkError> {
        if let Some(index) = self.find(header.chunk_stream) {
            return Ok(index);
        }
        let format = match header.fields {
            Fields::Full { .. } | Fields::SameStream { .. } => None,
            Fields::SameLength { .. } => Some(2),
            Fields::Same => Some(3),
        };
        if let Some(format) = format {
            return Err(ChunkError::NoHeader { format, chunk_stream: header.chunk_stream });
        }
        if self.streams.len() >= self.limits.chunk_streams {
            return Err(ChunkError::TooManyChunkStreams(self.limits.chunk_streams));
        }
        self.streams.push((header.chunk_stream, ChunkStream::default()));
        Ok(self.streams.len() - 1)
    }
}

impl ChunkStream {
    fn begin(&mut self, fields: &Fields, extended: Option<u32>) {
        match *fields {
            Fields::Full { timestamp, length, message_type, stream_id } => {
                self.timestamp = extended.unwrap_or(timestamp);
                self.delta = if self.timestamp > MAX_IMPLIED_DELTA { 0 } else { self.timestamp };
                (self.length, self.message_type, self.stream_id) = (length, message_type, stream_id);
                self.extended = extended;
            }
            Fields::SameStream { delta, length, message_type } => {
                (self.length, self.message_type) = (length, message_type);
                self.advance(delta, extended);
            }
            Fields::SameLength { delta } => self.advance(delta, extended),
            Fields::Same => self.timestamp = self.timestamp.wrapping_add(self.delta),
        }
        self.in_message = true;
        self.payload = Vec::new();
    }

    fn advance(&mut self, delta: u32, extended: Option<u32>) {
        self.delta = extended.unwrap_or(delta);
        self.timestamp = self.timestamp.wrapping_add(self.delta);
        self.extended = extended;
    }

    /// Gives up the message in progress; returns how many bytes of it there were.
    fn abort(&mut self) -> usize {
        self.in_message = false;
        std::mem::take(&mut self.payload).len()
    }
}

impl Aside {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Appends bytes; they fit, for only incomplete headers are put aside.
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Drops bytes from the front.
    fn take(&mut self, count: usize) {
        self.bytes.copy_within(count..self.length, 0);
        self.length -= count;
    }
}

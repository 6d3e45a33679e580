//! Messages, their types, and the control messages (RTMP 1.0, sections 5.4, 6 and 7.1).

use crate::bytes::{Reader, UnexpectedEnd};
use crate::media::Timestamp;

/// The type of a message; unknown ones are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageType(pub u8);

impl MessageType {
    /// Set Chunk Size, section 5.4.1.
    pub const SET_CHUNK_SIZE: Self = Self(1);
    /// Abort Message, section 5.4.2.
    pub const ABORT: Self = Self(2);
    /// Acknowledgement, section 5.4.3.
    pub const ACKNOWLEDGEMENT: Self = Self(3);
    /// User Control Message, section 6.2.
    pub const USER_CONTROL: Self = Self(4);
    /// Window Acknowledgement Size, section 5.4.4.
    pub const WINDOW_ACKNOWLEDGEMENT_SIZE: Self = Self(5);
    /// Set Peer Bandwidth, section 5.4.5.
    pub const SET_PEER_BANDWIDTH: Self = Self(6);
    /// Audio Message, section 7.1.4.
    pub const AUDIO: Self = Self(8);
    /// Video Message, section 7.1.5.
    pub const VIDEO: Self = Self(9);
    /// Data Message in AMF3, section 7.1.2: a selector byte, then AMF0 values with AMF3 ones among them.
    pub const DATA_AMF3: Self = Self(15);
    /// Command Message in AMF3, section 7.1.1: the same.
    pub const COMMAND_AMF3: Self = Self(17);
    /// Data Message in AMF0, section 7.1.2.
    pub const DATA_AMF0: Self = Self(18);
    /// Command Message in AMF0, section 7.1.1.
    pub const COMMAND_AMF0: Self = Self(20);
    /// Aggregate Message, section 7.1.6.
    pub const AGGREGATE: Self = Self(22);

    /// Whether payloads are audio or video, which may be longer than anything else.
    pub fn is_media(self) -> bool {
        matches!(self, Self::AUDIO | Self::VIDEO)
    }
}

/// One whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// When, on the sender's clock.
    pub timestamp: Timestamp,
    /// What the payload is.
    pub message_type: MessageType,
    /// Which NetStream it belongs to; 0 is the connection itself.
    pub stream_id: u32,
    /// The payload.
    pub payload: Vec<u8>,
}

/// How a peer's window is to be taken (section 5.4.5).
pub(super) const PEER_BANDWIDTH_DYNAMIC: u8 = 2;

/// The user control events that this server acts on or sends (section 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserControl {
    /// A stream can be used now.
    StreamBegin {
        /// The NetStream.
        stream_id: u32,
    },
    /// Asks for a [`PingResponse`](Self::PingResponse) with the same timestamp.
    PingRequest {
        /// The asker's clock, in ms.
        timestamp: u32,
    },
    /// Answers a ping.
    PingResponse {
        /// As asked.
        timestamp: u32,
    },
    /// Any other event, ignored.
    Other(u16),
}

impl UserControl {
    /// Decodes the payload of a user control message. Events may be shorter or longer than specified.
    ///
    /// # Errors
    /// If there is not even an event type, or a ping request without its timestamp.
    pub fn decode(payload: &[u8]) -> Result<Self, UnexpectedEnd> {
        let mut reader = Reader::new(payload);
        Ok(match reader.u16()? {
            0 => Self::StreamBegin { stream_id: reader.u32().unwrap_or(0) },
            6 => Self::PingRequest { timestamp: reader.u32()? },
            7 => Self::PingResponse { timestamp: reader.u32().unwrap_or(0) },
            other => Self::Other(other),
        })
    }

    /// The payload of the message.
    pub fn encode(self) -> Vec<u8> {
        let (event, data) = match self {
            Self::StreamBegin { stream_id } => (0_u16, Some(stream_id)),
            Self::PingRequest { timestamp } => (6, Some(timestamp)),
            Self::PingResponse { timestamp } => (7, Some(timestamp)),
            Self::Other(event) => (event, None),
        };
        let mut payload = event.to_be_bytes().to_vec();
        payload.extend(data.into_iter().flat_map(u32::to_be_bytes));
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_control_events_survive_odd_lengths() {
        assert_eq!(UserControl::decode(&[0, 6, 0, 0, 1, 2]), Ok(UserControl::PingRequest { timestamp: 258 }));
        assert_eq!(UserControl::decode(&[0, 6, 0]), Err(UnexpectedEnd));
        assert_eq!(UserControl::decode(&[0, 0]), Ok(UserControl::StreamBegin { stream_id: 0 }));
        assert_eq!(UserControl::decode(&[0, 31, 1]), Ok(UserControl::Other(31)));
        assert_eq!(UserControl::decode(&[0]), Err(UnexpectedEnd));
        assert_eq!(UserControl::PingResponse { timestamp: 258 }.encode(), [0, 7, 0, 0, 1, 2]);
    }
}

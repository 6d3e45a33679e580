use super::{Session, Waiting, without_selector};
use crate::amf0::{self, Decoder};
use crate::media::{Packet, PacketKind};
use crate::rtmp::aggregate::Parts;
use crate::rtmp::message::{Message, MessageType};

impl Session {
    /// Passes on what belongs to a stream.
    pub(super) fn handle_media(&mut self, message: Message) {
        if self.published_by(message.stream_id).is_some() && kind(message.message_type).is_some() {
            self.waiting.push_back(Waiting::Media(message));
        }
    }

    pub(super) fn handle_aggregate(&mut self, aggregate: &Message) {
        Parts::new(aggregate).for_each(|part| self.handle_media(part));
    }
}

/// The packet in a message. An empty one says nothing (Enhanced RTMP: silence) and would be no valid FLV tag.
pub(super) fn packet(message: Message) -> Option<Packet> {
    let Message { timestamp, message_type, payload, .. } = message;
    let kind = kind(message_type)?;
    let payload = match message_type {
        MessageType::DATA_AMF3 => in_amf0(without_selector(&payload)),
        _ => payload,
    };
    (!payload.is_empty()).then_some(Packet { kind, timestamp, payload })
}

fn kind(message_type: MessageType) -> Option<PacketKind> {
    match message_type {
        MessageType::AUDIO => Some(PacketKind::Audio),
        MessageType::VIDEO => Some(PacketKind::Video),
        MessageType::DATA_AMF0 | MessageType::DATA_AMF3 => Some(PacketKind::Data),
        _ => None,
    }
}

/// The same data for viewers, who know no AMF3, up to what cannot be decoded.
fn in_amf0(data: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(data);
    let mut converted = Vec::new();
    while let Ok(Some(value)) = decoder.next_value() {
        amf0::encode(&value, &mut converted);
    }
    converted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Timestamp;
    use crate::rtmp::chunk::ChunkLimits;
    use crate::rtmp::handshake::RANDOM_LENGTH;
    use crate::rtmp::session::{KEPT_PLACES, Stage};

    #[test]
    fn places_in_the_queue_are_given_back() {
        let mut session = Session::new(ChunkLimits::default(), Box::new([0; RANDOM_LENGTH]));
        session.stage = Stage::Publishing { stream_id: 1 };
        for _ in 0..1000 {
            let (timestamp, message_type) = (Timestamp(0), MessageType::AUDIO);
            session.handle_media(Message { timestamp, message_type, stream_id: 1, payload: vec![0x2F] });
        }
        assert_eq!(std::iter::from_fn(|| session.poll_event()).count(), 1000);
        assert!(session.waiting.capacity() <= 2 * KEPT_PLACES, "{}", session.waiting.capacity());
    }
}

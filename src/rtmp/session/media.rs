use super::{Event, Session, Stage, without_selector};
use crate::amf0::{self, Decoder};
use crate::media::{Packet, PacketKind};
use crate::rtmp::aggregate::Parts;
use crate::rtmp::message::{Message, MessageType};

impl Session {
    /// Passes on what belongs to a stream.
    pub(super) fn handle_media(&mut self, message: Message) {
        if !matches!(self.stage, Stage::Publishing { .. }) {
            return;
        }
        let Message { timestamp, message_type, payload, .. } = message;
        let (kind, payload) = match message_type {
            MessageType::AUDIO => (PacketKind::Audio, payload),
            MessageType::VIDEO => (PacketKind::Video, payload),
            MessageType::DATA_AMF0 => (PacketKind::Data, payload),
            MessageType::DATA_AMF3 => (PacketKind::Data, in_amf0(without_selector(&payload))),
            _ => return,
        };
        // An empty message says nothing (Enhanced RTMP: silence) and would be no valid FLV tag.
        if !payload.is_empty() {
            self.events.push_back(Event::Packet(Packet { kind, timestamp, payload }));
        }
    }

    pub(super) fn handle_aggregate(&mut self, aggregate: &Message) {
        Parts::new(aggregate).for_each(|part| self.handle_media(part));
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

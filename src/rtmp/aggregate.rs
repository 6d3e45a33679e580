//! Aggregate messages: several messages in one (RTMP 1.0, section 7.1.6).

use super::message::{Message, MessageType};
use crate::bytes::{Reader, UnexpectedEnd};
use crate::media::Timestamp;

/// Most parts of an aggregate that are looked at.
pub const MAX_PARTS: usize = 4096;

/// The parts of an aggregate, each a message of its own, up to the first that is cut off.
///
/// The time of the aggregate is that of its first part, whatever the part says of itself, and its stream that of all.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    reader: Reader<'a>,
    timestamp: Timestamp,
    stream_id: u32,
    first: Option<Timestamp>,
    left: usize,
}

impl<'a> Parts<'a> {
    /// Begins at the first part.
    pub fn new(aggregate: &'a Message) -> Self {
        Self {
            reader: Reader::new(&aggregate.payload),
            timestamp: aggregate.timestamp,
            stream_id: aggregate.stream_id,
            first: None,
            left: MAX_PARTS,
        }
    }

    /// Laid out like an FLV tag; only the last may lack the length at its end.
    fn read(&mut self) -> Result<Message, UnexpectedEnd> {
        let message_type = MessageType(self.reader.u8()?);
        let length = self.reader.u24()? as usize;
        let low = self.reader.u24()?;
        let own = Timestamp(low | u32::from(self.reader.u8()?) << 24);
        self.reader.u24()?; // the stream, which the aggregate's own overrides
        let payload = self.reader.take(length)?.to_vec();
        let past = self.reader.rest().len().min(4);
        self.reader.take(past)?;
        let since_first = own.since(*self.first.get_or_insert(own));
        let timestamp = self.timestamp.advanced(since_first.cast_unsigned());
        Ok(Message { timestamp, message_type, stream_id: self.stream_id, payload })
    }
}

impl Iterator for Parts<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.left = self.left.checked_sub(1)?;
        self.read().ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn part(message_type: u8, timestamp: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
        bytes[0] = message_type;
        bytes.extend_from_slice(&timestamp.to_be_bytes()[1..]);
        bytes.extend_from_slice(&[(timestamp >> 24) as u8, 0, 0, 9]);
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&(body.len() as u32 + 11).to_be_bytes());
        bytes
    }

    fn parts(payload: Vec<u8>) -> Vec<(u8, u32, u32, Vec<u8>)> {
        let aggregate =
            Message { timestamp: Timestamp(1000), message_type: MessageType::AGGREGATE, stream_id: 1, payload };
        let parts = Parts::new(&aggregate);
        parts.map(|part| (part.message_type.0, part.timestamp.0, part.stream_id, part.payload)).collect()
    }

    #[test]
    fn parts_have_the_aggregates_time_and_stream() {
        let payload = [part(9, 0xFFFF_FFF0, &[1, 2]), part(8, 7, &[]), part(18, 0xFFFF_FFE6, &[3])].concat();
        let expected = vec![(9, 1000, 1, vec![1, 2]), (8, 1023, 1, vec![]), (18, 990, 1, vec![3])];
        assert_eq!(parts(payload), expected);
    }

    #[test]
    fn the_last_length_may_be_missing_and_nothing_else() {
        let payload = [part(9, 5, &[1, 2]), part(8, 5, &[3, 4])].concat();
        for end in 0..=payload.len() {
            let whole = usize::from(end >= 13) + usize::from(end >= 17 + 13);
            assert_eq!(parts(payload[..end].to_vec()).len(), whole, "cut at {end}");
        }
    }

    #[test]
    fn sizes_are_not_believed() {
        let mut payload = part(9, 5, &[1, 2]);
        payload[1..4].copy_from_slice(&[0xFF; 3]);
        assert_eq!(parts(payload), []);
    }

    #[test]
    fn parts_are_bounded() {
        assert_eq!(parts(part(8, 5, &[1]).repeat(MAX_PARTS)).len(), MAX_PARTS);
        assert_eq!(parts(part(8, 5, &[1]).repeat(MAX_PARTS + 1)).len(), MAX_PARTS);
    }
}

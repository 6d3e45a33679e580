use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::stream::burst::Burst;
use crate::stream::event::StreamEvent;
use crate::stream::live::StreamId;

/// What has come of one stream since a worker last looked. A worker that is late gives its viewers all of it in one
/// write each, and is so less late the next time.
pub(super) struct Batch {
    pub(super) stream: StreamId,
    /// One behind the other, without a gap; none if only the stream itself can tell what there is.
    pub(super) bursts: Vec<Arc<Burst>>,
}

/// Takes `first` and all events that are there, by stream.
pub(super) fn take(first: StreamEvent, events: &Receiver<StreamEvent>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::with_capacity(1);
    for event in std::iter::once(first).chain(events.try_iter()) {
        let (stream, burst) = match event {
            StreamEvent::Burst(stream, burst) => (stream, Some(burst)),
            StreamEvent::Ended(stream) => (stream, None),
            StreamEvent::Ready(_) => continue,
        };
        match batches.iter_mut().find(|batch| batch.stream == stream) {
            Some(batch) => batch.add(burst),
            None => batches.push(Batch { stream, bursts: burst.into_iter().collect() }),
        }
    }
    batches
}

impl Batch {
    /// Adds the next burst, or that there will be none. Nothing follows what is empty: once emptied, it stays so.
    fn add(&mut self, burst: Option<Arc<Burst>>) {
        let follows =
            |burst: &Burst| self.bursts.last().is_some_and(|last| burst.sequence == last.sequence + 1);
        match burst.filter(|burst| follows(burst)) {
            Some(burst) => self.bursts.push(burst),
            None => self.bursts.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crossbeam_channel::unbounded;

    use super::*;
    use crate::media::{Packet, PacketKind, Timestamp};
    use crate::stream::budget::Budget;
    use crate::stream::burst::Opening;

    fn burst(sequence: u64) -> Arc<Burst> {
        let packet = Packet { kind: PacketKind::Video, timestamp: Timestamp(0), payload: vec![7] };
        Arc::new(Burst::new(sequence, Opening::Other, Instant::now(), 0, &[packet], &Budget::new(1000)))
    }

    /// The sequence numbers of each stream's batch.
    fn taken(events: &[(StreamId, Option<u64>)]) -> Vec<(StreamId, Vec<u64>)> {
        let (sender, receiver) = unbounded();
        for (stream, sequence) in events {
            let event = match sequence {
                Some(sequence) => StreamEvent::Burst(*stream, burst(*sequence)),
                None => StreamEvent::Ended(*stream),
            };
            assert!(sender.send(event).is_ok());
        }
        let first = receiver.recv();
        let batches = first.map(|first| take(first, &receiver)).unwrap_or_default();
        let numbers = |batch: Batch| batch.bursts.iter().map(|burst| burst.sequence).collect();
        batches.into_iter().map(|batch| (batch.stream, numbers(batch))).collect()
    }

    #[test]
    fn what_has_come_is_taken_by_stream_and_in_order() {
        assert_eq!(taken(&[(1, Some(5))]), [(1, vec![5])]);
        let mixed = [(1, Some(5)), (2, Some(0)), (1, Some(6)), (2, Some(1)), (1, Some(7))];
        assert_eq!(taken(&mixed), [(1, vec![5, 6, 7]), (2, vec![0, 1])]);
    }

    #[test]
    fn a_lost_event_or_an_end_leaves_the_rest_to_the_stream() {
        assert_eq!(taken(&[(1, Some(5)), (1, Some(7)), (1, Some(8))]), [(1, vec![])]);
        assert_eq!(taken(&[(1, Some(5)), (1, None)]), [(1, vec![])]);
        assert_eq!(taken(&[(1, None)]), [(1, vec![])]);
    }
}

use std::io::Read as _;
use std::net::TcpStream;

use super::*;
use crate::config::Config;
use crate::delivery::ViewerRequest;
use crate::delivery::tests::request;
use crate::media::{Packet, PacketKind, StreamName, Timestamp};
use crate::server::stream_settings;
use crate::stream::burst::Framing;
use crate::stream::publication::Publication;

fn name() -> StreamName {
    StreamName::new("live", "s").unwrap()
}

fn registry() -> Arc<Registry> {
    Registry::new(stream_settings(&Config::default()))
}

/// A stream that can be joined.
fn publish(registry: &Arc<Registry>) -> Publication {
    let mut publication = registry.publish(&name(), "test", Instant::now()).unwrap();
    let payload = vec![0x17, 1, 0, 0, 0, 7];
    publication.push(Packet { kind: PacketKind::Video, timestamp: Timestamp(0), payload }, Instant::now());
    publication.tick(Instant::now() + Duration::from_secs(1));
    publication
}

/// A lane without a thread, in which one waits whose other end is in the test's hands.
fn lane_with_one_who_waits(wait: Duration) -> (Lane, TcpStream) {
    let patience = Patience { stall: Duration::from_secs(60), skips: 10 };
    let (mut lane, handle) = Lane::new(registry(), Arc::default(), patience).unwrap();
    let (request, peer) = request(name(), Framing::Plain, Box::new(()));
    let client = Client::new(ViewerRequest { wait, ..request }, Arc::default(), &Arc::default()).unwrap();
    handle.send(LaneCommand::Wait(client));
    lane.take_commands();
    (lane, peer)
}

/// How many wait, and how many have joined.
fn counts(lane: &Lane) -> (usize, usize) {
    let waiting = lane.entries.values().filter(|entry| matches!(entry, Entry::Waiting { .. })).count();
    (waiting, lane.entries.len() - waiting)
}

#[test]
fn who_waits_for_a_stream_that_was_there_for_a_moment_waits_on() {
    let (mut lane, mut peer) = lane_with_one_who_waits(Duration::from_secs(60));
    // Its event says that it can be joined, and by the time it is looked up it is not there any more.
    let gone = publish(&registry());
    for _ in 0..3 {
        lane.inbox.outlet.notify(StreamEvent::Ready(Arc::clone(gone.live())));
        lane.take_events();
        assert_eq!(counts(&lane), (1, 0));
    }
    lane.tick();
    assert_eq!(counts(&lane), (1, 0), "it may wait for a minute");
    assert!(lane.ready.is_empty() && lane.time_to_wait() > Duration::ZERO, "nothing to do meanwhile");

    let _publication = publish(&Arc::clone(&lane.registry));
    lane.take_events();
    assert_eq!(counts(&lane), (0, 1));
    drop(lane);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it was not refused");
}

#[test]
fn who_waits_is_refused_at_its_own_time_whatever_comes_and_goes() {
    let (mut lane, mut peer) = lane_with_one_who_waits(Duration::ZERO);
    let gone = publish(&registry());
    lane.inbox.outlet.notify(StreamEvent::Ready(Arc::clone(gone.live())));
    lane.take_events();
    assert_eq!(counts(&lane), (1, 0));
    lane.tick();
    assert_eq!(counts(&lane), (0, 0));
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"404");
}

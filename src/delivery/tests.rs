use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::client::Client;
use super::leave::LeaveReason;
use super::roster::{Roster, ViewerState};
use super::viewer::{Pumped, Scratch, Viewer};
use super::worker::WorkerHandle;
use super::{Answers, Delivery, Patience, QUANTUM, ViewerRequest};
use crate::config::Config;
use crate::media::{Packet, PacketKind, StreamName, Timestamp};
use crate::peer::Peer;
use crate::server::stream_settings;
use crate::stream::EndReason;
use crate::stream::burst::{Burst, Framing};
use crate::stream::cursor::Start;
use crate::stream::event::{Outlet, StreamEvent};
use crate::stream::headers::Wanted;
use crate::stream::publication::Publication;
use crate::stream::registry::Registry;
use crate::stream::watching::Protocol;

/// A publisher of video alone, and a viewer of it whose other end is in the test's hands.
struct Pair {
    registry: Arc<Registry>,
    publication: Publication,
    viewer: Option<Viewer>,
    roster: Arc<Roster>,
    peer: TcpStream,
    scratch: Scratch,
    time: u32,
}

impl Pair {
    fn new(framing: Framing) -> Self {
        let registry = Registry::new(stream_settings(&Config::default()));
        let name = StreamName::new("live", "s").unwrap();
        let publication = registry.publish(&name, "test", Instant::now()).unwrap();
        let (request, peer) = request(name.clone(), framing, Box::new(()));
        let roster = Arc::default();
        let mut pair =
            Self { registry, publication, viewer: None, roster, peer, scratch: Scratch::default(), time: 0 };
        pair.send(true, 10);
        pair.publication.tick(Instant::now() + Duration::from_secs(1));
        let live = pair.registry.joinable(&name).unwrap();
        let client = Client::new(request, Arc::default(), &pair.roster).unwrap();
        pair.viewer = Viewer::join(client, live, Start::Gop).map(|viewer| *viewer);
        pair
    }

    fn send(&mut self, keyframe: bool, length: usize) {
        let payload = [&[if keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0][..], &vec![7; length]].concat();
        self.send_payload(&payload);
    }

    fn send_payload(&mut self, payload: &[u8]) {
        let payload = payload.to_vec();
        let packet = Packet { kind: PacketKind::Video, timestamp: Timestamp(self.time), payload };
        self.publication.push(packet, Instant::now());
        self.publication.tick(Instant::now());
        self.time += 40;
    }

    fn pump(&mut self) -> Pumped {
        self.viewer.as_mut().unwrap().pump(&mut self.scratch, QUANTUM)
    }

    fn exhausts(&mut self, stall: Duration) -> Option<LeaveReason> {
        let patience = Patience { stall, skips: 10 };
        self.viewer.as_mut().unwrap().exhausts(&patience, false, Instant::now())
    }
}

/// A request to watch, and the other end of its connection.
pub(super) fn request(name: StreamName, framing: Framing, permit: Box<dyn Send>) -> (ViewerRequest, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (socket, address) = listener.accept().unwrap();
    let answers = Answers {
        live: b"HEAD"[..].into(),
        not_found: b"404"[..].into(),
        no_track: b"404"[..].into(),
        not_playable: b"406"[..].into(),
        unavailable: b"503"[..].into(),
    };
    let (peer_name, wait, answers) = (Peer::direct(address), Duration::ZERO, Arc::new(answers));
    let (protocol, wanted, start) = (Protocol::HttpFlv, Wanted::default(), Start::Gop);
    let request = ViewerRequest {
        socket,
        peer: peer_name,
        permit,
        name,
        protocol,
        wanted,
        framing,
        start,
        wait,
        answers,
        upgraded: None,
    };
    (request, peer)
}

/// Makes the thread panic in which its viewer ends.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("thrown by a test");
    }
}

/// Reads until `wanted` has come.
fn read_until(peer: &mut TcpStream, wanted: &[u8]) {
    let mut got = Vec::new();
    while !got.windows(wanted.len()).any(|bytes| bytes == wanted) {
        let mut byte = [0; 1024];
        let count = peer.read(&mut byte).unwrap();
        assert!(count > 0, "closed before {wanted:?} came");
        got.extend_from_slice(&byte[..count]);
    }
}

fn deliver(pair: &Pair, workers: usize, busy: u64) -> Delivery {
    let patience = Patience { stall: Duration::from_secs(60), skips: 10 };
    Delivery::start_sharing(Arc::clone(&pair.registry), workers, busy, patience).unwrap()
}

/// How many viewers each worker has, by its load.
fn loads(delivery: &Delivery) -> Vec<u64> {
    delivery.dispatch.workers.iter().map(WorkerHandle::load).collect()
}

#[test]
fn workers_get_viewers_one_after_the_other_until_they_are_busy() {
    let pair = Pair::new(Framing::Plain);
    let cost = pair.viewer.as_ref().unwrap().cost();
    let delivery = deliver(&pair, 3, 2 * cost);
    let mut peers = Vec::new();
    for expected in [[1, 0, 0], [2, 0, 0], [2, 1, 0], [2, 2, 0], [2, 2, 1], [2, 2, 2], [3, 2, 2], [3, 3, 2]] {
        let (request, mut peer) = request(StreamName::new("live", "s").unwrap(), Framing::Plain, Box::new(()));
        delivery.serve(request);
        read_until(&mut peer, b"FLV");
        peers.push(peer);
        assert_eq!(loads(&delivery), expected.map(|viewers| viewers * cost));
    }
    drop(peers);
    pair.registry.close();
    assert!(delivery.shutdown(Instant::now() + Duration::from_secs(5)));
    assert_eq!(loads(&delivery), [0; 3]);
}

#[test]
fn a_worker_that_panics_closes_its_viewers_and_goes_on_while_others_play() {
    let mut pair = Pair::new(Framing::Plain);
    let delivery = deliver(&pair, 2, 0);
    let name = || StreamName::new("live", "s").unwrap();
    let join = |permit: Box<dyn Send>| {
        let (request, mut peer) = request(name(), Framing::Plain, permit);
        delivery.serve(request);
        read_until(&mut peer, b"FLV");
        peer
    };
    // Workers that are busy from the first viewer on take turns.
    let (bomb, mut other_workers, mut same_workers) =
        (join(Box::new(Bomb)), join(Box::new(())), join(Box::new(())));
    drop(bomb);
    let end = std::thread::spawn(move || same_workers.read_to_end(&mut Vec::new()));
    while !end.is_finished() {
        pair.send(false, 1000);
        std::thread::sleep(Duration::from_millis(5));
    }
    end.join().unwrap().unwrap();
    let mut late = join(Box::new(()));
    pair.send_payload(&[0x27, 1, 0, 0, 0, 1, 2, 3, 4, 5]);
    read_until(&mut other_workers, &[1, 2, 3, 4, 5]);
    read_until(&mut late, &[1, 2, 3, 4, 5]);
    pair.registry.close();
    assert!(delivery.shutdown(Instant::now() + Duration::from_secs(5)), "all threads have ended");
}

#[test]
fn a_slow_lane_that_panics_keeps_those_who_wait() {
    let pair = Pair::new(Framing::Plain);
    let delivery = deliver(&pair, 1, 0);
    let name = StreamName::new("live", "later").unwrap();
    let wait = |permit: Box<dyn Send>, wait| {
        let (request, peer) = request(name.clone(), Framing::Plain, permit);
        delivery.serve(ViewerRequest { wait, ..request });
        peer
    };
    let mut patient = wait(Box::new(()), Duration::from_secs(60));
    let mut bomb = wait(Box::new(Bomb), Duration::from_millis(1));
    read_until(&mut bomb, b"404");
    let mut publication = pair.registry.publish(&name, "test", Instant::now()).unwrap();
    let payload = [&[0x17, 1, 0, 0, 0][..], &[7; 10]].concat();
    let packet = Packet { kind: PacketKind::Video, timestamp: Timestamp(0), payload };
    publication.push(packet, Instant::now());
    publication.tick(Instant::now() + Duration::from_secs(1));
    read_until(&mut patient, b"FLV");
    publication.finish(EndReason::Unpublished, Instant::now());
    pair.registry.close();
    assert!(delivery.shutdown(Instant::now() + Duration::from_secs(5)), "all threads have ended");
}

/// A viewer that takes nothing is stalled wherever its last write ended: within a burst, or at the end of one.
#[test]
fn a_blocked_viewer_is_stalled_wherever_its_last_write_ended() {
    let mut pair = Pair::new(Framing::Chunked);
    assert_eq!(pair.pump(), Pumped::CaughtUp);
    assert_eq!(pair.exhausts(Duration::ZERO), None, "who has everything is not stalled");
    let (mut within, mut between) = (0, 0);
    while within == 0 || between == 0 {
        while pair.pump() == Pumped::CaughtUp {
            pair.send(false, 10);
        }
        assert_eq!(pair.pump(), Pumped::Blocked);
        assert_eq!(pair.exhausts(Duration::from_secs(60)), None);
        assert_eq!(pair.exhausts(Duration::ZERO), Some(LeaveReason::Stalled));
        let place = if pair.viewer.as_ref().unwrap().is_between_bursts() { &mut between } else { &mut within };
        *place += 1;
        // Room for some more, so that the next write that blocks ends elsewhere.
        pair.peer.read_exact(&mut vec![0; 100_000 + 7 * within]).unwrap();
    }
}

#[test]
fn how_a_viewer_does_is_known_from_its_writes_and_from_time_to_time() {
    let mut pair = Pair::new(Framing::Chunked);
    let start = Instant::now();
    let look = |pair: &mut Pair, seconds: u64| {
        let now = start + Duration::from_secs(seconds);
        pair.viewer.as_mut().unwrap().observe(now);
        pair.roster.viewers(now).pop().unwrap()
    };
    assert_eq!(pair.pump(), Pumped::CaughtUp);
    let first = pair.roster.viewers(start).pop().unwrap();
    assert!(first.bytes > 10 && (first.bitrate, first.state) == (0, ViewerState::Slow), "{first:?}");
    pair.viewer.as_mut().unwrap().keeps_up();
    assert_eq!(look(&mut pair, 0).state, ViewerState::Watching);
    while pair.pump() == Pumped::CaughtUp {
        pair.send(false, 100_000);
    }
    pair.viewer.as_mut().unwrap().leaves_worker();
    pair.send(false, 10);

    let blocked = look(&mut pair, 3);
    assert_eq!((blocked.state, blocked.skips), (ViewerState::Slow, 0));
    assert!(blocked.behind >= Duration::from_secs(2), "{blocked:?}");
    let expected = 8 * blocked.bytes / 3;
    assert!(expected.abs_diff(blocked.bitrate) <= expected / 100, "{expected}: {blocked:?}");
    for seconds in (5..=17).step_by(2) {
        look(&mut pair, seconds);
    }
    let stalled = look(&mut pair, 18);
    assert_eq!((stalled.bytes, stalled.bitrate), (blocked.bytes, 0));

    let mut peer = pair.peer.try_clone().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut peer, &mut std::io::sink()).unwrap());
    let deadline = Instant::now() + Duration::from_secs(10);
    while pair.pump() != Pumped::CaughtUp {
        assert!(Instant::now() < deadline, "a viewer that reads catches up");
        std::thread::yield_now();
    }
    let well = look(&mut pair, 19);
    assert_eq!((well.behind, well.skips), (Duration::ZERO, 0));
    assert!(well.bytes > blocked.bytes);
    Box::new(pair.viewer.take().unwrap()).leave(LeaveReason::Left);
    assert_eq!(reader.join().unwrap(), well.bytes, "what the peer got is what was counted");
    assert!(pair.roster.viewers(start).is_empty());
}

/// However late its worker is, and wherever the viewer stands, it gets every burst once and in order.
#[test]
fn a_backlog_goes_out_in_one_write_and_nothing_twice() {
    for already_sent in 0..=3 {
        let mut pair = Pair::new(Framing::Plain);
        assert_eq!(pair.pump(), Pumped::CaughtUp);
        let outlet = Arc::new(Kept::default());
        pair.publication.live().attach(&(Arc::clone(&outlet) as Arc<dyn Outlet>));
        (1..=4_u8).for_each(|mark| pair.send_payload(&[0x27, 1, 0, 0, 0, mark, mark, mark]));
        let bursts = outlet.0.lock().unwrap().clone();
        let viewer = pair.viewer.as_mut().unwrap();
        assert_eq!(viewer.send(&bursts[..already_sent], &mut pair.scratch), Pumped::CaughtUp);
        assert_eq!(viewer.send(&bursts, &mut pair.scratch), Pumped::CaughtUp);
        assert_eq!(viewer.send(&bursts[1..], &mut pair.scratch), Pumped::CaughtUp);
        drop(pair.viewer);
        let mut got = Vec::new();
        pair.peer.read_to_end(&mut got).unwrap();
        let marks: Vec<u8> = got
            .windows(3)
            .filter(|bytes| matches!(bytes, [a @ 1..=4, b, c] if a == b && b == c))
            .map(|b| b[0])
            .collect();
        assert_eq!(marks, [1, 2, 3, 4], "{already_sent}");
    }
}

/// Keeps the bursts that it is told of.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Arc<Burst>>>);

impl Outlet for Kept {
    fn notify(&self, event: StreamEvent) {
        if let StreamEvent::Burst(_, burst) = event {
            self.0.lock().unwrap().push(burst);
        }
    }
}

#[test]
fn a_response_is_head_prefix_frames_and_the_last_chunk() {
    for (framing, head, last) in [
        (Framing::Chunked, 4, &b"0\r\n\r\n"[..]),
        (Framing::Plain, 0, b""),
        (Framing::WebSocket, 2, b"\x88\x11\x03\xE9server shutdown"),
    ] {
        let mut pair = Pair::new(framing);
        pair.send(false, 10);
        assert_eq!(pair.pump(), Pumped::CaughtUp);
        pair.registry.close();
        assert_eq!(pair.pump(), Pumped::Gone(LeaveReason::Ended(EndReason::Shutdown)));
        Box::new(pair.viewer.unwrap()).leave(LeaveReason::Left);
        let mut got = Vec::new();
        pair.peer.read_to_end(&mut got).unwrap();
        assert!(got.starts_with(b"HEAD") && got.ends_with(last), "{framing:?}");
        let flv = got.windows(4).position(|bytes| bytes == b"FLV\x01").unwrap();
        assert_eq!(flv, 4 + head, "behind the chunk's length or the frame's head");
    }
}

/// A response that somebody ends gets its last chunk behind a whole burst; of one that takes nothing only the connection
/// is closed, soon.
#[test]
fn a_viewer_is_ended_behind_a_whole_burst_or_soon() {
    for (framing, last) in [(Framing::Chunked, &b"0\r\n\r\n"[..]), (Framing::Plain, b"")] {
        let mut pair = Pair::new(framing);
        assert_eq!(pair.pump(), Pumped::CaughtUp);
        let id = pair.roster.viewers(Instant::now())[0].id;
        assert!(pair.roster.kick(id).is_some());
        pair.viewer.as_mut().unwrap().observe(Instant::now());
        pair.send_payload(b"\x27\x01\0\0\0not to be sent any more");
        assert_eq!(pair.exhausts(Duration::from_secs(60)), None);
        assert_eq!(pair.pump(), Pumped::Gone(LeaveReason::Kicked));
        Box::new(pair.viewer.unwrap()).leave(LeaveReason::Kicked);
        let mut got = Vec::new();
        pair.peer.read_to_end(&mut got).unwrap();
        assert!(got.ends_with(last) && !got.windows(3).any(|bytes| bytes == b"any"), "{framing:?}");
    }
    let mut pair = Pair::new(Framing::Chunked);
    while pair.pump() == Pumped::CaughtUp {
        pair.send(false, 100_000);
    }
    let start = Instant::now();
    let id = pair.roster.viewers(start)[0].id;
    assert!(pair.roster.kick(id).is_some());
    let viewer = pair.viewer.as_mut().unwrap();
    viewer.observe(start);
    let patience = Patience { stall: Duration::from_secs(60), skips: 10 };
    let mut after = |millis| viewer.exhausts(&patience, false, start + Duration::from_millis(millis));
    assert_eq!((after(499), after(500)), (None, Some(LeaveReason::Kicked)));
}

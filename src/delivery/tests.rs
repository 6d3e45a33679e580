use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::Client;
use super::viewer::{LeaveReason, Pumped, Scratch, Viewer};
use super::{Answers, Patience, QUANTUM, ViewerRequest};
use crate::config::Config;
use crate::media::{Packet, PacketKind, StreamName, Timestamp};
use crate::peer::Peer;
use crate::server::stream_settings;
use crate::stream::EndReason;
use crate::stream::burst::Framing;
use crate::stream::cursor::Start;
use crate::stream::publication::Publication;
use crate::stream::registry::Registry;

/// A publisher of video alone, and a viewer of it whose other end is in the test's hands.
struct Pair {
    registry: Arc<Registry>,
    publication: Publication,
    viewer: Option<Viewer>,
    peer: TcpStream,
    scratch: Scratch,
    time: u32,
}

impl Pair {
    fn new(framing: Framing) -> Self {
        let registry = Registry::new(stream_settings(&Config::default()));
        let name = StreamName::new("live", "s").unwrap();
        let publication = registry.publish(&name, "test", Instant::now()).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, address) = listener.accept().unwrap();
        let mut pair = Self { registry, publication, viewer: None, peer, scratch: Scratch::default(), time: 0 };
        pair.send(true, 10);
        pair.publication.tick(Instant::now() + Duration::from_secs(1));
        let answers =
            Answers { live: b"HEAD"[..].into(), not_found: b"404"[..].into(), unavailable: b"503"[..].into() };
        let request = ViewerRequest {
            socket,
            peer: Peer::direct(address),
            permit: Box::new(()),
            name: name.clone(),
            framing,
            wait: Duration::ZERO,
            answers: Arc::new(answers),
        };
        let live = pair.registry.joinable(&name).unwrap();
        pair.viewer = Some(Viewer::new(Client::new(request).unwrap(), live, Start::Gop));
        pair
    }

    fn send(&mut self, keyframe: bool, length: usize) {
        let payload = [&[if keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0][..], &vec![7; length]].concat();
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
fn a_response_is_head_prefix_frames_and_the_last_chunk() {
    for (framing, last) in [(Framing::Chunked, &b"0\r\n\r\n"[..]), (Framing::Plain, b"")] {
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
        assert_eq!(flv, if framing == Framing::Plain { 4 } else { 4 + 4 }, "behind the chunk's length");
    }
}

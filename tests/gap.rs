//! What viewers and programs do in the gap between two publishers of a stream.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rtmpd::media::PacketKind;
use rtmpd::{Server, StreamName};
use support::camera::{self, PLAY, STREAM};
use support::deadline::{seconds, wait_until};
use support::flv::{FlvReader, Kind, Tag};
use support::http;
use support::rtmpd::Rtmpd;
use support::websocket::WebSocket;

const STARTS: [&str; 4] = ["?start=gop", "?start=key", "?start=live", "?only=audio"];

#[test]
fn everybody_goes_on_over_a_gap_however_they_watch_and_whenever_they_come() {
    for flags in [&[][..], &["--merge", "350"]] {
        let mut rtmpd = Rtmpd::start_with(flags);
        let mut first = camera::start(rtmpd.rtmp());
        camera::send(&mut first, 0..30);
        let mut viewers = watch(&rtmpd, 0);
        drop(first);
        rtmpd.log().wait_for("the loss", 0, |line| line.contains("its viewers are held"));
        viewers.extend(watch(&rtmpd, viewers.len()));
        let mut second = camera::start(rtmpd.rtmp());
        camera::send(&mut second, 0..60);
        second.say_goodbye(STREAM);
        for viewer in viewers {
            let (query, tags) = viewer.join().unwrap();
            let count = |kind| tags.iter().filter(|tag| tag.kind == kind && tag.is_frame()).count();
            let kind = if query.contains("audio") { Kind::Audio } else { Kind::Video };
            assert!(count(kind) >= 60, "{flags:?} {query}: {} of the second publisher's 60", count(kind));
            for kind in [Kind::Audio, Kind::Video] {
                let times = tags.iter().filter(|tag| tag.kind == kind).map(|tag| tag.timestamp);
                assert!(times.is_sorted(), "{flags:?} {query}: time goes back: {tags:?}");
            }
        }
        rtmpd.assert_sound();
    }
}

#[test]
fn a_server_that_ends_in_a_gap_ends_the_responses_in_good_order() {
    let mut rtmpd = Rtmpd::start();
    let mut first = camera::start(rtmpd.rtmp());
    camera::send(&mut first, 0..30);
    let mut viewers = watch(&rtmpd, 0);
    drop(first);
    rtmpd.log().wait_for("the loss", 0, |line| line.contains("its viewers are held"));
    viewers.extend(watch(&rtmpd, viewers.len()));
    assert_eq!(rtmpd.terminate(seconds(5)).code(), Some(0));
    viewers.into_iter().for_each(|viewer| drop(viewer.join().unwrap()));
}

/// A program may hold viewers, wait for a tag and for the server's end as long as it likes.
#[test]
fn a_program_reads_on_over_a_gap_with_patience_without_end() {
    let localhost = (Ipv4Addr::LOCALHOST, 0);
    let for_ever = |config: &mut rtmpd::Config| {
        let times = &mut config.timeouts;
        for time in [&mut times.publish, &mut times.idle_publisher, &mut times.resume, &mut times.request] {
            *time = Duration::MAX;
        }
    };
    let server = Server::builder().rtmp(localhost).http(localhost).configure(for_ever).start().unwrap();
    let mut first = camera::start(server.rtmp_addr());
    camera::send(&mut first, 0..30);
    let name = StreamName::new("live", "cam1").unwrap();
    let mut tags = wait_until("the stream", seconds(5), || server.subscribe(&name));
    let mut times = Vec::new();
    let mut read_to = |frame: u8| {
        while let Ok(Some(tag)) = tags.next_within(Duration::MAX) {
            if tag.kind == PacketKind::Video {
                times.push(tag.timestamp.0);
                if tag.body()[1] == 1 && tag.body()[5] == frame {
                    return;
                }
            }
        }
        panic!("the stream ended before frame {frame}");
    };
    read_to(29);
    drop(first);
    wait_until("the loss", seconds(5), || server.streams()[0].lost_for);
    let mut second = camera::start(server.rtmp_addr());
    camera::send(&mut second, 0..60);
    read_to(59);
    assert!(times.is_sorted(), "{times:?}");
    let left = thread::spawn(move || server.shutdown(Duration::MAX)).join();
    assert_eq!(left.unwrap(), Ok(()));
}

/// What a viewer asked for, and the tags that it got; none if the end came before its start.
type Watched = (String, Vec<Tag>);

/// One of each kind, who reads to the end; each has joined, beside those who were `already` there.
fn watch(rtmpd: &Rtmpd, already: usize) -> Vec<JoinHandle<Watched>> {
    let server = rtmpd.http();
    let mut viewers: Vec<_> = STARTS.map(|query| thread::spawn(move || over_http(server, query))).into();
    viewers.push(thread::spawn(move || over_websocket(server)));
    wait_until("all to join", seconds(5), || {
        let joined = rtmpd.log().all().iter().filter(|line| line.contains(" joins live/cam1")).count();
        (joined == already + viewers.len()).then_some(())
    });
    viewers
}

fn over_http(server: SocketAddr, query: &str) -> Watched {
    let mut reply = http::get(server, &format!("{PLAY}{query}"));
    assert_eq!(reply.status, 200);
    let tags = tags_of(&mut reply.body);
    assert!(reply.body.is_complete(), "{query}: no last chunk");
    (query.to_owned(), tags)
}

fn over_websocket(server: SocketAddr) -> Watched {
    let mut socket = WebSocket::open(server, PLAY);
    let tags = tags_of(&mut socket);
    assert!(socket.closed.is_some(), "no close frame");
    ("a WebSocket".to_owned(), tags)
}

fn tags_of(input: &mut impl Read) -> Vec<Tag> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).unwrap();
    if bytes.is_empty() { Vec::new() } else { FlvReader::open(&bytes[..]).rest() }
}

//! The library as a program embeds it: start, publish, subscribe, look, shut down; several servers in one process.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;

use rtmpd::media::PacketKind;
use rtmpd::{
    Error, HealthWarning, Server, ServerHandle, Start, StreamName, StreamStatus, Tag, ViewerState, ViewerStatus,
};
use socket2::{Domain, Socket, Type};
use support::deadline::{seconds, wait_until};
use support::flv::{Kind, Tag as SourceTag};
use support::http;
use support::rtmp::{Amf, RtmpClient};

/// Keeps what the library logs: a program's own logger, as the library installs none.
struct Log;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// Waits for a line that has all of `words`.
fn log_line(words: &[&str]) {
    let found = |line: &String| words.iter().all(|word| line.contains(word));
    wait_until("a line in the log", seconds(5), || LINES.lock().unwrap().iter().any(found).then_some(()));
}

fn start() -> ServerHandle {
    // Whichever test comes first installs it.
    if log::set_logger(&Log).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    Server::builder().rtmp((Ipv4Addr::LOCALHOST, 0)).http((Ipv4Addr::LOCALHOST, 0)).start().unwrap()
}

fn video(timestamp: u32, keyframe: bool) -> SourceTag {
    let body = vec![if keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0, timestamp as u8, 1, 2, 3];
    SourceTag { kind: Kind::Video, timestamp, body }
}

fn sequence_header() -> SourceTag {
    SourceTag { kind: Kind::Video, timestamp: 0, body: vec![0x17, 0, 0, 0, 0, 1, 100, 0, 31] }
}

/// A publisher of video alone that has sent two frames.
fn publish(server: &ServerHandle, app: &str, name: &str) -> (RtmpClient, u32) {
    let mut publisher = RtmpClient::connect(server.rtmp_addr());
    let stream = publisher.publish(app, name).unwrap();
    for tag in [sequence_header(), video(0, true), video(40, false)] {
        publisher.send_tag(stream, &tag);
    }
    (publisher, stream)
}

fn subscribe(server: &ServerHandle, name: &StreamName) -> rtmpd::Subscription {
    wait_until("the stream to be joinable", seconds(5), || server.subscribe(name))
}

fn threads_named(names: &[&str]) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let comm = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(comm).filter(|comm| names.iter().any(|name| comm.starts_with(name))).count()
}

#[test]
fn a_program_sees_the_tags_that_a_publisher_sends() {
    let server = start();
    let name = StreamName::new("live", "cam1").unwrap();
    assert!(server.subscribe(&name).is_none(), "not live yet");
    let (mut publisher, stream) = publish(&server, "live", "cam1");
    let mut tags = subscribe(&server, &name);
    let mut next = || tags.next_within(seconds(5)).unwrap();
    let kinds: Vec<_> = (0..4).map(|_| next().unwrap()).map(|tag: Tag| (tag.kind, tag.timestamp.0)).collect();
    use PacketKind::{Data, Video};
    assert_eq!(kinds, [(Data, 0), (Video, 0), (Video, 0), (Video, 40)], "metadata, header, two frames");
    let sent = video(80, false);
    publisher.send_tag(stream, &sent);
    let got = next().unwrap();
    assert_eq!((got.timestamp.0, got.body()), (80, &sent.body[..]));

    let status = &server.streams()[0];
    assert_eq!((status.name.as_str(), status.video_codec.as_deref()), ("live/cam1", Some("H.264")));
    assert!(status.tracks.video && !status.tracks.audio);
    assert!(status.publisher.starts_with(&publisher.address()), "{}", status.publisher);
    publisher.unpublish(stream);
    assert!(next().is_none(), "the subscription ends with the stream");
    wait_until("the stream to be gone", seconds(5), || server.streams().is_empty().then_some(()));
    server.shutdown(seconds(5)).unwrap();
}

#[test]
fn it_is_known_what_became_of_every_viewer() {
    let server = start();
    let (mut publisher, stream) = publish(&server, "live", "totals");
    subscribe(&server, &StreamName::new("live", "totals").unwrap());
    let play = || {
        let mut viewer = http::play(server.http_addr(), "/live/totals.flv");
        viewer.find_tag("a keyframe", |tag| tag.is_keyframe());
        viewer
    };
    let (stays, leaves) = (play(), play());
    assert_eq!(http::get(server.http_addr(), "/live/nobody.flv?wait=0").status, 404);
    let room = wait_until("two HTTP and one RTMP connection", seconds(5), || {
        Some(server.room()).filter(|room| (room.http.now, room.rtmp.now) == (2, 1))
    });
    assert!(room.open_files.now > 3 && room.open_files.now < room.open_files.limit, "{room}");
    let totals = |what: &str, wanted: &dyn Fn(rtmpd::ViewerTotals) -> bool| {
        wait_until(what, seconds(5), || wanted(server.viewer_totals()).then(|| server.viewer_totals()))
    };
    totals("two to watch", &|totals| (totals.watching, totals.joined, totals.refused) == (2, 2, 1));
    drop(leaves);
    totals("one to leave", &|totals| (totals.watching, totals.left) == (1, 1));
    let mut waiting = http::connect(server.http_addr());
    waiting.write_all(b"GET /live/later.flv?wait=60 HTTP/1.1\r\n\r\n").unwrap();
    totals("one to wait", &|totals| totals.waiting == 1);
    publisher.unpublish(stream);
    let after = totals("one to see the end", &|totals| totals.ended == 1);
    assert_eq!((after.joined, after.watching, after.skips, after.failed), (2, 0, 0, 0));
    drop(stays);
    server.shutdown(seconds(5)).unwrap();
}

#[test]
fn a_streams_status_says_what_it_is_made_of_and_what_is_wrong_with_it() {
    let server = start();
    let mut publisher = RtmpClient::connect(server.rtmp_addr());
    let stream = publisher.publish("live", "status").unwrap();
    // libopenh264's header of 322 by 242 pixels; AAC of 44100 Hz on two channels.
    let record = b"\x01\x42\xC0\x14\xFF\xE1\0\x10\x67\x42\xC0\x14\x8C\x68\x15\x08\x58\x88\x8C\x04\x07\x84\
        \x42\x35\x01\0\x04\x68\xCE\x3C\x80";
    let picture = [b"\x17\0\0\0\0", &record[..]].concat();
    let audio = |timestamp, body: &[u8]| SourceTag { kind: Kind::Audio, timestamp, body: body.to_vec() };
    publisher.send_tag(stream, &SourceTag { kind: Kind::Video, timestamp: 0, body: picture });
    publisher.send_tag(stream, &audio(0, &[0xAF, 0, 0x12, 0x10]));
    let mut send = |times: &[u32]| {
        for time in times {
            publisher.send_tag(stream, &audio(*time, &[0xAF, 1, 5]));
            publisher.send_tag(stream, &video(*time, time % 6000 == 0));
        }
    };
    send(&[0, 1000, 2000, 3000, 4000, 5000, 6000]);
    let status = |what: &str, wanted: &dyn Fn(&StreamStatus) -> bool| {
        wait_until(what, seconds(5), || server.streams().into_iter().next().filter(|status| wanted(status)))
    };
    let longest = seconds(6);
    let long = HealthWarning::KeyframeInterval { longest };
    let now = status("a warning of the keyframe interval", &|status| status.health.contains(&long));
    assert_eq!((now.video_frames, now.audio_frames), (7, 7));
    assert_eq!((now.keyframe_interval, now.longest_keyframe_interval), (Some(longest), Some(longest)));
    assert_eq!((now.size, now.sample_rate, now.channels), (Some((322, 242)), Some(44_100), Some(2)));
    assert!(now.bitrate > 0 && now.frame_rate > 0.0, "{now:?}");
    log_line(&["stream live/status: keyframes are up to 6.0 s apart", "set a keyframe interval"]);
    send(&[3_600_000, 3_600_040]);
    let jumped = |warning: &HealthWarning| matches!(warning, HealthWarning::Timestamps { jumps: 1, .. });
    status("a warning of the jump", &|status| status.health.iter().any(jumped));
    log_line(&["stream live/status: timestamps are unsteady (jumps: 1,"]);
    let told = |line: &&String| line.contains("stream live/status: keyframes are");
    assert_eq!(LINES.lock().unwrap().iter().filter(told).count(), 1, "said once");
    server.shutdown(seconds(5)).unwrap();
}

#[test]
fn viewers_are_counted_while_they_watch() {
    let server = start();
    let (_publisher, _) = publish(&server, "", "");
    subscribe(&server, &StreamName::new("", "").unwrap());
    let viewers = |count| {
        wait_until("the number of viewers", seconds(5), || {
            (server.streams()[0].viewers.total() == count).then_some(())
        });
    };
    let first = http::play(server.http_addr(), "/service/httpflv");
    let second = http::play(server.http_addr(), "/.flv");
    viewers(2);
    drop(first);
    viewers(1);
    drop(second);
    viewers(0);
}

#[test]
fn each_viewer_is_known_while_it_is_there() {
    let server = start();
    assert!(server.viewers().is_empty());
    let (mut publisher, stream) = publish(&server, "live", "known");
    let subscription = subscribe(&server, &StreamName::new("live", "known").unwrap());
    let mut viewer = http::play(server.http_addr(), "/live/known.flv?only=video");
    viewer.find_tag("a keyframe", SourceTag::is_keyframe);
    let the_only_one = |what: &str, wanted: &dyn Fn(&ViewerStatus) -> bool| {
        let one = || Some(server.viewers()).filter(|viewers| viewers.len() == 1)?.pop();
        wait_until(what, seconds(5), || one().filter(|viewer| wanted(viewer)))
    };
    let first = the_only_one("a viewer that keeps up", &|viewer| viewer.state == ViewerState::Watching);
    assert_eq!(
        (first.stream.as_str(), first.start, first.wanted.as_str()),
        ("live/known", Start::Gop, "only=video")
    );
    assert_eq!((first.protocol.to_string().as_str(), first.skips), ("HTTP-FLV", 0));
    assert!(
        first.peer.starts_with("127.0.0.1:") && first.bytes > 0 && first.elapsed < seconds(30),
        "{first:?}"
    );
    let counts = server.streams()[0].viewers;
    assert_eq!((counts.http_flv, counts.subscribers, counts.total()), (1, 1, 2));
    drop(subscription);

    publisher.send_tag(stream, &video(80, false));
    viewer.find_tag("the next frame", |tag| tag.timestamp == 80);
    let then =
        the_only_one("more bytes, and a bitrate", &|viewer| viewer.bytes > first.bytes && viewer.bitrate > 0);
    assert_eq!((then.id, then.behind.is_zero()), (first.id, true));
    drop(viewer);
    wait_until("nobody", seconds(5), || server.viewers().is_empty().then_some(()));

    let mut waiting = http::connect(server.http_addr());
    waiting.write_all(b"GET /live/unknown.flv?wait=60&start=live HTTP/1.1\r\n\r\n").unwrap();
    let address = waiting.local_addr().unwrap().to_string();
    let waits =
        |viewer: &ViewerStatus| matches!(viewer.state, ViewerState::Waiting { left } if left > seconds(50));
    let second = the_only_one("one who waits", &waits);
    assert_eq!((second.stream.as_str(), second.peer, second.bytes), ("live/unknown", address, 0));
    assert!(second.id > first.id, "numbers are not used again");
    let (_publisher, _) = publish(&server, "live", "unknown");
    let joined = the_only_one("it to join", &|viewer| viewer.bytes > 0);
    assert_eq!((joined.id, joined.start), (second.id, Start::First));
    server.shutdown(seconds(5)).unwrap();
}

#[test]
fn viewers_that_take_nothing_are_given_up() {
    let localhost = (Ipv4Addr::LOCALHOST, 0);
    let server = Server::builder().rtmp(localhost).http(localhost);
    let server = server.configure(|config| config.timeouts.viewer_stall = seconds(1)).start().unwrap();
    let (mut publisher, stream) = publish(&server, "live", "tiny");
    subscribe(&server, &StreamName::new("live", "tiny").unwrap());
    let stalled: Vec<TcpStream> = (0..20)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_recv_buffer_size(2048).unwrap();
            socket.connect(&server.http_addr().into()).unwrap();
            let mut socket = TcpStream::from(socket);
            socket.write_all(b"GET /live/tiny.flv HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            socket
        })
        .collect();
    let viewers = |server: &ServerHandle| server.streams()[0].viewers.http_flv;
    wait_until("20 viewers", seconds(5), || (viewers(&server) == stalled.len()).then_some(()));
    let mut time = 80;
    wait_until("none of them", seconds(30), || {
        for _ in 0..2000 {
            publisher.send_tag(stream, &video(time, time % 4000 == 0));
            time += 40;
        }
        (viewers(&server) == 0).then_some(())
    });
    server.shutdown(seconds(5)).unwrap();
}

#[test]
fn shutdown_joins_every_thread_and_frees_the_ports() {
    let server = start();
    let (mut publisher, _) = publish(&server, "live", "s");
    subscribe(&server, &StreamName::new("live", "s").unwrap());
    let mut viewer = http::play(server.http_addr(), "/live/s.flv");
    let waiting = http::connect(server.http_addr());
    (&waiting).write_all(b"GET /live/other.flv HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let waiter = waiting.local_addr().unwrap().to_string();
    log_line(&[&waiter, "waits"]);
    let silent = TcpStream::connect(server.rtmp_addr()).unwrap();
    let (rtmp, http) = (server.rtmp_addr(), server.http_addr());

    server.shutdown(seconds(5)).unwrap();
    viewer.rest();
    assert!(viewer.input().is_complete(), "the viewer got the last chunk");
    let (answer, _) = http::read_until_closed(waiting, seconds(5));
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
    let goodbye =
        std::iter::from_fn(|| publisher.read_message()).any(|message| message.command() == Some("onStatus"));
    assert!(goodbye, "the publisher was told");
    drop(silent);
    for address in [rtmp, http] {
        TcpListener::bind(address).unwrap_or_else(|error| panic!("{address} is still in use: {error}"));
    }
}

#[test]
fn a_server_can_be_started_and_ended_again_and_again() {
    // Threads of other tests in this process have other names or are counted both before and after.
    let names = ["rtmp-accept", "http-accept", "slow-lane"];
    for _ in 0..10 {
        let server = start();
        let (_publisher, _) = publish(&server, "live", "s");
        drop(server);
    }
    wait_until("the threads of ended servers to be gone", seconds(10), || {
        // Each of the other tests has at most three servers' worth of them at a time.
        (threads_named(&names) <= 5 * names.len()).then_some(())
    });
}

#[test]
fn a_connection_that_begins_and_ends_streams_too_often_is_closed() {
    let server = start();
    let (mut publisher, stream) = publish(&server, "live", "flap");
    let address = publisher.address();
    for _ in 0..200 {
        publisher.command(0, &[Amf::Text("FCUnpublish"), Amf::Number(6.0), Amf::Null, Amf::Text("flap")]);
        let publish = [Amf::Text("publish"), Amf::Number(7.0), Amf::Null, Amf::Text("flap"), Amf::Text("live")];
        publisher.command(stream, &publish);
    }
    let codes = publisher.read_until_closed(seconds(5));
    assert_eq!(codes.last().map(String::as_str), Some("NetStream.Publish.Denied"));
    log_line(&[&address, "too often"]);
    let lines = LINES.lock().unwrap().iter().filter(|line| line.contains(&address)).count();
    assert!(lines <= 2 * 11 + 5, "{lines} lines in the log");
    // Those who come after it are none the worse.
    let (_publisher, _) = publish(&server, "live", "flap");
}

#[test]
fn a_callback_that_panics_refuses_one_client_and_is_logged() {
    // For the logger.
    drop(start());
    let localhost = (Ipv4Addr::LOCALHOST, 0);
    let server = Server::builder().rtmp(localhost).http(localhost).on_publish(|attempt| {
        assert_ne!(attempt.parameter("panic"), Some("yes"), "the test wants it");
        Ok(())
    });
    let server = server.start().unwrap();
    let mut unlucky = RtmpClient::connect(server.rtmp_addr());
    let refused = unlucky.publish("live", "panics?panic=yes");
    assert_eq!(refused, Err("NetStream.Publish.Denied".to_owned()));
    log_line(&["publisher", &unlucky.address(), "live/panics", "panicked"]);
    let (_publisher, _) = publish(&server, "live", "panics?panic=no");
    server.shutdown(seconds(5)).unwrap();
}

#[test]
fn servers_in_one_process_have_nothing_to_do_with_each_other() {
    let (one, two) = (start(), start());
    let name = StreamName::new("live", "s").unwrap();
    let (_publisher, _) = publish(&one, "live", "s");
    subscribe(&one, &name);
    assert!(two.subscribe(&name).is_none());
    one.shutdown(seconds(5)).unwrap();
    assert_eq!(http::get(two.http_addr(), "/healthz").status, 200);
}

#[test]
fn an_address_in_use_is_named_with_the_cure() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let error = Server::builder().rtmp(free).http(address).start().unwrap_err();
    assert!(matches!(error, Error::Bind { protocol: "HTTP", .. }));
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("--http"), "{text}");
}

#[test]
fn a_dropped_subscription_and_many_of_them_hold_nobody_up() {
    let server = start();
    let name = StreamName::new("live", "s").unwrap();
    let (mut publisher, stream) = publish(&server, "live", "s");
    let _idle = subscribe(&server, &name); // never read from
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let mut tags = subscribe(&server, &name);
            thread::spawn(move || {
                std::iter::from_fn(|| tags.next_within(seconds(10)).unwrap()).map(|tag| tag.timestamp.0).max()
            })
        })
        .collect();
    for time in (80..4000).step_by(40) {
        publisher.send_tag(stream, &video(time, time % 1000 == 0));
    }
    publisher.unpublish(stream);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Some(3960), "every reader came to the last frame");
    }
}

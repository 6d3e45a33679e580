//! HTTP requests that are attacks: each ends in a bounded cost for its client, and in nothing for anybody else.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use support::abuse::{self, Crowd};
use support::bystander::Bystander;
use support::deadline::seconds;
use support::flv::{FlvReader, Tag};
use support::http::{self, Reply};
use support::numbered::{Stamp, is_frame};
use support::scene::Scene;
use support::turns::alone;
use support::usage::Usage;

#[test]
fn a_body_of_a_hundred_gigabytes_is_refused_at_once() {
    let _alone = alone();
    let scene = Scene::start();
    for _ in 0..20 {
        let start = Instant::now();
        let head = "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000000\r\n\r\n";
        assert_eq!(http::send(scene.rtmpd.http(), head).status, 413);
        assert!(start.elapsed() < seconds(2), "{:?}", start.elapsed());
    }
    scene.assert_memory_stayed_within(16 * MIB);
    scene.ends_well();
}

#[test]
fn a_thousand_http2_prefaces_leave_no_thread_and_no_descriptor() {
    let _alone = alone();
    let scene = Scene::start();
    let server = scene.rtmpd.http();
    in_threads(4, || {
        for _ in 0..250 {
            let status = http::send(server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status;
            assert!((400..=505).contains(&status), "{status}");
        }
    });
    scene.assert_memory_stayed_within(16 * MIB);
    scene.ends_well();
}

#[test]
fn of_requests_in_one_breath_the_first_is_answered_and_the_rest_block_nobody() {
    let _alone = alone();
    let scene = Scene::start();
    let server = scene.rtmpd.http();
    let behind = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50);
    let live: Vec<FlvReader<_>> = (0..20)
        .map(|_| {
            let mut socket = http::connect(server);
            socket.write_all([LIVE, &behind].concat().as_bytes()).unwrap();
            FlvReader::open(Reply::read(socket, false).body)
        })
        .collect();
    for path in ["/", "/healthz", "/nothing"] {
        let start = Instant::now();
        let mut socket = http::connect(server);
        let first = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        socket.write_all([&first, behind.as_str()].concat().as_bytes()).unwrap();
        let (said, _) = http::read_until_closed(socket, seconds(5));
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "GET {path}, and more: {said}");
        assert!(start.elapsed() < seconds(3), "GET {path} took {:?}", start.elapsed());
    }
    for mut viewer in live {
        plays(&mut viewer, 30);
    }
    scene.ends_well();
}

#[test]
fn what_a_viewer_sends_behind_its_request_is_not_kept() {
    let _alone = alone();
    let scene = Scene::start();
    let server = scene.rtmpd.http();
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let mut socket = http::connect(server);
            socket.write_all(LIVE.as_bytes()).unwrap();
            let mut viewer = FlvReader::open(Reply::read(socket.try_clone().unwrap(), false).body);
            plays(&mut viewer, 1);
            thread::spawn(move || abuse::flood(&mut socket, &[b'x'; 65536], 100 * MIB as usize))
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    scene.assert_memory_stayed_within(16 * MIB);
    scene.ends_well();
}

#[test]
fn heads_without_end_are_hung_up_on() {
    let _alone = alone();
    let scene = Scene::start();
    let lines = "X-Endless: line\r\n".repeat(4096);
    let long = "y".repeat(65536);
    let heads = [
        ("header lines", "GET / HTTP/1.1\r\n", &lines),
        ("a header line", "GET / HTTP/1.1\r\nX-Long: ", &long),
        ("a header's name", "GET / HTTP/1.1\r\n", &long),
        ("a target", "GET /", &long),
        ("a method", "", &long),
    ];
    thread::scope(|scope| {
        for (what, begin, part) in heads {
            let server = scene.rtmpd.http();
            scope.spawn(move || is_hung_up_on(server, what, begin, part, 431));
        }
    });
    scene.assert_memory_stayed_within(16 * MIB);
    scene.ends_well();
}

#[test]
fn bodies_without_end_are_hung_up_on() {
    let _alone = alone();
    let scene = Scene::start();
    let bodies = [
        ("a body longer than announced", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n", 405),
        ("a page's body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n", 200),
        ("a chunked body", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    ];
    let part = "1000\r\nabc\r\n".repeat(5000);
    thread::scope(|scope| {
        for (what, head, status) in bodies {
            let (server, part) = (scene.rtmpd.http(), &part);
            scope.spawn(move || is_hung_up_on(server, what, head, part, status));
        }
    });
    scene.assert_memory_stayed_within(16 * MIB);
    scene.ends_well();
}

#[test]
fn a_viewer_joins_at_once_while_two_thousand_requests_are_half_sent() {
    let _alone = alone();
    let mut scene = Scene::start();
    let server = scene.rtmpd.http();
    let mut held = Crowd::start(server, 1000, HALF_A_HEAD);
    let mut more = Crowd::start(server, 1000, HALF_A_HEAD);
    for round in 0..20 {
        let took = abuse::time_to_join(server);
        assert!(took < seconds(1), "in round {round} a viewer had to wait {took:?}");
        // Who has been sent away comes again.
        let gone = 2000 - held.alive() - more.alive();
        if gone > 500 {
            more = Crowd::start(server, 1000, HALF_A_HEAD);
        }
    }
    let now = Usage::of(&scene.rtmpd);
    assert!(now.threads <= scene.before.threads + 16, "{now:?} with {} requests half sent", held.alive());
    scene.assert_memory_stayed_within(48 * MIB);
    scene.rtmpd.assert_sound();
    drop((held, more));
    scene.ends_well();
}

#[test]
fn old_clients_are_served_and_their_connections_closed() {
    let _alone = alone();
    let scene = Scene::start();
    let server = scene.rtmpd.http();
    for (head, status) in [
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
        ("GET /nothing HTTP/1.0\r\n\r\n", 404),
        ("GET /live/nobody.flv?wait=0 HTTP/1.0\r\n\r\n", 404),
    ] {
        let reply = http::send(server, head);
        assert_eq!(reply.status, status, "{head:?}");
        assert!(!reply.is_chunked(), "{head:?}");
        let socket = reply.body.socket().try_clone().unwrap();
        http::read_until_closed(socket, seconds(5));
    }
    let mut viewers: Vec<_> = (0..50)
        .map(|_| {
            let head = format!("GET {} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Bystander::PLAY);
            let reply = http::send(server, &head);
            assert!(!reply.is_chunked());
            FlvReader::open(reply.body)
        })
        .collect();
    for viewer in &mut viewers {
        plays(viewer, 30);
    }
    drop(viewers);
    scene.ends_well();
}

#[test]
fn a_viewer_that_has_shut_down_its_sending_side_gets_the_stream() {
    let _alone = alone();
    let scene = Scene::start();
    let mut viewers: Vec<_> = (0..10)
        .map(|_| {
            let mut socket = http::connect(scene.rtmpd.http());
            socket.write_all(LIVE.as_bytes()).unwrap();
            socket.shutdown(std::net::Shutdown::Write).unwrap();
            FlvReader::open(Reply::read(socket, false).body)
        })
        .collect();
    for viewer in &mut viewers {
        plays(viewer, 80);
    }
    drop(viewers);
    scene.ends_well();
}

#[test]
fn a_page_is_sent_to_who_has_shut_down_its_sending_side() {
    let _alone = alone();
    let scene = Scene::start();
    let mut socket = http::connect(scene.rtmpd.http());
    socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let reply = Reply::read(socket, false);
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains("</html>"));
    scene.ends_well();
}

/// Sends `begin` and then `part` for ever, which the server answers with `status` and soon takes no more of.
#[track_caller]
fn is_hung_up_on(server: SocketAddr, what: &str, begin: &str, part: &str, status: u16) {
    let start = Instant::now();
    let mut socket = http::connect(server);
    socket.write_all(begin.as_bytes()).unwrap();
    let mut reader = socket.try_clone().unwrap();
    let answer = thread::spawn(move || {
        let mut answer = [0; 12];
        // The reset that an endless sender has earned may overtake the answer.
        reader.read_exact(&mut answer).is_ok().then_some(answer)
    });
    let taken = abuse::flood(&mut socket, part.as_bytes(), usize::MAX);
    let took = start.elapsed();
    println!("{what} without end: {} KiB were taken in {took:?}", taken / 1024);
    assert!(took < seconds(4), "{what} without end: the server took {taken} bytes in {took:?}");
    if let Some(answer) = answer.join().unwrap() {
        assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes(), "{what} without end");
    }
}

/// Reads `count` frames, one after the other without a gap.
#[track_caller]
fn plays<R: Read>(viewer: &mut FlvReader<R>, count: u64) {
    let first = Stamp::of(&viewer.find_tag("a keyframe", Tag::is_keyframe)).number;
    for number in first + 1..first + count {
        let stamp = Stamp::of(&viewer.find_tag("a frame", is_frame));
        assert_eq!(stamp.number, number);
    }
}

fn in_threads(count: usize, body: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(&body);
        }
    });
}

const LIVE: &str = "GET /live/bystander.flv HTTP/1.1\r\nHost: localhost\r\n\r\n";
const HALF_A_HEAD: &[u8] = b"GET /live/bystander.flv HTTP/1.1\r\nHost: loc";
const MIB: u64 = 1 << 20;

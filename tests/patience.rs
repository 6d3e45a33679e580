//! Peers that take their time: each gets as much as is good for the others, and no more.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::abuse::{self, Crowd, Ended};
use support::bystander::Bystander;
use support::deadline::{poll, seconds, wait_until};
use support::http;
use support::rtmp::RtmpClient;
use support::scene::Scene;

#[test]
fn requests_that_are_late_are_ended_after_five_seconds() {
    let scene = Scene::start();
    let late = b"POST /live/bystander.flv HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
    let page = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
    assert_ended_after_five_seconds(
        &scene,
        &[
            ("says nothing", b"", b""),
            ("says half a head", b"GET / HTTP/1.1\r\nHost: loc", b""),
            ("says a byte a second", b"GET / HTTP/1.1\r\nHost: loc", b"a"),
            ("says a line a second", b"GET / HTTP/1.1\r\n", b"X-Slow: yes\r\n"),
            ("announces a body", late, b""),
            ("sends a body a byte a second", page, b"a"),
        ],
    );
    scene.ends_well();
}

#[test]
fn a_viewer_that_takes_nothing_is_ended_after_fifteen_seconds() {
    let scene = Scene::start();
    let start = Instant::now();
    let mut viewers: Vec<_> =
        (0..20).map(|_| ask_with_small_buffer(scene.rtmpd.http(), Bystander::PLAY)).collect();
    wait_until("all to have joined", seconds(5), || {
        (scene.rtmpd.descriptors() >= scene.before.descriptors + viewers.len()).then_some(())
    });
    for count in [1, viewers.len()] {
        let gone = scene.before.descriptors + viewers.len() - count;
        wait_until("them to be ended", seconds(22), || (scene.rtmpd.descriptors() <= gone).then_some(()));
        let took = start.elapsed();
        println!("number {count} was ended after {took:?}");
        assert!((seconds(14)..seconds(22)).contains(&took), "number {count} was ended after {took:?}");
    }
    for viewer in viewers.drain(..) {
        let port = viewer.local_addr().unwrap().port();
        let left = format!("viewer 127.0.0.1:{port} left live/bystander: took nothing for too long");
        scene.rtmpd.log().wait_for("its line in the log", 0, |line| line.contains(&left));
    }
    scene.ends_well();
}

#[test]
fn a_large_answer_that_is_not_taken_is_given_up_after_thirty_seconds() {
    const ENGINE: &str = "/static/mpegts.js";
    let mut scene = Scene::start();
    let server = scene.rtmpd.http();
    if http::get(server, ENGINE).status != 200 {
        println!("built without npm: there is no large answer here");
        return;
    }
    let start = Instant::now();
    let readers: Vec<_> = (0..100).map(|_| ask_with_small_buffer(server, ENGINE)).collect();
    wait_until("all to be answered", seconds(10), || {
        (support::sockets::unsent(server) >= readers.len()).then_some(())
    });
    let all = scene.before.descriptors + readers.len();
    assert!(scene.rtmpd.descriptors() >= all, "{} descriptors; nobody is slow here", scene.rtmpd.descriptors());
    // Meanwhile everybody else is served at once.
    let left = poll(seconds(40), || {
        assert_served_at_once(server);
        (scene.rtmpd.descriptors() <= scene.before.descriptors).then_some(start.elapsed())
    });
    let took = left.expect("they are ended within 40 s");
    println!("100 who took nothing of a page were ended after {took:?}");
    assert!(took < seconds(35), "{took:?}");
    scene.assert_memory_stayed_within(64 << 20);
    scene.may_keep(48 << 20);
    drop(readers);
    scene.ends_well();
}

#[test]
fn rtmp_connections_that_never_publish_are_ended_after_ten_seconds() {
    let scene = Scene::start();
    let server = scene.rtmpd.rtmp();
    let hello = [&[3][..], &[0; 1536]].concat();
    let kinds: [(&str, &[u8], &[u8]); 5] = [
        ("says nothing", b"", b""),
        ("says its version", b"\x03", b""),
        ("stops in the middle of its hello", &hello[..700], b""),
        ("sends its hello byte by byte", &hello[..700], b"\x00"),
        ("never acknowledges", &hello, b""),
    ];
    thread::scope(|scope| {
        for (what, begin, drip) in kinds {
            scope.spawn(move || {
                assert_ended_after_ten_seconds(what, Crowd::start(server, 20, begin), drip);
            });
        }
        scope.spawn(move || {
            let shaken = (0..20).map(|_| RtmpClient::connect(server)).collect();
            assert_ended_after_ten_seconds("never connects", Crowd::of(shaken), b"");
        });
        scope.spawn(move || {
            let connected = (0..20).map(|_| RtmpClient::connect_to_app(server, "live")).collect();
            assert_ended_after_ten_seconds("never publishes", Crowd::of(connected), b"");
        });
    });
    scene.ends_well();
}

/// A hundred of each kind, who begin with some bytes and go on with others, are ended after five seconds with 408
/// or without a word, while new viewers join at once.
#[track_caller]
fn assert_ended_after_five_seconds(scene: &Scene, kinds: &[(&str, &[u8], &[u8])]) {
    let server = scene.rtmpd.http();
    let left = AtomicUsize::new(kinds.len());
    thread::scope(|scope| {
        for (what, begin, drip) in kinds {
            let left = &left;
            scope.spawn(move || {
                let ended = Crowd::start(server, 100, begin).wait_for_ends(seconds(12), drip);
                left.fetch_sub(1, Ordering::Relaxed);
                for Ended { after, said } in ended {
                    let range = Duration::from_millis(4500)..seconds(8);
                    assert!(range.contains(&after), "who {what} was ended after {after:?}");
                    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "who {what} was told {said}");
                }
            });
        }
        wait_until("all to be ended", seconds(15), || {
            assert_served_at_once(server);
            (left.load(Ordering::Relaxed) == 0).then_some(())
        });
    });
}

#[track_caller]
fn assert_ended_after_ten_seconds(what: &str, crowd: Crowd, drip: &[u8]) {
    for Ended { after, .. } in crowd.wait_for_ends(seconds(16), drip) {
        let range = Duration::from_millis(9500)..seconds(14);
        assert!(range.contains(&after), "who {what} was ended after {after:?}");
    }
}

#[track_caller]
fn assert_served_at_once(server: SocketAddr) {
    let took = abuse::time_to_join(server);
    assert!(took < seconds(2), "a viewer had to wait {took:?}");
    let start = Instant::now();
    assert_eq!(http::get(server, "/").status, 200);
    assert!(start.elapsed() < seconds(2), "a page took {:?}", start.elapsed());
}

fn ask_with_small_buffer(server: SocketAddr, path: &str) -> std::net::TcpStream {
    let mut socket = abuse::connect_with_small_buffer(server);
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    socket
}

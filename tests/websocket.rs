//! WebSocket-FLV: the same streams as over HTTP, in messages, for players that want more of them than HTTP/1.1 gives.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::abuse;
use support::deadline::{seconds, wait_until};
use support::ffmpeg::Publisher;
use support::flv::{FlvReader, Tag};
use support::http::{self, Reply};
use support::media;
use support::numbered::{self, GENTLE, Numbered, Pace, Stamp};
use support::page::{assert_no_complaints, number};
use support::rtmpd::Rtmpd;
use support::webdriver::Browser;
use support::websocket::{CLOSE, Close, Frame, HANDSHAKE, PING, WebSocket};

const PATH: &str = "/live/cam1.flv";

#[test]
fn a_websocket_has_what_http_has_packet_by_packet() {
    let mut rtmpd = Rtmpd::start();
    let server = rtmpd.http();
    // Both wait for the stream, so that they begin at the same frame.
    let over_http = thread::spawn(move || http::play(server, PATH).rest());
    let by_query = "/service/httpflv?app=live&stream=cam1";
    let over_websocket = thread::spawn(move || {
        let mut viewer = FlvReader::open(WebSocket::open(server, by_query));
        (viewer.rest(), viewer.input().closed.take())
    });
    for protocol in ["HTTP-FLV", "WebSocket-FLV"] {
        let line = format!("waits up to 10 s for live/cam1 over {protocol}");
        rtmpd.log().wait_for("both to wait", 0, |logged| logged.contains(&line));
    }
    let source = media::plain();
    Publisher::start(&source, &rtmpd.publish_url("/live/cam1")).finish();
    let (tags, closed) = over_websocket.join().unwrap();
    assert!(tags.len() > 100 && tags == over_http.join().unwrap(), "{} tags", tags.len());
    assert_eq!(closed, Some(Close { code: Some(1000), reason: "stream ended".into() }));
    rtmpd.log().wait_for("its protocol", 0, |line| line.contains("joins live/cam1 over WebSocket-FLV"));
    rtmpd.assert_sound();
}

#[test]
fn every_message_is_whole_tags() {
    let (rtmpd, _publisher) = numbered(&[]);
    let mut viewer = WebSocket::open(rtmpd.http(), PATH);
    for index in 0..60 {
        let Some(Frame::Binary(message)) = viewer.next_frame() else { panic!("no media") };
        let tags = whole_tags(&message, index == 0);
        assert!(!tags.is_empty());
    }
}

#[test]
fn pings_and_a_close_are_answered_while_the_stream_flows_and_while_it_is_quiet() {
    let (mut rtmpd, publisher) = numbered(&["--publisher-timeout", "60"]);
    for quiet in [false, true] {
        let mut viewer = WebSocket::open(rtmpd.http(), PATH);
        let mut leaver = WebSocket::open(rtmpd.http(), PATH);
        for viewer in [&mut viewer, &mut leaver] {
            assert!(matches!(viewer.next_frame(), Some(Frame::Binary(_))));
        }
        if quiet {
            publisher.pause();
        }
        let start = Instant::now();
        viewer.send(0x81, b"nobody listens to this");
        for payload in [&b""[..], b"are you there?", &[7; 125]] {
            viewer.send(PING, payload);
        }
        for payload in [&b""[..], b"are you there?", &[7; 125]] {
            assert_eq!(viewer.next_answer(), Some(Frame::Pong(payload.to_vec())), "{quiet}");
        }
        assert!(start.elapsed() < seconds(2), "quiet: {quiet}, after {:?}", start.elapsed());

        let start = Instant::now();
        viewer.send(CLOSE, b"\x0F\xA0enough");
        let close = Close { code: Some(4000), reason: String::new() };
        assert_eq!(viewer.next_answer(), Some(Frame::Close(close)), "{quiet}");
        assert_eq!(viewer.next_frame(), None);
        let took = start.elapsed();
        assert!(took < seconds(2), "quiet: {quiet}, after {took:?}");
        println!("quiet: {quiet}: closed after {took:?}");

        let before = rtmpd.descriptors();
        drop(leaver);
        wait_until("one without a goodbye to be missed", seconds(3), || {
            (rtmpd.descriptors() < before).then_some(())
        });
        publisher.go_on();
    }
    rtmpd.assert_sound();
}

#[test]
fn what_breaks_the_protocol_is_closed_with_its_code() {
    let (mut rtmpd, publisher) = numbered(&["--publisher-timeout", "60"]);
    let too_long = [&[0x82, 0xFF][..], &65_537_u64.to_be_bytes(), &[1, 2, 3, 4]].concat();
    let cases: [(&str, &[u8], u16); 8] = [
        ("is not masked", b"\x81\x05hello", 1002),
        ("has a reserved bit", b"\xC1\x80\x01\x02\x03\x04", 1002),
        ("has a reserved kind", b"\x83\x80\x01\x02\x03\x04", 1002),
        ("is a long ping", b"\x89\xFE\x00\x7E\x01\x02\x03\x04", 1002),
        ("is a part of a ping", b"\x09\x80\x01\x02\x03\x04", 1002),
        ("continues nothing", b"\x80\x80\x01\x02\x03\x04", 1002),
        ("is HTTP", b"GET / HTTP/1.1\r\n\r\n", 1002),
        ("claims too much", &too_long, 1009),
    ];
    for quiet in [false, true] {
        let viewers = cases.map(|(what, sent, code)| (what, sent, code, WebSocket::open(rtmpd.http(), PATH)));
        if quiet {
            publisher.pause();
        }
        for (_, sent, _, viewer) in &viewers {
            viewer.send_raw(sent);
        }
        for (what, _, code, mut viewer) in viewers {
            let Some(Frame::Close(close)) = viewer.next_answer() else {
                panic!("a frame that {what}: no close")
            };
            assert_eq!(close.code, Some(code), "a frame that {what}: {}", close.reason);
            assert_eq!(viewer.next_frame(), None, "a frame that {what}");
        }
        publisher.go_on();
    }
    rtmpd.log().wait_for("why", 0, |line| line.contains("left live/cam1: sent a frame that is not masked"));
    rtmpd.assert_sound();
}

#[test]
fn who_talks_without_end_costs_no_memory_and_disturbs_nobody() {
    let (mut rtmpd, _publisher) = numbered(&[]);
    let mut other = FlvReader::open(WebSocket::open(rtmpd.http(), PATH));
    other.find_tag("a frame", numbered::is_frame);
    let before = rtmpd.memory();
    let talkers: Vec<_> = (0..20).map(|_| WebSocket::open(rtmpd.http(), PATH)).collect();
    thread::scope(|scope| {
        for viewer in &talkers {
            // The socket may take no more at some point.
            scope.spawn(move || {
                viewer.set_write_limit(Duration::from_millis(300));
                let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[7; 125]].concat();
                let _ = (0..40_000).try_for_each(|_| viewer.try_send_raw(&ping));
            });
        }
    });
    let mut last = Stamp::of(&other.find_tag("a frame", numbered::is_frame)).number;
    for _ in 0..100 {
        let next = Stamp::of(&other.find_tag("a frame", numbered::is_frame)).number;
        assert_eq!(next, last + 1);
        last = next;
    }
    let grown = rtmpd.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for 20 viewers");
    rtmpd.assert_sound();
}

#[test]
fn broken_handshakes_get_proper_answers() {
    let (mut rtmpd, _publisher) = numbered(&[]);
    let server = rtmpd.http();
    let ask =
        |line: &str, headers: &str| http::send(server, &format!("{line}\r\nHost: {server}\r\n{headers}\r\n"));
    let get = format!("GET {PATH} HTTP/1.1");
    let without =
        |part: &str| HANDSHAKE.split_inclusive("\r\n").filter(|line| !line.contains(part)).collect::<String>();
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for (line, headers, status) in [
        (&get[..], without("Key"), 400),
        (&get, HANDSHAKE.replace(key, "Sec-WebSocket-Key: short"), 400),
        (&get, without("Connection"), 400),
        (&get, without("Version"), 426),
        (&get, HANDSHAKE.replace("Version: 13", "Version: 8"), 426),
        (&format!("GET {PATH} HTTP/1.0"), HANDSHAKE.into(), 400),
        (&format!("HEAD {PATH} HTTP/1.1"), HANDSHAKE.into(), 400),
        (&format!("POST {PATH} HTTP/1.1"), HANDSHAKE.into(), 405),
        ("GET / HTTP/1.1", HANDSHAKE.into(), 400),
        ("GET /healthz HTTP/1.1", HANDSHAKE.into(), 400),
        ("GET /nothing HTTP/1.1", HANDSHAKE.into(), 404),
        ("GET /live/none.flv?wait=0 HTTP/1.1", HANDSHAKE.into(), 404),
        ("GET /live/cam1.flv?track=7&only=video HTTP/1.1", HANDSHAKE.into(), 404),
        ("GET /live/cam1.flv?start=never HTTP/1.1", HANDSHAKE.into(), 400),
    ] {
        let reply = ask(line, &headers);
        assert_eq!(reply.status, status, "{line}\r\n{headers}");
        if status == 426 {
            assert_eq!(reply.header("sec-websocket-version"), Some("13"));
            assert_eq!(
                (reply.header("upgrade"), reply.header("connection")),
                (Some("websocket"), Some("close, Upgrade"))
            );
        }
    }
    // What asks for other protocols gets HTTP, as curl --http2 does.
    let reply = ask(&get, "Upgrade: h2c\r\nConnection: Upgrade\r\n");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("video/x-flv")));
    WebSocket::of(ask(&get, &HANDSHAKE.to_ascii_lowercase().replace(&key.to_ascii_lowercase(), key)));
    rtmpd.assert_sound();
}

#[test]
fn a_stream_that_is_not_live_is_waited_for_and_then_404() {
    let rtmpd = Rtmpd::start();
    let start = Instant::now();
    let server = rtmpd.http();
    let reply = handshake(server, "/live/none.flv?wait=1", "");
    assert_eq!(reply.status, 404);
    assert!((Duration::from_millis(900)..seconds(4)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[test]
fn pages_of_other_sites_play_as_the_settings_say() {
    let foreign = "Origin: https://example.org\r\n";
    for (flags, foreign_status) in [
        (&[][..], 101),
        (&["--cors", "off"], 403),
        (&["--cors", "off", "--ws-origin", "https://example.org"], 101),
        (&["--ws-origin", "http://a.org,https://b.org"], 403),
    ] {
        let (rtmpd, _publisher) = numbered(flags);
        let server = rtmpd.http();
        assert_eq!(handshake(server, PATH, foreign).status, foreign_status, "{flags:?}");
        assert_eq!(handshake(server, PATH, &format!("Origin: http://{server}\r\n")).status, 101, "{flags:?}");
        assert_eq!(handshake(server, PATH, "").status, 101, "{flags:?}");
        if foreign_status == 403 {
            let line = "refused for live/cam1: Pages of this site may not play here";
            rtmpd.log().wait_for("the refusal", 0, |logged| logged.contains(line));
        }
    }
}

#[test]
fn viewers_are_told_when_the_server_ends() {
    let (mut rtmpd, _publisher) = numbered(&[]);
    let mut viewers: Vec<_> = (0..20).map(|_| WebSocket::open(rtmpd.http(), PATH)).collect();
    for viewer in &mut viewers {
        assert!(matches!(viewer.next_frame(), Some(Frame::Binary(_))));
    }
    rtmpd.signal("TERM");
    for mut viewer in viewers {
        let close = Close { code: Some(1001), reason: "server shutdown".into() };
        assert_eq!(viewer.next_answer(), Some(Frame::Close(close)));
        assert_eq!(viewer.next_frame(), None);
    }
    assert!(rtmpd.exit_within(seconds(5)).success());
}

#[test]
fn a_slow_viewer_skips_between_two_frames() {
    const FAT: Pace =
        Pace { interval: Duration::from_millis(20), group: 25, keyframe_bytes: 200_000, frame_bytes: 80_000 };
    let mut rtmpd = Rtmpd::start();
    let publisher = Numbered::start(rtmpd.rtmp(), "live", "cam1", FAT);
    let mut socket = abuse::connect_with_small_buffer(rtmpd.http());
    socket.write_all(format!("GET {PATH} HTTP/1.1\r\nHost: a\r\n{HANDSHAKE}\r\n").as_bytes()).unwrap();
    let mut viewer = WebSocket::of(Reply::read(socket, false));
    // Twice what it may be behind.
    let enough = publisher.sent() + 250;
    wait_until("it to be far behind", seconds(20), || (publisher.sent() >= enough).then_some(()));
    let (mut last, mut skips, mut is_first) = (None, 0, true);
    while skips == 0 || last.is_none_or(|last| last < enough) {
        let Some(Frame::Binary(message)) = viewer.next_frame() else { panic!("given up") };
        for tag in whole_tags(&message, is_first).iter().filter(|tag| numbered::is_frame(tag)) {
            let number = Stamp::of(tag).number;
            if last.is_some_and(|last| number != last + 1) {
                assert!(tag.is_keyframe() && last < Some(number), "{last:?}, then {number}");
                skips += 1;
            }
            last = Some(number);
        }
        is_first = false;
    }
    println!("{skips} skips");
    rtmpd.assert_sound();
}

#[test]
fn chromium_plays_twelve_streams_on_one_page() {
    const PLAYERS: usize = 12;
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let _publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    drop(http::play(rtmpd.http(), PATH));
    let browser = Browser::start();
    browser.open(&rtmpd.play_url("/resource/httpflv"));
    if browser.run("return typeof mpegts;") == "undefined" {
        println!("built without npm: there is no player here");
        return;
    }
    browser.run(&START_PLAYERS.replace("PLAYERS", &PLAYERS.to_string()).replace("PATH", PATH));
    let begun = browser.wait_for("all to begin", seconds(60), PROGRESS, |players| {
        each(players, |player| number(player, "time") > 0.0 && number(player, "frames") > 0.0)
    });
    browser.wait_for("three more seconds of all", seconds(60), PROGRESS, |players| {
        let now = players.as_array().unwrap().iter().zip(begun.as_array().unwrap());
        now.into_iter().all(|(now, begun)| number(now, "time") >= number(begun, "time") + 3.0)
    });
    let end = browser.run(PROGRESS);
    assert_eq!(end.as_array().unwrap().len(), PLAYERS);
    assert!(each(&end, |player| player["error"] == Value::Null && player["width"] == 320), "{end}");
    assert_no_complaints(&browser);
    browser.run("players.forEach(player => player.destroy());");
    let left = |line: &str| line.contains("left live/cam1: closed by the viewer");
    wait_until("all to have left", seconds(5), || {
        (rtmpd.log().all().iter().filter(|line| left(line)).count() > PLAYERS).then_some(())
    });
    rtmpd.assert_sound();
}

fn each(players: &Value, is: impl Fn(&Value) -> bool) -> bool {
    players.as_array().is_some_and(|players| players.iter().all(is))
}

/// A server with a publisher of numbered frames, which can be joined.
#[track_caller]
fn numbered(flags: &[&str]) -> (Rtmpd, Numbered) {
    let rtmpd = Rtmpd::start_with(flags);
    let publisher = Numbered::start(rtmpd.rtmp(), "live", "cam1", GENTLE);
    drop(http::play(rtmpd.http(), PATH));
    (rtmpd, publisher)
}

fn handshake(server: SocketAddr, path: &str, headers: &str) -> Reply {
    http::send(server, &format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n{HANDSHAKE}{headers}\r\n"))
}

/// The tags of one message; the first one of all begins with the file header.
#[track_caller]
fn whole_tags(message: &[u8], is_first: bool) -> Vec<Tag> {
    const HEADER: &[u8] = b"FLV\x01\x01\0\0\0\x09\0\0\0\0";
    assert_eq!(is_first, message.starts_with(HEADER));
    let bare = message.strip_prefix(HEADER).unwrap_or(message);
    FlvReader::open(&[HEADER, bare].concat()[..]).rest()
}

const START_PLAYERS: &str = "
    window.players = Array.from({ length: PLAYERS }, () => {
        const video = document.createElement('video');
        video.muted = true;
        video.width = 160;
        video.className = 'websocket';
        document.body.append(video);
        const url = `ws://${location.host}PATH`;
        const player = mpegts.createPlayer({ type: 'flv', isLive: true, url });
        player.attachMediaElement(video);
        player.load();
        player.play();
        return player;
    });";
const PROGRESS: &str = "
    return [...document.querySelectorAll('video.websocket')].map(video => ({
        time: video.currentTime,
        frames: video.getVideoPlaybackQuality().totalVideoFrames,
        width: video.videoWidth,
        error: video.error && video.error.message,
    }));";

//! What rtmpd is given and must not take: a clear answer for that peer alone, while everybody else plays on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use support::bystander::Bystander;
use support::deadline::{seconds, wait_until};
use support::ffmpeg::Publisher;
use support::flv::Tag;
use support::http::{self, Reply};
use support::media;
use support::process::Process;
use support::rtmp::{self, Amf, RtmpClient};
use support::rtmpd::Rtmpd;

#[test]
fn peers_that_do_not_speak_rtmp_are_hung_up_on_and_named_in_the_log() {
    let (mut rtmpd, bystander) = with_bystander();
    let strangers: [(&str, &[u8]); 4] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("garbage", &[0xa5; 4000]),
        ("nothing at all", b""),
    ];
    thread::scope(|scope| {
        for (name, said) in strangers {
            let rtmpd = &rtmpd;
            scope.spawn(move || {
                let mut socket = http::connect(rtmpd.rtmp());
                let address = socket.local_addr().unwrap().to_string();
                // It may hang up before all is said.
                let _ = socket.write_all(said);
                let limit = if said.is_empty() { seconds(15) } else { seconds(5) };
                http::read_until_closed(socket, limit);
                rtmpd.log().wait_for(&format!("a line about {name} from {address}"), 0, |line| {
                    line.contains(&address)
                });
            });
        }
    });
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn lies_on_the_wire_end_the_liars_connection_alone() {
    let (mut rtmpd, bystander) = with_bystander();
    let deep = [b"\x03\x00\x01a".repeat(1000), b"\x00\x00\x09".repeat(1000)].concat();
    let mut too_long_a_command = rtmp::chunk_header(rtmp::COMMAND, 0, 0, 0xff_ffff);
    too_long_a_command.resize(4 << 20, 0);
    let nested = rtmp::amf_bytes(&[Amf::Text("connect"), Amf::Number(1.0), Amf::Raw(&deep)]);
    let nested = [rtmp::chunk_header(rtmp::COMMAND, 0, 0, nested.len()), nested].concat();
    let lies: [(&str, Vec<u8>); 4] = [
        ("an AMF value nested a thousand deep", nested),
        ("a command of 16 MB", too_long_a_command),
        ("a chunk size of zero", [rtmp::chunk_header(1, 0, 0, 4), vec![0; 4]].concat()),
        ("a message that ends early", [rtmp::chunk_header(rtmp::COMMAND, 0, 0, 500), vec![2; 100]].concat()),
    ];
    thread::scope(|scope| {
        for (what, bytes) in &lies {
            let rtmpd = &rtmpd;
            scope.spawn(move || {
                let mut liar = RtmpClient::connect(rtmpd.rtmp());
                liar.send_raw(bytes);
                let said = liar.read_until_closed(seconds(25));
                assert!(!said.contains(&"NetConnection.Connect.Success".to_owned()), "{what}: {said:?}");
            });
        }
    });
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn absurd_stream_names_are_refused_and_logged() {
    let (mut rtmpd, bystander) = with_bystander();
    let long = "x".repeat(60_000);
    let names = [("live", "../etc"), ("..", "cam1"), ("live", "a\u{0}b"), ("live", "a\nb"), ("live", &long)];
    for (app, name) in names {
        let mut client = RtmpClient::connect(rtmpd.rtmp());
        let (address, answer) = (client.address(), client.publish(app, name));
        let refusal = Err("NetStream.Publish.BadName".to_owned());
        assert_eq!(answer, refusal, "{app}/{:.20}", name.escape_default().to_string());
        client.read_until_closed(seconds(10));
        rtmpd.log().wait_for("a line about the name", 0, |line| line.contains(&address) && line.len() < 300);
    }
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn a_second_publisher_is_refused_while_the_first_one_sends() {
    let (mut rtmpd, bystander) = with_bystander();
    let start = Instant::now();
    let ours = Publisher::start(&media::other_size(), &rtmpd.publish_url(Bystander::PUBLISH));
    let refused = RtmpClient::connect(rtmpd.rtmp()).publish("live", "bystander");
    assert_eq!(refused, Err("NetStream.Publish.BadName".to_owned()));
    ours.fail(seconds(10));
    assert!(start.elapsed() < seconds(5), "held for up to 3 s, but refused after {:?}", start.elapsed());
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn a_second_publisher_takes_over_from_a_silent_one() {
    let (mut rtmpd, bystander) = with_bystander();
    let server = rtmpd.http();
    let silent = Publisher::start(&media::long(), &rtmpd.publish_url("/live/cam1"));
    let mut viewer = http::play(server, "/live/cam1.flv");
    viewer.find_tag("a keyframe", Tag::is_keyframe);

    silent.freeze();
    let source = media::other_size();
    let start = Instant::now();
    let second = Publisher::start(&source, &rtmpd.publish_url("/live/cam1"));
    // The viewers of the first see the second's frames, from its first keyframe on.
    let header = source.tags.iter().find(|tag| tag.is_sequence_header()).unwrap();
    viewer.find_tag("the second's sequence header", |tag| tag.body == header.body);
    let took = start.elapsed();
    assert!((seconds(2)..seconds(6)).contains(&took), "silent for 3 s, but replaced after {took:?}");

    // The first one comes back too late.
    silent.thaw();
    silent.fail(seconds(10));
    let run = source.run_of_tags(&viewer.rest());
    assert!(viewer.input().is_complete(), "no last chunk");
    run.assert_from_start();
    run.assert_to_end();
    second.finish();
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn a_second_publisher_is_refused_at_once_where_it_is_told_so() {
    let (mut rtmpd, bystander) = with_bystander_on(&["--takeover", "reject"]);
    let start = Instant::now();
    let refused = RtmpClient::connect(rtmpd.rtmp()).publish("live", "bystander");
    assert_eq!(refused, Err("NetStream.Publish.BadName".to_owned()));
    assert!(start.elapsed() < seconds(1), "after {:?}", start.elapsed());
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn a_second_publisher_takes_over_at_once_where_it_is_told_so() {
    let (mut rtmpd, bystander) = with_bystander_on(&["--takeover", "takeover"]);
    let first = Publisher::start(&media::long(), &rtmpd.publish_url("/live/cam1"));
    http::play(rtmpd.http(), "/live/cam1.flv").find_tag("a keyframe", Tag::is_keyframe);
    let accepted = RtmpClient::connect(rtmpd.rtmp()).publish("live", "cam1");
    assert!(accepted.is_ok(), "{accepted:?}");
    first.fail(seconds(10));
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn a_full_server_sends_viewers_away_until_there_is_room() {
    let (mut rtmpd, bystander) = with_bystander_on(&["--max-connections", "4"]);
    let server = rtmpd.http();
    let mut viewers: Vec<_> = (0..3).map(|_| http::play(server, "/live/bystander.flv")).collect();
    let reply = http::get(server, "/live/bystander.flv");
    assert_eq!(reply.status, 503);
    assert!(reply.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    viewers.pop();
    wait_until("room for a viewer", seconds(5), || {
        (http::get(server, "/live/bystander.flv").status == 200).then_some(())
    });
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn a_viewer_of_an_unknown_stream_is_told_so_after_a_wait() {
    let (mut rtmpd, bystander) = with_bystander();
    let server = rtmpd.http();
    let held = thread::spawn(move || timed(|| http::get(server, "/live/nobody.flv")));
    let (at_once, took) = timed(|| http::get(server, "/live/nobody.flv?wait=0"));
    assert_eq!(at_once.status, 404);
    assert!(took < seconds(2), "{took:?}");
    let (after_two, took) = timed(|| http::get(server, "/live/nobody.flv?wait=2"));
    assert_eq!(after_two.status, 404);
    assert!((Duration::from_millis(1800)..seconds(5)).contains(&took), "{took:?}");
    let (held, took) = held.join().unwrap();
    assert_eq!(held.status, 404);
    assert!((seconds(9)..seconds(14)).contains(&took), "{took:?}");
    for reply in [at_once, after_two, held] {
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_ne!(reply.text(), "", "a word of explanation");
    }
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn how_long_a_request_may_wait_is_a_setting() {
    let rtmpd = Rtmpd::start_with(&["--wait", "0", "--max-wait", "1"]);
    let too_long = http::get(rtmpd.http(), "/nobody.flv?wait=2");
    assert_eq!((too_long.status, too_long.text().trim()), (400, "wait takes seconds from 0 to 1"));
    for (path, shortest) in [("/nobody.flv", 0), ("/nobody.flv?wait=1", 1)] {
        let (reply, took) = timed(|| http::get(rtmpd.http(), path));
        assert_eq!(reply.status, 404);
        assert!((seconds(shortest)..seconds(shortest + 2)).contains(&took), "{path}: {took:?}");
    }
    let complaint = fails_with(2, Rtmpd::command().args(["--max-wait", "70", "--wait", "71"]));
    assert!(complaint.contains("--wait is 71s") && complaint.contains("--max-wait 70s"), "{complaint}");
}

#[test]
fn a_publisher_that_sends_nothing_is_disconnected_when_the_setting_says_so() {
    let rtmpd = Rtmpd::start_with(&["--publisher-timeout", "1"]);
    let mut publisher = RtmpClient::connect(rtmpd.rtmp());
    let stream = publisher.publish("live", "cam1").unwrap();
    publisher.send(rtmp::VIDEO, stream, 0, &[0x17, 1, 0, 0, 0, 1]);
    let silent = format!("publisher {} left live/cam1: nothing received for 1 s", publisher.address());
    publisher.read_until_closed(seconds(5));
    rtmpd.log().wait_for("its line in the log", 0, |line| line.contains(&silent));
}

#[test]
fn paths_that_cannot_be_are_bad_requests() {
    let (mut rtmpd, bystander) = with_bystander();
    let paths = [
        "/../etc/passwd",
        "/live/../live/cam1.flv",
        "/live/%2e%2e/cam1.flv",
        "/live/%zz.flv",
        "/live/%0.flv",
        "/live/%00.flv",
    ];
    for path in paths {
        let (reply, took) = timed(|| http::get(rtmpd.http(), path));
        assert_eq!(reply.status, 400, "{path}");
        assert!(took < seconds(2), "{path}: {took:?}");
    }
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn requests_that_are_not_http_are_bad_requests() {
    let (mut rtmpd, bystander) = with_bystander();
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(20_000));
    let requests = [
        ("no words", "\r\n\r\nhello\r\n\r\n", 400..=400),
        ("a control character", "GET /live/cam1.flv HTTP/1.1\r\nHost: a\x01b\r\n\r\n", 400..=400),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400..=505),
        ("a head of 20 KB", &long, 400..=431),
        ("a body of 100 GB", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n", 400..=413),
    ];
    for (what, request, expected) in requests {
        let reply = http::send(rtmpd.http(), request);
        assert!(expected.contains(&reply.status), "{what}: {}", reply.status);
    }
    assert_eq!(http::get(rtmpd.http(), "/healthz").status, 200);
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn other_methods_are_told_which_ones_there_are() {
    let (mut rtmpd, bystander) = with_bystander();
    for method in ["POST", "PUT", "DELETE"] {
        let request =
            format!("{method} /live/bystander.flv HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
        let reply = http::send(rtmpd.http(), &request);
        assert_eq!(reply.status, 405, "{method}");
        let allowed = reply.header("allow").expect("the header Allow");
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(allowed.contains(method), "{allowed}");
        }
    }
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn who_is_refused_again_and_again_does_not_flood_the_log() {
    let rtmpd = Rtmpd::start();
    let start = Instant::now();
    for _ in 0..200 {
        let mut stranger = http::connect(rtmpd.rtmp());
        stranger.write_all(&[0xa5; 50]).unwrap();
        http::read_until_closed(stranger, seconds(5));
        assert_eq!(http::get(rtmpd.http(), "/live/nobody.flv?wait=0").status, 404);
    }
    let most = 20 * (2 + start.elapsed().as_secs() as usize);
    for refusal in ["does not speak RTMP", "is not live"] {
        let lines = rtmpd.log().all().iter().filter(|line| line.contains(refusal)).count();
        assert!((1..=most).contains(&lines), "{lines} lines {refusal:?}:\n{}", rtmpd.log().tail());
    }
}

#[test]
fn head_options_and_cross_origin_requests_are_answered() {
    let (mut rtmpd, bystander) = with_bystander();
    let server = rtmpd.http();

    let (get, head) =
        (http::get(server, "/live/bystander.flv"), http::request(server, "HEAD", "/live/bystander.flv"));
    for name in ["content-type", "cache-control", "access-control-allow-origin"] {
        assert!(get.header(name).is_some(), "{name}");
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!((get.status, head.status), (200, 200));
    assert_eq!(get.header("access-control-allow-origin"), Some("*"));
    let (body, _) = http::read_until_closed(head.body.socket().try_clone().unwrap(), seconds(5));
    assert_eq!(body, b"", "HEAD has no body");
    let (absent, took) = timed(|| http::request(server, "HEAD", "/live/nobody.flv?wait=0"));
    assert_eq!(absent.status, 404);
    assert!(took < seconds(2), "{took:?}");
    let no_track = http::request(server, "HEAD", "/live/bystander.flv?track=9");
    assert_eq!((no_track.status, no_track.header("access-control-allow-origin")), (404, Some("*")));
    assert_eq!(http::get(server, "/live/bystander.flv?track=9").status, 404);

    let preflight = "OPTIONS /live/bystander.flv HTTP/1.1\r\nHost: localhost\r\nOrigin: http://example.org\r\n\
        Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: range\r\n\r\n";
    let reply = http::send(server, preflight);
    assert!(matches!(reply.status, 200 | 204), "{}", reply.status);
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let methods = reply.header("access-control-allow-methods").expect("the methods");
    assert!(methods.contains("GET") && methods.contains("HEAD"), "{methods}");
    let headers = reply.header("access-control-allow-headers").expect("the headers").to_ascii_lowercase();
    assert!(headers.contains("range") || headers == "*", "{headers}");

    assert_eq!(http::get(server, "/healthz").status, 200);
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn pages_of_other_sites_get_nothing_where_it_is_told_so() {
    let (mut rtmpd, bystander) = with_bystander_on(&["--cors", "off"]);
    for path in ["/live/bystander.flv", "/live/nobody.flv?wait=0"] {
        assert_eq!(http::get(rtmpd.http(), path).header("access-control-allow-origin"), None, "{path}");
    }
    bystander.plays_on();
    rtmpd.assert_sound();
}

#[test]
fn a_wrong_flag_ends_it_with_one_line() {
    for flags in [&["--no-such-flag"][..], &["--rtmp", "no address"], &["--http"]] {
        let line = fails_with(2, Rtmpd::command().args(flags));
        assert!(line.contains(flags[0]), "{line:?} names {}", flags[0]);
    }
}

#[test]
fn a_taken_port_ends_it_with_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, other) in [("--rtmp", "--http"), ("--http", "--rtmp")] {
        let line = fails_with(1, Rtmpd::command().args([flag, &address, other, "127.0.0.1:0"]));
        assert!(line.contains(&address), "{line:?} names the address");
        assert!(line.contains(flag), "{line:?} names the flag that chooses another");
    }
}

#[test]
fn sigterm_and_sigint_end_it_well() {
    for signal in ["TERM", "INT"] {
        let mut rtmpd = Rtmpd::start();
        rtmpd.signal(signal);
        assert_eq!(rtmpd.exit_within(seconds(5)).code(), Some(0), "SIG{signal}");
    }
}

/// A server on which somebody plays already.
#[track_caller]
fn with_bystander() -> (Rtmpd, Bystander) {
    with_bystander_on(&[])
}

#[track_caller]
fn with_bystander_on(flags: &[&str]) -> (Rtmpd, Bystander) {
    let rtmpd = Rtmpd::start_with(flags);
    let bystander = Bystander::start(&rtmpd);
    (rtmpd, bystander)
}

/// Runs the command to its end; the one line that it says.
#[track_caller]
fn fails_with(code: i32, command: &mut Command) -> String {
    let mut process = Process::start(command);
    let status = process.exit_within(seconds(10));
    let said = process.stderr().all();
    assert_eq!(status.code(), Some(code), "{said:?}");
    assert_eq!(said.len(), 1, "one line on stderr: {said:?}");
    said.concat()
}

fn timed(request: impl FnOnce() -> Reply) -> (Reply, Duration) {
    let start = Instant::now();
    (request(), start.elapsed())
}

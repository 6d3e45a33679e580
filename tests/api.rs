//! The API and the metrics over sockets: what they say, to whom, and how they end clients.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Instant;

use rtmpd::Server;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use support::deadline::{seconds, wait_until};
use support::http::{self, Reply};
use support::metrics::Metrics;
use support::numbered::{GENTLE, Numbered, Pace};
use support::process::Process;
use support::proxy::v1;
use support::rtmp::RtmpClient;
use support::rtmpd::Rtmpd;
use support::tls::Pair;

const TOKEN: &str = "a-token-of-more-than-16-bytes";
/// What HTML, JSON and Prometheus would all take for something else.
const ODD: &str = "<b>\"x\"\\&'";
const ODD_PATH: &str = "/live/%3Cb%3E%22x%22%5C%26%27.flv";

struct Answer {
    status: u16,
    json: Value,
    allow: Option<String>,
    retry_after: Option<String>,
    authenticate: Option<String>,
    cors: Option<String>,
}

/// Asks with these header lines and no others.
#[track_caller]
fn ask_with(server: SocketAddr, request: &str, headers: &[&str]) -> Answer {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let reply = http::send(server, &format!("{request} HTTP/1.1\r\n{lines}\r\n"));
    read(reply)
}

#[track_caller]
fn read(reply: Reply) -> Answer {
    let header = |name: &str| reply.header(name).map(str::to_owned);
    let (allow, retry_after) = (header("allow"), header("retry-after"));
    let (authenticate, cors) = (header("www-authenticate"), header("access-control-allow-origin"));
    let (status, kind) = (reply.status, header("content-type"));
    let text = reply.text();
    let json = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
    if !json.is_null() {
        assert_eq!(kind.as_deref(), Some("application/json"));
        let code = if status == 200 { 0 } else { status };
        assert_eq!(json["code"], code, "{json}");
        assert_eq!(json["error"].is_string(), status != 200, "{json}");
    }
    Answer { status, json, allow, retry_after, authenticate, cors }
}

/// As a program on this machine does.
#[track_caller]
fn ask(server: SocketAddr, request: &str) -> Answer {
    ask_with(server, request, &[&format!("Host: {server}")])
}

fn clients(server: SocketAddr) -> Vec<Value> {
    ask(server, "GET /api/v1/clients").json["clients"].as_array().unwrap().clone()
}

#[track_caller]
fn wait_for_client(server: SocketAddr, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait_until(what, seconds(10), || clients(server).into_iter().find(&wanted))
}

fn id(client: &Value) -> &str {
    client["id"].as_str().unwrap()
}

#[track_caller]
fn end(server: SocketAddr, client: &Value) {
    let ended = ask(server, &format!("DELETE /api/v1/clients/{}", id(client)));
    assert_eq!(ended.status, 200, "{}", ended.json);
}

fn metrics(server: SocketAddr) -> Metrics {
    let reply = http::get(server, "/metrics");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(reply.header("access-control-allow-origin"), None);
    Metrics::parse(&reply.text())
}

/// A file with the token, gone with it.
struct TokenFile(PathBuf);

impl TokenFile {
    fn new(name: &str, token: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rtmpd-api-{}-{name}", std::process::id()));
        fs::write(&path, format!("{token}\n")).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _may_be_gone = fs::remove_file(&self.0);
    }
}

#[test]
fn streams_and_clients_are_listed_and_found_by_their_numbers() {
    let mut rtmpd = Rtmpd::start();
    let server = rtmpd.http();
    let versions = ask(server, "GET /api/v1/versions").json;
    assert_eq!(versions["data"]["version"], env!("CARGO_PKG_VERSION"));
    let publisher = Numbered::start(rtmpd.rtmp(), "live", ODD, GENTLE);
    let mut viewer = http::play(server, ODD_PATH);
    viewer.find_tag("a keyframe", |tag| tag.is_keyframe());
    let stream = wait_until("what flows", seconds(10), || {
        let stream = ask(server, "GET /api/v1/streams").json["streams"][0].clone();
        let flows = ["frames", "send_bytes"].iter().all(|key| stream[key].as_u64() > Some(0));
        let is_known = stream["kbps"]["send_10s"].as_u64() > Some(0) && stream["keyframe_interval"].is_f64();
        (flows && is_known).then_some(stream)
    });
    for (key, value) in [
        ("app", json!("live")),
        ("name", json!(ODD)),
        ("flv", json!(ODD_PATH)),
        ("clients", json!(2)),
        ("viewers", json!({ "total": 1, "http_flv": 1, "websocket_flv": 0, "subscribers": 0 })),
        ("audio", Value::Null),
        ("resumes", json!(0)),
        ("lost_ms", Value::Null),
        ("health", json!([])),
        ("ip", json!("127.0.0.1")),
    ] {
        assert_eq!(stream[key], value, "{key}");
    }
    assert_eq!((&stream["publish"]["active"], &stream["video"]["codec"]), (&json!(true), &json!("H.264")));
    assert!(stream["keyframe_interval"].as_f64().unwrap() > 0.3 && stream["uptime"].as_f64().unwrap() > 0.0);
    let one = ask(server, &format!("GET /api/v1/streams/{}", id(&stream))).json;
    assert_eq!(one["stream"]["name"], ODD);
    assert!(one["stream"]["history"].is_array() && stream["history"].is_null());
    let with_history = ask(server, "GET /api/v1/streams?history=1").json;
    assert!(with_history["streams"][0]["history"].is_array());

    let all = clients(server);
    assert_eq!(all.iter().map(|client| &client["publish"]).collect::<Vec<_>>(), [&json!(true), &json!(false)]);
    assert_eq!(all[0]["id"], stream["publish"]["cid"]);
    for client in &all {
        assert_eq!((&client["stream"], &client["ip"]), (&stream["id"], &json!("127.0.0.1")));
        assert_eq!(
            ask(server, &format!("GET /api/v1/clients/{}", id(client))).json["client"]["type"],
            client["type"]
        );
    }
    let page = ask(server, "GET /api/v1/clients?start=1&count=1").json;
    assert_eq!((&page["total"], id(&page["clients"][0])), (&json!(2), id(&all[1])));
    let summaries = ask(server, "GET /api/v1/summaries").json;
    assert_eq!((&summaries["data"]["streams"], &summaries["data"]["viewers"]["now"]), (&json!(1), &json!(1)));

    // One who waits is a client, too, and numbers are not used again.
    drop((viewer, publisher));
    let mut waiting = http::connect(server);
    waiting.write_all(b"GET /live/unknown.flv?wait=60 HTTP/1.1\r\n\r\n").unwrap();
    let waits = wait_for_client(server, "one who waits", |client| client["state"] == "waiting");
    assert_eq!((id(&waits), &waits["stream"]), ("v2", &Value::Null));
    assert!(waits["wait_left"].as_f64().unwrap() > 50.0);
    end(server, &waits);
    assert_eq!(Reply::read(waiting, false).status, 404);
    rtmpd.assert_sound();
}

#[test]
fn summaries_say_where_to_publish_and_what_that_needs() {
    let about = |rtmpd: &Rtmpd| {
        let about = ask(rtmpd.http(), "GET /api/v1/summaries").json["data"]["self"].take();
        assert_eq!(
            (&about["version"], &about["rtmp_port"]),
            (&json!(env!("CARGO_PKG_VERSION")), &json!(rtmpd.rtmp().port()))
        );
        ["rtmps_port", "publish_needs_key", "play_needs_link"].map(|key| about[key].clone())
    };
    let mut open = Rtmpd::start();
    assert_eq!(about(&open), [Value::Null, json!(false), json!(false)]);
    let (pair, secret) = (Pair::make("summaries"), TokenFile::new("secret", TOKEN));
    let mut flags = pair.flags();
    flags.extend(["--publish-key", "live=key", "--play-secret-file", secret.path()].map(String::from));
    let mut closed = Rtmpd::start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(about(&closed), [json!(closed.rtmps().port()), json!(true), json!(true)]);
    open.assert_sound();
    closed.assert_sound();
}

#[test]
fn what_is_wrong_is_answered_in_json_with_its_status() {
    let mut rtmpd = Rtmpd::start();
    let server = rtmpd.http();
    for (request, status, allow) in [
        ("GET /api", 404, None),
        ("GET /api/v1/", 404, None),
        ("POST /api/v1/nothing", 404, None),
        ("GET /api/v1/streams/s1", 404, None),
        ("GET /api/v1/clients/%22", 404, None),
        ("DELETE /api/v1/clients/p1", 404, None),
        ("DELETE /api/v1/clients/1", 404, None),
        ("GET /api/v1/streams?count=0", 400, None),
        ("GET /api/v1/streams?count=1001", 400, None),
        ("POST /api/v1/streams", 405, Some("GET, HEAD, OPTIONS")),
        ("DELETE /api/v1/clients", 405, Some("GET, HEAD, OPTIONS")),
        ("PUT /api/v1/clients/p1", 405, Some("GET, HEAD, DELETE, OPTIONS")),
        ("OPTIONS /api/v1/clients/p1", 204, Some("GET, HEAD, DELETE, OPTIONS")),
        ("HEAD /api/v1/streams", 200, None),
    ] {
        let answer = ask(server, request);
        assert_eq!((answer.status, answer.allow.as_deref()), (status, allow), "{request}");
        assert_eq!(answer.cors, None, "{request}: pages of other sites have no business here");
        assert_eq!(answer.json.is_null(), request.starts_with("HEAD") || status == 204, "{request}");
    }
    let reply = http::send(server, "POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    let body = "GET /api/v1/versions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{\"a\":";
    assert_eq!(read(http::send(server, body)).status, 200, "bodies are of no interest");
    // A stream whose app is called so plays all the same.
    let _publisher = Numbered::start(rtmpd.rtmp(), "api/v1", "streams", GENTLE);
    http::play(server, "/api/v1/streams.flv").find_tag("a keyframe", |tag| tag.is_keyframe());
    rtmpd.assert_sound();
}

#[test]
fn without_a_token_operators_are_on_this_machine_and_no_pages_of_other_sites() {
    let rtmpd = Rtmpd::start();
    let (server, port) = (rtmpd.http(), rtmpd.http().port());
    let _publisher = Numbered::start(rtmpd.rtmp(), "live", "mine", GENTLE);
    let local = format!("Host: localhost:{port}");
    for host in [local.clone(), "Host: 127.0.0.1".into(), format!("Host: [::1]:{port}")] {
        assert_eq!(ask_with(server, "GET /api/v1/clients", &[&host]).status, 200, "{host}");
    }
    let rebound = format!("Host: evil.example:{port}");
    for headers in [
        &[rebound.as_str()][..],
        &[],
        &[&local, "Origin: http://evil.example"],
        &[&local, "Origin: http://localhost"],
        &[&local, "Origin: \u{fc}"],
        &[&local, "X-Forwarded-For: 127.0.0.1"],
        &[&local, "Forwarded: for=127.0.0.1"],
        &[&rebound, "X-Rtmpd-Local: 1"],
        &[&rebound, "Authorization: Bearer a-token-that-there-is-not"],
        &[&local, &rebound],
    ] {
        for request in ["GET /api/v1/clients", "GET /api/v1/clients/p1", "DELETE /api/v1/clients/p1"] {
            let answer = ask_with(server, request, headers);
            assert_eq!((answer.status, answer.cors), (403, None), "{request} {headers:?}");
        }
        let streams = ask_with(server, "GET /api/v1/streams", headers).json;
        let stream = &streams["streams"][0];
        assert_eq!(
            (&stream["name"], &stream["ip"], &stream["publisher"]),
            (&json!("mine"), &Value::Null, &Value::Null)
        );
    }
    assert_eq!(clients(server).len(), 1, "nobody has been ended");

    // Behind a proxy everybody seems to be on this machine.
    let proxied = Rtmpd::start_with(&["--trusted-proxy", "127.0.0.1"]);
    assert_eq!(ask_with(proxied.http(), "GET /api/v1/clients", &[&local]).status, 403);
    let mut socket = http::connect(proxied.http());
    let request = format!("GET /api/v1/clients HTTP/1.1\r\n{local}\r\n\r\n");
    socket.write_all(&[&v1("127.0.0.1:1000")[..], request.as_bytes()].concat()).unwrap();
    assert_eq!(read(Reply::read(socket, false)).status, 403);
}

#[test]
fn with_a_token_it_is_asked_for_and_guesses_are_few() {
    let file = TokenFile::new("token", TOKEN);
    let mut command = Rtmpd::command();
    command.env("RUST_LOG", "trace");
    let flags = ["--api-token-file", file.path(), "--trusted-proxy", "127.0.0.1"];
    let mut rtmpd = Rtmpd::start_as(command, &flags);
    let (server, bearer) = (rtmpd.http(), format!("Authorization: Bearer {TOKEN}"));
    let _publisher = Numbered::start(rtmpd.rtmp(), "live", "mine", GENTLE);
    let from = |address: &str| format!("X-Forwarded-For: {address}");
    assert_eq!(ask(server, "GET /api/v1/clients").status, 401, "this machine has to show it, too");
    let missing = ask_with(server, "DELETE /api/v1/clients/p1", &["Host: x"]);
    assert_eq!((missing.status, missing.authenticate.as_deref()), (401, Some("Bearer realm=\"rtmpd\"")));
    let right =
        ask_with(server, "GET /api/v1/streams", &[&bearer, "Host: any.example", "Origin: http://any.example"]);
    assert_eq!(right.json["streams"][0]["ip"], "127.0.0.1");
    assert_eq!(ask(server, "GET /api/v1/streams").json["streams"][0]["ip"], Value::Null);

    let guess = "Authorization: Bearer not-the-token-0815";
    for _ in 0..5 {
        // What anybody may see tells no more about a token than the rest.
        let wrong = ask_with(server, "GET /api/v1/versions", &[guess, &from("203.0.113.9")]);
        assert_eq!((wrong.status, wrong.authenticate.is_some()), (401, true));
    }
    for header in [guess, &bearer] {
        let late = ask_with(server, "GET /api/v1/versions", &[header, &from("203.0.113.9")]);
        let wait: u64 = late.retry_after.unwrap().parse().unwrap();
        assert!(late.status == 429 && (1..=60).contains(&wait), "{wait}");
    }
    assert_eq!(ask_with(server, "GET /api/v1/versions", &[&from("203.0.113.9")]).status, 200, "without one");
    let other = ask_with(server, "GET /api/v1/clients", &[&bearer, &from("203.0.113.10")]);
    assert_eq!(other.json["clients"][0]["id"], "p1");
    rtmpd.log().wait_for("a line about the guesses", 0, |line| {
        line.contains("API call from 203.0.113.9 via 127.0.0.1:") && line.contains("refused")
    });
    let log = rtmpd.log().all().join("\n");
    assert!(!log.contains(TOKEN) && !log.contains("not-the-token-0815"), "{log}");
    rtmpd.assert_sound();
}

#[test]
fn bad_tokens_end_the_start_and_are_not_shown() {
    for (token, why) in [("HUSH-HUSH-HUSH!", "16 bytes"), ("HUSH HUSH HUSH HUSH", "visible ASCII")] {
        let file = TokenFile::new(&token.len().to_string(), token);
        let any_port = ["--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let mut process =
            Process::start(Rtmpd::command().args(any_port).args(["--api-token-file", file.path()]));
        assert_eq!(process.exit_within(seconds(10)).code(), Some(1));
        let complaint = process.stderr().all().join("\n");
        assert!(complaint.contains("API token") && complaint.contains(why), "{complaint}");
        assert!(complaint.contains(file.path()) && !complaint.contains("HUSH"), "{complaint}");
    }
}

#[test]
fn a_publisher_that_is_ended_is_told_and_its_viewers_get_the_last_chunk_at_once() {
    let mut rtmpd = Rtmpd::start();
    let server = rtmpd.http();
    let mut publisher = RtmpClient::connect(rtmpd.rtmp());
    let stream = publisher.publish("live", "cam").unwrap();
    publisher.send(support::rtmp::VIDEO, stream, 0, &[0x17, 0, 0, 0, 0, 1, 100, 0, 31]);
    publisher.send(support::rtmp::VIDEO, stream, 0, &[0x17, 1, 0, 0, 0, 7, 7, 7]);
    let mut reply = http::get(server, "/live/cam.flv");
    assert_eq!(reply.status, 200);
    let client = wait_for_client(server, "the publisher", |client| client["publish"] == true);
    let start = Instant::now();
    end(server, &client);
    assert_eq!(ask(server, "GET /api/v1/streams").json["streams"], json!([]), "it is not held for a return");
    let mut body = Vec::new();
    reply.body.read_to_end(&mut body).unwrap();
    assert!(reply.body.is_complete() && start.elapsed() < seconds(5), "{:?}", start.elapsed());
    let codes = publisher.read_until_closed(seconds(10));
    assert!(codes.contains(&"NetStream.Unpublish.Success".into()), "{codes:?}");
    assert_eq!(ask(server, &format!("DELETE /api/v1/clients/{}", id(&client))).status, 404);
    for words in [
        &["operator 127.0.0.1:", "ends live/cam, published by 127.0.0.1:"][..],
        &["publisher 127.0.0.1:", "left live/cam: ended by an operator"],
    ] {
        rtmpd.log().wait_for("who ended it", 0, |line| words.iter().all(|word| line.contains(word)));
    }
    // The name is free; who comes back has another number.
    let again = Numbered::start(rtmpd.rtmp(), "live", "cam", GENTLE);
    let next = wait_for_client(server, "the next publisher", |client| client["publish"] == true);
    assert_ne!(id(&next), id(&client));
    drop(again);
    rtmpd.assert_sound();
}

#[test]
fn a_viewer_is_ended_with_its_last_chunk_wherever_it_is_served() {
    let mut rtmpd = Rtmpd::start();
    let server = rtmpd.http();
    let pace = Pace { keyframe_bytes: 25_000, frame_bytes: 25_000, ..GENTLE };
    let _publisher = Numbered::start(rtmpd.rtmp(), "live", "fat", pace);
    let mut quick = http::play(server, "/live/fat.flv");
    quick.find_tag("a keyframe", |tag| tag.is_keyframe());
    let reader = std::thread::spawn(move || {
        while quick.next_tag().is_some() {}
        quick
    });
    let keeps_up = wait_for_client(server, "a viewer that keeps up", |client| client["state"] == "watching");

    let (stalled, catching_up) = (play_with_small_buffer(server), play_with_small_buffer(server));
    let is_behind = |socket: &TcpStream| {
        let address = socket.local_addr().unwrap().to_string();
        wait_for_client(server, "a viewer that is behind", move |client| {
            client["address"] == *address
                && client["state"] == "slow"
                && client["behind_ms"].as_u64() > Some(300)
        })
    };
    let (first, second) = (is_behind(&stalled), is_behind(&catching_up));
    let rest = std::thread::spawn(move || {
        let mut reply = Reply::read(catching_up, false);
        std::io::copy(&mut reply.body, &mut std::io::sink()).unwrap();
        reply.body.is_complete()
    });
    // Who has been behind stays in the slow lane for some seconds.
    wait_for_client(server, "it to catch up", |client| {
        client["id"] == second["id"] && client["behind_ms"].as_u64() < Some(200)
    });
    end(server, &second);
    assert!(rest.join().unwrap(), "the last chunk has come");

    let start = Instant::now();
    end(server, &first);
    let is_there = |id: &Value| clients(server).iter().any(|client| client["id"] == *id);
    wait_until("the end of one that takes nothing", seconds(5), || (!is_there(&first["id"])).then_some(()));
    assert!(start.elapsed() < seconds(3), "{:?}: its patience would have been 15 s", start.elapsed());
    drop(stalled);

    end(server, &keeps_up);
    assert!(reader.join().unwrap().input().is_complete(), "the last chunk has come");
    let ended =
        || rtmpd.log().all().iter().filter(|line| line.contains("left live/fat: ended by an operator")).count();
    wait_until("a line about each", seconds(5), || (ended() == 3).then_some(()));
    assert_eq!(clients(server).len(), 1, "the publisher goes on");
    rtmpd.assert_sound();
}

#[test]
fn metrics_are_well_formed_and_counters_never_go_back() {
    let mut rtmpd = Rtmpd::start();
    let server = rtmpd.http();
    let first = Numbered::start(rtmpd.rtmp(), "live", ODD, GENTLE);
    let second = Numbered::start(rtmpd.rtmp(), "", "other", GENTLE);
    let mut viewer = http::play(server, ODD_PATH);
    viewer.find_tag("a keyframe", |tag| tag.is_keyframe());
    let of_odd = [("app", "live"), ("stream", ODD)];
    let before = wait_until("what viewers have been sent", seconds(10), || {
        Some(metrics(server)).filter(|now| now.value("rtmpd_send_bytes_total", &[]) > 0.0)
    });
    assert_eq!(before.value("rtmpd_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert_eq!((before.value("rtmpd_streams", &[]), before.value("rtmpd_clients_total", &[])), (2.0, 3.0));
    assert_eq!(before.value("rtmpd_clients", &[("type", "publisher")]), 2.0);
    assert_eq!(before.value("rtmpd_stream_viewers", &of_odd), 1.0);
    assert_eq!(before.value("rtmpd_stream_viewers", &[("app", ""), ("stream", "other")]), 0.0);
    assert!(before.value("rtmpd_stream_receive_bytes_total", &of_odd) > 0.0);
    assert!(
        before.value("process_open_fds", &[]) > 10.0
            && before.value("process_resident_memory_bytes", &[]) > 1e6
    );

    drop((viewer, first, second));
    let _again = Numbered::start(rtmpd.rtmp(), "live", ODD, GENTLE);
    let after = wait_until("the end of all but one", seconds(20), || {
        Some(metrics(server)).filter(|now| now.value("rtmpd_streams", &[]) == 1.0)
    });
    for name in before.counters.iter().filter(|name| !name.starts_with("rtmpd_stream_")) {
        let (was, is) = (before.value(name, &[]), after.value(name, &[]));
        assert!(is >= was, "{name} went from {was} back to {is}");
    }
    assert_eq!(after.value("rtmpd_clients_total", &[]), 4.0);
    rtmpd.assert_sound();
}

#[test]
fn a_program_ends_clients_by_the_numbers_in_its_lists() {
    let any = (Ipv4Addr::LOCALHOST, 0);
    let server = Server::builder().rtmp(any).http(any).start().unwrap();
    let _publisher = Numbered::start(server.rtmp_addr(), "live", "cam", GENTLE);
    let mut viewer = http::play(server.http_addr(), "/live/cam.flv");
    viewer.find_tag("a keyframe", |tag| tag.is_keyframe());
    let listed = server.viewers()[0].id;
    assert!(server.end_viewer(listed) && !server.end_viewer(listed + 1));
    while viewer.next_tag().is_some() {}
    assert!(viewer.input().is_complete());
    wait_until("nobody", seconds(5), || server.viewers().is_empty().then_some(()));
    assert_eq!(server.viewer_totals().kicked, 1);
    let publication = server.streams()[0].publication.unwrap();
    assert!(
        server.end_publisher(publication) && server.streams().is_empty() && !server.end_publisher(publication)
    );
    assert_eq!(server.publisher_totals().publications, 1);
    server.shutdown(seconds(5)).unwrap();
}

/// Plays, and takes no more than a few kilobytes until somebody reads.
fn play_with_small_buffer(server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.connect(&server.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(seconds(20))).unwrap();
    socket.write_all(b"GET /live/fat.flv HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    socket
}

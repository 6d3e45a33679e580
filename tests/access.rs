//! Who may publish and who may play: keys, networks, signed links, and what an embedding program says.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rtmpd::access::{Denied, PlaySecret};
use rtmpd::{Server, StreamName};
use support::deadline::{poll, seconds, wait_until};
use support::ffmpeg::{Publisher, Reader};
use support::http::{self, Reply};
use support::media;
use support::page::STATE;
use support::process::Process;
use support::proxy::v1;
use support::rtmp::RtmpClient;
use support::rtmpd::Rtmpd;
use support::sockets;
use support::webdriver::Browser;

const RIGHT: &str = "right-key-4711";
const WRONG: &str = "wrong-key-0815";
const SECRET: &[u8] = b"not to be told to anybody";
const DENIED: &str = "NetStream.Publish.Denied";

#[test]
fn a_wrong_key_is_told_to_ffmpeg_at_once_and_never_to_the_log() {
    let source = media::plain();
    for (path, stream, reason) in [
        (format!("/live/cam1?key={WRONG}"), "live/cam1", "key is wrong"),
        (format!("/live?key={WRONG}/cam2"), "live/cam2", "key is wrong"),
        ("/live/cam3".into(), "live/cam3", "key is needed"),
        (format!("/other/cam4?key={RIGHT}"), "other/cam4", "No publish key of this server covers the stream"),
    ] {
        let mut command = Rtmpd::command();
        command.env("RUST_LOG", "trace");
        let mut rtmpd = Rtmpd::start_as(command, &["--publish-key", &format!("live={RIGHT}")]);
        let line = |line: &str| line.contains(" WARN ") && line.contains(&format!("refused for {stream}: "));
        let publisher = Publisher::start(&source, &rtmpd.publish_url(&path));
        wait_until("the connection of ffmpeg", seconds(20), || {
            (sockets::connected(rtmpd.rtmp()) > 0 || rtmpd.log().all().iter().any(|l| line(l))).then_some(())
        });
        let said = publisher.fail(seconds(3));
        assert!(said.contains(reason), "{said}");
        let logged = rtmpd.log().wait_for("a line about the refusal", 0, line);
        assert!(logged.contains("publisher 127.0.0.1:") && logged.contains(reason), "{logged}");
        let log = rtmpd.log().all().join("\n");
        assert!(!log.contains(RIGHT) && !log.contains(WRONG), "{log}");
        rtmpd.assert_sound();
    }
}

#[test]
fn the_right_key_publishes_wherever_an_encoder_puts_it() {
    let (key, file) =
        (format!("live={RIGHT}"), Secret::new("keys", b"# cameras\nlive other-key\nlive/cam4 four\n"));
    let mut rtmpd = Rtmpd::start_with(&["--publish-key", &key, "--publish-keys", file.path()]);
    let source = media::plain();
    for (publish, play) in [
        (format!("/live/cam1?key={RIGHT}"), "/live/cam1.flv"),
        (format!("/live?key={RIGHT}/cam2"), "/live/cam2.flv"),
        ("/live/cam3?key=other-key".into(), "/live/cam3.flv"),
        ("/live/cam4?token=x&key=four".into(), "/live/cam4.flv"),
    ] {
        let reader = Reader::start(&rtmpd.play_url(play));
        rtmpd.wait_for_http_clients(1);
        Publisher::start(&source, &rtmpd.publish_url(&publish)).finish();
        let run = source.run_of_packets(&reader.finish());
        run.assert_from_start();
        run.assert_to_end();
    }
    // As OBS sends it; and the keys of a shorter path do not count where a longer one has its own.
    assert!(RtmpClient::connect(rtmpd.rtmp()).publish("live", &format!("cam5?key={RIGHT}")).is_ok());
    let refused = RtmpClient::connect(rtmpd.rtmp()).publish("live", &format!("cam4?key={RIGHT}"));
    assert_eq!(refused, Err(DENIED.into()));
    assert!(!rtmpd.log().all().join("\n").contains("anyone may publish"));
    rtmpd.assert_sound();
}

#[test]
fn a_file_of_keys_that_changes_is_read_again_and_one_without_keys_is_not_taken() {
    let file = Secret::new("changing-keys", b"live one\n");
    let mut rtmpd = Rtmpd::start_with(&["--publish-keys", file.path()]);
    let publish = |key: &str| {
        let mut client = RtmpClient::connect(rtmpd.rtmp());
        client.publish("live", &format!("{key}?key={key}")).map(|stream| (client, stream))
    };
    let (mut early, stream) = publish("one").unwrap();
    fs::write(file.path(), b"live two\n").unwrap();
    wait_until("the new key to count", seconds(10), || publish("two").ok());
    assert!(publish("one").is_err_and(|code| code == DENIED));
    rtmpd.log().wait_for("a line about it", 0, |line| line.contains("publish keys have changed and count"));
    early.unpublish(stream);
    rtmpd
        .log()
        .wait_for("the early one to end by itself", 0, |line| line.contains("finished by the publisher"));

    fs::write(file.path(), b"# none\n").unwrap();
    wait_until("an error in the log", seconds(10), || {
        assert!(publish("two").is_ok(), "the old key still counts");
        rtmpd.log().all().iter().any(|line| line.contains("old ones still count")).then_some(())
    });
    rtmpd.assert_sound();
}

#[test]
fn a_publisher_that_tries_again_and_again_does_not_flood_the_log() {
    let rtmpd = Rtmpd::start_with(&["--publish-key", &format!("={RIGHT}")]);
    let start = Instant::now();
    for _ in 0..100 {
        let refused = RtmpClient::connect(rtmpd.rtmp()).publish("live", &format!("cam1?key={WRONG}"));
        assert_eq!(refused, Err(DENIED.into()));
    }
    let most = 1 + start.elapsed().as_secs() as usize;
    let lines = rtmpd.log().all().iter().filter(|line| line.contains("127.0.0.1:")).count();
    assert!((1..=most + 2).contains(&lines), "{lines} lines:\n{}", rtmpd.log().tail());
}

#[test]
fn who_sets_no_key_is_told_so_once() {
    let rtmpd = Rtmpd::start();
    rtmpd.log().wait_for("a hint at keys", 0, |line| {
        line.contains("anyone may publish") && line.contains("--publish-keys")
    });
    RtmpClient::connect(rtmpd.rtmp()).publish("live", "cam1?key=whatever").unwrap();
    assert_eq!(rtmpd.log().all().iter().filter(|line| line.contains("anyone may publish")).count(), 1);
}

#[test]
fn bad_keys_and_files_end_the_start_and_are_not_shown() {
    let torn = Secret::new("torn", b"live fine\n\nlive HUSH x\n");
    let short = Secret::new("short", b"HUSH");
    for (flags, code, said) in [
        (&["--publish-key", "HUSH"][..], 2, &["--publish-key", "PATH=KEY"][..]),
        (&["--publish-key", "live=HU SH"], 2, &["--publish-key", "white space"]),
        (&["--publish-key", "../HUSH=HUSH"], 2, &["--publish-key"]),
        (&["--publish-keys", "/nowhere/keys"], 1, &["publish keys", "/nowhere/keys"]),
        (&["--publish-keys", torn.path()], 1, &["publish keys", torn.path(), "line 3", "PATH KEY"]),
        (&["--play-secret-file", short.path()], 1, &["play secret", short.path(), "16 bytes", "openssl"]),
        (&["--play-secret-file", ""], 2, &["--play-secret-file"]),
        (&["--publish-allow", "nonsense"], 2, &["--publish-allow", "10.0.0.0/8"]),
        (&["--play-deny", "192.0.2.0/33"], 2, &["--play-deny"]),
        (&["--sign", "live/cam1"], 2, &["--sign", "--play-secret-file"]),
        (&["--sign", "live/cam1", "--play-secret-file", short.path()], 2, &[short.path(), "16 bytes"]),
        (&["--sign", "../x", "--play-secret-file", short.path()], 2, &[]),
        (&["--sign", "x", "--expires-in", "0"], 2, &["--expires-in", "from 1 to 315360000"]),
        (&["--sign", "x", "--expires-in", "315360001"], 2, &["--expires-in"]),
        (&["--expires-in", "60"], 2, &["--expires-in", "--sign"]),
    ] {
        let any_port = ["--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let mut process = Process::start(Rtmpd::command().args(any_port).args(flags));
        assert_eq!(process.exit_within(seconds(10)).code(), Some(code), "{flags:?}");
        let complaint = process.stderr().all().join("\n");
        assert!(said.iter().all(|word| complaint.contains(word)), "{flags:?}: {complaint}");
        assert!(!complaint.contains("HUSH") && !complaint.contains("HU SH"), "{flags:?}: {complaint}");
    }
}

#[test]
fn networks_are_allowed_and_denied() {
    let rtmpd = Rtmpd::start_with(
        &[
            ["--trusted-proxy", "127.0.0.1", "--publish-allow", "203.0.113.0/24,2001:db8::/32"],
            ["--publish-deny", "203.0.113.66", "--play-deny", "198.51.100.0/24,203.0.113.66"],
        ]
        .concat(),
    );
    let publish = |source: &str| {
        RtmpClient::try_connect_behind(rtmpd.rtmp(), &v1(source)).unwrap().publish("live", "cam1").map(|_| ())
    };
    assert_eq!(publish("203.0.113.9:1000"), Ok(()));
    assert_eq!(publish("[2001:db8::9]:1000"), Ok(()));
    assert_eq!(publish("203.0.113.66:1000"), Err(DENIED.into()));
    assert_eq!(publish("198.51.100.1:1000"), Err(DENIED.into()));
    // The proxy's own address is not in the list.
    assert_eq!(RtmpClient::connect(rtmpd.rtmp()).publish("live", "cam1"), Err(DENIED.into()));
    rtmpd.log().wait_for("a line about the refusal", 0, |line| {
        line.contains("203.0.113.66:1000 via 127.0.0.1:") && line.contains("refused for live/cam1")
    });

    let play = |source: &str| {
        let request = "GET /live/nobody.flv?wait=0 HTTP/1.1\r\nHost: localhost\r\n";
        http::send(rtmpd.http(), &format!("{request}X-Forwarded-For: {source}\r\n\r\n")).status
    };
    assert_eq!([play("203.0.113.9"), play("192.0.2.1")], [404, 404]);
    assert_eq!([play("203.0.113.66"), play("198.51.100.255"), play("::ffff:198.51.100.0")], [403, 403, 403]);
    // Pages are for everybody.
    let page = "GET /resource/httpflv HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n";
    assert_eq!(http::send(rtmpd.http(), page).status, 200);
}

#[test]
fn streams_play_by_signed_links_alone() {
    let secret = Secret::new("signed", SECRET);
    let mut rtmpd = Rtmpd::start_with(&["--play-secret-file", secret.path()]);
    let publisher = Publisher::start_looped(&media::long(), &rtmpd.publish_url("/live/cam1"));
    let link = secret.sign(&["/live/cam1.flv", "--expires-in", "60"]);
    assert_eq!(link.split_once('?').unwrap().0, "/live/cam1.flv");
    http::play(rtmpd.http(), &link).find_tag("a keyframe", |tag| tag.is_keyframe());

    let query = link.split_once('?').unwrap().1;
    let by_query = format!("/service/httpflv?app=live&stream=cam1&{query}");
    http::play(rtmpd.http(), &by_query).find_tag("a keyframe", |tag| tag.is_keyframe());
    let (signer, cam1) = (PlaySecret::new(SECRET).unwrap(), StreamName::new("live", "cam1").unwrap());
    let expired = signer.signed_path(&cam1, now() - 1);
    let other = format!("/live/cam2.flv?{query}");
    for method in ["GET", "HEAD"] {
        let ask = |path: &str| http::request(rtmpd.http(), method, path);
        assert_eq!(ask(&link).status, 200);
        for (path, why) in [
            ("/live/cam1.flv", "signature is missing"),
            ("/service/httpflv?app=live&stream=cam1", "signature is missing"),
            (&other, "signature is wrong"),
            (&link.replace("expires=", "expires=9"), "signature is wrong"),
            (&expired, "expired"),
        ] {
            let reply = ask(path);
            assert_eq!(reply.status, 403, "{method} {path}");
            assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{method} {path}");
            let text = reply.text();
            assert!(text.contains(why) || method == "HEAD", "{method} {path}: {text}");
        }
    }
    assert_eq!(http::request(rtmpd.http(), "OPTIONS", "/live/cam1.flv").status, 204);
    let nobody = secret.sign(&["live/nobody"]);
    assert_eq!(http::get(rtmpd.http(), &format!("{nobody}&wait=0")).status, 404);
    publisher.stop();
    rtmpd.assert_sound();
}

#[test]
fn a_signed_link_to_the_default_stream_plays_in_ffmpeg() {
    let secret = Secret::new("default", &[SECRET, b"\n"].concat());
    let rtmpd = Rtmpd::start_with(&["--play-secret-file", secret.path(), "--cors", "off"]);
    let source = media::plain();
    let reader = Reader::start(&rtmpd.play_url(&secret.sign(&[""])));
    rtmpd.wait_for_http_clients(1);
    Publisher::start(&source, &rtmpd.publish_url("")).finish();
    let run = source.run_of_packets(&reader.finish());
    run.assert_from_start();
    run.assert_to_end();
    let refused = http::get(rtmpd.http(), "/service/httpflv");
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None));
}

#[test]
fn the_page_plays_signed_links_and_says_what_is_wrong_with_others() {
    let secret = Secret::new("page", SECRET);
    let mut rtmpd = Rtmpd::start_with(&["--play-secret-file", secret.path()]);
    let _publisher = Publisher::start_looped(&media::long(), &rtmpd.publish_url("/live/cam1"));
    let link = secret.sign(&["live/cam1"]);
    let query = link.split_once('?').unwrap().1;
    let browser = Browser::start();
    let open = |query: &str| {
        browser.open(&rtmpd.play_url(&format!("/resource/httpflv?app=live&stream=cam1&{query}")));
        browser.wait_for("the page to be ready", seconds(20), STATE, |state| state == "idle");
        browser.click("#play");
    };
    open("");
    browser.wait_for("the page to be refused", seconds(20), STATE, |state| state == "refused");
    let said = browser.run("return document.querySelector('#message').textContent;");
    assert!(said.as_str().unwrap().contains("signature is missing"), "{said}");
    open(query);
    browser.wait_for("the page to play", seconds(20), STATE, |state| state == "playing");
    browser.wait_for("two seconds of the stream", seconds(30), TIME, |time| time.as_f64() > Some(2.0));
    rtmpd.assert_sound();
}

#[test]
fn an_embedding_program_decides_and_its_reason_is_told() {
    let localhost = (Ipv4Addr::LOCALHOST, 0);
    let server = Server::builder()
        .rtmp(localhost)
        .http(localhost)
        .on_publish(|attempt| match attempt.parameter("token") {
            Some("right") if attempt.stream.as_str() == "live/cam1" => Ok(()),
            Some("panic") => panic!("as the test wants it"),
            _ => Err(Denied::new(&format!("Not with this token, {}.", attempt.client.ip()))),
        })
        .on_play(|attempt| match attempt.parameter("user") {
            Some("Jürgen") if attempt.program.contains("player/1") => Ok(()),
            Some("panic") => panic!("as the test wants it"),
            _ => Err(Denied::new("Who are you?")),
        })
        .start()
        .unwrap();
    let publish = |name: &str| RtmpClient::connect(server.rtmp_addr()).publish("live", name);
    assert_eq!(publish("cam1?token=panic"), Err(DENIED.into()));
    assert_eq!(publish("cam2?token=right"), Err(DENIED.into()));
    let source = media::plain();
    let url = |token: &str| format!("rtmp://{}/live/cam1?token={token}", server.rtmp_addr());
    let said = Publisher::start(&source, &url("wrong")).fail(seconds(20));
    assert!(said.contains("Not with this token, 127.0.0.1."), "{said}");

    let play = |query: &str| {
        let target = format!("/live/cam1.flv?wait=0{query}");
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: player/1.0\r\n\r\n");
        http::send(server.http_addr(), &head)
    };
    let refused: Reply = play("");
    assert_eq!((refused.status, refused.text().trim()), (403, "Who are you?"));
    // More often than there are workers of HTTP, none of which may be lost.
    for _ in 0..5 {
        assert_eq!(play("&user=panic").status, 403);
    }
    assert_eq!(play("&user=J%C3%BCrgen").status, 404);
    let publisher = Publisher::start(&source, &url("right"));
    let playing = poll(seconds(20), || Some(play("&user=J%C3%BCrgen").status).filter(|status| *status == 200));
    assert_eq!(playing, Some(200));
    publisher.stop();
    server.shutdown(seconds(5)).unwrap();
}

/// A file with something secret, and what the binary signs with it.
struct Secret(PathBuf);

impl Secret {
    fn new(name: &str, contents: &[u8]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("access-{}-{name}", std::process::id()));
        fs::write(&path, contents).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// What `rtmpd --sign` prints.
    #[track_caller]
    fn sign(&self, arguments: &[&str]) -> String {
        let flags = ["--play-secret-file", self.path(), "--sign"];
        let mut process = Process::start(Rtmpd::command().args(flags).args(arguments));
        assert!(process.exit_within(seconds(10)).success(), "{}", process.stderr().tail());
        process.stdout().all().concat()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _may_be_gone = fs::remove_file(&self.0);
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

const TIME: &str = "return document.querySelector('video').currentTime;";

//! RTMP over TLS: real clients, clients that dawdle or speak something else, and a certificate that is renewed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rtmpd::{Error, Server, ServerHandle, TlsError};
use rustls::version::{TLS12, TLS13};
use support::deadline::{seconds, wait_until};
use support::ffmpeg::{Publisher, Reader};
use support::flv::{Kind, Tag};
use support::http;
use support::media;
use support::process::Process;
use support::proxy;
use support::rtmp::{Amf, COMMAND, RtmpClient, VIDEO, amf_bytes, chunk_header};
use support::rtmpd::Rtmpd;
use support::tls::{Pair, TlsClient, replace_file};

#[test]
fn ffmpeg_publishes_every_packet() {
    let pair = Pair::make("ffmpeg");
    let (rtmpd, source) = (start(&pair, &[]), media::b_frames());
    let reader = Reader::start(&rtmpd.play_url("/live/cam1.flv"));
    rtmpd.wait_for_http_clients(1);
    Publisher::start(&source, &format!("rtmps://{}/live/cam1", rtmpd.rtmps())).finish();
    let run = source.run_of_packets(&reader.finish());
    run.assert_from_start();
    run.assert_to_end();
}

#[test]
fn rtmp2sink_publishes_every_packet() {
    let pair = Pair::make("gstreamer");
    let (rtmpd, source) = (start(&pair, &[]), media::plain());
    let reader = Reader::start(&rtmpd.play_url("/live/gst.flv"));
    rtmpd.wait_for_http_clients(1);
    let pipeline =
        PIPELINE.replace("SOURCE", source.path.to_str().unwrap()).replace("SERVER", &rtmpd.rtmps().to_string());
    let mut gstreamer = Process::start(Command::new("gst-launch-1.0").args(pipeline.split_whitespace()));
    let status = gstreamer.exit_within(seconds(60));
    assert!(status.success(), "gst-launch ended with {status}: {}", gstreamer.stderr().tail());
    let run = source.run_of_packets(&reader.finish());
    run.assert_from_start();
    run.assert_to_end();
}

#[test]
fn a_renewed_certificate_is_taken_up_and_one_that_cannot_be_used_is_not() {
    let (pair, renewed) = (Pair::make("first"), Pair::make("renewed"));
    let mut rtmpd = start(&pair, &[]);
    let address = rtmpd.rtmps();
    let mut early = publishing(TlsClient::connect(address, &pair));
    let old = Pair::make("old");
    pair.replace(&old); // `old` keeps what `pair`'s files are about to lose.

    let key = fs::read(pair.key()).unwrap();
    replace_file(&pair.key(), b"no key");
    wait_until("an error in the log", seconds(10), || {
        drop(TlsClient::connect(address, &old));
        (errors(&rtmpd) > 0).then_some(())
    });
    replace_file(&pair.key(), &key);
    wait_until("the key to be taken up again", seconds(10), || {
        drop(TlsClient::connect(address, &old));
        rtmpd.log().all().iter().any(|line| line.contains("is used from now on")).then_some(())
    });
    assert_eq!(errors(&rtmpd), 1, "said once");

    renewed.replace(&pair);
    wait_until("the renewed certificate", seconds(10), || {
        let socket = http::connect(address);
        TlsClient::try_over(socket, &renewed, rustls::ALL_VERSIONS, usize::MAX).ok()
    });
    assert!(TlsClient::try_over(http::connect(address), &old, rustls::ALL_VERSIONS, usize::MAX).is_err());

    let mut viewer = http::play(rtmpd.http(), "/live/cam1.flv");
    early.send(&frame(40));
    viewer.find_tag("a frame of the connection that was there", |tag| tag.timestamp == 40);
    rtmpd.assert_sound();
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() {
    let (pair, other) = (Pair::make("good"), Pair::make("other"));
    let start = |cert, key| local().rtmps((Ipv4Addr::LOCALHOST, 0)).tls(cert, key).start().unwrap_err();
    for (error, named) in [
        (start(other.cert(), pair.key()), other.cert()),
        (start(pair.key(), pair.key()), pair.key()),
        (start(pair.cert(), pair.cert()), pair.cert()),
        (start("/nowhere.pem".into(), pair.key()), "/nowhere.pem".into()),
        (start(pair.cert(), "/nowhere.pem".into()), "/nowhere.pem".into()),
    ] {
        assert!(
            matches!(error, Error::Tls(_)) && error.to_string().contains(named.to_str().unwrap()),
            "{error}"
        );
    }
    let error = local().rtmps((Ipv4Addr::LOCALHOST, 0)).start().unwrap_err();
    assert!(
        matches!(error, Error::Tls(TlsError::Missing)) && error.to_string().contains("--tls-cert"),
        "{error}"
    );
}

#[test]
fn keys_may_be_in_each_of_the_three_forms() {
    for (form, arguments) in [
        ("pkcs1", "genrsa -traditional 2048"),
        ("sec1", "ecparam -genkey -noout -name prime256v1"),
        ("pkcs8", "genpkey -algorithm ed25519"),
    ] {
        let pair = Pair::make(form);
        let run = |arguments: String| {
            let output = Command::new("openssl").args(arguments.split(' ')).output().unwrap();
            assert!(output.status.success(), "{form}: {}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        fs::write(pair.key(), run(arguments.into())).unwrap();
        let (cert, key) = (pair.cert(), pair.key());
        let subject =
            "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE";
        run(format!("req -x509 -key {} -out {} {subject}", key.display(), cert.display()));
        let server = secure(&pair, |_| {});
        TlsClient::connect(server.rtmps_addr().unwrap(), &pair);
    }
}

#[test]
fn who_speaks_the_wrong_protocol_is_told_apart_in_the_log() {
    let pair = Pair::make("wrong");
    let rtmpd = start(&pair, &[]);
    let says = |cure: &str| rtmpd.log().wait_for(cure, 0, |line| line.contains(cure));

    assert!(RtmpClient::try_connect(rtmpd.rtmps()).is_err());
    says("peer speaks plain RTMP, not TLS; rtmp:// clients use the RTMP port");

    let wrong = TlsClient::try_over(http::connect(rtmpd.rtmp()), &pair, rustls::ALL_VERSIONS, usize::MAX);
    assert!(wrong.is_err());
    says("peer speaks TLS, not plain RTMP; rtmps:// clients use the RTMPS port");

    let mut player = http::connect(rtmpd.rtmps());
    player.write_all(b"GET /live/cam1.flv HTTP/1.1\r\n\r\n").unwrap();
    says("peer speaks HTTP, not TLS; players use the HTTP port");

    let stranger = Pair::make("stranger");
    assert!(
        TlsClient::try_over(http::connect(rtmpd.rtmps()), &stranger, rustls::ALL_VERSIONS, usize::MAX).is_err()
    );
    says("TLS failed: received fatal alert");

    let mut garbage = http::connect(rtmpd.rtmps());
    garbage.write_all(&[0x16, 3, 3, 0, 4, 0xff, 0xff, 0xff, 0xff]).unwrap();
    says("TLS failed: received corrupt message");
}

#[test]
fn a_handshake_that_stands_still_or_trickles_is_ended_at_the_deadline() {
    let (pair, patience) = (Pair::make("slow"), Duration::from_millis(800));
    let server = secure(&pair, |config| config.timeouts.publish = patience);
    let address = server.rtmps_addr().unwrap();
    for drip in [&[][..], &[0][..]] {
        let (mut socket, begun) = (http::connect(address), Instant::now());
        // A handshake record of 512 bytes, most of which do not come.
        socket.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        wait_until("the end", seconds(5), || {
            let _ended = socket.write_all(drip);
            let mut said = Vec::new();
            let ended = match socket.read_to_end(&mut said) {
                Ok(_) => true,
                Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
            };
            ended.then_some(())
        });
        let elapsed = begun.elapsed();
        assert!(elapsed >= patience && elapsed < patience + seconds(2), "{elapsed:?} with {drip:?}");
    }
}

#[test]
fn records_byte_by_byte_and_in_both_versions_carry_the_same() {
    let pair = Pair::make("pieces");
    let server = secure(&pair, |_| {});
    for (version, piece) in [(&TLS12, usize::MAX), (&TLS12, 1), (&TLS13, 1), (&TLS13, usize::MAX)] {
        let socket = http::connect(server.rtmps_addr().unwrap());
        let mut client = publishing(TlsClient::try_over(socket, &pair, &[version], piece).unwrap());
        for time in 1..=LAST_FRAME {
            client.send(&frame(time));
        }
        assert_eq!(
            played(&server, &mut client),
            (0..=LAST_FRAME).collect::<Vec<_>>(),
            "{version:?} by {piece}"
        );
    }
}

#[test]
fn a_flood_arrives_whole_though_nobody_watches_at_first() {
    let pair = Pair::make("flood");
    let server = secure(&pair, |_| {});
    let mut client = publishing(TlsClient::connect(server.rtmps_addr().unwrap(), &pair));
    // Far more than TLS's buffers and the socket's hold, in one go.
    let large = [&[0x27, 1, 0, 0, 0][..], &[7; 300_000]].concat();
    let messages =
        (1..=LAST_FRAME).map(|time| [&chunk_header(VIDEO, 1, time, large.len())[..], &large].concat());
    client.send(&messages.collect::<Vec<_>>().concat());
    assert_eq!(played(&server, &mut client), (0..=LAST_FRAME).collect::<Vec<_>>());
}

#[test]
fn a_client_that_stalls_within_a_record_goes_on_later() {
    let pair = Pair::make("stall");
    let server = secure(&pair, |config| config.timeouts.publish = Duration::from_millis(500));
    let mut client = publishing(TlsClient::connect(server.rtmps_addr().unwrap(), &pair));
    let record = client.encrypt(&frame(1));
    let (first, second) = record.split_at(record.len() / 2);
    client.send_raw(first).unwrap();

    // Several times as long as a read waits: until somebody who says nothing has been sent away.
    let mut silent = http::connect(server.rtmp_addr());
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);

    client.send_raw(second).unwrap();
    assert_eq!(played(&server, &mut client), [0, 1]);
}

#[test]
fn the_servers_last_words_come_before_its_close_notify() {
    let pair = Pair::make("last-words");
    let server = secure(&pair, |_| {});
    let mut client = publishing(TlsClient::connect(server.rtmps_addr().unwrap(), &pair));
    http::play(server.http_addr(), "/live/cam1.flv").find_tag("a frame", Tag::is_keyframe);
    let stopped = thread::spawn(move || server.shutdown(seconds(5)));
    let said = client.read_until_close_notify();
    for word in ["NetStream.Publish.Start", "NetStream.Unpublish.Success", "NetConnection.Connect.Closed"] {
        assert!(said.windows(word.len()).any(|part| part == word.as_bytes()), "{word} was not said");
    }
    stopped.join().unwrap().unwrap();
}

#[test]
fn no_close_notify_is_a_normal_end() {
    let pair = Pair::make("cut");
    let rtmpd = start(&pair, &[]);
    let client = publishing(TlsClient::connect(rtmpd.rtmps(), &pair));
    http::play(rtmpd.http(), "/live/cam1.flv").find_tag("a frame", Tag::is_keyframe);
    client.socket.shutdown(Shutdown::Write).unwrap();
    let end = "left live/cam1: connection closed by the publisher";
    rtmpd.log().wait_for(end, 0, |line| line.contains(end));
}

#[test]
fn a_proxys_header_comes_before_tls() {
    let pair = Pair::make("proxy");
    let rtmpd = start(&pair, &["--trusted-proxy", "127.0.0.1"]);
    for (header, client) in [
        (proxy::v1("203.0.113.9:5000"), "203.0.113.9:5000 via"),
        (proxy::v2("[2001:db8::9]:5000"), "2001:db8::9"),
    ] {
        let mut socket = http::connect(rtmpd.rtmps());
        socket.write_all(&header).unwrap();
        let _publisher =
            publishing(TlsClient::try_over(socket, &pair, rustls::ALL_VERSIONS, usize::MAX).unwrap());
        rtmpd
            .log()
            .wait_for("the client's address", 0, |line| line.contains(client) && line.contains("live/cam1"));
    }
}

#[test]
fn one_who_waits_for_a_name_replaces_nobody_once_it_has_left() {
    let pair = Pair::make("waits");
    let server = secure(&pair, |_| {});
    let publisher = || publishing(TlsClient::connect(server.rtmps_addr().unwrap(), &pair));
    let mut first = publisher();
    let mut viewer = http::play(server.http_addr(), "/live/cam1.flv");
    viewer.find_tag("the first's keyframe", Tag::is_keyframe);
    drop(publisher());
    // The first one's line is down for longer than it may be while somebody waits.
    thread::sleep(seconds(4));
    first.send(&frame(20));
    viewer.find_tag("what the first sends", |tag| tag.timestamp == 20);
    let _second = publisher();
    viewer.find_tag("what it sent while it waited", Tag::is_keyframe);
    server.shutdown(seconds(5)).unwrap();
}

#[test]
fn both_listeners_have_one_cap() {
    let pair = Pair::make("cap");
    let server = secure(&pair, |config| config.limits.rtmp_connections = 1);
    let first = TlsClient::connect(server.rtmps_addr().unwrap(), &pair);
    assert_eq!(server.room().rtmp.now, 1);
    assert!(RtmpClient::try_connect(server.rtmp_addr()).is_err(), "refused: the only place is taken");
    drop(first);
    wait_until("the place to be free again", seconds(5), || RtmpClient::try_connect(server.rtmp_addr()).ok());
}

fn start(pair: &Pair, flags: &[&str]) -> Rtmpd {
    let tls = pair.flags();
    Rtmpd::start_with(&tls.iter().map(String::as_str).chain(flags.iter().copied()).collect::<Vec<_>>())
}

fn local() -> Server {
    Server::builder().rtmp((Ipv4Addr::LOCALHOST, 0)).http((Ipv4Addr::LOCALHOST, 0))
}

fn secure(pair: &Pair, configure: impl FnOnce(&mut rtmpd::Config)) -> ServerHandle {
    let server = local().rtmps((Ipv4Addr::LOCALHOST, 0)).tls(pair.cert(), pair.key());
    server.configure(configure).start().unwrap()
}

fn errors(rtmpd: &Rtmpd) -> usize {
    rtmpd.log().all().iter().filter(|line| line.contains("the old one stays in use")).count()
}

/// Has the client publish a keyframe as live/cam1. What the server answers lies in the socket: nobody needs it.
fn publishing(mut client: TlsClient) -> TlsClient {
    let mut hello = vec![0; 1 + 2 * 1536];
    hello[0] = 3;
    // The largest chunks there are, so that each message is one.
    let mut bytes = [&hello[..], &chunk_header(1, 0, 0, 4), &[0, 0xff, 0xff, 0xff]].concat();
    let app = [("app", Amf::Text("live"))];
    bytes.extend(command(0, &[Amf::Text("connect"), Amf::Number(1.0), Amf::Object(&app)]));
    bytes.extend(command(0, &[Amf::Text("createStream"), Amf::Number(2.0), Amf::Null]));
    bytes.extend(command(1, &[Amf::Text("publish"), Amf::Number(3.0), Amf::Null, Amf::Text("cam1")]));
    bytes.extend(video(0, &[0x17, 0, 0, 0, 0, 1, 100, 0, 31]));
    bytes.extend(video(0, &[0x17, 1, 0, 0, 0, 1, 2, 3]));
    client.send(&bytes);
    client
}

/// A picture that is no keyframe.
fn frame(time: u32) -> Vec<u8> {
    video(time, &[0x27, 1, 0, 0, 0, 1, 2, 3])
}

fn video(time: u32, body: &[u8]) -> Vec<u8> {
    [&chunk_header(VIDEO, 1, time, body.len())[..], body].concat()
}

fn command(stream: u32, values: &[Amf<'_>]) -> Vec<u8> {
    let body = amf_bytes(values);
    [&chunk_header(COMMAND, stream, 0, body.len())[..], &body].concat()
}

/// The times of the frames of live/cam1, whose publisher says goodbye when the first has been seen.
fn played(server: &ServerHandle, publisher: &mut TlsClient) -> Vec<u32> {
    let mut viewer = http::play(server.http_addr(), "/live/cam1.flv");
    let first = viewer.find_tag("the keyframe", Tag::is_keyframe);
    publisher.send(&command(0, &[Amf::Text("FCUnpublish"), Amf::Number(4.0), Amf::Null, Amf::Text("cam1")]));
    let rest = viewer.rest().into_iter().filter(|tag| tag.kind == Kind::Video && tag.is_frame());
    [first].into_iter().chain(rest).map(|tag| tag.timestamp).collect()
}

const LAST_FRAME: u32 = 20;
const PIPELINE: &str = "-q flvmux name=mux streamable=true ! identity sync=true ! \
    rtmp2sink location=rtmps://SERVER/live/gst tls-validation-flags=0 \
    filesrc location=SOURCE ! flvdemux name=file \
    file.video ! queue ! h264parse ! mux. file.audio ! queue ! aacparse ! mux.";

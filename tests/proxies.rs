//! `--trusted-proxy`: whose word is taken for where a client comes from, and whose is not.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use support::abuse;
use support::bystander::Bystander;
use support::deadline::{seconds, wait_until};
use support::http::{self, Reply};
use support::proxy::{self, v1, v2};
use support::rtmp::RtmpClient;
use support::rtmpd::Rtmpd;
use support::scene::Scene;

#[test]
fn a_trusted_proxy_says_where_a_viewer_comes_from() {
    let scene = Scene::start_with(TRUSTED);
    let _viewer = join(&scene, &[], "X-Forwarded-For: 203.0.113.9\r\n");
    logs(&scene.rtmpd, "viewer 203.0.113.9", "joins live/bystander");
    let _viewer = join(&scene, &[], "X-Forwarded-For: 2001:db8::9\r\n");
    logs(&scene.rtmpd, "2001:db8::9", "joins live/bystander");
    scene.bystander.plays_on();
}

#[test]
fn of_several_addresses_the_last_that_is_not_a_proxy_counts() {
    let scene = Scene::start_with(&["--trusted-proxy", "127.0.0.0/8,198.51.100.0/24"]);
    for (forwarded, address) in [
        ("X-Forwarded-For: 192.0.2.66, 203.0.113.1, 198.51.100.7\r\n", "203.0.113.1"),
        ("X-Forwarded-For: 192.0.2.66,203.0.113.2,198.51.100.7,127.0.0.5\r\n", "203.0.113.2"),
        ("X-Forwarded-For: 192.0.2.66\r\nX-Forwarded-For: 203.0.113.3\r\n", "203.0.113.3"),
        ("X-Forwarded-For: nonsense, 203.0.113.4\r\n", "203.0.113.4"),
    ] {
        let _viewer = join(&scene, &[], forwarded);
        logs(&scene.rtmpd, &format!("viewer {address}"), "joins live/bystander");
    }
    assert!(!has_logged(&scene.rtmpd, "192.0.2.66"), "what a client claims of itself was believed");
    scene.bystander.plays_on();
}

#[test]
fn several_proxies_may_be_named_in_several_flags() {
    let flags = ["--trusted-proxy", "192.0.2.0/24", "--trusted-proxy", "127.0.0.1"];
    let scene = Scene::start_with(&flags);
    let _viewer = join(&scene, &[], "X-Forwarded-For: 203.0.113.9, 192.0.2.1\r\n");
    logs(&scene.rtmpd, "viewer 203.0.113.9", "joins live/bystander");
    scene.bystander.plays_on();
}

#[test]
fn without_the_flag_nobody_is_believed() {
    let scene = Scene::start();
    let viewer = join(&scene, &[], "X-Forwarded-For: 203.0.113.9\r\n");
    logs(&scene.rtmpd, &format!("viewer {}", viewer.local_addr().unwrap()), "joins live/bystander");
    assert!(!has_logged(&scene.rtmpd, "203.0.113.9"));
    assert_refused(&scene);
}

#[test]
fn who_is_not_in_the_list_is_not_believed() {
    let scene = Scene::start_with(&["--trusted-proxy", "192.0.2.0/24,2001:db8::/32"]);
    let viewer = join(&scene, &[], "X-Forwarded-For: 203.0.113.9\r\n");
    logs(&scene.rtmpd, &format!("viewer {}", viewer.local_addr().unwrap()), "joins live/bystander");
    assert!(!has_logged(&scene.rtmpd, "203.0.113.9"));
    assert_refused(&scene);
}

#[test]
fn caps_count_the_forwarded_address() {
    let scene = Scene::start_with(&[TRUSTED, &["--max-connections-per-address", "2"]].concat());
    let server = scene.rtmpd.http();
    for (name, from) in [
        (
            "X-Forwarded-For",
            Box::new(|address: &str| (Vec::new(), format!("X-Forwarded-For: {address}\r\n"))) as From,
        ),
        ("PROXY v1", Box::new(|address: &str| (v1(&format!("{address}:1000")), String::new()))),
        ("PROXY v2", Box::new(|address: &str| (v2(&format!("{address}:1000")), String::new()))),
    ] {
        let ask = |address: &str| {
            let (begin, header) = from(address);
            request(server, &begin, &header)
        };
        let held = [ask("203.0.113.9"), ask("203.0.113.9")];
        assert_eq!(held.each_ref().map(|reply| reply.status), [200, 200], "{name}");
        assert_eq!(ask("203.0.113.9").status, 503, "{name}: the third of an address");
        let other = ask("203.0.113.10");
        assert_eq!(other.status, 200, "{name}: another address");
        // Who comes directly is loopback, and has no cap.
        let direct: Vec<TcpStream> = (0..5).map_while(|_| abuse::try_to_join(server)).collect();
        assert_eq!(direct.len(), 5, "{name}: loopback has no cap");
        drop((held, other, direct));
        wait_until("room for that address", seconds(5), || (ask("203.0.113.9").status == 200).then_some(()));
        wait_until("all to have left", seconds(5), || {
            (scene.rtmpd.descriptors() <= scene.before.descriptors).then_some(())
        });
    }
    scene.bystander.plays_on();
}

#[test]
fn a_proxy_header_says_where_a_viewer_comes_from() {
    let scene = Scene::start_with(TRUSTED);
    for (header, address) in [
        (v1("203.0.113.1:40001"), "viewer 203.0.113.1:40001"),
        (v1("[2001:db8::1]:40002"), "viewer [2001:db8::1]:40002"),
        (v2("203.0.113.3:40003"), "viewer 203.0.113.3:40003"),
        (v2("[2001:db8::4]:40004"), "viewer [2001:db8::4]:40004"),
        (proxy::v2_with_extensions("203.0.113.5:40005"), "viewer 203.0.113.5:40005"),
    ] {
        let _viewer = join(&scene, &header, "");
        logs(&scene.rtmpd, address, "joins live/bystander");
    }
    scene.bystander.plays_on();
}

#[test]
fn a_proxy_header_says_where_a_publisher_comes_from() {
    let scene = Scene::start_with(TRUSTED);
    for (number, (header, address)) in [
        (v1("203.0.113.1:40001"), "203.0.113.1:40001"),
        (v1("[2001:db8::1]:40002"), "[2001:db8::1]:40002"),
        (v2("203.0.113.3:40003"), "203.0.113.3:40003"),
        (v2("[2001:db8::4]:40004"), "[2001:db8::4]:40004"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = RtmpClient::try_connect_behind(scene.rtmpd.rtmp(), &header).unwrap();
        let name = format!("proxied{number}");
        client.publish("live", &name).unwrap();
        logs(&scene.rtmpd, &format!("publisher {address}"), &format!("publishes live/{name}"));
    }
    scene.bystander.plays_on();
}

#[test]
fn a_proxy_header_without_an_address_keeps_the_real_one() {
    let scene = Scene::start_with(TRUSTED);
    for (number, header) in [b"PROXY UNKNOWN\r\n".to_vec(), proxy::v2_local()].into_iter().enumerate() {
        let viewer = join(&scene, &header, "");
        logs(&scene.rtmpd, &format!("viewer {}", viewer.local_addr().unwrap()), "joins live/bystander");
        let mut client = RtmpClient::try_connect_behind(scene.rtmpd.rtmp(), &header).unwrap();
        let name = format!("local{number}");
        client.publish("live", &name).unwrap();
        logs(&scene.rtmpd, &client.address(), &format!("publishes live/{name}"));
    }
    scene.bystander.plays_on();
}

#[test]
fn a_proxy_header_may_come_in_single_bytes() {
    let scene = Scene::start_with(TRUSTED);
    for (number, header) in [v1("203.0.113.1:40001"), v2("203.0.113.2:40002")].into_iter().enumerate() {
        let mut socket = http::connect(scene.rtmpd.http());
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", Bystander::PLAY);
        send_in_bits(&mut socket, &[header.as_slice(), request.as_bytes()].concat());
        assert_eq!(Reply::read(socket, false).status, 200);
        logs(&scene.rtmpd, &format!("viewer 203.0.113.{}:", number + 1), "joins live/bystander");

        let mut socket = http::connect(scene.rtmpd.rtmp());
        send_in_bits(&mut socket, &header);
        let mut client = RtmpClient::try_over(socket).unwrap();
        let name = format!("bits{number}");
        client.publish("live", &name).unwrap();
        logs(&scene.rtmpd, &format!("publisher 203.0.113.{}:", number + 1), &format!("publishes live/{name}"));
    }
    scene.bystander.plays_on();
}

#[test]
fn a_broken_proxy_header_of_a_trusted_proxy_ends_the_connection() {
    let scene = Scene::start_with(TRUSTED);
    for server in [scene.rtmpd.http(), scene.rtmpd.rtmp()] {
        for (number, (what, header)) in proxy::broken().into_iter().enumerate() {
            let mut socket = http::connect(server);
            let address = socket.local_addr().unwrap().to_string();
            let _it_may_hang_up_early = socket.write_all(&header);
            let (said, _) = http::read_until_closed(socket, seconds(5));
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(!said.contains(" 200 "), "{what}: {said}");
            // Further lines like it may be left out.
            if number == 0 {
                logs(&scene.rtmpd, &address, "PROXY");
            }
        }
    }
    assert!(!has_logged(&scene.rtmpd, "203.0.113"), "what a broken header says was believed");
    scene.bystander.plays_on();
}

#[test]
fn a_network_that_is_none_is_wrong_use() {
    for net in ["nonsense", "192.0.2.0/33", "2001:db8::/129", "192.0.2.0/", ""] {
        let mut process = support::process::Process::start(Rtmpd::command().args(["--trusted-proxy", net]));
        assert_eq!(process.exit_within(seconds(10)).code(), Some(2), "{net:?}");
        let said = process.stderr().all().join("\n");
        assert!(said.contains("--trusted-proxy"), "{said}");
    }
}

type From = Box<dyn Fn(&str) -> (Vec<u8>, String)>;

/// PROXY headers from here are not believed, on both ports.
#[track_caller]
fn assert_refused(scene: &Scene) {
    for header in [v1("203.0.113.9:40000"), v2("203.0.113.9:40000")] {
        let status = request(scene.rtmpd.http(), &header, "").status;
        assert!(matches!(status, 400 | 505), "a PROXY header is no request, but answered with {status}");
        let publisher = RtmpClient::try_connect_behind(scene.rtmpd.rtmp(), &header);
        assert!(publisher.is_err(), "a PROXY header is no handshake");
    }
    assert!(!has_logged(&scene.rtmpd, "203.0.113.9"));
    scene.bystander.plays_on();
}

/// Asks for the bystander's stream, with `begin` in front of the request and `header` in it.
#[track_caller]
fn request(server: SocketAddr, begin: &[u8], header: &str) -> Reply {
    let mut socket = http::connect(server);
    let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n", Bystander::PLAY);
    socket.write_all(&[begin, request.as_bytes()].concat()).unwrap();
    Reply::read(socket, false)
}

/// The same, and it is granted.
#[track_caller]
fn join(scene: &Scene, begin: &[u8], header: &str) -> TcpStream {
    let reply = request(scene.rtmpd.http(), begin, header);
    assert_eq!(reply.status, 200, "behind {:?} and with {header:?}", String::from_utf8_lossy(begin));
    reply.body.socket().try_clone().unwrap()
}

fn send_in_bits(socket: &mut TcpStream, bytes: &[u8]) {
    for byte in bytes {
        // Each is a packet of its own: small ones are not held back on this connection.
        socket.write_all(std::slice::from_ref(byte)).unwrap();
    }
}

#[track_caller]
fn logs(rtmpd: &Rtmpd, who: &str, what: &str) {
    rtmpd.log().wait_for(&format!("{who} … {what}"), 0, |line| line.contains(who) && line.contains(what));
}

fn has_logged(rtmpd: &Rtmpd, what: &str) -> bool {
    rtmpd.log().all().iter().any(|line| line.contains(what))
}

const TRUSTED: &[&str] = &["--trusted-proxy", "127.0.0.0/8"];

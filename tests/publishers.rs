//! Publishers that flood, stall, or hold what they never finish: each has a bound, and the others play on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use support::deadline::{poll, seconds, wait_until};
use support::flv::{FlvReader, Tag};
use support::http;
use support::numbered::SEQUENCE_HEADER;
use support::rtmp::{self, Amf, RtmpClient, VIDEO};
use support::scene::Scene;
use support::turns::alone;

#[test]
fn a_publisher_that_floods_large_frames_delays_nobody() {
    let _alone = alone();
    let mut scene = Scene::start();
    let frame = [&[0x27, 1, 0, 0, 0][..], &[0x55; 65_536]].concat();
    let mut part = rtmp::chunk_header(VIDEO, 1, 40, frame.len());
    part.extend_from_slice(&frame);
    let sent = flood(&scene, &part);
    println!("{} MB of large frames in five seconds", sent / 1_000_000);
    scene.assert_memory_stayed_within(150 << 20);
    // Pieces as large as these frames, which glibc keeps for the next ones.
    scene.may_keep(24 << 20);
    scene.ends_well();
}

#[test]
fn a_publisher_that_floods_tiny_messages_delays_nobody() {
    let _alone = alone();
    let scene = Scene::start();
    let frame = [0x27, 1, 0, 0, 0, 9];
    let message = [rtmp::chunk_header(VIDEO, 1, 40, frame.len()), frame.to_vec()].concat();
    let sent = flood(&scene, &message.repeat(3000));
    println!("{} thousand tiny messages in five seconds", sent / message.len() / 1000);
    scene.assert_memory_stayed_within(150 << 20);
    scene.ends_well();
}

#[test]
fn one_publisher_too_many_is_hung_up_on_until_there_is_room() {
    let _alone = alone();
    let scene = Scene::start_with(&["--max-publishers", "3"]);
    let server = scene.rtmpd.rtmp();
    // The bystander's is the first.
    let mut second = RtmpClient::connect(server);
    second.publish("live", "second").unwrap();
    let third = RtmpClient::connect(server);
    let start = Instant::now();
    let socket = http::connect(server);
    let address = socket.local_addr().unwrap().to_string();
    http::read_until_closed(socket, seconds(2));
    assert!(start.elapsed() < seconds(1), "hung up on after {:?}", start.elapsed());
    scene
        .rtmpd
        .log()
        .wait_for("a line about it", 0, |line| line.contains(&address) && line.contains("refused"));
    assert_eq!(http::get(scene.rtmpd.http(), "/healthz").status, 200, "a full server is well");
    drop(third);
    wait_until("room for a third", seconds(5), || {
        RtmpClient::try_connect(server).ok()?.publish("live", "third").ok()
    });
    drop(second);
    scene.ends_well();
}

#[test]
fn two_hundred_connections_that_hold_half_a_message_cost_little() {
    let _alone = alone();
    let scene = Scene::start();
    let server = scene.rtmpd.rtmp();
    let mut half = rtmp::chunk_header(rtmp::COMMAND, 0, 0, 64 << 10);
    half.resize(60 << 10, 0);
    let held: Vec<RtmpClient> = (0..200)
        .map(|_| {
            let mut client = RtmpClient::connect_to_app(server, "live");
            client.send_raw(&half);
            client
        })
        .collect();
    scene.bystander.wait_for_more(50);
    scene.assert_memory_stayed_within(64 << 20);
    drop(held);
    scene.ends_well();
}

#[test]
fn who_asks_and_does_not_listen_is_hung_up_on_in_time() {
    let _alone = alone();
    let mut scene = Scene::start();
    let server = scene.rtmpd.rtmp();
    let ask = rtmp::amf_bytes(&[Amf::Text("_checkbw"), Amf::Number(2.0), Amf::Null]);
    let asks = [rtmp::chunk_header(rtmp::COMMAND, 0, 0, ask.len()), ask].concat().repeat(600);
    let mut deaf: Vec<RtmpClient> = (0..50).map(|_| RtmpClient::connect_to_app(server, "live")).collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for client in &mut deaf {
            // Until it is hung up on.
            scope.spawn(|| while client.try_send_raw(&asks).is_ok() {});
        }
        wait_until("all to be hung up on", seconds(14), || {
            (scene.rtmpd.descriptors() <= scene.before.descriptors).then_some(())
        });
    });
    println!("50 who did not listen were hung up on after {:?}", start.elapsed());
    scene.assert_memory_stayed_within(48 << 20);

    // Not even the server's end waits for one that publishes.
    let mut client = RtmpClient::connect(server);
    client.publish("live", "deaf").unwrap();
    let flood = thread::spawn(move || while client.try_send_raw(&asks).is_ok() {});
    scene.rtmpd.log().wait_for("it to publish", 0, |line| line.contains("publishes live/deaf"));
    let start = Instant::now();
    assert_eq!(scene.rtmpd.terminate(seconds(5)).code(), Some(0));
    assert!(start.elapsed() < seconds(2), "the end took {:?}", start.elapsed());
    flood.join().unwrap();
}

#[test]
fn all_unfinished_messages_together_have_a_bound() {
    let _alone = alone();
    let scene = Scene::start();
    let server = scene.rtmpd.rtmp();
    let part = &vec![0; 1 << 20];
    // Four at a time: what counts here is what they hold, not how fast they send it.
    let held: Vec<RtmpClient> = thread::scope(|scope| {
        let hold = |first| (first..first + 16).filter_map(|number| hold_15_mb(server, number, part)).collect();
        let senders: Vec<_> =
            (0..4).map(|sender| scope.spawn(move || -> Vec<_> { hold(sender * 16) })).collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    let most = poll(seconds(2), || (scene.rtmpd.memory() > 450 << 20).then(|| scene.rtmpd.memory()));
    println!("{} of 64 got in; {} MiB at the most", held.len(), scene.rtmpd.peak_memory() >> 20);
    assert_eq!(most.map(|bytes| bytes >> 20), None, "MiB for 64 publishers with 15 MB each");
    scene.assert_memory_stayed_within(450 << 20);
    scene.bystander.plays_on();
    drop(held);
    scene.ends_well();
}

/// Sends `part` again and again for five seconds as the publisher of a stream that somebody watches; how much.
#[track_caller]
fn flood(scene: &Scene, part: &[u8]) -> usize {
    let mut client = RtmpClient::connect(scene.rtmpd.rtmp());
    let stream = client.publish("live", "flood").unwrap();
    assert_eq!(stream, 1, "the message stream that the flood is for");
    client.send(VIDEO, stream, 0, &SEQUENCE_HEADER);
    client.send(VIDEO, stream, 0, &[0x17, 1, 0, 0, 0, 1, 2, 3]);
    let mut viewer = http::play(scene.rtmpd.http(), "/live/flood.flv");
    viewer.find_tag("a keyframe", Tag::is_keyframe);
    let watching = thread::spawn(move || watch(viewer));
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < seconds(5) {
        client.try_send_raw(part).expect("a publisher may be fast");
        sent += part.len();
    }
    client.unpublish(stream);
    let seen = watching.join().unwrap();
    println!("its viewer saw {} MB", seen / 1_000_000);
    assert!(seen > 1_000_000, "the flood's own viewer saw {seen} bytes");
    sent
}

/// Reads to the end; how much came.
fn watch(mut viewer: FlvReader<http::Body>) -> usize {
    let mut seen = 0;
    while let Ok(Some(tag)) = viewer.try_next_tag() {
        seen += tag.body.len();
    }
    seen
}

/// Publishes, and sends 15 MB of a message of 16 MB; `None` where the server does not have it.
fn hold_15_mb(server: SocketAddr, number: u32, part: &[u8]) -> Option<RtmpClient> {
    let mut client = RtmpClient::try_connect(server).ok()?;
    let stream = client.publish("live", &format!("held{number}")).ok()?;
    client.try_send_raw(&rtmp::chunk_header(VIDEO, stream, 0, 0xff_ffff)).ok()?;
    for _ in 0..15 {
        client.try_send_raw(part).ok()?;
    }
    Some(client)
}

//! A second publisher of a name that is live: who replaces whom, and who does not.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use support::camera::{self, AUDIO_HEADER, PLAY, STREAM, time_of};
use support::deadline::{seconds, wait_until};
use support::flv::{FlvReader, Kind, Tag};
use support::http::{self, Body};
use support::noise::Noise;
use support::rtmp::{self, AUDIO, Amf, RtmpClient, VIDEO};
use support::rtmpd::Rtmpd;

/// What ends the wait of one who would publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    SayingGoodbye,
    ClosingItsSide,
    Resetting,
}

#[test]
fn nobody_is_replaced_by_one_who_waited_and_has_left() {
    thread::scope(|scope| {
        for how in [Leaves::SayingGoodbye, Leaves::ClosingItsSide, Leaves::Resetting] {
            scope.spawn(move || assert_nobody_is_replaced_by_one_who_leaves(how));
        }
    });
}

#[track_caller]
fn assert_nobody_is_replaced_by_one_who_leaves(how: Leaves) {
    let mut rtmpd = Rtmpd::start();
    let (mut first, mut viewer) = publisher_and_viewer(&rtmpd);
    let mut second = one_who_waits(&rtmpd);
    if how == Leaves::SayingGoodbye {
        second.unpublish(STREAM);
    }
    let socket = second.into_socket();
    if how == Leaves::ClosingItsSide {
        socket.shutdown(Shutdown::Write).unwrap();
    }
    // To close with unread input resets the connection.
    let kept = (how != Leaves::Resetting).then_some(socket);
    // The first one's line is down for longer than it may be while somebody waits.
    thread::sleep(seconds(4));
    camera::send(&mut first, 25..50);
    viewer.find_tag("what the first sends", |tag| tag.timestamp == time_of(49));
    let lines = rtmpd.log().all();
    assert!(!lines.iter().any(|line| line.contains("takes live/cam1 over")), "{how:?}: {lines:#?}");
    drop(kept);
    first.say_goodbye(STREAM);
    viewer.rest();
    rtmpd.assert_sound();
}

#[test]
fn what_one_sends_while_it_waits_is_not_lost() {
    let mut rtmpd = Rtmpd::start();
    let (first, mut viewer) = publisher_and_viewer(&rtmpd);
    let mut second = one_who_waits(&rtmpd);
    // It does not wait for the answer, and sends more than is taken from it before that.
    camera::send_headers(&mut second);
    let large = [&[0x17, 1, 0, 0, 0][..], &[5; 50_000]].concat();
    let sender = thread::spawn(move || {
        (100..200).for_each(|frame| second.send(VIDEO, STREAM, time_of(frame), &large));
        second
    });
    let mut frames = 0;
    while frames < 100 {
        let frame = viewer.find_tag("a frame of the second", Tag::is_frame);
        frames += u32::from(frame.body.len() > 50_000);
    }
    assert!(!first.read_until_closed(seconds(5)).is_empty(), "the first is told");
    sender.join().unwrap().say_goodbye(STREAM);
    viewer.rest();
    rtmpd.assert_sound();
}

/// The line is thin, and a keyframe takes five seconds; bytes come all the time.
#[test]
fn one_who_sends_a_large_frame_slowly_is_not_silent() {
    let mut rtmpd = Rtmpd::start();
    let (mut first, mut viewer) = publisher_and_viewer(&rtmpd);
    let server = rtmpd.rtmp();
    let second = thread::spawn(move || RtmpClient::connect(server).publish("live", "cam1"));
    first.send_raw(&rtmp::chunk_header(VIDEO, STREAM, time_of(25), 5 + 50 * 1000));
    first.send_raw(&[0x17, 1, 0, 0, 0]);
    for _ in 0..50 {
        thread::sleep(Duration::from_millis(100));
        first.send_raw(&[7; 1000]);
    }
    assert_eq!(second.join().unwrap(), Err("NetStream.Publish.BadName".to_owned()));
    viewer.find_tag("the large frame", |tag| tag.body.len() > 50_000);
    first.say_goodbye(STREAM);
    viewer.rest();
    rtmpd.assert_sound();
}

/// A phone comes back for a moment, its line dies again, and a second later it comes back on another address.
#[test]
fn a_phone_that_comes_back_twice_gets_in() {
    let mut rtmpd = Rtmpd::start();
    let (first, mut viewer) = publisher_and_viewer(&rtmpd);
    drop(first);
    rtmpd.log().wait_for("the loss", 0, |line| line.contains("its viewers are held"));
    let mut second = RtmpClient::connect(rtmpd.rtmp());
    assert_eq!(second.publish("live", "cam1"), Ok(STREAM));
    second.send(AUDIO, STREAM, 0, &AUDIO_HEADER);
    // Nobody tells the server that its line is dead from here on.
    thread::sleep(seconds(1));
    let start = Instant::now();
    let mut third = camera::start(rtmpd.rtmp());
    let took = start.elapsed();
    assert!((Duration::from_millis(1_500)..seconds(4)).contains(&took), "let in after {took:?}");
    camera::send(&mut third, 0..50);
    viewer.find_tag("what the third sends", Tag::is_keyframe);
    third.say_goodbye(STREAM);
    viewer.rest();
    drop(second);
    rtmpd.assert_sound();
}

/// They come and go as they like, for three seconds; each sends another clock.
#[test]
fn three_encoders_that_fight_under_any_policy_leave_the_viewers_in_peace() {
    thread::scope(|scope| {
        for policy in ["takeover", "if-silent", "reject"] {
            scope.spawn(move || assert_three_encoders_leave_viewers_in_peace(policy));
        }
    });
}

#[track_caller]
fn assert_three_encoders_leave_viewers_in_peace(policy: &str) {
    let mut rtmpd = Rtmpd::start_with(&["--takeover", policy]);
    let (first, mut viewer) = publisher_and_viewer(&rtmpd);
    let (server, end) = (rtmpd.rtmp(), Instant::now() + seconds(3));
    let reader = thread::spawn(move || {
        let mut last = 0;
        while let Some(tag) = viewer.next_tag() {
            if tag.kind == Kind::Video {
                assert!(last <= tag.timestamp, "time goes back from {last} to {}", tag.timestamp);
                last = tag.timestamp;
            }
        }
        viewer.input().is_complete()
    });
    let encoders: Vec<_> = (0..3)
        .map(|number| {
            thread::spawn(move || {
                let mut noise = Noise(7919 * number + 13);
                let mut turns = 0;
                while Instant::now() < end {
                    if let Ok(mut client) = camera::try_start(server) {
                        let from = 25 * noise.below(5_000) as u32;
                        camera::send(&mut client, from..from + 1 + noise.below(60) as u32);
                        turns += 1;
                    }
                }
                turns
            })
        })
        .collect();
    drop(first);
    let turns: Vec<u32> = encoders.into_iter().map(|encoder| encoder.join().unwrap()).collect();
    assert!(turns.iter().sum::<u32>() > 3, "{policy}: {turns:?}");
    assert!(!reader.is_finished(), "{policy}: the viewer was let go");
    let mut last = wait_until("a free name", seconds(10), || camera::try_start(server).ok());
    camera::send(&mut last, 0..25);
    last.say_goodbye(STREAM);
    assert!(reader.join().unwrap(), "{policy}: no last chunk");
    rtmpd.assert_sound();
}

/// One who has published for a second, and is silent now; and one who watches.
fn publisher_and_viewer(rtmpd: &Rtmpd) -> (RtmpClient, FlvReader<Body>) {
    let mut first = camera::start(rtmpd.rtmp());
    camera::send(&mut first, 0..25);
    let mut viewer = http::play(rtmpd.http(), PLAY);
    viewer.find_tag("the newest frame", |tag| tag.timestamp == time_of(24));
    (first, viewer)
}

/// One who has asked to publish the same, and has no answer yet.
fn one_who_waits(rtmpd: &Rtmpd) -> RtmpClient {
    let mut second = RtmpClient::connect_to_app(rtmpd.rtmp(), "live");
    second.command(0, &[Amf::Text("createStream"), Amf::Number(4.0), Amf::Null]);
    second
        .command(1, &[Amf::Text("publish"), Amf::Number(5.0), Amf::Null, Amf::Text("cam1"), Amf::Text("live")]);
    rtmpd.log().wait_for("the second to wait", 0, |line| line.contains("waits for live/cam1"));
    second
}

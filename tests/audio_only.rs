//! Sound without a picture, for long.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::thread;

use support::flv::Kind;
use support::http;
use support::rtmp::{AUDIO, RtmpClient};
use support::rtmpd::Rtmpd;

/// AAC at 44.1 kHz has 43 frames a second.
const FRAME: f64 = 1024.0 / 44.1;
const HOUR: f64 = 3_600_000.0;

/// As the kernel and the allocator round.
const MEMORY_NOISE: u64 = 2 << 20;

#[test]
fn an_hour_of_audio_more_takes_no_memory_more() {
    let mut rtmpd = Rtmpd::start();
    let mut publisher = RtmpClient::connect(rtmpd.rtmp());
    let stream = publisher.publish("live", "radio").unwrap();
    publisher.send(AUDIO, stream, 0, &[0xaf, 0, 0x12, 0x10]);
    let frames = (2.0 * HOUR / FRAME) as u32;
    let send = |publisher: &mut RtmpClient, frames: std::ops::Range<u32>| {
        for number in frames {
            let time = (f64::from(number) * FRAME) as u32;
            let payload = [&[0xaf, 1][..], &number.to_be_bytes(), &[0x21; 250]].concat();
            publisher.try_send(AUDIO, stream, time, &payload).unwrap();
        }
    };
    send(&mut publisher, 0..50);
    let mut input = http::play(rtmpd.http(), "/live/radio.flv");
    assert!(input.has_audio && !input.has_video);
    let listener = thread::spawn(move || {
        let (mut last, mut heard) = (0, 0_u32);
        while let Some(tag) = input.next_tag() {
            assert!(last <= tag.timestamp, "time goes back from {last}: {tag:?}");
            last = tag.timestamp;
            heard += u32::from(tag.kind == Kind::Audio && tag.is_frame());
        }
        (last, heard)
    });
    // The window holds seconds of arrival, and these come a thousand times as fast as they play: it is full.
    send(&mut publisher, 50..frames / 2);
    let before = rtmpd.memory();
    send(&mut publisher, frames / 2..frames);
    let after = rtmpd.memory();
    println!("after an hour {} KiB, after two {} KiB", before >> 10, after >> 10);
    assert!(after < before + MEMORY_NOISE, "from {before} to {after} bytes");
    publisher.unpublish(stream);
    let (last, heard) = listener.join().unwrap();
    assert!(f64::from(last) > 2.0 * HOUR - 1000.0, "the last frame is at {last} ms");
    assert!(heard > frames * 9 / 10, "heard {heard} of {frames}");
    rtmpd.assert_sound();
}

//! GStreamer publishes: with its own RTMP client (rtmp2sink) and with librtmp (rtmpsink).
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::process::Command;
use std::thread;

use support::compare::Packets;
use support::deadline::seconds;
use support::ffmpeg::{Decoder, Reader};
use support::http;
use support::media::{self, Source};
use support::process::Process;
use support::rtmpd::Rtmpd;

#[test]
fn rtmp2sink_publishes_every_packet_of_a_file() {
    publishes_a_file("rtmp2sink");
}

#[test]
fn rtmpsink_publishes_every_packet_of_a_file() {
    publishes_a_file("rtmpsink");
}

#[test]
fn rtmp2sink_publishes_a_live_encoding() {
    publishes_an_encoding("rtmp2sink");
}

#[test]
fn rtmpsink_publishes_a_live_encoding() {
    publishes_an_encoding("rtmpsink");
}

fn publishes_a_file(sink: &str) {
    let (rtmpd, source) = (Rtmpd::start(), media::plain());
    let reader = Reader::start(&rtmpd.play_url("/live/gst.flv"));
    rtmpd.wait_for_http_clients(1);
    publish(REMUXED, Some(&source), sink, &rtmpd);
    let run = source.run_of_packets(&reader.finish());
    run.assert_from_start();
    run.assert_to_end();
}

fn publishes_an_encoding(sink: &str) {
    let rtmpd = Rtmpd::start();
    let server = rtmpd.http();
    let decoder = Decoder::start(&rtmpd.play_url("/live/gst.flv"));
    let viewer = thread::spawn(move || http::play(server, "/live/gst.flv").rest());
    rtmpd.wait_for_http_clients(2);
    publish(ENCODED, None, sink, &rtmpd);
    assert_eq!(decoder.finish(), ENCODED_FRAMES);
    let packets = Packets::from_tags(&viewer.join().unwrap());
    assert_eq!(packets.video.len(), ENCODED_FRAMES);
    assert!(packets.audio.len() >= ENCODED_SOUNDS - 5, "{} packets of audio", packets.audio.len());
}

/// Runs a pipeline that muxes into `mux` to its end, in real time; `SOURCE` in it is the source's file.
#[track_caller]
fn publish(pipeline: &str, source: Option<&Source>, sink: &str, rtmpd: &Rtmpd) {
    let location = rtmpd.publish_url("/live/gst");
    let file = source.map_or(String::new(), |source| source.path.display().to_string());
    let mux = format!("flvmux name=mux streamable=true ! identity sync=true ! {sink} location={location}");
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(mux.split(' '));
    command.args(pipeline.split(' ').map(|word| word.replace("SOURCE", &file)));
    let mut gstreamer = Process::start(&mut command);
    let status = gstreamer.exit_within(seconds(60));
    assert!(status.success(), "gst-launch ended with {status}: {}", gstreamer.stderr().tail());
}

const REMUXED: &str = "filesrc location=SOURCE ! flvdemux name=file \
    file.video ! queue ! h264parse ! mux. \
    file.audio ! queue ! aacparse ! mux.";
const ENCODED: &str = "videotestsrc is-live=true num-buffers=100 ! \
    video/x-raw,width=320,height=180,framerate=25/1 ! \
    x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=400 ! queue ! mux. \
    audiotestsrc is-live=true num-buffers=172 samplesperbuffer=1024 ! \
    audio/x-raw,rate=44100,channels=2 ! voaacenc ! aacparse ! queue ! mux.";
const ENCODED_FRAMES: usize = 100;
/// More or less: the encoder has a delay.
const ENCODED_SOUNDS: usize = 172;

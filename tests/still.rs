//! `?still=1`: one picture of a live stream, for who does not watch it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::ffmpeg::Publisher;
use support::flv::{FlvReader, Kind, Tag};
use support::rtmpd::Rtmpd;
use support::{http, media};

const STILL: &str = "/live/cam1.flv?still=1";

#[test]
fn a_still_is_a_whole_file_with_one_keyframe_and_makes_no_viewer() {
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let _publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    http::play(rtmpd.http(), "/live/cam1.flv").find_tag("a keyframe", Tag::is_keyframe);
    let joins = || rtmpd.log().all().iter().filter(|line| line.contains("joins live/cam1")).count();
    rtmpd.log().wait_for("the viewer to leave", 0, |line| line.contains("left live/cam1"));
    let before = joins();

    let reply = http::get(rtmpd.http(), STILL);
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("video/x-flv")));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let mut reader = FlvReader::open(reply.body);
    assert_eq!((reader.has_video, reader.has_audio), (true, false));
    let tags = reader.rest();
    let kinds: Vec<_> = tags.iter().map(|tag| (tag.kind, tag.is_keyframe())).collect();
    assert_eq!(kinds, [(Kind::Script, false), (Kind::Video, false), (Kind::Video, true)]);
    assert!(source.tags.iter().any(|tag| tag.body == tags[2].body), "a frame of the source");

    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("still-{}.png", std::process::id()));
    let url = rtmpd.play_url(STILL);
    let ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i", &url, "-frames:v", "1"])
        .arg(&picture)
        .output()
        .unwrap();
    assert!(ffmpeg.status.success() && ffmpeg.stderr.is_empty(), "{}", String::from_utf8_lossy(&ffmpeg.stderr));
    assert!(fs::metadata(&picture).unwrap().len() > 1000);
    fs::remove_file(picture).unwrap();

    assert_eq!(http::request(rtmpd.http(), "HEAD", STILL).status, 200);
    assert_eq!(joins(), before, "nobody has joined");
    rtmpd.assert_sound();
}

#[test]
fn where_there_is_no_picture_the_answer_says_why() {
    let (mut rtmpd, source) = (Rtmpd::start(), media::audio_only());
    let _publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/sound"));
    http::play(rtmpd.http(), "/live/sound.flv").find_tag("sound", Tag::is_frame);
    for (path, status, why) in [
        (STILL, 404, "This stream is not live."),
        ("/live/sound.flv?still=1", 404, "This stream has no such track."),
        ("/live/sound.flv?still=1&only=audio", 400, "still=1 is a picture, and only=audio has none"),
        ("/live/sound.flv?still=yes", 400, "still takes 1 or 0"),
    ] {
        let reply = http::get(rtmpd.http(), path);
        assert_eq!((reply.status, reply.text().trim()), (status, why), "{path}");
    }
    let socket = http::send(
        rtmpd.http(),
        &format!("GET {STILL} HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
    );
    assert_eq!(socket.status, 400);
    rtmpd.assert_sound();
}

#[test]
fn a_still_needs_a_signed_link_where_playing_does() {
    let secret = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("still-{}-secret", std::process::id()));
    fs::write(&secret, "sixteen bytes or more").unwrap();
    let rtmpd = Rtmpd::start_with(&["--demo", "--play-secret-file", secret.to_str().unwrap()]);
    fs::remove_file(secret).unwrap();
    assert_eq!(http::get(rtmpd.http(), "/live/demo.flv?still=1").status, 403);
}

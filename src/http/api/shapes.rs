//! What the API says, as JSON. Names are SRS's where they mean the same.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::call::{publisher_id, viewer_id};
use crate::delivery::{ViewerState, ViewerStatus, ViewerTotals};
use crate::http::routes::play_path;
use crate::media::StreamName;
use crate::stream::{HealthWarning, Protocol, PublisherTotals, Start, StreamStatus, ViewerCounts};

pub(super) fn versions() -> Value {
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    json!({
        "major": number(env!("CARGO_PKG_VERSION_MAJOR")),
        "minor": number(env!("CARGO_PKG_VERSION_MINOR")),
        "revision": number(env!("CARGO_PKG_VERSION_PATCH")),
        "version": env!("CARGO_PKG_VERSION"),
    })
}

pub(super) fn summaries(
    about: Value,
    streams: &[StreamStatus],
    publishers: &PublisherTotals,
    viewers: &ViewerTotals,
) -> Value {
    json!({
        "ok": true,
        "now_ms": now_ms(),
        "self": about,
        "streams": streams.len(),
        "publishers": { "now": streams.iter().filter(|s| s.publication.is_some()).count(), "total": publishers.publications },
        "viewers": {
            "now": viewers.watching,
            "slow": viewers.slow,
            "waiting": viewers.waiting,
            "total": viewers.joined,
            "skips": viewers.skips,
        },
        "recv_bytes": publishers.bytes,
        "send_bytes": viewers.sent,
    })
}

/// `sending` is what its viewers are sent, in bits a second. Addresses are for operators.
pub(super) fn stream(status: &StreamStatus, sending: u64, is_operator: bool, history: bool) -> Value {
    let mut stream = json!({
        "id": stream_id(status),
        "live_ms": now_ms(),
        "clients": clients(status.viewers) + usize::from(status.publication.is_some()),
        "frames": status.video_frames,
        "audio_frames": status.audio_frames,
        "send_bytes": status.sent,
        "recv_bytes": status.bytes,
        "kbps": { "recv_10s": status.bitrate / 1000, "send_10s": sending / 1000 },
        "publish": { "active": status.publication.is_some(), "cid": status.publication.map(publisher_id) },
        "video": status.video_codec.as_ref().map(|codec| json!({
            "codec": codec,
            "width": status.size.map(|(width, _)| width),
            "height": status.size.map(|(_, height)| height),
        })),
        "audio": status.audio_codec.as_ref().map(|codec| json!({
            "codec": codec,
            "sample_rate": status.sample_rate,
            "channel": status.channels,
        })),
        "uptime": seconds(status.uptime),
        "frame_rate": rounded(status.frame_rate),
        "keyframe_interval": status.keyframe_interval.map(seconds),
        "longest_keyframe_interval": status.longest_keyframe_interval.map(seconds),
        "health": status.health.iter().map(health).collect::<Vec<_>>(),
        "resumes": status.resumes,
        "lost_ms": status.lost_for.map(|time| time.as_millis() as u64),
        "viewers": {
            "total": status.viewers.total(),
            "http_flv": status.viewers.http_flv,
            "websocket_flv": status.viewers.websocket_flv,
            "subscribers": status.viewers.subscribers,
        },
        "skips": status.skips,
    });
    add_name(&mut stream, &status.name);
    if history {
        stream["history"] = status.bitrate_history.iter().map(|bitrate| bitrate / 1000).collect();
    }
    if is_operator {
        stream["publisher"] = status.publisher.as_str().into();
        stream["ip"] = ip_of(&status.publisher).into();
    }
    stream
}

/// Who publishes a stream, unless it is lost.
pub(super) fn publisher(status: &StreamStatus) -> Option<Value> {
    let mut client = json!({
        "id": publisher_id(status.publication?),
        "stream": stream_id(status),
        "type": "rtmp-publish",
        "publish": true,
        "alive": status.publishing_for.map(seconds),
        "ip": ip_of(&status.publisher),
        "address": status.publisher,
        "protocol": "RTMP",
        "recv_bytes": status.bytes,
        "send_bytes": 0,
        "kbps": { "recv_10s": status.bitrate / 1000, "send_10s": 0 },
    });
    add_name(&mut client, &status.name);
    Some(client)
}

pub(super) fn viewer(status: &ViewerStatus, streams: &[StreamStatus]) -> Value {
    // They are in order of their names.
    let stream = streams.binary_search_by(|stream| stream.name.cmp(&status.stream)).ok();
    let (state, left) = match status.state {
        ViewerState::Waiting { left } => ("waiting", Some(left)),
        ViewerState::Watching => ("watching", None),
        ViewerState::Slow => ("slow", None),
    };
    let mut client = json!({
        "id": viewer_id(status.id),
        "stream": stream.map(|index| stream_id(&streams[index])),
        "type": match status.protocol {
            Protocol::HttpFlv => "flv-play",
            Protocol::WebSocketFlv => "ws-flv-play",
        },
        "publish": false,
        "alive": seconds(status.elapsed),
        "ip": ip_of(&status.peer),
        "address": status.peer,
        "protocol": status.protocol.to_string(),
        "recv_bytes": 0,
        "send_bytes": status.bytes,
        "kbps": { "recv_10s": 0, "send_10s": status.bitrate / 1000 },
        "state": state,
        "wait_left": left.map(seconds),
        "start": start(status.start),
        "wanted": status.wanted,
        "skips": status.skips,
        "behind_ms": status.behind.as_millis() as u64,
    });
    add_name(&mut client, &status.stream);
    client
}

fn stream_id(status: &StreamStatus) -> String {
    format!("s{}", status.id)
}

/// Viewers that the list of clients has; the program's own subscribers are none.
fn clients(viewers: ViewerCounts) -> usize {
    viewers.total() - viewers.subscribers
}

fn add_name(to: &mut Value, name: &StreamName) {
    let (app, stream) = split_name(name);
    to["app"] = app.into();
    to["name"] = stream.into();
    to["url"] = format!("/{}", name.as_str()).into();
    to["flv"] = play_path(name).into();
}

/// App and name. Which part an encoder called the app is not known: it is all but the last.
pub(in crate::http) fn split_name(name: &StreamName) -> (&str, &str) {
    name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()))
}

fn health(warning: &HealthWarning) -> Value {
    let kind = match warning {
        HealthWarning::KeyframeInterval { .. } => "keyframe_interval",
        HealthWarning::NoKeyframe { .. } => "no_keyframe",
        HealthWarning::Timestamps { .. } => "timestamps",
        HealthWarning::Drift { .. } => "drift",
        HealthWarning::BitrateCollapse { .. } => "bitrate_collapse",
        HealthWarning::NeverCame { .. } => "never_came",
        HealthWarning::FellSilent { .. } => "fell_silent",
    };
    json!({ "kind": kind, "text": warning.to_string() })
}

fn start(start: Start) -> &'static str {
    match start {
        Start::Gop => "gop",
        Start::Key => "key",
        Start::Live => "live",
        Start::First => "first",
    }
}

/// The address at the front of what the log calls a peer, without its port.
fn ip_of(peer: &str) -> Option<String> {
    let first = peer.split(' ').next()?;
    let ip = first.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| first.parse::<IpAddr>());
    ip.ok().map(|ip| ip.to_canonical().to_string())
}

pub(super) fn seconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64())
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_the_last_slash_and_escaped_in_paths_alone() {
        let named = |name: &str| {
            let mut value = json!({});
            add_name(&mut value, &StreamName::new(name, "").unwrap());
            ["app", "name", "url", "flv"].map(|key| value[key].as_str().unwrap().to_owned())
        };
        assert_eq!(named("live/cam1"), ["live", "cam1", "/live/cam1", "/live/cam1.flv"]);
        assert_eq!(named("a/b/c"), ["a/b", "c", "/a/b/c", "/a/b/c.flv"]);
        assert_eq!(named("cam1"), ["", "cam1", "/cam1", "/cam1.flv"]);
        assert_eq!(named(""), ["", "", "/", "/service/httpflv"]);
        let odd = named("live/<b>\"x\" 1%");
        assert_eq!(odd, ["live", "<b>\"x\" 1%", "/live/<b>\"x\" 1%", "/live/%3Cb%3E%22x%22%201%25.flv"]);
    }

    #[test]
    fn a_peers_ip_is_what_stands_in_front() {
        for (peer, ip) in [
            ("192.0.2.1:4711 (FMLE/3.0 (x))", Some("192.0.2.1")),
            ("[2001:db8::1]:80 via 10.0.0.1:4711", Some("2001:db8::1")),
            ("203.0.113.9 via 10.0.0.1:4711", Some("203.0.113.9")),
            ("[::ffff:192.0.2.1]:5", Some("192.0.2.1")),
            ("the program itself", None),
        ] {
            assert_eq!(ip_of(peer).as_deref(), ip, "{peer}");
        }
    }
}

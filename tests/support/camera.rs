//! A publisher of `live/cam1` with audio and video whose every frame a test sends itself.

use std::net::SocketAddr;
use std::ops::Range;

use super::numbered::SEQUENCE_HEADER;
use super::rtmp::{AUDIO, RtmpClient, VIDEO};

pub const PLAY: &str = "/live/cam1.flv";

/// Its message stream.
pub const STREAM: u32 = 1;

pub const AUDIO_HEADER: [u8; 4] = [0xAF, 0, 0x12, 0x10];

/// A publisher that has been let in, and has sent its headers.
#[track_caller]
pub fn start(server: SocketAddr) -> RtmpClient {
    try_start(server).expect("the server lets it in")
}

/// The same where that may be refused; says why.
pub fn try_start(server: SocketAddr) -> Result<RtmpClient, String> {
    let mut client = RtmpClient::try_connect(server).map_err(|error| error.to_string())?;
    assert_eq!(client.publish("live", "cam1")?, STREAM);
    send_headers(&mut client);
    Ok(client)
}

pub fn send_headers(client: &mut RtmpClient) {
    client.send(VIDEO, STREAM, 0, &SEQUENCE_HEADER);
    client.send(AUDIO, STREAM, 0, &AUDIO_HEADER);
}

/// Audio and video at 25 frames a second, with a keyframe each second.
pub fn send(client: &mut RtmpClient, frames: Range<u32>) {
    for frame in frames {
        let first = if frame.is_multiple_of(25) { 0x17 } else { 0x27 };
        client.send(AUDIO, STREAM, time_of(frame), &[0xAF, 1, 5, 5]);
        client.send(VIDEO, STREAM, time_of(frame), &[first, 1, 0, 0, 0, frame as u8, 2, 3]);
    }
}

pub fn time_of(frame: u32) -> u32 {
    frame * 40
}

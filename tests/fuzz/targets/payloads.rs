//! The heads of audio and video payloads, and tags.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmpd::flv::audio::AudioTagHeader;
use rtmpd::flv::{picture_size, sound_format};
use rtmpd::flv::tag::{put_tag, split_tag, tag_length};
use rtmpd::flv::video::VideoTagHeader;

fuzz_target!(|input: &[u8]| {
    if let Some(header) = AudioTagHeader::parse(input) {
        let _ = (header.is_sequence_header(), header.codec.name());
    }
    if let Some(header) = VideoTagHeader::parse(input) {
        let _ = (header.is_sequence_header(), header.codec.name());
    }
    for track in [0, 1] {
        if let Some((width, height)) = picture_size(input, track) {
            assert!(width > 0 && height > 0);
        }
        let _ = sound_format(input, track);
    }
    if let Some((kind, timestamp, body, rest)) = split_tag(input) {
        assert_eq!(tag_length(body.len()) + rest.len(), input.len());
        let mut tag = Vec::new();
        put_tag(&mut tag, kind, timestamp, body);
        assert_eq!(split_tag(&tag), Some((kind, timestamp, body, &[][..])));
    }
});

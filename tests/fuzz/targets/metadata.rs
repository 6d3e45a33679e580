//! Data messages: the script tag that is made of metadata can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmpd::amf0::{self, Amf0Error};
use rtmpd::flv::metadata::DataMessage;
use rtmpd::flv::tag::Tracks;

fuzz_target!(|input: &[u8]| match DataMessage::parse(input) {
    Some(DataMessage::Metadata(metadata)) => {
        let _ = metadata.announced();
        let tag = metadata.script_tag(Tracks { audio: true, video: false });
        match amf0::decode(&tag) {
            Ok(values) => assert_eq!(values.len(), 2),
            // The server's own values may be the ones too many.
            Err(error) => assert_eq!(error, Amf0Error::TooMany),
        }
    }
    Some(DataMessage::Other(body)) => assert!(input.ends_with(body)),
    _ => {}
});

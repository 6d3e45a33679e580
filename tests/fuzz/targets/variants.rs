//! Payloads in every variant: what browsers get is nothing that they would fail at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmpd::flv::variant::{Form, Shaped, Variant};
use rtmpd::media::PacketKind;

fuzz_target!(|input: &[u8]| {
    let [choice, track, payload @ ..] = input else { return };
    let form = [Form::Browser, Form::LegacyHevc, Form::Raw][usize::from(choice >> 2) % 3];
    let kind = [PacketKind::Video, PacketKind::Audio, PacketKind::Data][usize::from(choice & 3) % 3];
    let variant = Variant { form, video: Some(*track), audio: Some(*track) };
    let shaped = match variant.shape(kind, payload) {
        Shaped::Same => payload.to_vec(),
        Shaped::Changed(shaped) => {
            assert!(shaped.len() <= payload.len() + 8 || kind == PacketKind::Data, "it has grown");
            shaped
        }
        Shaped::Nothing => return,
    };
    if form != Form::Raw {
        match kind {
            PacketKind::Video => assert!(browsers_know_video(form, &shaped), "{shaped:02x?}"),
            PacketKind::Audio => assert!(browsers_know_audio(&shaped), "{shaped:02x?}"),
            PacketKind::Data => {}
        }
        let plain = Variant { form, video: Some(0), audio: Some(0) };
        assert_eq!(plain.shape(kind, &shaped), Shaped::Same, "what has been shaped stays so: {shaped:02x?}");
    }
});

fn browsers_know_video(form: Form, payload: &[u8]) -> bool {
    match payload {
        [first, b'h', b'v', b'c', b'1', ..] if first & 0x80 != 0 => form == Form::Browser && first & 0x0F <= 3,
        [first, b'a', b'v', b'0', b'1', ..] if first & 0x80 != 0 => first & 0x0F <= 2,
        [first, kind, _, _, _, ..] if first & 0x80 == 0 && *kind <= 2 => {
            first & 0x0F == 7 || (form == Form::LegacyHevc && first & 0x0F == 12)
        }
        _ => false,
    }
}

fn browsers_know_audio(payload: &[u8]) -> bool {
    match payload {
        [0x90 | 0x91, b'O', b'p', b'u', b's', ..] | [0x90 | 0x91, b'f', b'L', b'a', b'C', ..] => true,
        [first, ..] => matches!(first >> 4, 2 | 3 | 10),
        [] => false,
    }
}

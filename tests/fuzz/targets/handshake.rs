//! The handshake: an answer to the whole of C0 and C1 and to nothing less, the same however it arrives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmpd::rtmp::handshake::{Handshake, HandshakeError, PACKET_LENGTH, RANDOM_LENGTH};

fuzz_target!(|input: &[u8]| {
    let Some((&piece, input)) = input.split_first() else { return };
    let whole = shake(input, input.len().max(1));
    assert!(
        whole.1.len() == if whole.0.is_ok() && input.len() > PACKET_LENGTH { 1 + 2 * PACKET_LENGTH } else { 0 }
    );
    assert_eq!(shake(input, usize::from(piece) + 1), whole);
});

/// How the handshake ends, with the server's answer, and how many bytes behind it are left.
fn shake(input: &[u8], piece: usize) -> (Result<bool, HandshakeError>, Vec<u8>, usize) {
    let mut handshake = Handshake::new(Box::new([7; RANDOM_LENGTH]));
    let (mut output, mut left) = (Vec::new(), 0);
    let mut done = Ok(false);
    for mut bytes in input.chunks(piece) {
        if done == Ok(false) {
            done = handshake.read(&mut bytes, &mut output);
        }
        left += bytes.len();
    }
    let left = if done == Ok(true) { left } else { 0 };
    (done, output, left)
}

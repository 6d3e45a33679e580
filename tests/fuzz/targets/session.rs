//! Whole sessions behind the handshake, in arbitrary pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../support/session.rs"]
mod session;

fuzz_target!(|input: &[u8]| {
    let Some((&piece, input)) = input.split_first() else { return };
    let hello = session::hello();
    let whole = session::drive([&hello[..], input].into_iter());
    let pieces = session::drive([&hello[..]].into_iter().chain(input.chunks(usize::from(piece) + 1)));
    whole.assert_same(&pieces);
});

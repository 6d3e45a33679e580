//! AMF3 values: they become AMF0 ones within the bounds, and what stands behind them is found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmpd::amf0::{Decoder, MAX_AMF3_TEXT, MAX_VALUES, decode, encode};

/// What a value takes at the most in AMF0, beside its text: a number of 9 bytes, with the length of its key.
const VALUE: usize = 9 + 2 + 3;

fuzz_target!(|input: &[u8]| {
    let input = [&[0x11], input].concat();
    let mut decoder = Decoder::new(&input);
    let (mut bytes, mut count) = (Vec::new(), 0);
    while let Ok(Some(value)) = decoder.next_value() {
        encode(&value, &mut bytes);
        count += 1;
    }
    // Bytes that are no UTF-8 become three each.
    assert!(bytes.len() <= MAX_VALUES * VALUE + 3 * (MAX_AMF3_TEXT + input.len()));
    assert_eq!(decode(&bytes).map(|values| values.len()), Ok(count));
});

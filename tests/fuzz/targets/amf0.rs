//! AMF0: what can be decoded can be encoded, and comes back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmpd::amf0::{Value, decode, encode};

fuzz_target!(|input: &[u8]| {
    if let Ok(values) = decode(input) {
        let bytes = encoded(&values);
        // By their bytes, for a number may be NaN.
        assert_eq!(decode(&bytes).map(|values| encoded(&values)), Ok(bytes));
    }
});

fn encoded(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| encode(value, &mut bytes));
    bytes
}

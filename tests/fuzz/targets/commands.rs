//! Commands: what can be decoded can be encoded, and comes back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmpd::rtmp::command::Command;

fuzz_target!(|input: &[u8]| {
    if let Ok(command) = Command::decode(input) {
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).map(|command| command.encode()), Ok(bytes));
        let _ = command.text(0);
    }
});

//! HTTP requests: what the gate lets through is harmless, and has a route or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rtmpd::fuzz_request(input));

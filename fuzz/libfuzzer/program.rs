//! The source of every program here: bytes of libFuzzer to the target of the program's name.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::run(env!("CARGO_BIN_NAME"), data));

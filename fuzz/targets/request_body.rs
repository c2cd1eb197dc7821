//! See `request_body` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::request_body::run(data));

//! See `http2_heads` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::http2_heads::run(data));

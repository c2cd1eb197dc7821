//! See `forwarded` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::forwarded::run(data));

//! See `keys_yaml` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::keys_yaml::run(data));

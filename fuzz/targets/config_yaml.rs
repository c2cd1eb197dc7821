//! See `config_yaml` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::config_yaml::run(data));

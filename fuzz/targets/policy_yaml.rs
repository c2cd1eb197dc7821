//! See `policy_yaml` in `src/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::policy_yaml::run(data));

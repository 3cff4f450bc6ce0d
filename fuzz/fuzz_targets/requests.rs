#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| klamm_fuzz_targets::requests::run(data));

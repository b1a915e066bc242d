#![no_main]

#[path = "../../crates/milepost/tests/hostile/target.rs"]
#[allow(dead_code)]
mod target;


libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(fault) = target::url(bytes) {
        panic!("{fault}");
    }
});

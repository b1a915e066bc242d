#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(fault) = milepost_testkit::hostile::targets::probe(bytes) {
        panic!("{fault}");
    }
});

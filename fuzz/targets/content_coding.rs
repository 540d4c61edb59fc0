#![no_main]

use dynamometer_fuzz::entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::content_coding(bytes));

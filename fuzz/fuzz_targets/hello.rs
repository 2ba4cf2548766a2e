//! A hello of any bytes is refused, or wanting, or says what its own encoding says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinwire::wire::{HELLO_LEN, Hello};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((hello, len))) = Hello::parse(bytes) {
        assert!((HELLO_LEN..=bytes.len()).contains(&len));
        let sent = hello.encode();
        assert_eq!(Hello::parse(&sent), Ok(Some((hello, sent.len()))));
        for cut in 0..len {
            assert_eq!(Hello::parse(&bytes[..cut]), Ok(None));
        }
    }
});

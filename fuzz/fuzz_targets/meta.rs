//! Meta of any bytes is refused, or is one map that is the same after it was sent on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinwire::wire::meta;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = meta::decode(bytes) else { return };
    assert!(value.is_map() || (value.is_nil() && bytes.is_empty()));
    let mut sent = Vec::new();
    meta::encode(&value, &mut sent);
    let back = meta::decode(&sent).expect("what was taken can be sent");
    // By its bytes: a NaN is not equal to itself.
    let mut again = Vec::new();
    meta::encode(&back, &mut again);
    assert_eq!(again, sent);
});

//! A header of any bytes is refused, or wanting, or can be sent on as it came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinwire::wire::{Header, Parsed};

fuzz_target!(|bytes: &[u8]| {
    match Header::parse(bytes) {
        Err(_) => {}
        Ok(Parsed::Needs(needed)) => assert!(needed > bytes.len()),
        Ok(Parsed::Header(header, len)) => {
            assert!(len <= bytes.len());
            let mut sent = Vec::new();
            header.encode(&mut sent).expect("what was taken can be sent");
            let Ok(Parsed::Header(back, sent_len)) = Header::parse(&sent) else {
                panic!("what is sent is not parsed: {header:?}");
            };
            assert_eq!(sent_len, sent.len());
            assert_eq!(
                (back.kind, &back.parts, back.payload, &back.by_link),
                (header.kind, &header.parts, header.payload, &header.by_link)
            );
            // Meta by its bytes: a NaN is not equal to itself.
            let mut again = Vec::new();
            back.encode(&mut again).expect("it was sent before");
            assert_eq!(again, sent);
        }
        Ok(Parsed::Invitation(invitation, len)) => assert_eq!(invitation.encode(), bytes[..len]),
    }
});

//! What is read and heard by a link: packets of any bytes, and the record of an offer behind the
//! header that it belongs to. Nothing is taken but just the bytes of the parts that are offered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinwire::wire::{Answer, Board, Header, Join, MAX_RUNS, Offer, Parsed, Welcome};

fuzz_target!(|bytes: &[u8]| {
    packets(bytes);
    let Ok(Parsed::Header(header, len)) = Header::parse(bytes) else { return };
    let Some(by_link) = &header.by_link else { return };
    let record = &bytes[len..];
    let Ok(offer) = Offer::parse(record, &header.parts, by_link) else { return };
    assert_eq!(offer.encode(), record);
    assert!(offer.runs.len() as u64 <= MAX_RUNS);
    let mut runs = offer.runs.iter();
    for ((part, &count), &is_offered) in header.parts.iter().zip(&offer.counts).zip(&by_link.parts)
    {
        let mut total = 0;
        for run in runs.by_ref().take(count as usize) {
            assert!(run.len > 0 && run.address.checked_add(run.len).is_some());
            total += run.len;
        }
        assert_eq!(total, if is_offered { part.nbytes().unwrap() } else { 0 });
    }
    assert!(runs.next().is_none());
});

fn packets(bytes: &[u8]) {
    if let Some(answer) = bytes.first_chunk().and_then(Answer::parse) {
        assert_eq!(Answer::parse(&answer.encode()), Some(answer));
    }
    if let Some(packet) = bytes.first_chunk() {
        let join = Join::parse(packet);
        assert_eq!(Join::parse(&join.encode()), join);
    }
    if let Some(packet) = bytes.first_chunk() {
        assert_eq!(Welcome::parse(packet).encode(), *packet);
    }
    if let Some(shown) = bytes.first_chunk() {
        let Board { nonce, .. } = Board::parse(shown);
        assert_eq!(nonce, shown[..32]);
    }
}

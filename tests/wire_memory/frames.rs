//! The seeds of the fuzzers, good and bad frames, cut everywhere and with every byte exchanged.

use std::fs;
use std::path::Path;

use pinwire::wire::meta::MAX_DEPTH;
use pinwire::wire::{
    ANSWER_LEN, Answer, HELLO_LEN, Header, Hello, Limits, MAX_NDIM, MAX_RUNS, Offer, PREFIX_LEN,
    Parsed, Verdict, WireError,
};
use rmpv::Value;

use super::{allowed, measured};

/// The longest frame that can be announced: all of a header, and ways of all parts there may be.
const LONGEST: u64 = PREFIX_LEN as u64 + 8 + Limits::PARTS + Limits::DESCRIPTIONS + Limits::META;

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let seeds: Vec<_> = fs::read_dir(corpus)
        .unwrap()
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
        })
        .collect();
    assert!(seeds.len() > 7, "the seeds were not found");
    seeds
}

fn depth(value: &Value) -> usize {
    let items: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Map(entries) => Box::new(entries.iter().map(|(_, value)| value)),
        _ => return 0,
    };
    1 + items.map(depth).max().unwrap_or(0)
}

/// Parse it, which takes no memory but for what has come, and gives nothing over a limit.
fn parse(bytes: &[u8]) -> Result<Parsed, WireError> {
    let (parsed, peak) = measured(|| Header::parse(bytes));
    assert!(peak <= allowed(bytes.len()), "{peak} for {}", bytes.len());
    match &parsed {
        Ok(Parsed::Needs(needed)) => {
            assert!((bytes.len() as u64 + 1..=LONGEST).contains(&(*needed as u64)));
            assert_eq!(peak, 0, "for what has only been announced");
        }
        Ok(Parsed::Header(header, len)) => {
            assert!(*len <= bytes.len() && header.parts.len() as u64 <= Limits::PARTS);
            assert!(header.parts.iter().all(|part| part.shape.len() <= MAX_NDIM));
            assert!(depth(&header.meta) <= MAX_DEPTH + 1);
            let nbytes: u64 = header.parts.iter().map(|part| part.nbytes().unwrap()).sum();
            assert!(header.payload == nbytes && i64::try_from(nbytes).is_ok());
            if let Some(by_link) = &header.by_link {
                assert!(by_link.number != 0 && by_link.parts.len() == header.parts.len());
                assert!(by_link.inline(&header.parts) <= nbytes);
            }
        }
        Ok(Parsed::Invitation(_, len)) => assert!(*len <= bytes.len()),
        Err(_) => {}
    }
    parsed
}

fn parse_hello(bytes: &[u8]) -> Result<Option<(Hello, usize)>, WireError> {
    let (parsed, peak) = measured(|| Hello::parse(bytes));
    assert_eq!(peak, 0, "a hello takes no memory");
    if let Ok(Some((_, len))) = parsed {
        assert!((HELLO_LEN..=bytes.len()).contains(&len));
    }
    parsed
}

/// Bytes of a frame from which on not every value is tried for every byte.
const LONG: usize = 200;

/// Everything that is this but for one byte; of long frames all that differ in one bit or in all,
/// and under Miri only these.
fn exchanged(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let is_long = cfg!(miri) || bytes.len() >= LONG;
    let is_tried = move |change: &u8| !is_long || change.is_power_of_two() || *change == 255;
    let changes = move || (1..=255u8).filter(is_tried);
    let others = (0..bytes.len()).flat_map(move |at| changes().map(move |change| (at, change)));
    others.map(|(at, change)| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= change;
        bytes
    })
}

#[test]
fn header_when_it_is_cut_anywhere_then_more_is_needed_or_it_is_refused_for_good() {
    for (name, bytes) in seeds("header") {
        let whole = parse(&bytes);
        let mut refused = None;
        for come in 0..bytes.len() {
            match (parse(&bytes[..come]), &refused) {
                (Ok(Parsed::Needs(_)), None) => assert!(come < bytes.len(), "{name}"),
                (Ok(Parsed::Needs(needed)), Some(_)) => panic!("{name}: {needed} mend nothing"),
                (Err(error), _) => {
                    assert!(whole.is_err(), "{name}: {error}, of a good frame");
                    refused = Some(error);
                }
                // One whose own end is before that of the file.
                (Ok(parsed), _) => assert_eq!(Ok(parsed), whole, "{name}"),
            }
        }
        assert!(refused.is_none() || refused == whole.err(), "{name}: for another reason");
    }
}

#[test]
fn header_when_any_byte_is_another_then_it_is_refused_or_within_the_limits() {
    let (mut taken, mut refused, mut cut) = (0, 0, 0);
    for (_, bytes) in seeds("header") {
        for other in exchanged(&bytes) {
            match parse(&other) {
                Ok(Parsed::Needs(_)) => cut += 1,
                Ok(_) => taken += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(taken > 1000 && refused > 1000 && cut > 1000, "{taken} {refused} {cut}");
}

#[test]
fn hello_when_it_is_cut_or_any_byte_is_another_then_it_takes_no_memory_and_nothing_panics() {
    let (mut taken, mut refused) = (0, 0);
    for (name, bytes) in seeds("hello") {
        let whole = parse_hello(&bytes);
        for come in 0..bytes.len() {
            match parse_hello(&bytes[..come]) {
                Ok(None) => {}
                Err(_) => assert!(whole.is_err(), "{name}"),
                Ok(Some(hello)) => assert_eq!(whole, Ok(Some(hello)), "{name}"),
            }
        }
        for other in exchanged(&bytes) {
            match parse_hello(&other) {
                Ok(_) => taken += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} {refused}");
}

#[test]
fn answer_when_any_byte_is_another_then_it_means_nothing_or_what_it_says() {
    let verdicts = [Verdict::Done, Verdict::Progress(1 << 40), Verdict::Unreadable(14)];
    for verdict in verdicts {
        let answer = Answer { number: 7, verdict };
        for other in exchanged(&answer.encode()) {
            let other: [u8; ANSWER_LEN] = other.try_into().unwrap();
            let (parsed, peak) = measured(|| Answer::parse(&other));
            assert_eq!(peak, 0);
            // What is done has no number beside it, so one that is there does not come back.
            if let Some(answer) = parsed {
                let len = if answer.verdict == Verdict::Done { 16 } else { ANSWER_LEN };
                assert_eq!(answer.encode()[..len], other[..len]);
            }
        }
    }
}

#[test]
fn record_when_any_byte_is_another_then_it_is_refused_or_has_just_the_bytes_of_its_parts() {
    let (mut taken, mut refused) = (0, 0);
    for (name, seed) in seeds("link") {
        let Ok(Parsed::Header(header, len)) = Header::parse(&seed) else { panic!("{name}") };
        for record in exchanged(&seed[len..]) {
            let by_link = header.by_link.as_ref().unwrap();
            let parse = || Offer::parse(&record, &header.parts, by_link);
            let (parsed, peak) = measured(parse);
            assert!(peak <= allowed(record.len()), "{peak} for {}", record.len());
            let Ok(offer) = parsed else {
                refused += 1;
                continue;
            };
            taken += 1;
            assert!(offer.runs.len() as u64 <= MAX_RUNS);
            let total: u64 = offer.runs.iter().map(|run| run.len).sum();
            assert_eq!(total, header.payload - by_link.inline(&header.parts), "{name}");
            assert!(offer.runs.iter().all(|run| run.address.checked_add(run.len).is_some()));
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} {refused}");
}

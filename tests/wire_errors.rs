//! What no well-behaved peer sends: each is told from the others, and none costs memory.
//!
//! The same frames are the seeds of the fuzzers; `PINWIRE_WRITE_CORPUS=1` writes them anew.

use std::path::Path;
use std::{env, fs};

use pinwire::wire::{
    ByLink, HELLO_LEN, Header, Hello, MAX_NDIM, Offer, PREFIX_LEN, Parsed, VERSION, WireError,
};

const MEBI: u32 = 1024 * 1024;

/// A header from its parts, which may lie.
struct Frame {
    kind: u8,
    flags: [u8; 3],
    parts: u32,
    descriptions: Vec<u8>,
    meta: Vec<u8>,
    payload: u64,
}

impl Frame {
    fn new() -> Frame {
        let (descriptions, meta) = (Vec::new(), Vec::new());
        Frame { kind: 1, flags: [0; 3], parts: 0, descriptions, meta, payload: 0 }
    }

    fn kind(kind: u8, flags: [u8; 3]) -> Vec<u8> {
        Frame { kind, flags, ..Frame::new() }.bytes()
    }

    fn parts(parts: u32, descriptions: &[&[u8]], payload: u64) -> Vec<u8> {
        Frame { parts, descriptions: descriptions.concat(), payload, ..Frame::new() }.bytes()
    }

    fn meta(meta: &[u8]) -> Vec<u8> {
        Frame { meta: meta.to_vec(), ..Frame::new() }.bytes()
    }

    fn bytes(self) -> Vec<u8> {
        let lens = [self.descriptions.len() as u32, self.meta.len() as u32];
        let mut bytes = prefix(self.kind, self.flags, [self.parts, lens[0], lens[1]]);
        bytes[16..].copy_from_slice(&self.payload.to_le_bytes());
        [bytes, self.descriptions, self.meta].concat()
    }
}

/// A header of 40 bytes of floats and of none, which come in these ways.
fn offering(number: u64, ways: [u8; 2]) -> Vec<u8> {
    let parts = [floats(&[5]), floats(&[0])].concat();
    let mut bytes = prefix(1, [1, 0, 0], [2, parts.len() as u32, 0]);
    bytes[16..].copy_from_slice(&40u64.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(ways);
    bytes.extend(parts);
    bytes
}

/// The record of an offer.
fn record(counts: &[u64], runs: &[[u64; 2]]) -> Vec<u8> {
    let numbers = counts.iter().chain(runs.iter().flatten());
    numbers.flat_map(|number| number.to_ne_bytes()).collect()
}

/// An invitation of so many bytes.
fn invitation(len: usize) -> Vec<u8> {
    let mut bytes = prefix(3, [0; 3], [0, 0, len as u32]);
    bytes.resize(PREFIX_LEN + len, 7);
    bytes
}

/// A prefix with nothing behind it: numbers of parts, of bytes of descriptions and of meta.
fn prefix(kind: u8, flags: [u8; 3], announced: [u32; 3]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(flags);
    bytes.extend(announced.map(u32::to_le_bytes).concat());
    bytes.extend([0; 8]);
    bytes
}

fn part(itemsize: u32, order: u8, dtype: &[u8], shape: &[u64]) -> Vec<u8> {
    let mut bytes = itemsize.to_le_bytes().to_vec();
    bytes.extend([order, shape.len() as u8]);
    bytes.extend((dtype.len() as u16).to_le_bytes());
    bytes.extend(dtype);
    bytes.extend(shape.iter().flat_map(|extent| extent.to_le_bytes()));
    bytes
}

fn floats(shape: &[u64]) -> Vec<u8> {
    part(8, b'C', b"<f8", shape)
}

fn hello(lowest: u8, highest: u8, extensions: u16) -> Vec<u8> {
    let mut bytes = b"\x89PWIRE\r\n".to_vec();
    bytes.extend([lowest, highest]);
    bytes.extend(extensions.to_le_bytes());
    bytes.resize(HELLO_LEN, 0xff);
    bytes
}

fn too_much(what: &'static str, announced: u64, limit: u64) -> WireError {
    WireError::TooMuch { what, announced, limit }
}

fn good_headers() -> Vec<(&'static str, Vec<u8>)> {
    let structure = br#"{"names":["a"],"formats":["<f8"],"offsets":[0],"itemsize":8}"#;
    let several = [
        floats(&[2, 3]),
        part(2, b'F', b"bfloat16", &[4, 4, 0]),
        part(0, b'C', b"|V0", &[9]),
        part(8, b'C', structure, &[]),
    ];
    let several = several.each_ref().map(|part| &part[..]);
    vec![
        ("good-empty", Frame::kind(1, [0; 3])),
        ("good-object", Frame { kind: 2, parts: 1, descriptions: part(1, b'C', b"|u1", &[0]), ..Frame::new() }.bytes()),
        ("good-several", Frame::parts(4, &several, 56)),
        ("good-offer", offering(7, [1, 0])),
        ("good-64-dimensions", Frame::parts(1, &[&floats(&[1; MAX_NDIM])], 8)),
        ("good-meta", Frame::meta(b"\x84\xa1a\xcb\x7f\xf8\0\0\0\0\0\0\x01\x92\xc2\xc0\xd3\xff\xff\xff\xff\0\0\0\0\xc4\x01x\xca\0\0\0\0\x80")),
    ]
}

fn bad_headers() -> Vec<(&'static str, Vec<u8>, WireError)> {
    use WireError::Nonsense;
    let cut = Nonsense("a description ends in the middle");
    let large = Nonsense("an array larger than any memory");
    let sum = Nonsense("the parts do not make up the payload");
    let no_map = Nonsense("meta that is not one map");
    let undecodable = Nonsense("meta that is no MessagePack");
    let deep = Nonsense("meta that nests too deep");
    let (no_utf8, ext) = (Nonsense("meta that is no UTF-8"), Nonsense("meta with extension types"));
    let key = Nonsense("meta with a container as a key");
    let largest = i64::MAX as u64;
    let five = floats(&[5]);
    let nested = |lists: usize| [&b"\x81\x01"[..], &vec![0x91; lists - 1], b"\x90"].concat();
    vec![
        ("kind", Frame::kind(4, [0; 3]), Nonsense("a message of an unknown kind")),
        ("offer-no-number", offering(0, [1, 0]), Nonsense("an offer without a number")),
        ("offer-way", offering(1, [1, 2]), Nonsense("a part that comes by no known way")),
        ("invitation-short", invitation(47), Nonsense("an invitation of another length")),
        ("invitation-long", invitation(49), Nonsense("an invitation of another length")),
        (
            "invitation-flags",
            prefix(3, [1, 0, 0], [0, 0, 48]),
            Nonsense("an invitation with a payload"),
        ),
        (
            "invitation-parts",
            prefix(3, [0; 3], [1, 0, 48]),
            Nonsense("an invitation with a payload"),
        ),
        (
            "object-of-floats",
            Frame { kind: 2, parts: 1, descriptions: floats(&[0]), ..Frame::new() }.bytes(),
            Nonsense("an object of something else than bytes"),
        ),
        ("no-pickle", Frame::kind(2, [0; 3]), Nonsense("an object without its pickle")),
        ("flags", Frame::kind(1, [0, 0, 128]), Nonsense("flags that this version does not know")),
        ("parts", prefix(1, [0; 3], [65537, 0, 0]), too_much("parts", 65537, 65536)),
        (
            "descriptions",
            prefix(1, [0; 3], [1, 4 * MEBI + 1, 0]),
            too_much("bytes of descriptions", 4194305, 4194304),
        ),
        ("meta", prefix(1, [0; 3], [0, 0, 65537]), too_much("bytes of meta", 65537, 65536)),
        ("part-missing", Frame::parts(2, &[&five], 40), cut.clone()),
        ("parts-of-nothing", Frame::parts(65536, &[], 0), cut.clone()),
        ("dtype-cut", Frame::parts(1, &[&part(8, b'C', b"<f8", &[])[..10]], 8), cut.clone()),
        ("shape-cut", Frame::parts(1, &[&five[..18]], 40), cut),
        (
            "bytes-behind",
            Frame::parts(1, &[&five, b"x"], 40),
            Nonsense("bytes are left behind the last description"),
        ),
        (
            "order",
            Frame::parts(1, &[&part(8, b'A', b"<f8", &[5])], 40),
            Nonsense("an order that is neither C nor F"),
        ),
        (
            "dimensions",
            Frame::parts(1, &[&floats(&[1; 65])], 8),
            too_much("dimensions of an array", 65, 64),
        ),
        (
            "dtype-text",
            Frame::parts(1, &[b"\x08\0\0\0C\0\x01\x40"], 8),
            too_much("bytes of a dtype's text", 16385, 16384),
        ),
        ("product-overflows", Frame::parts(1, &[&floats(&[1 << 32, 1 << 32])], 0), large.clone()),
        (
            "items-of-nothing",
            Frame::parts(1, &[&part(0, b'C', b"|V0", &[1 << 62, 2])], 0),
            large.clone(),
        ),
        ("items-overflow", Frame::parts(1, &[&floats(&[1 << 61])], 1 << 61), large.clone()),
        ("zero-excuses-nothing", Frame::parts(1, &[&floats(&[0, 1 << 63])], 0), large),
        ("payload-more", Frame::parts(1, &[&five], 41), sum.clone()),
        ("payload-less", Frame::parts(1, &[&five], 39), sum.clone()),
        ("payload-of-nothing", Frame::parts(0, &[], u64::MAX), sum),
        (
            "sum-overflows",
            Frame::parts(2, &[&part(1, b'C', b"|u1", &[largest]), &five], largest),
            Nonsense("arrays larger than any memory"),
        ),
        ("meta-list", Frame::meta(b"\x91\x01"), no_map.clone()),
        ("meta-nil", Frame::meta(b"\xc0"), no_map.clone()),
        ("meta-two", Frame::meta(b"\x80\x80"), no_map),
        ("meta-cut", Frame::meta(b"\x81\x01"), undecodable.clone()),
        ("meta-lying-list", Frame::meta(b"\x81\x01\xdd\xff\xff\xff\xff\x01"), undecodable.clone()),
        ("meta-lying-bytes", Frame::meta(b"\x81\x01\xc6\xff\xff\xff\xff\x01"), undecodable),
        ("meta-deep", Frame::meta(&nested(17)), deep.clone()),
        (
            "meta-deep-value",
            Frame::meta(&[&b"\x81\x01"[..], &[0x91; 16], b"\x01"].concat()),
            deep.clone(),
        ),
        ("meta-bomb", Frame::meta(&nested(60_000)), deep),
        ("meta-utf8", Frame::meta(b"\x81\x01\xa2\xc3\x28"), no_utf8.clone()),
        ("meta-key-utf8", Frame::meta(b"\x81\x01\x81\xa1\xff\x01"), no_utf8),
        ("meta-ext", Frame::meta(b"\x81\x01\x91\xd4\x01\x00"), ext.clone()),
        ("meta-key-ext", Frame::meta(b"\x81\xd6\xff\0\0\0\0\x01"), ext),
        ("meta-key-list", Frame::meta(b"\x81\x90\x01"), key.clone()),
        ("meta-key-map", Frame::meta(b"\x81\x01\x81\x80\x01"), key),
    ]
}

fn good_hellos() -> Vec<(&'static str, Vec<u8>)> {
    let unknown = extended(&[2, 0, 3, 0, 1, 2, 3, 9, 9, 0, 0]);
    let host = extended(&[&[1, 0, 24, 0][..], &[7; 24]].concat());
    vec![("good", hello(VERSION, VERSION, 0)), ("good-extended", unknown), ("good-host", host)]
}

fn extended(extensions: &[u8]) -> Vec<u8> {
    [hello(VERSION, VERSION, extensions.len() as u16), extensions.to_vec()].concat()
}

fn bad_hellos() -> Vec<(&'static str, Vec<u8>, WireError)> {
    let version = |lowest, highest| WireError::Version { lowest, highest, ours: VERSION };
    let extensions = too_much("bytes of extensions", 4097, 4096);
    let cut = WireError::Nonsense("an extension ends in the middle");
    vec![
        ("http", b"GET / HTTP/1.1\r\n\r\n".to_vec(), WireError::NotPinwire),
        ("tls", b"\x16\x03\x01\x02\0\x01".to_vec(), WireError::NotPinwire),
        ("text-mode", b"\x89PWIRE\n".to_vec(), WireError::NotPinwire),
        ("newer", hello(VERSION + 1, 255, 0), version(VERSION + 1, 255)),
        ("extensions", hello(VERSION, VERSION, 4097), extensions),
        ("extension-head-cut", extended(&[2, 0, 0]), cut.clone()),
        ("extension-cut", extended(&[2, 0, 3, 0, 1, 2]), cut),
        (
            "host-short",
            extended(&[&[1, 0, 23, 0][..], &[7; 23]].concat()),
            WireError::Nonsense("a host of another length"),
        ),
    ]
}

#[test]
fn a_bad_header_is_refused_for_what_it_is() {
    for (name, bytes, error) in bad_headers() {
        assert_eq!(Header::parse(&bytes), Err(error), "{name}");
    }
}

#[test]
fn a_good_header_is_taken() {
    for (name, bytes) in good_headers() {
        let parsed = Header::parse(&bytes);
        let all = bytes.len();
        assert!(matches!(parsed, Ok(Parsed::Header(_, len)) if len == all), "{name}: {parsed:?}");
    }
}

#[test]
fn a_good_invitation_is_taken() {
    let bytes = invitation(48);
    assert!(matches!(Header::parse(&bytes), Ok(Parsed::Invitation(_, len)) if len == bytes.len()));
}

#[test]
fn limits_are_what_is_allowed() {
    let announced = prefix(1, [0; 3], [65536, 4 * MEBI, 65536]);
    let len = PREFIX_LEN + 4 * MEBI as usize + 65536;
    assert_eq!(Header::parse(&announced), Ok(Parsed::Needs(len)));
}

#[test]
fn a_bad_hello_is_refused_for_what_it_is() {
    for (name, bytes, error) in bad_hellos() {
        assert_eq!(Hello::parse(&bytes), Err(error), "{name}");
    }
}

#[test]
fn a_good_hello_is_taken() {
    for (name, bytes) in good_hellos() {
        let parsed = Hello::parse(&bytes);
        assert!(matches!(parsed, Ok(Some((_, len))) if len == bytes.len()), "{name}: {parsed:?}");
    }
}

#[test]
fn another_protocol_is_known_by_its_first_wrong_byte() {
    let good = hello(VERSION, VERSION, 0);
    for at in 0..8 {
        let mut bytes = good[..=at].to_vec();
        assert_eq!(Hello::parse(&bytes), Ok(None));
        bytes[at] ^= 1;
        assert_eq!(Hello::parse(&bytes), Err(WireError::NotPinwire));
    }
}

#[test]
fn errors_say_what_is_wrong_in_words() {
    let version = WireError::Version { lowest: 2, highest: 3, ours: 1 };
    for (error, text) in [
        (
            WireError::NotPinwire,
            "the peer does not speak pinwire: its first bytes are not those of a hello",
        ),
        (
            version,
            "the peer speaks versions 2 to 3 of the wire format, this end speaks 1: upgrade the older of the two",
        ),
        (too_much("parts", 65537, 65536), "the peer announces 65537 parts, and 65536 is the limit"),
        (WireError::Nonsense("x"), "the peer sends a frame that makes no sense: x"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn the_seeds_of_the_fuzzers_are_these_frames() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let good = [good_headers(), vec![("good-invitation", invitation(48))]].concat();
    let headers = seeds("header", good, bad_headers());
    for (target, name, bytes) in
        [headers, seeds("hello", good_hellos(), bad_hellos()), links()].concat()
    {
        let path = corpus.join(target).join(name);
        if env::var_os("PINWIRE_WRITE_CORPUS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "{}", path.display());
    }
}

/// Records of an offer whose header is `offering(1, [1, 0])`.
fn records() -> Vec<(&'static str, Vec<u8>, Option<WireError>)> {
    use WireError::Nonsense;
    let length = || Some(Nonsense("an offer of another length"));
    let runs = || Some(Nonsense("runs that do not make up their part"));
    let missing = || Some(Nonsense("more runs than there are"));
    let other = Nonsense("an offer of a part that does not come by the link");
    let many = too_much("runs of memory", 65537, 65536);
    vec![
        ("good", record(&[1, 0], &[[1 << 40, 40]]), None),
        ("good-pieces", record(&[2, 0], &[[9, 39], [u64::MAX - 1, 1]]), None),
        ("less", record(&[2, 0], &[[9, 20], [9, 19]]), runs()),
        ("more", record(&[1, 0], &[[9, 41]]), runs()),
        ("empty-run", record(&[2, 0], &[[9, 40], [9, 0]]), runs()),
        ("overflows", record(&[2, 0], &[[9, 41], [9, u64::MAX]]), runs()),
        ("beyond-memory", record(&[1, 0], &[[u64::MAX - 9, 40]]), runs()),
        ("nothing", record(&[0, 0], &[]), runs()),
        ("too-few", record(&[2, 0], &[[9, 40]]), missing()),
        ("count-of-all", record(&[u64::MAX, 0], &[[9, 40]]), missing()),
        ("of-no-part", record(&[1, 0], &[[9, 40], [9, 1]]), Some(Nonsense("runs of no part"))),
        ("another-part", record(&[1, 1], &[[9, 40], [9, 1]]), Some(other)),
        ("short", record(&[1], &[]), length()),
        ("cut", record(&[1, 0], &[[9, 40]])[..31].to_vec(), length()),
        ("too-many", record(&[1, 0], &[[9, 1]; 65537]), Some(many)),
    ]
}

#[test]
fn a_record_is_taken_or_refused_for_what_it_is() {
    let Ok(Parsed::Header(header, _)) = Header::parse(&offering(1, [1, 0])) else { panic!() };
    let by_link = header.by_link.unwrap();
    for (name, record, error) in records() {
        let parsed = Offer::parse(&record, &header.parts, &by_link);
        assert_eq!(parsed.err(), error, "{name}");
    }
    let other = ByLink { number: 1, parts: [true].into_iter().collect() };
    let parsed = Offer::parse(&record(&[1, 0], &[[9, 40]]), &header.parts, &other);
    assert_eq!(parsed, Err(WireError::Nonsense("an offer of another length")));
}

/// Headers with the records that are read for them.
fn links() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let small = records().into_iter().filter(|(_, record, _)| record.len() < 1000);
    let seed = |record: Vec<u8>| [offering(1, [1, 0]), record].concat();
    small.map(|(name, record, _)| ("link", name, seed(record))).collect()
}

/// All that is good, and one for each error.
fn seeds(
    target: &'static str,
    good: Vec<(&'static str, Vec<u8>)>,
    bad: Vec<(&'static str, Vec<u8>, WireError)>,
) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut seen = Vec::new();
    let mut seeds: Vec<_> = good.into_iter().map(|(name, bytes)| (target, name, bytes)).collect();
    for (name, bytes, error) in bad {
        if !seen.contains(&error) {
            seen.push(error);
            seeds.push((target, name, bytes));
        }
    }
    seeds
}

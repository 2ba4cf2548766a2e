//! Frames: what is encoded comes back, in whatever pieces it comes, and nothing else does harm.

use pinwire::wire::meta::MAX_DEPTH;
use pinwire::wire::{
    Flags, HELLO_LEN, Header, Hello, Kind, MAX_NDIM, Order, PREFIX_LEN, Parsed, Part, VERSION,
};
use proptest::prelude::*;
use rmpv::Value;
use smallvec::SmallVec;

fn hello() -> impl Strategy<Value = Hello> {
    (0..=VERSION, VERSION..=255, any::<u32>(), any::<u64>()).prop_map(
        |(lowest, highest, flags, max_message_bytes)| Hello {
            lowest,
            highest,
            flags: Flags(flags),
            max_message_bytes,
        },
    )
}

/// Arrays of every dimension, many without an item, some as large as memory can be.
fn part() -> impl Strategy<Value = Part> {
    let dtype = prop_oneof![
        Just(b"<f8".to_vec()),
        Just(b"bfloat16".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let extent = prop_oneof![6 => 0u64..4, 2 => Just(1), 1 => 0..=i64::MAX as u64];
    let shape = prop_oneof![
        9 => prop::collection::vec(extent.clone(), 0..6),
        1 => prop::collection::vec(extent, 0..=MAX_NDIM),
    ];
    let order = prop_oneof![Just(Order::C), Just(Order::F)];
    let itemsize = prop_oneof![0u32..20, any::<u32>()];
    let part = (dtype, itemsize, order, shape).prop_map(|(dtype, itemsize, order, shape)| Part {
        dtype: dtype.into(),
        itemsize,
        order,
        shape: shape.into(),
    });
    part.prop_filter("no memory is that large", |part| part.check().is_ok())
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f32>().prop_map(Value::F32),
        any::<f64>().prop_map(Value::F64),
        any::<String>().prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::from),
    ]
}

fn map_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec((scalar(), value), 0..5).prop_map(Value::Map)
}

fn meta() -> impl Strategy<Value = Value> {
    let value = scalar().prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            map_of(inner),
        ]
    });
    prop_oneof![Just(Value::Nil), map_of(value)]
}

fn header() -> impl Strategy<Value = Header> {
    let kind = prop_oneof![Just(Kind::Arrays), Just(Kind::Object)];
    let header = (kind, prop::collection::vec(part(), 0..5), meta());
    header.prop_filter_map("no memory is that large", |(kind, parts, meta)| {
        Header::new(kind, parts.into(), meta).ok()
    })
}

fn encoded(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode(&mut bytes).unwrap();
    bytes
}

/// What a reader sees who asks again after every byte, never told to wait for too much.
fn fed<T>(bytes: &[u8], parse: impl Fn(&[u8]) -> Result<T, usize>) -> T {
    let mut last = 0;
    for come in 0..bytes.len() {
        let needed = parse(&bytes[..come]).map(drop).expect_err("it has not all come");
        assert!(needed > come, "{come} have come, and {needed} are enough");
        assert!(needed >= last, "first {last} are needed, then {needed}");
        assert!(needed <= bytes.len(), "{needed} are needed of {}", bytes.len());
        last = needed;
    }
    parse(bytes).unwrap_or_else(|needed| panic!("all has come, and {needed} are needed"))
}

fn parse_header(bytes: &[u8]) -> Result<(Header, usize), usize> {
    match Header::parse(bytes).unwrap() {
        Parsed::Needs(needed) => Err(needed),
        Parsed::Header(header, len) => Ok((header, len)),
    }
}

/// What parses can be sent on, and is the same then.
fn check_sent_on(bytes: &[u8]) {
    if let Ok(Parsed::Header(header, _)) = Header::parse(bytes) {
        let again = encoded(&header);
        let (back, len) = parse_header(&again).unwrap();
        // By their bytes: a NaN in meta is not equal to itself.
        assert_eq!((encoded(&back), len), (again.clone(), again.len()));
        assert_eq!((back.kind, back.parts), (header.kind, header.parts));
    }
    if let Ok(Some((hello, _))) = Hello::parse(bytes) {
        assert_eq!(Hello::parse(&hello.encode()), Ok(Some((hello, HELLO_LEN))));
    }
}

/// Some bytes of it exchanged.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (header(), damage).prop_map(|(header, damage)| {
        let mut bytes = encoded(&header);
        damage.into_iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) = byte);
        bytes
    })
}

proptest! {
    #[test]
    fn a_hello_comes_back(hello in hello(), behind in prop::collection::vec(any::<u8>(), 0..9)) {
        let bytes = hello.encode();
        let parse = |bytes: &[u8]| Hello::parse(bytes).unwrap().ok_or(HELLO_LEN);
        prop_assert_eq!(fed(&bytes, parse), (hello, HELLO_LEN));
        prop_assert_eq!(parse(&[&bytes[..], &behind].concat()), Ok((hello, HELLO_LEN)));
    }

    #[test]
    fn extensions_of_a_hello_are_read_over(hello in hello(), extensions in 0u16..=4096) {
        let mut bytes = hello.encode().to_vec();
        bytes[10..12].copy_from_slice(&extensions.to_le_bytes());
        let len = HELLO_LEN + usize::from(extensions);
        for come in [HELLO_LEN, len - 1] {
            bytes.resize(come, 0xaa);
            prop_assert_eq!(Hello::parse(&bytes).unwrap().is_some(), come >= len);
        }
        bytes.resize(len + 1, 0xaa);
        prop_assert_eq!(Hello::parse(&bytes), Ok(Some((hello, len))));
    }

    #[test]
    fn a_header_comes_back(header in header(), behind in prop::collection::vec(any::<u8>(), 0..9)) {
        let bytes = encoded(&header);
        prop_assert_eq!(fed(&bytes, parse_header), (header.clone(), bytes.len()));
        let parsed = parse_header(&[&bytes[..], &behind].concat());
        prop_assert_eq!(parsed, Ok((header, bytes.len())));
    }

    #[test]
    fn a_header_is_appended_to_what_is_there(header in header()) {
        let mut bytes = vec![7; 3];
        header.encode(&mut bytes).unwrap();
        prop_assert_eq!(&bytes[3..], encoded(&header));
        prop_assert_eq!(&bytes[..3], [7; 3]);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        check_sent_on(&bytes);
    }

    #[test]
    fn descriptions_of_any_bytes_are_parsed_or_refused(
        body in prop::collection::vec(any::<u8>(), 0..512),
        parts in 0u32..8,
        meta in 0usize..64,
        payload in 0u64..512,
    ) {
        let meta = meta.min(body.len());
        let mut bytes = vec![1, 0, 0, 0];
        bytes.extend(parts.to_le_bytes());
        bytes.extend(((body.len() - meta) as u32).to_le_bytes());
        bytes.extend((meta as u32).to_le_bytes());
        bytes.extend(payload.to_le_bytes());
        bytes.extend(body);
        check_sent_on(&bytes);
    }

    #[test]
    fn a_damaged_header_is_parsed_or_refused(bytes in damaged()) {
        check_sent_on(&bytes);
        for come in 0..bytes.len() {
            if let Ok(Parsed::Needs(needed)) = Header::parse(&bytes[..come]) {
                prop_assert!(needed > come);
            }
        }
    }
}

#[test]
fn a_header_of_nothing_is_its_prefix() {
    let header = Header::new(Kind::Arrays, SmallVec::new(), Value::Nil).unwrap();
    let bytes = encoded(&header);
    assert_eq!(bytes.len(), PREFIX_LEN);
    assert_eq!(parse_header(&bytes), Ok((header, PREFIX_LEN)));
}

#[test]
fn meta_comes_back_from_as_deep_as_it_may_nest() {
    for levels in 0..=MAX_DEPTH {
        let list = |inner, _| Value::Array(vec![inner]);
        let value = (1..levels).fold(Value::from(1), list);
        let meta = Value::Map(vec![(Value::from("deep"), value)]);
        let header = Header::new(Kind::Arrays, SmallVec::new(), meta).unwrap();
        let bytes = encoded(&header);
        let parsed = Header::parse(&bytes).map(|_| parse_header(&bytes));
        assert_eq!(parsed, Ok(Ok((header, bytes.len()))), "{levels} levels");
    }
}

//! Frames: what is encoded comes back, in whatever pieces it comes, and nothing else does harm.

use pinwire::wire::meta::MAX_DEPTH;
use pinwire::wire::{
    Answer, BOARD_LEN, Board, ByLink, Flags, HELLO_LEN, Header, Hello, Host, Invitation, Join,
    Kind, MAX_NDIM, Offer, Order, PREFIX_LEN, Parsed, Part, Place, Run, VERSION, Verdict, Welcome,
    WireError,
};
use proptest::prelude::*;
use rmpv::Value;
use smallvec::SmallVec;

fn hello() -> impl Strategy<Value = Hello> {
    let host = (any::<[u8; 16]>(), any::<u64>()).prop_map(|(boot, network)| Host { boot, network });
    let host = prop::option::of(host);
    (0..=VERSION, VERSION..=255, any::<u32>(), any::<u64>(), host).prop_map(
        |(lowest, highest, flags, max_message_bytes, host)| Hello {
            lowest,
            highest,
            flags: Flags(flags),
            max_message_bytes,
            host,
        },
    )
}

/// A header some of whose parts come by the link.
fn offering() -> impl Strategy<Value = Header> {
    let ways = prop::collection::vec(any::<bool>(), 6);
    (header(), 1u64.., ways).prop_map(|(mut header, number, ways)| {
        let parts = (0..header.parts.len()).map(|index| ways[index % 6]).collect();
        header.by_link = Some(ByLink { number, parts });
        header
    })
}

/// Such a header, and where those parts lie: in runs, cut at these places.
fn offer() -> impl Strategy<Value = (Header, Offer)> {
    let cuts = prop::collection::vec(1u64..9, 6);
    (offering(), 0u64..1 << 40, cuts).prop_map(|(header, address, cuts)| {
        let mut offer = Offer::default();
        let by_link = &header.by_link.as_ref().unwrap().parts;
        for (index, (part, &is_offered)) in header.parts.iter().zip(by_link).enumerate() {
            let nbytes = if is_offered { part.nbytes().unwrap() } else { 0 };
            let pieces = cuts[index % 6].min(nbytes);
            let first = nbytes - pieces.saturating_sub(1);
            let lens = (0..pieces).map(|piece| if piece == 0 { first } else { 1 });
            offer.runs.extend(lens.map(|len| Run { address, len }));
            offer.counts.push(pieces as u32);
        }
        (header, offer)
    })
}

fn parse_offer(record: &[u8], header: &Header) -> Result<Offer, WireError> {
    Offer::parse(record, &header.parts, header.by_link.as_ref().unwrap())
}

fn invitation() -> impl Strategy<Value = Invitation> {
    (any::<[u8; 16]>(), any::<[u8; 32]>()).prop_map(|(name, secret)| Invitation { name, secret })
}

fn place() -> impl Strategy<Value = Place> {
    (any::<u64>(), any::<[u8; 32]>()).prop_map(|(address, nonce)| Place { address, nonce })
}

/// Arrays of every dimension, many without an item, some as large as memory can be.
fn part() -> impl Strategy<Value = Part> {
    let void = prop_oneof![0u32..20, 0u32..=i32::MAX as u32];
    let dtype = prop_oneof![
        Just((b"<f8".to_vec(), 8)),
        Just((b"bfloat16".to_vec(), 2)),
        Just((br#"{"names":["x"],"formats":["<f4"],"offsets":[2],"itemsize":8}"#.to_vec(), 8)),
        void.prop_map(|itemsize| (format!("|V{itemsize}").into_bytes(), itemsize)),
    ];
    let extent = prop_oneof![6 => 0u64..4, 2 => Just(1), 1 => 0..=i64::MAX as u64];
    let shape = prop_oneof![
        9 => prop::collection::vec(extent.clone(), 0..6),
        1 => prop::collection::vec(extent, 0..=MAX_NDIM),
    ];
    let order = prop_oneof![Just(Order::C), Just(Order::F)];
    let part = (dtype, order, shape).prop_map(|((dtype, itemsize), order, shape)| Part {
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
        Parsed::Invitation(..) => panic!("this is no invitation"),
    }
}

fn parse_invitation(bytes: &[u8]) -> Result<(Invitation, usize), usize> {
    match Header::parse(bytes).unwrap() {
        Parsed::Needs(needed) => Err(needed),
        Parsed::Invitation(invitation, len) => Ok((invitation, len)),
        Parsed::Header(..) => panic!("this is an invitation"),
    }
}

/// What parses can be sent on, and is the same then.
fn check_sent_on(bytes: &[u8]) {
    if let Ok(Parsed::Header(header, _)) = Header::parse(bytes) {
        let again = encoded(&header);
        let (back, len) = parse_header(&again).unwrap();
        // By their bytes: a NaN in meta is not equal to itself.
        assert_eq!((encoded(&back), len), (again.clone(), again.len()));
        assert_eq!(
            (back.kind, back.parts, back.by_link),
            (header.kind, header.parts, header.by_link)
        );
    }
    if let Ok(Parsed::Invitation(invitation, len)) = Header::parse(bytes) {
        assert_eq!(invitation.encode(), bytes[..len]);
    }
    if let Ok(Some((hello, _))) = Hello::parse(bytes) {
        let sent = hello.encode();
        assert_eq!(Hello::parse(&sent), Ok(Some((hello, sent.len()))));
    }
}

/// Some bytes of it exchanged.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (prop_oneof![header(), offering()], damage).prop_map(|(header, damage)| {
        let mut bytes = encoded(&header);
        damage.into_iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) = byte);
        bytes
    })
}

proptest! {
    #[test]
    fn a_hello_comes_back(hello in hello(), behind in prop::collection::vec(any::<u8>(), 0..9)) {
        let bytes = hello.encode();
        let parse = |bytes: &[u8]| Hello::parse(bytes).unwrap().ok_or(bytes.len() + 1);
        prop_assert_eq!(fed(&bytes, parse), (hello, bytes.len()));
        prop_assert_eq!(parse(&[&bytes[..], &behind].concat()), Ok((hello, bytes.len())));
    }

    #[test]
    fn extensions_of_a_hello_that_nobody_knows_are_read_over(
        hello in hello(),
        extensions in prop::collection::vec((2u16.., prop::collection::vec(any::<u8>(), 0..300)), 0..9),
    ) {
        let mut bytes = hello.encode();
        for (kind, value) in &extensions {
            bytes.extend(kind.to_le_bytes());
            bytes.extend((value.len() as u16).to_le_bytes());
            bytes.extend(value);
        }
        let len = bytes.len();
        bytes[10..12].copy_from_slice(&((len - HELLO_LEN) as u16).to_le_bytes());
        for come in [HELLO_LEN, len - 1] {
            prop_assert_eq!(Hello::parse(&bytes[..come]).unwrap().is_some(), come >= len);
        }
        bytes.push(7);
        prop_assert_eq!(Hello::parse(&bytes), Ok(Some((hello, len))));
    }

    #[test]
    fn a_header_of_an_offer_comes_back(header in offering(), behind in prop::collection::vec(any::<u8>(), 0..9)) {
        let bytes = encoded(&header);
        prop_assert_eq!(fed(&bytes, parse_header), (header.clone(), bytes.len()));
        let parsed = parse_header(&[&bytes[..], &behind].concat());
        prop_assert_eq!(parsed, Ok((header, bytes.len())));
    }

    #[test]
    fn an_invitation_comes_back(invitation in invitation()) {
        let bytes = invitation.encode();
        prop_assert_eq!(fed(&bytes, parse_invitation), (invitation, bytes.len()));
    }

    #[test]
    fn an_offer_comes_back((header, offer) in offer()) {
        let record = offer.encode();
        let len = Offer::check_len(record.len() as u64, header.parts.len());
        prop_assert_eq!(len, Ok(record.len()));
        prop_assert_eq!(parse_offer(&record, &header), Ok(offer));
    }

    #[test]
    fn an_offer_with_a_damaged_record_has_just_the_bytes_of_its_parts_or_is_refused(
        (header, offer) in offer(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in 0usize..40,
    ) {
        let mut record = offer.encode();
        for (at, byte) in damage {
            if !record.is_empty() {
                *at.get_mut(&mut record) = byte;
            }
        }
        record.truncate(record.len().max(cut) - cut);
        let Ok(offer) = parse_offer(&record, &header) else { return Ok(()) };
        prop_assert_eq!(offer.encode(), record);
        let mut runs = offer.runs.iter();
        let ways = &header.by_link.as_ref().unwrap().parts;
        for ((part, &count), &is_offered) in header.parts.iter().zip(&offer.counts).zip(ways) {
            let mine = runs.by_ref().take(count as usize);
            let total: u64 = mine.inspect(|run| assert!(run.len > 0)).map(|run| run.len).sum();
            prop_assert_eq!(total, if is_offered { part.nbytes().unwrap() } else { 0 });
        }
        prop_assert_eq!(runs.next(), None);
    }

    #[test]
    fn a_join_comes_back(
        secret in any::<[u8; 32]>(),
        place in prop_oneof![place().prop_map(Ok), (1u64..).prop_map(Err)],
    ) {
        let join = Join { secret, place };
        prop_assert_eq!(Join::parse(&join.encode()), join);
    }

    #[test]
    fn a_welcome_comes_back(place in place()) {
        prop_assert_eq!(Welcome::parse(&Welcome(place).encode()), Welcome(place));
    }

    #[test]
    fn a_board_is_read_as_it_lies_in_memory(nonce in any::<[u8; 32]>(), numbers in any::<[u64; 3]>()) {
        let numbers_in_memory = numbers.map(u64::to_ne_bytes).concat();
        let bytes: [u8; BOARD_LEN] = [&nonce[..], &numbers_in_memory].concat().try_into().unwrap();
        let [number, record, len] = numbers;
        prop_assert_eq!(Board::parse(&bytes), Board { nonce, number, record, len });
    }

    #[test]
    fn an_answer_comes_back(number in any::<u64>(), value in any::<u64>(), which in 0..3) {
        let verdict = [Verdict::Done, Verdict::Progress(value), Verdict::Unreadable(value)];
        let answer = Answer { number, verdict: verdict[which as usize] };
        prop_assert_eq!(Answer::parse(&answer.encode()), Some(answer));
    }

    #[test]
    fn any_bytes_of_an_answer_are_parsed_or_mean_nothing(bytes in any::<[u8; 24]>()) {
        if let Some(answer) = Answer::parse(&bytes) {
            prop_assert_eq!(Answer::parse(&answer.encode()), Some(answer));
        }
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

//! What a peer says of its items and beside them: dtype texts and meta, good ones and bad ones.
//!
//! The same bytes are the seeds of two fuzzers; `PINWIRE_WRITE_CORPUS=1` writes them anew.

use std::path::Path;
use std::{env, fs};

use pinwire::wire::{Layout, meta};

/// Name, text, and bytes of an item with its padding; None if it is refused.
type Text = (&'static str, String, Option<(u64, u64)>);

/// Name, bytes, and whether they are taken.
type Meta = (&'static str, Vec<u8>, bool);

fn structure(formats: &str, offsets: &str, itemsize: &str) -> String {
    format!(
        r#"{{"names":["a","b"],"formats":[{formats}],"offsets":[{offsets}],"itemsize":{itemsize}}}"#
    )
}

/// An array of so many dimensions within one of 16.
fn deep(ndim: usize) -> String {
    let ones = |count| vec!["1"; count].join(",");
    format!(r#""|u1",[["|u1",[{}]],[{}]]"#, ones(ndim), ones(16))
}

fn texts() -> Vec<Text> {
    let nested = |levels| {
        let format = (0..levels).fold(r#""<f8""#.to_owned(), |inner, _| format!("[{inner},[1]]"));
        format!(r#"{{"names":["a"],"formats":[{format}],"offsets":[0],"itemsize":8}}"#)
    };
    vec![
        ("float", "<f8".to_owned(), Some((8, 0))),
        ("text", "<U3".to_owned(), Some((12, 0))),
        ("named", "bfloat16".to_owned(), Some((2, 0))),
        ("unit", "<M8[25s]".to_owned(), Some((8, 0))),
        ("largest", "|V2147483647".to_owned(), Some((2_147_483_647, 0))),
        ("structure", structure(r#""<u4",["<f8",[2]]"#, "0,4", "20"), Some((20, 0))),
        ("overlap", structure(r#""<f8","<f8""#, "0,0", "8"), Some((8, 0))),
        ("most-padding", structure(r#""|u1","|u1""#, "0,65537", "65538"), Some((65538, 65536))),
        ("deepest", nested(15), Some((8, 0))),
        ("flexible", structure(r#""<u4",["<f8",[0]]"#, "0,4", "4"), Some((4, 0))),
        ("32-dimensions", structure(&deep(16), "0,0", "1"), Some((1, 0))),
        ("33-dimensions", structure(&deep(17), "0,0", "1"), None),
        ("empties", structure(r#""<u4",["<f8",[63,0]]"#, "0,4", "4"), Some((4, 0))),
        ("too-many-empties", structure(r#""<u4",["<f8",[65,0]]"#, "0,4", "4"), None),
        ("array-of-nothing", structure(r#""<u4",["|S0",[1]]"#, "0,4", "4"), None),
        ("pointer", "|O8".to_owned(), None),
        ("unit-by-zero", "<M8[s/0]".to_owned(), None),
        ("unit-of-zero", "<M8[00s]".to_owned(), None),
        ("too-large", "|V2147483648".to_owned(), None),
        ("size-wraps", "<U4611686018427387905".to_owned(), None),
        ("outside", structure(r#""<f8","<f8""#, "0,2147483641", "16"), None),
        ("offset-wraps", structure(r#""<f8","<f8""#, "0,18446744073709551609", "16"), None),
        ("itemsize-negative", structure(r#""<f8","<f8""#, "0,8", "-1"), None),
        ("array-wraps", structure(r#"["|u1",[4294967296,4294967296]],"<f8""#, "0,8", "16"), None),
        ("endless", structure(r#"["|V0",[2147483647]],"<f8""#, "0,8", "16"), None),
        ("too-much-padding", structure(r#""|u1","|u1""#, "0,65538", "65539"), None),
        ("too-deep", nested(17), None),
        ("json", "{".to_owned(), None),
    ]
}

fn metas() -> Vec<Meta> {
    let nested = |levels| [[0x81, 1].repeat(levels), vec![1]].concat();
    vec![
        ("nothing", vec![], true),
        ("empty", vec![0x80], true),
        ("step", b"\x81\xa4step\x07".to_vec(), true),
        ("nan", b"\x81\x01\xcb\x7f\xf8\0\0\0\0\0\x01".to_vec(), true),
        ("same-keys", b"\x82\x01\x02\x01\x03".to_vec(), true),
        ("long-form", b"\x81\xd9\x01a\xcf\0\0\0\0\0\0\0\x01".to_vec(), true),
        ("bytes-and-list", b"\x81\xc4\x01a\x93\xc0\xc2\xff".to_vec(), true),
        ("deepest", nested(16), true),
        ("too-deep", nested(17), false),
        ("list", b"\x91\x01".to_vec(), false),
        ("two", b"\x80\x80".to_vec(), false),
        ("cut", b"\x81\x01".to_vec(), false),
        ("lying-list", b"\x81\x01\xdd\xff\xff\xff\xff\x01".to_vec(), false),
        ("extension", b"\x81\x01\xd4\x01\0".to_vec(), false),
        ("utf8", b"\x81\x01\xa2\xc3\x28".to_vec(), false),
        ("key-list", b"\x81\x90\x01".to_vec(), false),
    ]
}

#[test]
fn a_dtype_has_its_size_and_padding_or_is_refused() {
    for (name, text, expected) in texts() {
        let layout = Layout::parse(text.as_bytes()).ok();
        assert_eq!(layout.map(|layout| (layout.itemsize, layout.padding)), expected, "{name}");
    }
}

#[test]
fn meta_is_the_same_after_it_was_sent_on_or_is_refused() {
    for (name, bytes, is_taken) in metas() {
        let Ok(value) = meta::decode(&bytes) else {
            assert!(!is_taken, "{name}");
            continue;
        };
        assert!(is_taken, "{name}");
        let (mut sent, mut again) = (Vec::new(), Vec::new());
        meta::encode(&value, &mut sent);
        meta::encode(&meta::decode(&sent).unwrap(), &mut again);
        assert_eq!(again, sent, "{name}");
    }
}

#[test]
fn the_seeds_of_the_fuzzers_are_these_values() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let texts = texts().into_iter().map(|(name, text, _)| ("dtype", name, text.into_bytes()));
    let metas = metas().into_iter().map(|(name, bytes, _)| ("meta", name, bytes));
    for (target, name, bytes) in texts.chain(metas) {
        let path = corpus.join(target).join(name);
        if env::var_os("PINWIRE_WRITE_CORPUS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "{}", path.display());
    }
}

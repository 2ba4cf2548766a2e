//! The grammar of dtype texts: what a peer says of its items is checked here, whole, before NumPy
//! sees a letter of it.
//!
//! NumPy accepts texts that describe memory outside of an item, and some that end the process, so
//! nothing is left to its judgement.

use serde_json::{Map, Value};

use super::WireError;
use super::part::MAX_DEEP_NDIM;
use crate::mem::Fields;

/// Bytes of one item: NumPy keeps the number in a C int.
const MAX_ITEMSIZE: u64 = i32::MAX as u64;

/// How deep structures and arrays nest within one another.
const MAX_DEPTH: usize = 16;

/// Bytes of an item that belong to no field. To export an array NumPy writes a letter for each.
const MAX_PADDING: u64 = 64 * 1024;

/// Items without a byte that an item may have, if it has fewer bytes: nothing else bounds how long
/// it takes to print one.
const MAX_EMPTIES: u64 = 64;

/// Types that ml_dtypes registers with NumPy, and the bytes of their items.
const NAMED: &[(&str, u64)] = &[
    ("bcomplex32", 4),
    ("bfloat16", 2),
    ("complex32", 4),
    ("float4_e2m1fn", 1),
    ("float6_e2m3fn", 1),
    ("float6_e3m2fn", 1),
    ("float8_e3m4", 1),
    ("float8_e4m3", 1),
    ("float8_e4m3b11fnuz", 1),
    ("float8_e4m3fn", 1),
    ("float8_e4m3fnuz", 1),
    ("float8_e5m2", 1),
    ("float8_e5m2fnuz", 1),
    ("float8_e8m0fnu", 1),
    ("int1", 1),
    ("int2", 1),
    ("int4", 1),
    ("uint1", 1),
    ("uint2", 1),
    ("uint4", 1),
];

/// Units of datetime64 and timedelta64.
const UNITS: &[&str] = &["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"];

/// What an item's bytes are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of one item.
    pub itemsize: u64,
    /// Bytes of it that belong to no field.
    pub padding: u64,
    /// Dimensions that arrays within it add to those of the array that it is in.
    pub ndim: usize,
    /// Items without a byte that one finds when one goes through it.
    pub empties: u64,
    /// Which bytes of it are part of a value. `padding` also counts what is in the gap of one field and in
    /// another field, and knows nothing of those of long doubles.
    pub fields: Fields,
}

impl Layout {
    /// The layout that a dtype's text describes.
    pub fn parse(text: &[u8]) -> Result<Layout, WireError> {
        let text = str::from_utf8(text).map_err(|_| nonsense("it is no UTF-8"))?;
        if !text.starts_with('{') {
            return item(text);
        }
        let tree = serde_json::from_str(text).map_err(|_| nonsense("it is no JSON"))?;
        of_tree(&tree, 0)
    }
}

fn nonsense(why: &'static str) -> WireError {
    WireError::Dtype(why)
}

fn of_tree(tree: &Value, depth: usize) -> Result<Layout, WireError> {
    if depth > MAX_DEPTH {
        return Err(nonsense("it nests too deep"));
    }
    match tree {
        Value::String(text) => item(text),
        Value::Array(pair) => array(pair, depth + 1),
        Value::Object(fields) => structure(fields, depth + 1),
        _ => Err(nonsense("it is no type")),
    }
}

/// A type without parts, such as `<f8` or `bfloat16`.
fn item(text: &str) -> Result<Layout, WireError> {
    let unknown = || nonsense("it is no type");
    if !text.is_ascii() {
        return Err(unknown());
    }
    let itemsize = match text.as_bytes() {
        [order @ (b'<' | b'>' | b'|'), b'm' | b'M', b'8', ..] => unit(*order, &text[3..])?,
        [order @ (b'<' | b'>' | b'|'), kind, ..] => {
            sized(*order, *kind, number(&text[2..]).ok_or_else(unknown)?).ok_or_else(unknown)?
        }
        _ => {
            let known = NAMED.iter().find(|(name, _)| *name == text);
            known.map(|&(_, itemsize)| itemsize).ok_or_else(unknown)?
        }
    };
    if itemsize > MAX_ITEMSIZE {
        return Err(nonsense("its items are larger than 2 GiB"));
    }
    let fields = values(text, itemsize as usize);
    Ok(Layout { itemsize, padding: 0, ndim: 0, empties: u64::from(itemsize == 0), fields })
}

/// What counts of an item without parts: all of it, unless it is one of long doubles, of whose 16
/// bytes an x86 writes 10.
fn values(text: &str, itemsize: usize) -> Fields {
    let is_x87 = cfg!(any(target_arch = "x86", target_arch = "x86_64"));
    match text {
        "<f16" | "<c32" if is_x87 => Fields::part(16, 0, 10).repeated(itemsize / 16),
        ">f16" | ">c32" if is_x87 => Fields::part(16, 6, 10).repeated(itemsize / 16),
        _ => Fields::whole(itemsize),
    }
}

/// Bytes of an item of this kind and size. Only what has several bytes has an order.
fn sized(order: u8, kind: u8, size: u64) -> Option<u64> {
    let (itemsize, is_ordered) = match (kind, size) {
        (b'b', 1) | (b'i' | b'u', 1) => (1, false),
        (b'i' | b'u', 2 | 4 | 8) | (b'f', 2 | 4 | 8 | 16) | (b'c', 8 | 16 | 32) => (size, true),
        (b'S' | b'V', _) => (size, false),
        (b'U', _) => (size.checked_mul(4)?, true),
        _ => return None,
    };
    (is_ordered != (order == b'|')).then_some(itemsize)
}

/// Bytes of a datetime64 or timedelta64 with this unit: `[25s]`, or nothing for none.
fn unit(order: u8, unit: &str) -> Result<u64, WireError> {
    let wrong = || nonsense("its unit is none of NumPy's");
    if order == b'|' {
        return Err(nonsense("it is no type"));
    }
    if unit.is_empty() {
        return Ok(8);
    }
    let unit = unit.strip_prefix('[').and_then(|unit| unit.strip_suffix(']')).ok_or_else(wrong)?;
    let letters = unit.trim_start_matches(|c: char| c.is_ascii_digit());
    let count = &unit[..unit.len() - letters.len()];
    let is_count = count.is_empty()
        || number(count).is_some_and(|count| (1..=i32::MAX as u64).contains(&count));
    if is_count && UNITS.contains(&letters) { Ok(8) } else { Err(wrong()) }
}

/// A number as NumPy writes one: no sign, no zeros before it.
fn number(digits: &str) -> Option<u64> {
    let is_plain = digits.bytes().all(|digit| digit.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    is_plain.then(|| digits.parse().ok()).flatten()
}

/// An array within a structure: its type and its shape.
fn array(pair: &[Value], depth: usize) -> Result<Layout, WireError> {
    let [base, Value::Array(shape)] = pair else { return Err(nonsense("it is no array")) };
    let base = of_tree(base, depth)?;
    // Each such array is checked by NumPy alone, but its fields are arrays of all these dimensions.
    let ndim = base.ndim + shape.len();
    if ndim > MAX_DEEP_NDIM {
        return Err(nonsense("its arrays have too many dimensions"));
    }
    if base.itemsize == 0 {
        return Err(nonsense("it has an array of items without a byte"));
    }
    let extents = shape.iter().map(|extent| extent.as_u64().filter(|&it| it <= MAX_ITEMSIZE));
    let extents = extents.collect::<Option<Vec<u64>>>().ok_or(nonsense("its shape is none"))?;
    let span = extents.iter().try_fold(base.itemsize, |n, &extent| n.checked_mul(extent.max(1)));
    let span = span.filter(|&span| span <= MAX_ITEMSIZE);
    let span = span.ok_or(nonsense("its items are larger than 2 GiB"))?;
    let items = span / base.itemsize;
    if extents.contains(&0) {
        let empties = extents.iter().take_while(|&&extent| extent > 0).product();
        return Ok(Layout { itemsize: 0, ndim, empties, fields: Fields::whole(0), ..base });
    }
    let fields = base.fields.repeated(items as usize);
    let empties = base.empties.saturating_mul(items);
    Ok(Layout { itemsize: span, padding: base.padding, ndim, empties, fields })
}

/// A structure, as `numpy.dtype` takes one.
fn structure(fields: &Map<String, Value>, depth: usize) -> Result<Layout, WireError> {
    let wrong = || nonsense("it is no structure");
    let list = |key| fields.get(key).and_then(Value::as_array).ok_or_else(wrong);
    let (names, formats, offsets) = (list("names")?, list("formats")?, list("offsets")?);
    let itemsize = fields.get("itemsize").and_then(Value::as_u64).ok_or_else(wrong)?;
    // NumPy's own mark, which says nothing of where the fields are.
    let is_marked = match fields.get("aligned") {
        None => false,
        Some(Value::Bool(true)) => true,
        Some(_) => return Err(wrong()),
    };
    let keys = 4 + usize::from(is_marked);
    if fields.len() != keys || names.len() != formats.len() || names.len() != offsets.len() {
        return Err(wrong());
    }
    if itemsize > MAX_ITEMSIZE {
        return Err(nonsense("its items are larger than 2 GiB"));
    }
    let mut names =
        names.iter().map(Value::as_str).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(nonsense("it has a name twice"));
    }
    let mut spans = Vec::with_capacity(formats.len());
    let mut fields = Vec::with_capacity(formats.len());
    let (mut padding, mut ndim, mut empties) = (0, 0, u64::from(itemsize == 0));
    for (format, offset) in formats.iter().zip(offsets) {
        let field = of_tree(format, depth)?;
        let start = offset.as_u64().ok_or_else(wrong)?;
        let end = start.checked_add(field.itemsize).filter(|&end| end <= itemsize);
        spans.push((start, end.ok_or(nonsense("a field lies outside of its item"))?));
        padding += field.padding;
        ndim = ndim.max(field.ndim);
        empties = field.empties.saturating_add(empties);
        fields.push((start as usize, field.fields));
    }
    spans.sort_unstable();
    let mut covered = 0;
    for (start, end) in spans {
        padding += start.saturating_sub(covered);
        covered = covered.max(end);
    }
    padding += itemsize - covered;
    if padding > MAX_PADDING {
        return Err(nonsense("it has more than 64 KiB that belong to no field"));
    }
    if empties > itemsize.max(MAX_EMPTIES) {
        return Err(nonsense("it has too many items without a byte"));
    }
    let fields = Fields::structure(itemsize as usize, fields);
    Ok(Layout { itemsize, padding, ndim, empties, fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn itemsize(text: &str) -> Option<u64> {
        Layout::parse(text.as_bytes()).ok().map(|layout| layout.itemsize)
    }

    #[test]
    fn types_of_numpy_and_ml_dtypes_have_their_size() {
        let known = [
            ("|b1", 1),
            ("|i1", 1),
            ("<u2", 2),
            (">f8", 8),
            ("<c16", 16),
            ("|S5", 5),
            ("<U3", 12),
            ("|V0", 0),
            ("<M8[ns]", 8),
            ("<m8[25s]", 8),
            (">M8", 8),
            ("bfloat16", 2),
        ];
        for (text, size) in known {
            assert_eq!(itemsize(text), Some(size), "{text}");
        }
    }

    #[test]
    fn texts_that_crash_numpy_are_no_types() {
        let texts = [
            "<M8[s/0]",
            "<M8[Y/0]",
            "<M8[0s]",
            "<M8[00s]",
            "<M8[s/4294967296]",
            "<M8[2147483648s]",
        ];
        for text in texts {
            assert_eq!(itemsize(text), None, "{text}");
        }
    }

    #[test]
    fn a_structure_may_be_marked_as_aligned_and_in_no_other_way() {
        let marked = |mark: &str| {
            itemsize(&format!(
                r#"{{"names":["a"],"formats":["<f8"],"offsets":[0],"itemsize":8,{mark}}}"#
            ))
        };
        assert_eq!(marked(r#""aligned":true"#), Some(8));
        assert_eq!(marked(r#""aligned":false"#), None);
        assert_eq!(marked(r#""aligned":1"#), None);
        assert_eq!(marked(r#""align":true"#), None);
        assert_eq!(marked(r#""titles":["A"]"#), None);
    }

    #[test]
    fn a_field_stays_within_its_item() {
        let structure = |format: &str, offset: &str, size: &str| {
            itemsize(&format!(
                r#"{{"names":["a","b"],"formats":["<f8",{format}],"offsets":[0,{offset}],"itemsize":{size}}}"#
            ))
        };
        assert_eq!(structure(r#""<f8""#, "8", "16"), Some(16));
        assert_eq!(structure(r#""<f8""#, "0", "8"), Some(8), "fields may share their bytes");
        assert_eq!(structure(r#""<f8""#, "9", "16"), None);
        assert_eq!(structure(r#""<f8""#, "2147483641", "16"), None);
        assert_eq!(structure(r#"["|u1",[2147483647]]"#, "8", "16"), None);
        assert_eq!(structure(r#"["|u1",[65536,65536]]"#, "0", "16"), None);
        assert_eq!(structure(r#""<f8""#, "8", "-1"), None);
        assert_eq!(structure(r#""<f8""#, "8", "2000000000"), None, "padding is bounded");
    }

    #[test]
    fn dimensions_of_arrays_within_arrays_add_up() {
        let within =
            |inner: &str, extents: usize| format!("[{inner},[{}]]", "1,".repeat(extents - 1) + "1");
        let structure = |format: &str| {
            format!(r#"{{"names":["a"],"formats":[{format}],"offsets":[0],"itemsize":1}}"#)
        };
        let ndim =
            |format: &str| Layout::parse(structure(format).as_bytes()).ok().map(|it| it.ndim);
        let sixteen = within(r#""|u1""#, 16);
        assert_eq!(ndim(&sixteen), Some(16));
        assert_eq!(ndim(&within(&sixteen, 16)), Some(32));
        assert_eq!(ndim(&within(&structure(&sixteen), 16)), Some(32));
        assert_eq!(ndim(&within(&sixteen, 17)), None);
        assert_eq!(ndim(&within(&structure(&sixteen), 17)), None);
    }

    #[test]
    fn items_without_a_byte_are_few() {
        let empties = |format: &str, itemsize: u64| {
            let text = format!(
                r#"{{"names":["a","b"],"formats":[{format},"|S0"],"offsets":[0,0],"itemsize":{itemsize}}}"#
            );
            Layout::parse(text.as_bytes()).ok().map(|it| it.empties)
        };
        assert_eq!(empties(r#""<f8""#, 8), Some(1));
        assert_eq!(empties(r#"["<f8",[0]]"#, 8), Some(2), "as the last field of a structure in C");
        assert_eq!(empties(r#"["<f8",[0,268435455]]"#, 8), Some(2), "nobody goes into it");
        assert_eq!(empties(r#"["<f8",[63,0]]"#, 8), Some(64));
        assert_eq!(empties(r#"["<f8",[64,0]]"#, 8), None);
        assert_eq!(empties(r#"["<f8",[99,0]]"#, 100), Some(100), "one for each byte");
        assert_eq!(empties(r#"["|V0",[1]]"#, 8), None, "NumPy has none such");
        let structure = r#"{"names":[],"formats":[],"offsets":[],"itemsize":0}"#;
        assert_eq!(empties(&format!("[{structure},[1]]"), 8), None);
        let inner = r#"{"names":["c"],"formats":[["<f8",[9,0]]],"offsets":[0],"itemsize":1}"#;
        assert_eq!(empties(&format!("[{inner},[6]]"), 8), Some(55));
        assert_eq!(empties(&format!("[{inner},[8]]"), 8), None);
    }
}

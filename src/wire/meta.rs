//! The small values that travel beside arrays: MessagePack (<https://msgpack.org>), without its
//! extension types.

use rmpv::{Value, decode, encode as write};

use super::WireError;

/// How deep values may nest within the map.
pub const MAX_DEPTH: usize = 16;

/// That depth as rmpv counts: two for every container, and up to three for the value within.
const DECODER_DEPTH: usize = 2 * MAX_DEPTH + 3;

const TOO_DEEP: WireError = WireError::Nonsense("meta that nests too deep");

/// Append a map; nothing for nil.
pub fn encode(meta: &Value, to: &mut Vec<u8>) {
    if !meta.is_nil() {
        write::write_value(to, meta).expect("writing to memory does not fail");
    }
}

/// A map, or nil from no bytes.
pub fn decode(mut bytes: &[u8]) -> Result<Value, WireError> {
    if bytes.is_empty() {
        return Ok(Value::Nil);
    }
    let value = decode::read_value_with_max_depth(&mut bytes, DECODER_DEPTH);
    let value = value.map_err(|error| match error {
        decode::Error::DepthLimitExceeded => TOO_DEEP,
        _ => WireError::Nonsense("meta that is no MessagePack"),
    })?;
    if !bytes.is_empty() || !value.is_map() {
        return Err(WireError::Nonsense("meta that is not one map"));
    }
    check(&value, 0)?;
    Ok(value)
}

/// Only what Python's plain values can be.
fn check(value: &Value, depth: usize) -> Result<(), WireError> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP);
    }
    match value {
        Value::Ext(..) => Err(WireError::Nonsense("meta with extension types")),
        Value::String(text) if text.is_err() => Err(WireError::Nonsense("meta that is no UTF-8")),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1)),
        Value::Map(entries) => entries.iter().try_for_each(|(key, value)| {
            if key.is_array() || key.is_map() {
                return Err(WireError::Nonsense("meta with a container as a key"));
            }
            check(key, depth + 1)?;
            check(value, depth + 1)
        }),
        _ => Ok(()),
    }
}

//! The small values that travel beside arrays: MessagePack (<https://msgpack.org>), without its
//! extension types.

use rmpv::{Value, decode, encode as write};

use super::WireError;

/// How deep lists and maps may nest.
pub const MAX_DEPTH: usize = 16;

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
    // The outermost map counts, too.
    let value = decode::read_value_with_max_depth(&mut bytes, MAX_DEPTH + 1)
        .map_err(|_| WireError::Nonsense("meta that is no MessagePack, or nests too deep"))?;
    if !bytes.is_empty() || !value.is_map() {
        return Err(WireError::Nonsense("meta that is not one map"));
    }
    check(&value)?;
    Ok(value)
}

/// Only what Python's plain values can be.
fn check(value: &Value) -> Result<(), WireError> {
    match value {
        Value::Ext(..) => Err(WireError::Nonsense("meta with extension types")),
        Value::String(text) if text.is_err() => Err(WireError::Nonsense("meta that is no UTF-8")),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Map(entries) => entries.iter().try_for_each(|(key, value)| {
            if key.is_array() || key.is_map() {
                return Err(WireError::Nonsense("meta with a container as a key"));
            }
            check(key)?;
            check(value)
        }),
        _ => Ok(()),
    }
}

//! Plain values of Python to MessagePack's, and back.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple,
};
use rmpv::Value;

use crate::py::buffer::is_masked;
use crate::py::errors::no_end;
use crate::wire::meta::MAX_DEPTH;

/// The `meta` argument of a call.
pub(super) fn from_python(meta: Option<&Bound<'_, PyAny>>) -> PyResult<Value> {
    let Some(meta) = meta else { return Ok(Value::Nil) };
    if meta.cast::<PyMapping>().is_err() {
        return Err(PyTypeError::new_err(format!(
            "meta must be a mapping such as {{\"step\": 7}}, not {}",
            meta.get_type().name()?
        )));
    }
    match value(meta, 0).map_err(|error| no_end(meta.py(), error, "meta"))? {
        Value::Map(entries) if entries.is_empty() => Ok(Value::Nil),
        value => Ok(value),
    }
}

fn value(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if depth > MAX_DEPTH {
        return Err(PyValueError::new_err(format!("meta nests deeper than {MAX_DEPTH} levels")));
    }
    if object.is_none() {
        Ok(Value::Nil)
    } else if let Ok(bool) = object.cast::<PyBool>() {
        Ok(Value::Boolean(bool.is_true()))
    } else if object.is_instance_of::<PyInt>() {
        let signed = object.extract::<i64>().map(Value::from);
        signed.or_else(|_| object.extract::<u64>().map(Value::from)).map_err(|_| {
            PyValueError::new_err("an int in meta must fit 64 bits: send larger ones as str")
        })
    } else if object.is_instance_of::<PyFloat>() {
        Ok(Value::F64(object.extract()?))
    } else if let Ok(text) = object.cast::<PyString>() {
        Ok(Value::from(text.to_str()?))
    } else if let Ok(bytes) = object.cast::<PyBytes>() {
        Ok(Value::from(bytes.as_bytes()))
    } else if let Ok(bytes) = object.cast::<PyByteArray>() {
        Ok(Value::from(bytes.to_vec()))
    } else if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        let items = object.try_iter()?.map(|item| value(&item?, depth + 1));
        Ok(Value::Array(items.collect::<PyResult<_>>()?))
    } else if let Ok(mapping) = object.cast::<PyMapping>() {
        let entry = |item: Bound<'_, PyAny>| {
            let (key, item): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
            let key = value(&key, depth + 1)?;
            if key.is_array() || key.is_map() {
                return Err(PyTypeError::new_err("keys in meta must be plain, not containers"));
            }
            Ok((key, value(&item, depth + 1)?))
        };
        let entries = mapping.items()?.iter().map(entry);
        Ok(Value::Map(entries.collect::<PyResult<_>>()?))
    } else if let Some(item) = scalar(object)? {
        value(&item, depth + 1)
    } else {
        Err(PyTypeError::new_err(format!(
            "meta takes None, bool, int, float, str, bytes, lists and mappings of these, not {}; \
             send arrays as parts, and objects by send_object",
            object.get_type().name()?
        )))
    }
}

/// The plain value of a scalar of NumPy's, or of an array without dimensions. An array that has
/// some is none, however few its items are; nor is the one that is masked, or has no plain value.
fn scalar<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let (dtype, item) = (intern!(py, "dtype"), intern!(py, "item"));
    if !object.hasattr(dtype)? || !object.hasattr(item)? || is_masked(object)? {
        return Ok(None);
    }
    match object.getattr(intern!(py, "ndim")).and_then(|ndim| ndim.extract::<usize>()) {
        Ok(0) => {}
        _ => return Ok(None),
    }
    let item = object.call_method0(item)?;
    // What has none is its own item.
    Ok((!item.get_type().is(object.get_type())).then_some(item))
}

/// The `meta` of a message: a dict, empty if there was none.
pub(super) fn to_python<'py>(py: Python<'py>, meta: &Value) -> PyResult<Bound<'py, PyAny>> {
    match meta {
        Value::Nil => Ok(PyDict::new(py).into_any()),
        meta => object(py, meta),
    }
}

fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Nil => py.None().into_bound(py),
        Value::Boolean(bool) => PyBool::new(py, *bool).to_owned().into_any(),
        Value::Integer(int) => match (int.as_i64(), int.as_u64()) {
            (Some(int), _) => int.into_pyobject(py)?.into_any(),
            (None, int) => int.into_pyobject(py)?.into_any(),
        },
        Value::F32(float) => PyFloat::new(py, f64::from(*float)).into_any(),
        Value::F64(float) => PyFloat::new(py, *float).into_any(),
        Value::String(text) => PyString::new(py, text.as_str().unwrap_or_default()).into_any(),
        Value::Binary(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            items.iter().try_for_each(|item| list.append(object(py, item)?))?;
            list.into_any()
        }
        Value::Map(entries) => {
            let dict = PyDict::new(py);
            for (key, value) in entries {
                dict.set_item(object(py, key)?, object(py, value)?)?;
            }
            dict.into_any()
        }
        Value::Ext(..) => unreachable!("refused when it was parsed"),
    })
}

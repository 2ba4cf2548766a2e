//! What to say of an object that cannot travel: always the zero-copy way out.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyMapping, PyString, PyTuple, PyType};

/// The TypeError for an object that is no exporter.
pub(super) fn of(object: &Bound<'_, PyAny>) -> PyErr {
    let class = object.get_type();
    let name = class.name().map_or_else(|_| "object".into(), |name| name.to_string());
    PyTypeError::new_err(format!("{name} objects export no memory: {}", way_out(object, &name)))
}

/// The TypeError for a masked array, which exports its memory without the mask.
pub(super) fn masked() -> PyErr {
    PyTypeError::new_err(
        "the mask of a masked array would be lost: send its .filled(), or its .data and its mask \
         (numpy.ma.getmaskarray) as two buffers, or the whole by Channel.send_object; receive \
         into its .data",
    )
}

/// Whether to iterate over the object would give something else than the buffers in it: keys,
/// labels, rows, columns without their names, lines.
pub(super) fn is_no_list(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    let class = object.get_type();
    for attribute in [
        intern!(py, "to_numpy"),
        intern!(py, "__array__"),
        intern!(py, "__array_interface__"),
        intern!(py, "__dataframe__"),
        intern!(py, "__arrow_c_array__"),
        intern!(py, "__arrow_c_stream__"),
        intern!(py, "readlines"),
    ] {
        if class.hasattr(attribute)? {
            return Ok(true);
        }
    }
    Ok(object.cast::<PyMapping>().is_ok() || is_set(object)?)
}

fn is_set(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static SET: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    object.is_instance(SET.import(object.py(), "collections.abc", "Set")?)
}

fn way_out(object: &Bound<'_, PyAny>, name: &str) -> &'static str {
    let has = |attribute: &str| object.hasattr(attribute).unwrap_or(false);
    if object.is_instance_of::<PyString>() {
        "choose its bytes with .encode()"
    } else if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        "make an array of it (numpy.asarray, array.array); several buffers go as one list, which \
         holds no other, to Channel.send and recv_into or to Stream.send_buffers and \
         recv_buffers_into"
    } else if has("getbuffer") {
        "pass its .getbuffer()"
    } else if name == "SharedMemory" && has("buf") {
        "pass its .buf"
    } else if is_table(name) {
        "a table is several buffers; pass a list of its columns, each with .to_numpy(), to \
         Channel.send (and their names as meta) or Stream.send_buffers, or the whole table to \
         Channel.send_object"
    } else if has("to_numpy") && has_plain_values(object) {
        "pass its .to_numpy()"
    } else if has("to_numpy") {
        "give its values a type that holds no Python objects, as in .to_numpy(dtype=\"float64\") \
         or .to_numpy(dtype=\"U16\") of pandas, with na_value= if some are missing, or .cast() of \
         polars, or pass the whole to Channel.send_object"
    } else if has("__array_interface__") || has("__array__") {
        "pass numpy.asarray(it)"
    } else if object.cast::<PyMapping>().is_ok() {
        "pass a list of its values to Channel.send (and their names as meta) or \
         Stream.send_buffers"
    } else if is_set(object).unwrap_or(false) {
        "a set has no order; pass a list of what is in it to Channel.send or Stream.send_buffers"
    } else if has("readlines") {
        "pass a file to send_file, or map it into memory (mmap)"
    } else {
        "pass an object with the buffer protocol (bytes, bytearray, memoryview, array.array, \
         mmap, a NumPy array) or with __dlpack__"
    }
}

fn is_table(name: &str) -> bool {
    matches!(name, "DataFrame" | "LazyFrame" | "Table" | "RecordBatch" | "ChunkedArray")
}

/// Whether what NumPy makes of it holds no Python objects, as far as its dtype tells.
fn has_plain_values(object: &Bound<'_, PyAny>) -> bool {
    let py = object.py();
    let Ok(dtype) = object.getattr(intern!(py, "dtype")) else { return true };
    let ask = |answer: PyResult<Bound<'_, PyAny>>| answer.and_then(|it| it.is_truthy()).ok();
    // Of NumPy's dtypes, and of those of polars. Others are pandas' own: values may be missing.
    let has_objects = ask(dtype.getattr(intern!(py, "hasobject")));
    let is_numeric = || ask(dtype.call_method0(intern!(py, "is_numeric")));
    has_objects.map(|it| !it).or_else(is_numeric).unwrap_or(false)
}

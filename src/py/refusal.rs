//! What to say of an object that exports no memory: always the zero-copy way out.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

/// The TypeError for an object that is no exporter.
pub(super) fn of(object: &Bound<'_, PyAny>) -> PyErr {
    let class = object.get_type();
    let name = class.name().map_or_else(|_| "object".into(), |name| name.to_string());
    PyTypeError::new_err(format!("{name} objects export no memory: {}", way_out(object, &name)))
}

fn way_out(object: &Bound<'_, PyAny>, name: &str) -> &'static str {
    let has = |attribute: &str| object.hasattr(attribute).unwrap_or(false);
    if object.is_instance_of::<PyString>() {
        "choose its bytes with .encode()"
    } else if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        "make an array of it (numpy.asarray, array.array), or pass several buffers to \
         send_buffers or recv_buffers_into"
    } else if has("getbuffer") {
        "pass its .getbuffer()"
    } else if name == "SharedMemory" && has("buf") {
        "pass its .buf"
    } else if matches!(name, "DataFrame" | "LazyFrame" | "Table" | "RecordBatch" | "ChunkedArray") {
        "a table is several buffers; pass its columns, each with .to_numpy(), to send_buffers \
         (whole tables are for Channel.send_object, which this version does not have yet)"
    } else if has("to_numpy") {
        "pass its .to_numpy()"
    } else if has("__array_interface__") || has("__array__") {
        "pass numpy.asarray(it)"
    } else {
        "pass an object with the buffer protocol (bytes, bytearray, memoryview, array.array, \
         mmap, a NumPy array) or with __dlpack__"
    }
}

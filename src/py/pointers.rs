//! Memory that holds pointers to Python objects must not travel: sent it leaks addresses, received
//! it is the peer's to choose what they point to.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PyType};

/// The error for an exporter of object pointers.
pub(super) fn refused(exporter: &Bound<'_, PyAny>) -> PyErr {
    let name = exporter.get_type().name().map_or_else(|_| "object".into(), |n| n.to_string());
    PyTypeError::new_err(format!(
        "this {name} holds pointers to Python objects, not their values: they mean nothing in \
         another process; convert it to a dtype of plain values first (for strings a fixed \
         width, as in astype('U16') or astype('S16'))"
    ))
}

/// Whether a format (PEP 3118) has an `O` that is not part of a field's name.
pub(super) fn in_format(format: &[u8]) -> bool {
    format.split(|&c| c == b':').step_by(2).any(|part| part.contains(&b'O'))
}

/// Whether the object has a dtype that holds objects: for exporters that give no format.
pub(super) fn in_dtype(object: &Bound<'_, PyAny>) -> bool {
    let py = object.py();
    object
        .getattr(intern!(py, "dtype"))
        .and_then(|dtype| dtype.getattr(intern!(py, "hasobject")))
        .and_then(|hasobject| hasobject.is_truthy())
        .unwrap_or(false)
}

/// Whether the object is one of ctypes with object pointers in it, or a memoryview of one: the
/// formats of ctypes do not tell (a union is "B", and a field may have any name).
pub(super) fn in_ctypes(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(view) = object.cast_exact::<PyMemoryView>() {
        return in_ctypes(&view.getattr(intern!(object.py(), "obj"))?);
    }
    in_ctype(&object.get_type())
}

fn in_ctype(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let meta = class.get_type();
    // ctypes has metaclasses of its own; nearly everybody else has none.
    if meta.is(py.get_type::<PyType>()) || meta.module()? != "_ctypes" {
        return Ok(false);
    }
    // What a pointer points to does not travel, and may be of the same kind (a linked list).
    if meta.name()? == "PyCPointerType" {
        return Ok(false);
    }
    if let Ok(item) = class.getattr(intern!(py, "_type_")) {
        return match item.cast::<PyType>() {
            Ok(item) => in_ctype(item),
            Err(_) => item.eq("O"),
        };
    }
    for base in class.mro() {
        let Ok(fields) = base.getattr(intern!(py, "_fields_")) else {
            continue;
        };
        for field in fields.try_iter()? {
            if in_ctype(field?.get_item(1)?.cast()?)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

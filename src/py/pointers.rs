//! Memory that holds pointers to Python objects must not travel: sent it leaks addresses, received
//! it is the peer's to choose what they point to.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PyString, PyTuple, PyType};

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
    // ctypes has metaclasses of its own; nearly everybody else has none.
    if class.get_type().is(py.get_type::<PyType>()) {
        return Ok(false);
    }
    if let Ok(item) = class.getattr(intern!(py, "_type_")) {
        if let Ok(code) = item.cast::<PyString>() {
            return Ok(code.eq("O"));
        }
        if let Ok(item) = item.cast::<PyType>() {
            return in_ctype(item);
        }
    }
    for base in class.mro() {
        let Ok(fields) = base.getattr(intern!(py, "_fields_")) else {
            continue;
        };
        for field in fields.try_iter()? {
            let Ok(field) = field?.cast_into::<PyTuple>() else {
                continue;
            };
            if let Ok(kind) = field.get_item(1)?.cast_into::<PyType>()
                && in_ctype(&kind)?
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

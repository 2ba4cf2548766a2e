//! What a pinned object is, as a header says it.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::dtype;
use crate::mem::Runs;
use crate::py::payload::Pin;
use crate::wire::{Order, Part};

/// Describe an object's memory.
pub(super) fn describe(pin: &Pin, object: &Bound<'_, PyAny>) -> PyResult<Part> {
    let dtype = dtype::of(pin, object)?;
    let part = match pin {
        Pin::Bytes(pin) => bytes(pin.nbytes()),
        Pin::Buffer(pin) if pin.is_shapeless() => bytes(pin.nbytes()),
        Pin::Buffer(_) if dtype::is_time(pin, object)? => {
            Part { dtype, itemsize: 8, order: Order::C, shape: Default::default() }
        }
        Pin::Buffer(pin) => Part {
            dtype,
            itemsize: itemsize(pin.itemsize())?,
            order: pin.order(),
            shape: pin.shape().iter().map(|&extent| extent as u64).collect(),
        },
        Pin::Tensor(pin) => Part {
            dtype,
            itemsize: itemsize(pin.itemsize())?,
            order: pin.order(),
            shape: pin.dims().iter().map(|dim| dim.extent as u64).collect(),
        },
        Pin::Own(block) => bytes(block.len()),
        Pin::Header(_) | Pin::Shared(_) => bytes(pin.nbytes()),
    };
    Ok(part)
}

/// Where the bytes of a part are that is to be sent, of which those of no field travel as zeros.
pub(super) fn runs(pin: &Pin, part: &Part) -> PyResult<Runs> {
    let runs = pin.runs(part.order)?;
    Ok(match part.fields() {
        Some(fields) => runs.with_fields(&fields),
        None => runs,
    })
}

/// So many plain bytes.
pub(super) fn bytes(nbytes: usize) -> Part {
    let shape = [nbytes as u64].into_iter().collect();
    Part { dtype: dtype::Text::from_slice(dtype::BYTES), itemsize: 1, order: Order::C, shape }
}

/// Whether memory has no type of its own, so that it takes whatever has its size.
pub(super) fn is_raw(pin: &Pin, object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Pin::Buffer(pin) = pin else { return Ok(false) };
    let plain = pin.is_shapeless()
        || (pin.shape().len() == 1 && pin.format().is_none_or(|format| format == b"B"));
    Ok(plain && !object.hasattr(pyo3::intern!(object.py(), "dtype"))?)
}

fn itemsize(itemsize: usize) -> PyResult<u32> {
    u32::try_from(itemsize).map_err(|_| PyValueError::new_err("its items are larger than 4 GiB"))
}

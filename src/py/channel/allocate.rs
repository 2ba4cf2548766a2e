//! Memory for what is received, if its owner to be has brought none.

use pyo3::exceptions::{PyMemoryError, PyModuleNotFoundError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyDict, PyList, PyMemoryView, PySlice, PyTuple};

use super::base::BaseChannel;
use super::memory::Memory;
use super::{dtype, message};
use crate::wire::{Header, Kind, Order, Part};

/// From this many bytes on an array gets huge pages of its own; NumPy asks for them from here on
/// as well (NPY_USE_HUGEPAGE), and what the last page has too much matters little.
const LARGE: u64 = 4 * 1024 * 1024;

/// Up to this many bytes a bytearray, which comes filled with zeros, is made as fast as an array.
const SMALL: u64 = 16 * 1024;

/// Alignment of parts that share an allocation, unless they are plain bytes: that of malloc(3).
const ALIGNMENT: u64 = 16;

/// How memory is made.
#[derive(Default)]
pub(super) struct Allocation {
    /// `allocator(shape, dtype, order)`, like `numpy.empty`.
    pub(super) allocator: Option<Py<PyAny>>,
    /// All parts in one.
    pub(super) share: bool,
}

impl Allocation {
    /// The arguments of a call; the channel's own allocator stands in for none.
    pub(super) fn of(
        channel: &Bound<'_, BaseChannel>,
        allocator: Option<Py<PyAny>>,
        share: bool,
    ) -> Allocation {
        let own = || channel.get().options().allocator.as_ref();
        let allocator = allocator.or_else(|| own().map(|own| own.clone_ref(channel.py())));
        Allocation { allocator, share }
    }
}

/// An array for each part.
pub(super) fn arrays(
    py: Python<'_>,
    header: &Header,
    allocation: &Allocation,
) -> PyResult<Vec<Py<PyAny>>> {
    if let Some(allocator) = &allocation.allocator {
        let allocator = allocator.bind(py);
        let array = |part| call(allocator, part).map(Bound::unbind);
        return header.parts.iter().map(array).collect();
    }
    if allocation.share {
        return shared(py, &header.parts);
    }
    let array = |part: &Part| match header.kind {
        Kind::Object => plain(py, part).map(Bound::unbind),
        Kind::Arrays => array(py, part).map(Bound::unbind),
    };
    header.parts.iter().map(array).collect()
}

fn array<'py>(py: Python<'py>, part: &Part) -> PyResult<Bound<'py, PyAny>> {
    let nbytes = message::nbytes(part);
    match numpy(py)? {
        Some(numpy) if nbytes < LARGE => call(numpy.empty.bind(py), part),
        Some(numpy) => view(py, numpy, part, &Memory::new(py, size(nbytes)?)?.into_any(), 0),
        None => typed(py, part),
    }
}

/// Plain bytes, for the buffers of an object.
fn plain<'py>(py: Python<'py>, part: &Part) -> PyResult<Bound<'py, PyAny>> {
    let nbytes = message::nbytes(part);
    if (SMALL..LARGE).contains(&nbytes)
        && let Some(numpy) = numpy(py)?
    {
        return call(numpy.empty.bind(py), part);
    }
    if nbytes < LARGE {
        return Ok(PyByteArray::new_with(py, size(nbytes)?, |_| Ok(()))?.into_any());
    }
    Ok(Memory::new(py, size(nbytes)?)?.into_any())
}

fn call<'py>(allocator: &Bound<'py, PyAny>, part: &Part) -> PyResult<Bound<'py, PyAny>> {
    let py = allocator.py();
    let shape = PyTuple::new(py, &part.shape)?;
    allocator.call1((shape, dtype::load(py, part)?, message::order(py, part.order)))
}

/// One allocation for all parts, in their order: those of one type lie beside each other without
/// gaps, as far as their alignment allows.
fn shared(py: Python<'_>, parts: &[Part]) -> PyResult<Vec<Py<PyAny>>> {
    let mut end = 0u64;
    let mut offsets = Vec::with_capacity(parts.len());
    for part in parts {
        let alignment = ALIGNMENT.min(1 << part.itemsize.trailing_zeros().min(4));
        end = end.checked_next_multiple_of(alignment).ok_or_else(too_large)?;
        offsets.push(end);
        end = end.checked_add(message::nbytes(part)).ok_or_else(too_large)?;
    }
    let memory = Memory::new(py, size(end)?)?.into_any();
    let numpy = numpy(py)?;
    let placed = parts.iter().zip(offsets);
    placed
        .map(|(part, offset)| match numpy {
            Some(numpy) => view(py, numpy, part, &memory, offset).map(Bound::unbind),
            None => {
                let end = offset + message::nbytes(part);
                let piece = PyMemoryView::from(&memory)?.get_item(PySlice::new(
                    py,
                    offset as isize,
                    end as isize,
                    1,
                ))?;
                cast(&piece, part).map(Bound::unbind)
            }
        })
        .collect()
}

/// An array in memory that there is.
fn view<'py>(
    py: Python<'py>,
    numpy: &NumPy,
    part: &Part,
    memory: &Bound<'py, PyAny>,
    offset: u64,
) -> PyResult<Bound<'py, PyAny>> {
    let (shape, dtype) = (PyTuple::new(py, &part.shape)?, dtype::load(py, part)?);
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "order"), message::order(py, part.order))?;
    numpy.ndarray.bind(py).call((shape, dtype, memory, offset), Some(&kwargs))
}

/// A memoryview, where there is no NumPy.
fn typed<'py>(py: Python<'py>, part: &Part) -> PyResult<Bound<'py, PyAny>> {
    cast(&PyMemoryView::from(&plain(py, part)?)?.into_any(), part)
}

/// Of the part's type and shape, as far as a memoryview can be.
fn cast<'py>(view: &Bound<'py, PyAny>, part: &Part) -> PyResult<Bound<'py, PyAny>> {
    let format = match &part.dtype[..] {
        b"|b1" => "?",
        b"|i1" => "b",
        b"<i2" => "h",
        b"<i4" => "i",
        b"<i8" => "q",
        b"|u1" => "B",
        b"<u2" => "H",
        b"<u4" => "I",
        b"<u8" => "Q",
        b"<f2" => "e",
        b"<f4" => "f",
        b"<f8" => "d",
        _ => return Ok(view.clone()),
    };
    let py = view.py();
    if u32::from(part.dtype[2] - b'0') != part.itemsize {
        return Err(dtype::of_another_size(py));
    }
    let is_whole = part.order == Order::C && !part.shape.contains(&0);
    if is_whole && part.shape.len() != 1 {
        let shape = PyList::new(py, &part.shape)?;
        return view.call_method1(intern!(py, "cast"), (format, shape));
    }
    // A memoryview has neither Fortran's order nor several dimensions without an item.
    view.call_method1(intern!(py, "cast"), (format,))
}

struct NumPy {
    empty: Py<PyAny>,
    ndarray: Py<PyAny>,
}

/// None if it is not installed.
fn numpy(py: Python<'_>) -> PyResult<Option<&NumPy>> {
    static NUMPY: PyOnceLock<Option<NumPy>> = PyOnceLock::new();
    let import = || match py.import("numpy") {
        Ok(numpy) => Ok(Some(NumPy {
            empty: numpy.getattr("empty")?.unbind(),
            ndarray: numpy.getattr("ndarray")?.unbind(),
        })),
        Err(error) if error.is_instance_of::<PyModuleNotFoundError>(py) => Ok(None),
        Err(error) => Err(error),
    };
    Ok(NUMPY.get_or_try_init(py, import)?.as_ref())
}

fn size(nbytes: u64) -> PyResult<usize> {
    usize::try_from(nbytes).map_err(|_| too_large())
}

fn too_large() -> PyErr {
    PyMemoryError::new_err("no memory is that large")
}

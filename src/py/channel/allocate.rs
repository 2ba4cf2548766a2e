//! Memory for what is received, if its owner to be has brought none.

use std::sync::Arc;

use pyo3::exceptions::{PyMemoryError, PyModuleNotFoundError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyList, PyMemoryView, PySlice, PyTuple};

use super::base::BaseChannel;
use super::dtype::{self, Types};
use super::landing::Objects;
use super::memory::{self, Memory, Pool};
use super::message;
use crate::wire::{Header, Kind, Order, Part};

/// From this many bytes on an array gets huge pages of its own; NumPy asks for them from here on
/// as well (NPY_USE_HUGEPAGE), and what the last page has too much matters little.
const LARGE: u64 = 4 * 1024 * 1024;

/// Bytes for which memory is made at a time. To make an array touches some of it, so a header that
/// lies about many small parts must not have them all made at once.
const STAGE: u64 = 32 * 1024 * 1024;

/// Parts for which memory is made at a time: each takes a microsecond, a structure ten, and the loop
/// has its turn in between.
const STAGE_PARTS: usize = 1024;

/// Up to this many bytes a bytearray is made faster than an array.
const SMALL: u64 = 16 * 1024;

/// Alignment of parts that share an allocation, unless they are plain bytes: that of malloc(3).
const ALIGNMENT: u64 = 16;

/// How memory is made.
pub(super) struct Allocation {
    /// `allocator(shape, dtype, order)`, like `numpy.empty`.
    pub(super) allocator: Option<Py<PyAny>>,
    /// All parts in one.
    pub(super) share: bool,
    pool: Arc<Pool>,
}

impl Allocation {
    /// The arguments of a call.
    pub(super) fn of(
        channel: &Bound<'_, BaseChannel>,
        allocator: Option<Py<PyAny>>,
        share: bool,
    ) -> PyResult<Allocation> {
        if share && allocator.is_some() {
            return Err(PyTypeError::new_err(
                "share=True puts all parts into one allocation, of which an allocator that makes \
                 one for each knows nothing: pass one of them",
            ));
        }
        if share || allocator.is_some() {
            return Ok(Allocation { allocator, share, ..Allocation::usual(channel) });
        }
        Ok(Allocation::usual(channel))
    }

    /// What the channel was made with.
    pub(super) fn usual(channel: &Bound<'_, BaseChannel>) -> Allocation {
        let own = channel.get().options().allocator.as_ref();
        let allocator = own.map(|own| own.clone_ref(channel.py()));
        Allocation { allocator, share: false, pool: Arc::clone(&channel.get().pool) }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.allocator)
    }
}

/// An array for each of the next parts: as many as may be made before the bytes of these have come.
pub(super) fn some(
    py: Python<'_>,
    header: &Header,
    first: usize,
    allocation: &Allocation,
) -> PyResult<Objects> {
    let (types, numpy) = (Types::default(), numpy(py)?);
    let mut maker = Maker { py, types, numpy, pool: &allocation.pool };
    match first {
        0 if header.payload >= LARGE => allocation.pool.expect(header.payload),
        0 => allocation.pool.expect_small(),
        _ => {}
    }
    let mut parts = &header.parts[first..];
    if !allocation.share {
        let mut made = 0;
        let mut is_early = |part| {
            let is_early = made < STAGE;
            made += message::nbytes(part);
            is_early
        };
        let early = parts.iter().take(STAGE_PARTS).take_while(|&part| is_early(part));
        parts = &parts[..early.count()];
    }
    if let Some(allocator) = &allocation.allocator {
        let allocator = allocator.bind(py);
        return unbound(parts.iter().map(|part| maker.call(allocator, part)));
    }
    if allocation.share {
        return maker.shared(parts);
    }
    match header.kind {
        Kind::Object => unbound(parts.iter().map(|part| maker.plain(part))),
        Kind::Arrays => unbound(parts.iter().map(|part| maker.array(part))),
    }
}

fn unbound<'py>(arrays: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>) -> PyResult<Objects> {
    arrays.map(|array| array.map(Bound::unbind)).collect()
}

/// Makes the arrays of one message.
struct Maker<'a, 'py> {
    py: Python<'py>,
    types: Types<'a, 'py>,
    numpy: Option<&'a NumPy>,
    pool: &'a Arc<Pool>,
}

impl<'a, 'py> Maker<'a, 'py> {
    fn array(&mut self, part: &'a Part) -> PyResult<Bound<'py, PyAny>> {
        let nbytes = message::nbytes(part);
        match self.numpy {
            // `numpy.empty` gives items of no bytes one byte.
            Some(numpy) if part.itemsize == 0 => {
                self.view(numpy, part, &PyByteArray::new(self.py, &[]).into_any(), 0)
            }
            Some(numpy) if nbytes < LARGE => self.call(numpy.empty.bind(self.py), part),
            Some(numpy) => self.view(numpy, part, &self.memory(nbytes)?, 0),
            None => cast(&PyMemoryView::from(&self.plain(part)?)?.into_any(), part),
        }
    }

    /// Plain bytes, for the buffers of an object.
    fn plain(&mut self, part: &'a Part) -> PyResult<Bound<'py, PyAny>> {
        let nbytes = message::nbytes(part);
        match self.numpy {
            Some(numpy) if (SMALL..LARGE).contains(&nbytes) => {
                self.call(numpy.empty.bind(self.py), part)
            }
            _ if nbytes < LARGE => memory::bytearray(self.py, size(nbytes)?),
            _ => self.memory(nbytes),
        }
    }

    fn call(
        &mut self,
        allocator: &Bound<'py, PyAny>,
        part: &'a Part,
    ) -> PyResult<Bound<'py, PyAny>> {
        let shape = PyTuple::new(self.py, &part.shape)?;
        let dtype = self.types.load(self.py, part)?;
        allocator.call1((shape, dtype, message::order(self.py, part.order)))
    }

    /// One allocation for all parts, in their order: those of one type lie beside each other
    /// without gaps, as far as their alignment allows.
    fn shared(&mut self, parts: &'a [Part]) -> PyResult<Objects> {
        let mut end = 0u64;
        let mut offsets = Vec::with_capacity(parts.len());
        for part in parts {
            let alignment = ALIGNMENT.min(1 << part.itemsize.trailing_zeros().min(4));
            end = end.checked_next_multiple_of(alignment).ok_or_else(too_large)?;
            offsets.push(end);
            end = end.checked_add(message::nbytes(part)).ok_or_else(too_large)?;
        }
        let memory = Memory::new(self.py, self.pool, size(end)?)?;
        let mut filled = 0;
        for (part, &offset) in parts.iter().zip(&offsets) {
            memory.get().clear(filled as usize, (offset - filled) as usize);
            filled = offset + message::nbytes(part);
        }
        let memory = memory.into_any();
        let placed = parts.iter().zip(offsets);
        unbound(placed.map(|(part, offset)| match self.numpy {
            Some(numpy) => self.view(numpy, part, &memory, offset),
            None => {
                let end = offset + message::nbytes(part);
                let piece = PySlice::new(self.py, offset as isize, end as isize, 1);
                cast(&PyMemoryView::from(&memory)?.get_item(piece)?, part)
            }
        }))
    }

    /// An array in memory that there is.
    fn view(
        &mut self,
        numpy: &NumPy,
        part: &'a Part,
        memory: &Bound<'py, PyAny>,
        offset: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let shape = PyTuple::new(self.py, &part.shape)?;
        let dtype = self.types.load(self.py, part)?;
        let order = message::order(self.py, part.order);
        let strides = self.py.None();
        numpy.ndarray.bind(self.py).call1((shape, dtype, memory, offset, strides, order))
    }

    fn memory(&self, nbytes: u64) -> PyResult<Bound<'py, PyAny>> {
        Ok(Memory::new(self.py, self.pool, size(nbytes)?)?.into_any())
    }
}

/// Of the part's type and shape, as far as a memoryview can be.
fn cast<'py>(view: &Bound<'py, PyAny>, part: &Part) -> PyResult<Bound<'py, PyAny>> {
    let py = view.py();
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
        // Before Python 3.12 a memoryview cannot be one of half floats.
        b"<f2" if py.version_info() >= (3, 12) => "e",
        b"<f4" => "f",
        b"<f8" => "d",
        _ => return Ok(view.clone()),
    };
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

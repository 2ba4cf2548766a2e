#![allow(unsafe_code)] // The buffer protocol (PEP 3118), and nothing else touches it.

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;
use std::slice;

use pyo3::exceptions::{PyBufferError, PyException, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyType};
use pyo3::{ffi, intern};
use smallvec::SmallVec;

use super::{convert, pointers};
use crate::mem::{Access, Dim, Region, Runs};
use crate::wire::Order;

/// More dimensions than CPython's memoryview or NumPy have (PyBUF_MAX_NDIM).
const MAX_NDIM: usize = 64;

/// An exporter's memory, pinned by the buffer protocol until this is dropped.
///
/// Who owns what: the exporter owns the memory and promises, between `PyObject_GetBuffer` and
/// `PyBuffer_Release`, neither to move nor to free it (a bytearray then refuses to be resized).
/// This owns the view, at a fixed address because exporters point into it, and a reference to
/// the exporter, because an old one may not put its own into the view.
pub(super) struct BufferPin {
    view: NonNull<ffi::Py_buffer>,
    /// None if it is the view's owner anyway.
    exporter: Option<Py<PyAny>>,
}

// SAFETY: a pin may travel between threads; it is made, looked at and dropped only on threads
// that are attached to the interpreter (`Drop` attaches).
unsafe impl Send for BufferPin {}
// SAFETY: as above; nothing changes the view between its making and its release.
unsafe impl Sync for BufferPin {}

impl BufferPin {
    /// Pin the memory of an object that exports some.
    pub(super) fn new(exporter: &Bound<'_, PyAny>, access: Access) -> PyResult<BufferPin> {
        if exporter.is_exact_instance_of::<PyByteArray>() {
            // Plain bytes by construction: nothing to find out.
            return BufferPin::request(exporter, ffi::PyBUF_SIMPLE, access);
        }
        let pin = match BufferPin::request(exporter, ffi::PyBUF_FULL_RO, access) {
            // Some exporters cannot describe their items (datetime64, ml_dtypes), some not even
            // their shape: the bytes are there all the same.
            Err(error) if error.is_instance_of::<PyException>(exporter.py()) => {
                BufferPin::request(exporter, ffi::PyBUF_INDIRECT, access)
                    .or_else(|_| BufferPin::request(exporter, ffi::PyBUF_SIMPLE, access))
                    .map_err(|_| as_buffer_error(exporter, error))?
            }
            result => result?,
        };
        pin.refuse_pointers(exporter)?;
        pin.check(access)?;
        Ok(pin)
    }

    /// Pin memory that the core has made itself, to be filled: it holds no pointers, and its
    /// format is not asked for, which NumPy would write with a letter for each byte of padding.
    pub(super) fn of_our_own(exporter: &Bound<'_, PyAny>) -> PyResult<BufferPin> {
        let pin = BufferPin::request(exporter, ffi::PyBUF_STRIDES, Access::Write)?;
        pin.check(Access::Write)?;
        Ok(pin)
    }

    /// Where its bytes are, with the items in this order.
    pub(super) fn runs(&self, order: Order) -> PyResult<Runs> {
        let view = self.view();
        let base = view.buf.cast::<u8>();
        if self.shape().is_empty() || (view.strides.is_null() && order == Order::C) {
            // SAFETY: the exporter promised `len` bytes at `buf` until the release, which comes
            // after the transfer's end (`Pins`). Python code may write to them at any time.
            // The size is `view.len`, never `len(object)`.
            return Ok(unsafe { Runs::contiguous(Region { base, len: view.len as usize }) });
        }
        let mut dims = self.dims();
        if order == Order::F {
            dims.reverse();
        }
        // SAFETY: as above, for every item that the view's shape, strides and suboffsets reach.
        unsafe { Runs::new(base, view.itemsize as usize, &dims) }
            .map_err(|error| PyBufferError::new_err(error.to_string()))
    }

    /// The format of its items (PEP 3118), if it was told.
    pub(super) fn format(&self) -> Option<&[u8]> {
        let format = self.view().format;
        // SAFETY: a view's format is a C string that lives as long as the view.
        (!format.is_null()).then(|| unsafe { CStr::from_ptr(format) }.to_bytes())
    }

    /// Bytes of one item.
    pub(super) fn itemsize(&self) -> usize {
        self.view().itemsize as usize
    }

    /// Items in each dimension; nothing for a single item, and for memory without a shape.
    pub(super) fn shape(&self) -> &[isize] {
        let view = self.view();
        if view.ndim == 0 || view.shape.is_null() {
            return &[];
        }
        // SAFETY: the shape has `ndim` entries, and Python code cannot change a view's shape.
        unsafe { slice::from_raw_parts(view.shape, view.ndim as usize) }
    }

    /// Whether there is no shape because it is just bytes.
    pub(super) fn is_shapeless(&self) -> bool {
        self.view().ndim != 0 && self.view().shape.is_null()
    }

    /// Bytes in all.
    pub(super) fn nbytes(&self) -> usize {
        self.view().len as usize
    }

    /// The order of its memory; C for what has neither.
    pub(super) fn order(&self) -> Order {
        if self.shape().len() < 2 || self.view().strides.is_null() {
            return Order::C;
        }
        order(&self.dims(), self.itemsize())
    }

    fn dims(&self) -> Dims {
        let view = self.view();
        let mut compact = view.itemsize;
        let mut dims: Dims = (0..self.shape().len())
            .rev()
            .map(|i| {
                // SAFETY: `check` saw to it that the extents are not negative; a view's arrays,
                // where there are any, have `ndim` entries.
                let (extent, stride, suboffset) = unsafe {
                    (
                        *view.shape.add(i),
                        if view.strides.is_null() { compact } else { *view.strides.add(i) },
                        if view.suboffsets.is_null() { -1 } else { *view.suboffsets.add(i) },
                    )
                };
                compact = compact.wrapping_mul(extent);
                Dim { extent: extent as usize, stride, suboffset }
            })
            .collect();
        dims.reverse();
        dims
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.exporter)?;
        // SAFETY: the view owns a reference to `obj`, or it is null; `Option<Py>` has the layout
        // of such a pointer.
        let owner = unsafe { &*(&raw const (*self.view.as_ptr()).obj).cast::<Option<Py<PyAny>>>() };
        visit.call(owner)
    }

    fn request(exporter: &Bound<'_, PyAny>, flags: c_int, access: Access) -> PyResult<BufferPin> {
        let writable = if access == Access::Write { ffi::PyBUF_WRITABLE } else { 0 };
        let view = Box::into_raw(Box::new(ffi::Py_buffer::new()));
        // SAFETY: attached; `view` is ours, and stays where it is until it is released.
        let result = unsafe { ffi::PyObject_GetBuffer(exporter.as_ptr(), view, flags | writable) };
        if result != 0 {
            // SAFETY: it came from a Box, and the exporter has refused to fill it.
            drop(unsafe { Box::from_raw(view) });
            return Err(PyErr::fetch(exporter.py()));
        }
        let view = NonNull::new(view).expect("a Box is not null");
        // SAFETY: it has just been filled.
        let is_owner = unsafe { (*view.as_ptr()).obj } == exporter.as_ptr();
        Ok(BufferPin { view, exporter: (!is_owner).then(|| exporter.clone().unbind()) })
    }

    fn view(&self) -> &ffi::Py_buffer {
        // SAFETY: filled by `request`, released by `drop`, written by nobody in between.
        unsafe { self.view.as_ref() }
    }

    /// Exporters lie: what is not consistent is refused.
    fn check(&self, access: Access) -> PyResult<()> {
        let view = self.view();
        let refuse = |what: &str| Err(PyBufferError::new_err(format!("the exporter's {what}")));
        if access == Access::Write && view.readonly != 0 {
            return refuse("memory is read-only: it cannot be received into");
        }
        if view.len < 0 || view.itemsize < 0 {
            return refuse("sizes are negative");
        }
        if view.buf.is_null() && view.len > 0 {
            return refuse("memory has no address");
        }
        if usize::try_from(view.ndim).map_or(true, |ndim| ndim > MAX_NDIM) {
            return refuse("number of dimensions is impossible");
        }
        let shape = self.shape();
        if shape.is_empty() {
            return Ok(());
        }
        let nbytes = shape.iter().try_fold(view.itemsize, |n, &extent| n.checked_mul(extent));
        if shape.iter().any(|&extent| extent < 0) {
            return refuse("shape is negative");
        }
        if nbytes != Some(view.len) && !(shape.contains(&0) && view.len == 0) {
            return refuse("shape and itemsize do not make up its length");
        }
        Ok(())
    }

    fn refuse_pointers(&self, exporter: &Bound<'_, PyAny>) -> PyResult<()> {
        // SAFETY: null or an object that the view keeps alive, for longer than this call.
        let owner = unsafe { Borrowed::from_ptr_or_opt(exporter.py(), self.view().obj) };
        let owner = owner.filter(|owner| !owner.is(exporter));
        let any = |test: fn(&Bound<'_, PyAny>) -> PyResult<bool>| {
            Ok::<_, PyErr>(test(exporter)? || owner.map_or(Ok(false), |owner| test(&owner))?)
        };
        let found = match self.format() {
            None => any(|object| Ok(pointers::in_dtype(object)))?,
            Some(format) => pointers::in_format(format),
        };
        if found || any(|object| Ok(may_be_of_ctypes(object) && pointers::in_ctypes(object)?))? {
            return Err(pointers::refused(exporter));
        }
        Ok(())
    }
}

impl Drop for BufferPin {
    fn drop(&mut self) {
        // Pins are dropped by the objects that hold them, on an attached thread: this is cheap.
        let released = Python::try_attach(|_| {
            // SAFETY: attached; filled by `request`, released here and only here.
            unsafe { ffi::PyBuffer_Release(self.view.as_ptr()) };
        });
        if released.is_none() {
            // A thread that outlives the interpreter: the exporter may still point into the view.
            return;
        }
        // SAFETY: it came from a Box, and nobody points into it any more.
        drop(unsafe { Box::from_raw(self.view.as_ptr()) });
    }
}

/// A `bytes` object: it never changes and never moves, so a reference is all it takes to pin it.
pub(super) struct BytesPin {
    bytes: Py<PyBytes>,
    content: Region,
}

impl BytesPin {
    /// None unless the object is of exactly this class: a subclass may export what it likes.
    pub(super) fn new(object: &Bound<'_, PyAny>) -> Option<BytesPin> {
        let bytes = object.cast_exact::<PyBytes>().ok()?;
        let content = bytes.as_bytes();
        let content = Region { base: content.as_ptr().cast_mut(), len: content.len() };
        Some(BytesPin { bytes: bytes.clone().unbind(), content })
    }

    /// Where they are.
    pub(super) fn runs(&self) -> Runs {
        // SAFETY: the memory lives as long as the object, which the pin keeps alive until after
        // the transfer's end. Nobody writes to it, and we are only asked to send it.
        unsafe { Runs::contiguous(self.content) }
    }

    /// How many.
    pub(super) fn nbytes(&self) -> usize {
        self.content.len
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.bytes)
    }
}

/// Most arrays have few.
pub(super) type Dims = SmallVec<[Dim; 4]>;

/// The order of an array's memory; C for what has neither.
pub(super) fn order(dims: &[Dim], itemsize: usize) -> Order {
    if !lie_together(dims.iter().rev(), itemsize) && lie_together(dims.iter(), itemsize) {
        Order::F
    } else {
        Order::C
    }
}

/// Whether items lie without gaps, the fastest dimension first.
fn lie_together<'a>(dims: impl Iterator<Item = &'a Dim>, itemsize: usize) -> bool {
    let mut expected = itemsize as isize;
    for dim in dims {
        if dim.suboffset >= 0 || (dim.extent != 1 && dim.stride != expected) {
            return false;
        }
        expected = expected.wrapping_mul(dim.extent as isize);
    }
    true
}

/// Whether an object or its class has to do with ctypes, or may hide one that has: cheap, and
/// false for nearly everything.
fn may_be_of_ctypes(object: &Bound<'_, PyAny>) -> bool {
    // ctypes has metaclasses of its own; nearly everybody else has none.
    // SAFETY: a living object has a class, and that one a class as well.
    let metaclass = unsafe { ffi::Py_TYPE(object.get_type_ptr().cast()) };
    metaclass != &raw mut ffi::PyType_Type || object.is_exact_instance_of::<PyMemoryView>()
}

/// Whether an object exports memory by the buffer protocol.
pub(super) fn exports_buffer(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: attached; the object is alive.
    unsafe { ffi::PyObject_CheckBuffer(object.as_ptr()) == 1 }
}

/// Whether the object is a masked array of NumPy's, whose buffer does not have its mask.
pub(super) fn is_masked(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = object.py();
    // SAFETY: a living object has a class.
    let flags = unsafe { ffi::PyType_GetFlags(object.get_type_ptr()) };
    if flags & ffi::Py_TPFLAGS_HEAPTYPE == 0 {
        // Not written in Python: an array, as nearly always.
        return Ok(false);
    }
    let class = match CLASS.get(py) {
        Some(class) => class,
        None => {
            let module = convert::modules(py)?.get_item(intern!(py, "numpy.ma"))?;
            let Some(module) = module else { return Ok(false) };
            let class = module.getattr(intern!(py, "MaskedArray"))?.cast_into::<PyType>()?;
            CLASS.get_or_init(py, || class.unbind())
        }
    };
    // SAFETY: both are classes that are alive.
    Ok(unsafe { ffi::PyType_IsSubtype(object.get_type_ptr(), class.as_ptr().cast()) } != 0)
}

/// NumPy says ValueError where everybody else says BufferError.
fn as_buffer_error(exporter: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = exporter.py();
    if !error.is_instance_of::<PyValueError>(py) {
        return error;
    }
    let converted = PyBufferError::new_err(error.value(py).to_string());
    converted.set_cause(py, Some(error));
    converted
}

#![allow(unsafe_code)] // Exports memory by the buffer protocol.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::py::errors::os_error;
use crate::sys::{HUGE_PAGE, Mapping};

/// A bytearray whose content is undefined, to be filled.
pub(super) fn bytearray(py: Python<'_>, nbytes: usize) -> PyResult<Bound<'_, PyAny>> {
    let len = ffi::Py_ssize_t::try_from(nbytes)?;
    // SAFETY: attached; without content to copy, CPython makes room for as many bytes. Whoever
    // gets it sees it once all of them have been received.
    unsafe {
        let bytes = ffi::PyByteArray_FromStringAndSize(std::ptr::null(), len);
        Bound::from_owned_ptr_or_err(py, bytes)
    }
}

/// Memory for large arrays: aligned to 2 MiB, in huge pages where the system has some.
#[pyclass(frozen, module = "pinwire._core")]
pub(in crate::py) struct Memory {
    /// None while it is dropped.
    mapping: Option<Mapping>,
    len: usize,
    pool: Weak<Pool>,
}

/// How many large messages are recent.
const RECENT: usize = 16;

/// After so many messages without a large one, nothing is kept.
const SMALL_IN_A_ROW: u32 = 256;

/// Memory of messages that nobody uses any more, kept for the next one: fresh memory costs as much
/// as receiving into it, for the kernel has to find pages and to clear them.
///
/// All channels of the process have one, for as long as there is a channel. It keeps no more than
/// the largest of the recent large messages had, nothing once only small ones have come for a while,
/// and the kernel may take the pages at any time.
#[derive(Default)]
pub(super) struct Pool {
    kept: Mutex<Kept>,
    /// Small messages since the last large one, if anything is kept.
    small: AtomicU32,
}

#[derive(Default)]
struct Kept {
    /// The one kept longest first.
    mappings: VecDeque<Mapping>,
    /// Bytes of the recent large messages.
    recent: VecDeque<usize>,
}

impl Pool {
    /// The one of all channels.
    pub(super) fn shared() -> Arc<Pool> {
        static POOL: Mutex<Weak<Pool>> = Mutex::new(Weak::new());
        let mut shared = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let pool = Arc::default();
            *shared = Arc::downgrade(&pool);
            pool
        })
    }

    /// A small message comes.
    pub(super) fn expect_small(&self) {
        let small = self.small.load(Ordering::Relaxed);
        if small < SMALL_IN_A_ROW {
            self.small.store(small + 1, Ordering::Relaxed);
        } else if small == SMALL_IN_A_ROW {
            self.small.store(small + 1, Ordering::Relaxed);
            let gone = std::mem::take(&mut *self.lock());
            drop(gone);
        }
    }

    /// A large message comes, of so many bytes.
    pub(super) fn expect(&self, nbytes: u64) {
        self.small.store(0, Ordering::Relaxed);
        let mut kept = self.lock();
        if kept.recent.len() == RECENT {
            kept.recent.pop_front();
        }
        kept.recent.push_back(usize::try_from(nbytes).unwrap_or(usize::MAX));
        while !kept.has_room_for(0) {
            kept.mappings.pop_front();
        }
    }

    fn take(&self, len: usize) -> Option<Mapping> {
        let mut kept = self.lock();
        // Not one that is much too large: others may need that.
        let fits = |mapping: &Mapping| (len..=len.saturating_mul(2)).contains(&mapping.len());
        let at = kept.mappings.iter().position(fits);
        if at.is_none() {
            // Fresh memory comes instead of what is too small, not beside it.
            kept.mappings.retain(|mapping| mapping.len() > len);
        }
        kept.mappings.remove(at?)
    }

    fn keep(&self, mut mapping: Mapping) {
        let mut kept = self.lock();
        let has_room = kept.has_room_for(mapping.len());
        if has_room {
            mapping.forget();
            kept.mappings.push_back(mapping);
        }
        drop(kept); // Before a mapping that is not kept goes, which takes its time.
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.mappings.iter().map(Mapping::len).sum()
    }

    /// Whether so many more bytes may be kept, each mapping rounded up to whole pages.
    fn has_room_for(&self, nbytes: usize) -> bool {
        let room = self.recent.iter().copied().max().unwrap_or(0);
        let count = self.mappings.len() + usize::from(nbytes > 0);
        self.bytes() + nbytes <= room.saturating_add(HUGE_PAGE * count)
    }
}

impl Memory {
    /// Clear so many bytes, which lie between parts: an earlier message may have left some there.
    pub(super) fn clear(&self, start: usize, len: usize) {
        let base = self.mapping.as_ref().map_or(std::ptr::null_mut(), Mapping::base);
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len));
        // SAFETY: within the mapping, which lives as long as this object, and nobody has a view yet.
        unsafe { std::ptr::write_bytes(base.cast::<u8>().add(start), 0, len) };
    }

    pub(super) fn new<'py>(
        py: Python<'py>,
        pool: &Arc<Pool>,
        nbytes: usize,
    ) -> PyResult<Bound<'py, Memory>> {
        let mapping = match pool.take(nbytes) {
            Some(mapping) => mapping,
            None => Mapping::new(nbytes).map_err(|error| match error.raw_os_error() {
                Some(libc::ENOMEM) => {
                    PyMemoryError::new_err(format!("no room for an array of {nbytes} bytes"))
                }
                _ => os_error(&error),
            })?,
        };
        let (mapping, pool) = (Some(mapping), Arc::downgrade(pool));
        Bound::new(py, Memory { mapping, len: nbytes, pool })
    }
}

#[pymethods]
impl Memory {
    /// # Safety
    /// CPython calls it with a view to fill.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let this = slf.get();
        let base = this.mapping.as_ref().map_or(std::ptr::null_mut(), Mapping::base).cast();
        let len = this.len as ffi::Py_ssize_t;
        // SAFETY: attached, with a view of CPython's. The mapping has at least `len` bytes and
        // lives as long as this object, of which the view gets a reference.
        let result = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), base, len, 0, flags) };
        if result == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Nobody has a view any more: each would hold a reference.
        if let (Some(mapping), Some(pool)) = (self.mapping.take(), self.pool.upgrade()) {
            pool.keep(mapping);
        }
    }
}

//! From the objects a user passes to memory that is pinned and a cursor over it.

use std::sync::Arc;

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};
use smallvec::SmallVec;

use super::buffer::{BufferPin, BytesPin, exports_buffer, is_masked};
use super::dlpack::{self, TensorPin};
use super::errors::no_end;
use super::refusal;
use crate::mem::{Access, Block, Copying, Cursor, MustCopy, Runs};
use crate::wire::Order;

/// The memory of one transfer, pinned until this is dropped: after the transfer's end, whatever
/// that was, because whoever runs the transfer holds both.
#[derive(Default)]
pub(super) struct Pins(SmallVec<[Pin; 2]>);

/// The memory of one object.
pub(super) enum Pin {
    Bytes(BytesPin),
    Buffer(BufferPin),
    Tensor(TensorPin),
    /// Of our own, to be filled.
    Own(Arc<Block>),
    /// A header of our own, to be sent.
    Header(Box<[u8]>),
    /// What somebody else keeps as well, and shows to the garbage collector.
    Shared(Arc<Pins>),
}

impl FromIterator<Pin> for Pins {
    fn from_iter<I: IntoIterator<Item = Pin>>(pins: I) -> Pins {
        Pins(pins.into_iter().collect())
    }
}

impl Pins {
    pub(super) fn with_capacity(pins: usize) -> Pins {
        Pins(SmallVec::with_capacity(pins))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, pin: Pin) {
        self.0.push(pin);
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.iter().try_for_each(|pin| match pin {
            Pin::Bytes(pin) => pin.traverse(visit),
            Pin::Buffer(pin) => pin.traverse(visit),
            // DLPack does not say which Python objects it holds.
            Pin::Tensor(_) | Pin::Own(_) | Pin::Header(_) | Pin::Shared(_) => Ok(()),
        })
    }
}

/// One object, at most `limit` bytes of it (None: all).
pub(super) fn one(
    object: &Bound<'_, PyAny>,
    access: Access,
    copying: Copying,
    limit: impl FnOnce(usize) -> PyResult<usize>,
) -> PyResult<(Cursor, Pins)> {
    let mut cursor = Cursor::new(access);
    let pin = Pin::new(object, access)?;
    let mut runs = pin.runs(Order::C)?;
    runs.truncate(limit(runs.left())?);
    push(&mut cursor, runs, copying)?;
    Ok((cursor, Pins::from_iter([pin])))
}

/// Several objects, one after the other.
pub(super) fn many(
    objects: &Bound<'_, PyAny>,
    access: Access,
    copying: Copying,
) -> PyResult<(Cursor, Pins)> {
    if objects.is_instance_of::<PyString>() || exports_buffer(objects) {
        let (single, several) = match access {
            Access::Read => ("send_buffer", "send_buffers"),
            Access::Write => ("recv_exactly_into", "recv_buffers_into"),
        };
        return Err(PyTypeError::new_err(format!(
            "{several} takes a list of buffers; for a single one use {single}"
        )));
    }
    let mut cursor = Cursor::new(access);
    let mut pins = Pins::default();
    for object in items(objects)? {
        let pin = Pin::new(&object, access)?;
        push(&mut cursor, pin.runs(Order::C)?, copying)?;
        pins.push(pin);
    }
    Ok((cursor, pins))
}

/// Some objects with memory; most often there is one.
pub(super) type Items<'py> = SmallVec<[Bound<'py, PyAny>; 1]>;

/// The objects of a list, or a single one.
pub(super) fn items<'py>(data: &Bound<'py, PyAny>) -> PyResult<Items<'py>> {
    // Not by what they lack: to miss an attribute costs as much as a small transfer.
    if let Ok(list) = data.cast::<PyList>() {
        return Ok(list.iter().collect());
    }
    if let Ok(tuple) = data.cast::<PyTuple>() {
        return Ok(tuple.iter().collect());
    }
    if exports_buffer(data) || data.is_instance_of::<PyString>() || dlpack::is_tensor(data)? {
        return Ok(SmallVec::from_buf([data.clone()]));
    }
    if refusal::is_no_list(data)? {
        return Err(refusal::of(data));
    }
    match data.try_iter() {
        Ok(items) => items.collect(),
        Err(_) => Err(refusal::of(data)),
    }
}

impl Pin {
    /// Pin an object's memory.
    pub(super) fn new(object: &Bound<'_, PyAny>, access: Access) -> PyResult<Pin> {
        Pin::of(object, access).map_err(|error| no_end(object.py(), error, "an exporter of memory"))
    }

    fn of(object: &Bound<'_, PyAny>, access: Access) -> PyResult<Pin> {
        if access == Access::Read
            && let Some(pin) = BytesPin::new(object)
        {
            return Ok(Pin::Bytes(pin));
        }
        if object.is_instance_of::<PyString>() {
            // Before it is asked: that of NumPy exports its code points.
            return Err(refusal::of(object));
        }
        if is_masked(object)? {
            return Err(refusal::masked());
        }
        let buffer = if exports_buffer(object) {
            match BufferPin::new(object, access) {
                Ok(pin) => return Ok(Pin::Buffer(pin)),
                // A tensor may have a dtype or a device that the buffer protocol cannot express.
                Err(error) if error.is_instance_of::<PyBufferError>(object.py()) => Some(error),
                Err(error) => return Err(error),
            }
        } else {
            None
        };
        match (TensorPin::new(object, access), buffer) {
            (Ok(Some(pin)), _) => Ok(Pin::Tensor(pin)),
            (Err(error), None) => Err(error),
            (Err(error), _) if dlpack::is_on_a_device(object) => Err(error),
            (_, Some(error)) => Err(error),
            (Ok(None), None) => Err(refusal::of(object)),
        }
    }

    /// Pin memory that the core has made itself, to be filled.
    pub(super) fn of_our_own(object: &Bound<'_, PyAny>) -> PyResult<Pin> {
        BufferPin::of_our_own(object).map(Pin::Buffer)
    }

    /// Bytes of its items.
    pub(super) fn nbytes(&self) -> usize {
        match self {
            Pin::Bytes(pin) => pin.nbytes(),
            Pin::Buffer(pin) => pin.nbytes(),
            Pin::Tensor(pin) => pin.nbytes(),
            Pin::Own(block) => block.len(),
            Pin::Header(header) => header.len(),
            Pin::Shared(pins) => pins.iter().map(Pin::nbytes).sum(),
        }
    }

    /// Where its bytes are, with the items in this order.
    pub(super) fn runs(&self, order: Order) -> PyResult<Runs> {
        match self {
            Pin::Bytes(pin) => Ok(pin.runs()),
            Pin::Buffer(pin) => pin.runs(order),
            Pin::Tensor(pin) => pin.runs(order),
            Pin::Own(_) | Pin::Header(_) | Pin::Shared(_) => {
                unreachable!("whoever makes it knows where it is")
            }
        }
    }
}

/// Append to a cursor what may have to be copied.
pub(super) fn push(cursor: &mut Cursor, runs: Runs, copying: Copying) -> PyResult<()> {
    cursor.push(runs, copying).map_err(|error| must_copy(&error))
}

/// Whether `push` takes it.
pub(super) fn check(runs: &Runs, copying: Copying) -> PyResult<()> {
    Cursor::is_staged(runs, copying).map(drop).map_err(|error| must_copy(&error))
}

fn must_copy(error: &MustCopy) -> PyErr {
    PyBufferError::new_err(match error {
        MustCopy::Runs { .. } => format!(
            "copy=False, but this memory is not contiguous: {error}; pass a contiguous array, or \
             copy=None to let them be packed through a staging block"
        ),
        MustCopy::Gaps => format!(
            "copy=False, but this memory has to be copied: {error}; pass an array without gaps \
             (numpy.lib.recfunctions.repack_fields), or copy=None to let a staging block do it"
        ),
    })
}

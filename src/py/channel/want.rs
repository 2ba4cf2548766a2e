//! What a receive wants of a message, and what becomes of it.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::allocate::{self, Allocation};
use super::base::BaseChannel;
use super::header;
use super::inbox::Pending;
use super::landing::{Landing, Maker, Objects, Pinned, bytes_of};
use super::message::nbytes;
use crate::mem::Copying;
use crate::py::errors::refused;

/// What is wanted of the next message.
pub(super) enum Want {
    /// Nothing but the peer's hello.
    Hello,
    /// Its header; this makes the object of it.
    Header(header::Maker),
    /// All of it, in new memory.
    Message(Allocation),
    /// All of it, in this memory. None once it is at work.
    Into(Option<Pinned>),
    /// The object that it carries.
    Object(Allocation),
    /// That it is gone.
    Nothing,
}

/// What it means that the peer has ended the channel in good order, or that it was closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// An error.
    Incomplete,
    /// The end of a loop over messages.
    Loop,
}

impl Want {
    /// An object, if the channel may load one.
    pub(super) fn object(channel: &Bound<'_, BaseChannel>) -> PyResult<Want> {
        channel.get().check_pickle(channel.py())?;
        Ok(Want::Object(Allocation::usual(channel)))
    }
}

pub(super) fn is_object(py: Python<'_>) -> PyErr {
    refused(py, "this message is an object: receive it by recv_object".to_owned())
}

/// Whether memory may be made for the payload.
pub(super) fn check_size(py: Python<'_>, channel: &BaseChannel, pending: &Pending) -> PyResult<()> {
    let (payload, limit) = (pending.header.payload, channel.options().max_message_bytes);
    if pending.landing.is_some() || payload <= limit {
        return Ok(());
    }
    let text = format!(
        "the message has {payload} bytes, and max_message_bytes is {limit}: receive it into memory \
         of your own, by recv_header() and read_into(), or skip() it"
    );
    Err(refused(py, text))
}

/// Memory for the payload: what has been made for it and is not full, or more of it.
pub(super) fn make(py: Python<'_>, pending: &Pending, allocation: &Allocation) -> PyResult<Pinned> {
    let header = &pending.header;
    let mut objects: Objects = match &pending.landing {
        Some(before) => before.objects().iter().map(|object| object.clone_ref(py)).collect(),
        None => Objects::new(),
    };
    let mut first = objects.len();
    if bytes_of(&header.parts[..first]) == pending.taken {
        objects.extend(allocate::some(py, header, first, allocation)?);
    } else {
        // The first that is not full.
        let mut end = 0;
        let mut is_full = |part| {
            end += nbytes(part);
            end <= pending.taken
        };
        first = header.parts.iter().take_while(|&part| is_full(part)).count();
    }
    let before = pending.landing.as_ref().map(Landing::maker);
    let maker = match (before, &allocation.allocator) {
        (None | Some(Maker::Core), None) => Maker::Core,
        _ => Maker::Allocator,
    };
    let pinned = Landing::new(objects, maker).pin(py, first, Copying::Allowed)?;
    pinned.check_made(header)?;
    Ok(pinned)
}

/// The object of a pickle and its buffers.
pub(super) fn unpickle(py: Python<'_>, parts: &[Py<PyAny>]) -> PyResult<Py<PyAny>> {
    let (pickle, buffers) = parts.split_first().expect("checked when the header was parsed");
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "buffers"), PyList::new(py, buffers)?)?;
    let loads = py.import(intern!(py, "pickle"))?.getattr(intern!(py, "loads"))?;
    Ok(loads.call((pickle,), Some(&kwargs))?.unbind())
}

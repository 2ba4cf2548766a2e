//! Messages to be sent: their memory pinned, their header made.
#![allow(unsafe_code)] // Names a header's memory.

use std::sync::Arc;

use pyo3::prelude::*;
use smallvec::SmallVec;

use super::base::BaseChannel;
use super::same_host::{Large, threshold};
use super::sending::Sending;
use super::{layout, meta};
use crate::mem::{Access, Copying, Cursor, Region};
use crate::net::Progress;
use crate::py::convert;
use crate::py::errors::refused;
use crate::py::file;
use crate::py::job::Job;
use crate::py::payload::{self, Items, Pin, Pins, push};
use crate::wire::{Flags, Header, Kind, WireError};

impl Sending {
    /// One array or several.
    pub(super) fn arrays(
        channel: &Bound<'_, BaseChannel>,
        data: &Bound<'_, PyAny>,
        meta: Option<&Bound<'_, PyAny>>,
        copy: Option<bool>,
        timeout: Option<f64>,
    ) -> PyResult<Sending> {
        channel.get().raise_failure()?;
        let objects = payload::items(data)?;
        Sending::memory(channel, Kind::Arrays, &objects, meta, convert::copying(copy), timeout)
    }

    /// A pickle and its buffers.
    pub(super) fn object(
        channel: &Bound<'_, BaseChannel>,
        buffers: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Sending> {
        channel.get().raise_failure()?;
        let theirs = channel.get().greeting().theirs();
        if theirs.is_some_and(|hello| !hello.flags.has(Flags::OBJECTS)) {
            let text =
                "the peer takes no objects: it has to open its channel with allow_pickle=True";
            return Err(refused(channel.py(), text.to_owned()));
        }
        let objects: Items<'_> = buffers.try_iter()?.collect::<PyResult<_>>()?;
        Sending::memory(channel, Kind::Object, &objects, None, Copying::Allowed, timeout)
    }

    fn memory(
        channel: &Bound<'_, BaseChannel>,
        kind: Kind,
        objects: &[Bound<'_, PyAny>],
        meta: Option<&Bound<'_, PyAny>>,
        copying: Copying,
        timeout: Option<f64>,
    ) -> PyResult<Sending> {
        let py = channel.py();
        let mut pins = Pins::with_capacity(objects.len() + 1);
        let mut parts = SmallVec::with_capacity(objects.len());
        for object in objects {
            let pin = Pin::new(object, Access::Read)?;
            parts.push(match kind {
                Kind::Arrays => layout::describe(&pin, object)?,
                Kind::Object => layout::bytes(pin.nbytes()),
            });
            pins.push(pin);
        }
        let header = Header::new(kind, parts, meta::from_python(meta)?);
        let header = header.map_err(|error| over_limit(py, &error))?;
        let (mut cursor, bytes) = encode(py, &header)?;
        for (part, pin) in header.parts.iter().zip(pins.iter()) {
            push(&mut cursor, layout::runs(pin, part)?, copying)?;
        }
        let progress = Progress::new(cursor.left() as u64, bytes.len() as u64);
        let payload = header.payload;
        let mut large = None;
        // A peer's answer takes time, which a timeout of 0 does not give.
        if payload >= threshold() && timeout != Some(0.0) && !channel.get().route().is_socket() {
            let shared = Arc::new(std::mem::take(&mut pins));
            pins.push(Pin::Shared(Arc::clone(&shared)));
            large = Some(Box::new(Large { header, pins: shared, copying }));
        }
        pins.push(Pin::Header(bytes));
        let job = Job::part_of(&progress, cursor, pins);
        let mut sending = Sending::new(channel, SmallVec::from_buf([job]), payload, progress);
        sending.large = large;
        Ok(sending)
    }

    /// A part of a file, as plain bytes.
    pub(super) fn file(
        channel: &Bound<'_, BaseChannel>,
        file: &Bound<'_, PyAny>,
        offset: i64,
        count: Option<i64>,
        meta: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Sending> {
        let py = channel.py();
        channel.get().raise_failure()?;
        let (range, position) = file::range(file, offset, count)?;
        let part = layout::bytes(range.left() as usize);
        let header =
            Header::new(Kind::Arrays, SmallVec::from_buf([part]), meta::from_python(meta)?);
        let header = header.map_err(|error| over_limit(py, &error))?;
        let (cursor, bytes) = encode(py, &header)?;
        let header_len = bytes.len() as u64;
        let progress = Progress::new(header_len + header.payload, header_len);
        let pins = Pins::from_iter([Pin::Header(bytes)]);
        let jobs =
            [Job::part_of(&progress, cursor, pins), Job::file_part_of(&progress, range, position)];
        Ok(Sending::new(channel, jobs.into_iter().collect(), header.payload, progress))
    }
}

/// The header's bytes, and a cursor that begins with them.
pub(super) fn encode(py: Python<'_>, header: &Header) -> PyResult<(Cursor, Box<[u8]>)> {
    let mut bytes = Vec::with_capacity(header.len());
    header.encode(&mut bytes).map_err(|error| over_limit(py, &error))?;
    let bytes = bytes.into_boxed_slice();
    Ok((cursor_over(&bytes), bytes))
}

/// Bytes of our own, which the pins of the job are to keep.
pub(super) fn cursor_over(bytes: &[u8]) -> Cursor {
    let region = Region { base: bytes.as_ptr().cast_mut(), len: bytes.len() };
    // SAFETY: the job's pins keep the bytes, which stay where they are when their box moves, and
    // nobody writes to them any more.
    unsafe { Cursor::over(Access::Read, region) }
}

fn over_limit(py: Python<'_>, error: &WireError) -> PyErr {
    let text = match error {
        WireError::TooMuch { what, announced, limit } => {
            format!("a message cannot have {announced} {what}: {limit} is the limit")
        }
        WireError::Dtype(why) => format!("items of this type cannot travel: {why}"),
        WireError::OtherSize => "items of this type cannot travel: its size is another".to_owned(),
        other => other.to_string(),
    };
    refused(py, text)
}

//! In place of `src/net`: its handle, and a transfer of pieces of memory that loom watches.

#[path = "../../../src/net/handle.rs"]
mod handle;
mod handle_tests;
mod transfer;

pub(crate) use handle::{Handle, Sleeper};
pub(crate) use transfer::{Call, Memory, Place, Transfer};

use std::fs::File;
use std::os::fd::OwnedFd;

pub(crate) type SocketFd = OwnedFd;

#[derive(Debug)]
pub(crate) enum Error {
    Closed,
}

#[derive(Debug)]
pub(crate) struct Socket(Handle);

impl Socket {
    /// One that is open: some descriptor.
    pub(crate) fn open() -> Socket {
        Socket(Handle::new(File::open("/dev/null").unwrap().into()))
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.0
    }
}

#![allow(unsafe_code)] // Names memory of its own.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::options::Options;
use crate::engine;
use crate::mem::{Access, Cursor, Region};
use crate::net::{Direction, Goal, Payload, Socket, Transfer};
use crate::py::queue::Queue;
use crate::wire::{Flags, Hello, Host, VERSION};

/// The hellos of a channel: ours, which has to be said before anything else, and the peer's, once
/// it has come.
pub(super) struct Greeting {
    ours: Box<[u8]>,
    /// How many bytes of it have been said.
    said: Mutex<usize>,
    theirs: OnceLock<Hello>,
}

impl Greeting {
    /// Of an end with these options, which says where it is if there is a `host`.
    pub(super) fn new(options: &Options, host: Option<Host>) -> Greeting {
        let objects = if options.allow_pickle { Flags::OBJECTS } else { Flags::default() };
        let neighbours = if host.is_some() { Flags::SAME_HOST } else { Flags::default() };
        let flags = objects | neighbours;
        let max_message_bytes = options.max_message_bytes;
        let hello = Hello { lowest: VERSION, highest: VERSION, flags, max_message_bytes, host };
        let ours = hello.encode().into_boxed_slice();
        Greeting { ours, said: Mutex::new(0), theirs: OnceLock::new() }
    }

    /// The peer's hello, once it has come.
    pub(super) fn theirs(&self) -> Option<&Hello> {
        self.theirs.get()
    }

    pub(super) fn meet(&self, hello: Hello) {
        let _ = self.theirs.set(hello);
    }

    /// Say ours without waiting, if nobody is sending. Errors are for those who have more to say.
    pub(super) fn say(&self, socket: &Arc<Socket>, outbox: &Arc<Queue>) {
        if *self.lock() == self.ours.len() {
            return;
        }
        let Some(_place) = outbox.try_join() else { return };
        let (Ok(_turn), Ok(fd)) = (socket.begin(Direction::Send), socket.fd()) else { return };
        let mut said = self.lock();
        let mut transfer = Transfer::new(Payload::Memory(self.rest(*said)), Goal::All);
        let _ = engine::attempt(socket, fd.as_fd(), &mut transfer, self.ours.len());
        *said += transfer.progress().transferred() as usize;
    }

    /// What of ours has to go before anything else; for whoever has the turn.
    pub(super) fn unsaid(&self) -> Option<Cursor> {
        let said = *self.lock();
        (said < self.ours.len()).then(|| self.rest(said))
    }

    /// So many bytes of it went.
    pub(super) fn said(&self, bytes: u64) {
        *self.lock() += bytes as usize;
    }

    fn rest(&self, said: usize) -> Cursor {
        let rest = &self.ours[said..];
        let rest = Region { base: rest.as_ptr().cast_mut(), len: rest.len() };
        // SAFETY: the bytes live as long as the channel that this is of, and whoever sends them
        // holds a reference to that. They never change.
        unsafe { Cursor::over(Access::Read, rest) }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

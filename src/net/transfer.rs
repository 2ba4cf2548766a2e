use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::pull::{Piece, Pull};
use super::{Direction, Error, FileRange};
use crate::mem::{Access, Cursor, Region};

/// Bytes to move, and how far that has come. It does no I/O: `next` says what to ask of the
/// kernel, `moved` and `ended` take the answer.
#[derive(Debug)]
pub struct Transfer {
    payload: Payload,
    goal: Goal,
    done: bool,
    progress: Arc<Progress>,
}

/// Where the bytes are.
#[derive(Debug)]
pub enum Payload {
    /// In memory, to be sent or to be filled.
    Memory(Cursor),
    /// In a file, to be sent.
    File(FileRange),
    /// In another process, to be copied to memory here; the socket says when that must end.
    Peer(Pull),
}

impl Payload {
    /// Bytes ahead.
    pub fn left(&self) -> u64 {
        match self {
            Payload::Memory(cursor) => cursor.left() as u64,
            Payload::File(range) => range.left(),
            Payload::Peer(pull) => pull.left(),
        }
    }
}

/// When a transfer is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// After the first bytes.
    Some,
    /// After all of them.
    All,
}

/// How far a transfer has come; other threads may look.
#[derive(Debug)]
pub struct Progress {
    transferred: AtomicU64,
    nbytes: AtomicU64,
    header: u64,
}

/// What to ask of the kernel.
#[derive(Debug)]
pub enum Call<'a> {
    /// Send from these pieces.
    Send(&'a [Region]),
    /// Receive into these pieces.
    Receive(&'a [Region]),
    /// Send from a file.
    SendFile {
        /// The file.
        file: BorrowedFd<'a>,
        /// Its first byte to send.
        offset: u64,
        /// Bytes.
        count: u64,
    },
    /// Read a file into the staging block; `staged` takes the answer.
    ReadFile {
        /// The file.
        file: BorrowedFd<'a>,
        /// Where to read to.
        into: Region,
        /// Its first byte to read.
        offset: u64,
    },
    /// Copy memory of another process.
    Pull {
        /// The process.
        pid: i32,
        /// Where to.
        to: &'a [Region],
        /// Where from, there.
        from: &'a [Region],
    },
}

/// Where a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is nothing left to do.
    Done,
    /// Some has moved: ask again. Less than was offered is not always all that there is (an urgent
    /// byte, the end of a file or of the connection, a fault in memory), and not everybody who
    /// waits is told of the rest.
    Moving,
    /// Nothing moves: wait until the kernel is ready.
    Starved,
}

impl Progress {
    /// Of so many bytes; the first `header` ones are not the user's.
    pub fn new(nbytes: u64, header: u64) -> Arc<Progress> {
        let (transferred, nbytes) = (AtomicU64::new(0), AtomicU64::new(nbytes));
        Arc::new(Progress { transferred, nbytes, header })
    }

    /// It is known now what there is to move, and what of it has been.
    pub fn set(&self, transferred: u64, nbytes: u64) {
        self.nbytes.store(nbytes, Ordering::Relaxed);
        self.transferred.store(transferred, Ordering::Relaxed);
    }

    /// Bytes so far.
    pub fn transferred(&self) -> u64 {
        self.transferred.load(Ordering::Relaxed)
    }

    /// Bytes in all.
    pub fn nbytes(&self) -> u64 {
        self.nbytes.load(Ordering::Relaxed)
    }

    /// Bytes to come.
    pub fn left(&self) -> u64 {
        self.nbytes() - self.transferred()
    }

    /// The user's bytes: so far, and in all.
    pub fn of_user(&self) -> (u64, u64) {
        (self.transferred().saturating_sub(self.header), self.nbytes().saturating_sub(self.header))
    }
}

impl Transfer {
    /// A transfer of all of the payload, or of its first bytes.
    pub fn new(payload: Payload, goal: Goal) -> Transfer {
        let progress = Progress::new(payload.left(), 0);
        Transfer { payload, goal, done: false, progress }
    }

    /// All of the payload, as the rest of something larger, or with a header before it: whose
    /// progress has to know what there is.
    pub fn part_of(progress: &Arc<Progress>, payload: Payload) -> Transfer {
        let progress = Arc::clone(progress);
        Transfer { payload, goal: Goal::All, done: false, progress }
    }

    /// Move it elsewhere. What is left behind tells the same progress and has nothing to move.
    pub fn take(&mut self) -> Transfer {
        let access = match self.direction() {
            Direction::Send => Access::Read,
            Direction::Receive => Access::Write,
        };
        let rest = Transfer {
            payload: Payload::Memory(Cursor::new(access)),
            goal: self.goal,
            done: true,
            progress: Arc::clone(&self.progress),
        };
        std::mem::replace(self, rest)
    }

    /// When it is done.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// Which way the bytes go.
    pub fn direction(&self) -> Direction {
        match &self.payload {
            Payload::Memory(cursor) if cursor.access() == Access::Write => Direction::Receive,
            Payload::Peer(_) => Direction::Receive,
            _ => Direction::Send,
        }
    }

    /// How far it has come.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Bytes that were copied in user space so far.
    pub fn packed(&self) -> u64 {
        match &self.payload {
            Payload::Memory(cursor) => cursor.packed(),
            Payload::File(range) => range.packed(),
            Payload::Peer(pull) => pull.packed(),
        }
    }

    /// What to ask of the kernel next, moving at most about `limit` bytes; None when done.
    pub fn next(&mut self, limit: usize) -> Option<Call<'_>> {
        if self.done {
            return None;
        }
        match &mut self.payload {
            Payload::Memory(cursor) => {
                let access = cursor.access();
                match cursor.window(limit) {
                    [] => None,
                    window if access == Access::Read => Some(Call::Send(window)),
                    window => Some(Call::Receive(window)),
                }
            }
            Payload::File(range) => range.next(limit),
            Payload::Peer(pull) => {
                let (pid, to, from, _) = pull.next(limit)?;
                Some(Call::Pull { pid, to, from })
            }
        }
    }

    /// The kernel moved `n` bytes; `n` is not 0.
    pub fn moved(&mut self, n: usize) -> State {
        match &mut self.payload {
            Payload::Memory(cursor) => cursor.advance(n),
            Payload::File(range) => range.advance(n as u64),
            Payload::Peer(pull) => pull.advance(n),
        }
        let left = self.payload.left();
        self.progress.transferred.fetch_add(n as u64, Ordering::Relaxed);
        self.done = left == 0 || self.goal == Goal::Some;
        if self.done { State::Done } else { State::Moving }
    }

    /// Whether it copies from another process: then it never waits for the socket.
    pub fn is_pull(&self) -> bool {
        matches!(self.payload, Payload::Peer(_))
    }

    /// Take a piece of a pull, to be copied by whoever asks; `copied` is told of it. None if there
    /// is no more, or it has failed.
    pub fn take_piece(&mut self, limit: usize) -> Option<Piece> {
        let Payload::Peer(pull) = &mut self.payload else { return None };
        if self.done {
            return None;
        }
        let (pid, to, from, len) = pull.next(limit)?;
        let piece = Piece { pid, to: to.into(), from: from.into(), len };
        pull.advance(len);
        Some(piece)
    }

    /// Whether pieces may be copied at the same time.
    pub fn is_divisible(&self) -> bool {
        matches!(&self.payload, Payload::Peer(pull) if pull.is_divisible())
    }

    /// The kernel has copied some of the `len` bytes of a piece, or this is why it has not.
    pub fn copied(&mut self, result: io::Result<usize>, len: usize) {
        match result {
            Ok(n) if n == len => {
                self.progress.transferred.fetch_add(n as u64, Ordering::Relaxed);
            }
            result => drop(self.fail(result)),
        }
    }

    /// The kernel has copied so many bytes of a pull, or this is why it has not.
    pub fn pulled(&mut self, result: io::Result<usize>) -> State {
        match result {
            // It stops where something is that cannot be read, which the next call says.
            Ok(n @ 1..) => self.moved(n),
            result => self.fail(result),
        }
    }

    /// A pull ends here, for the reason that its maker looks at; what the kernel does not copy
    /// without one is not there.
    fn fail(&mut self, result: io::Result<usize>) -> State {
        if let Payload::Peer(pull) = &self.payload {
            let missing = || io::Error::from_raw_os_error(libc::EFAULT);
            pull.fail(result.err().unwrap_or_else(missing));
        }
        self.done = true;
        State::Done
    }

    /// A file was read into the staging block: `n` bytes of it.
    pub fn staged(&mut self, n: usize) {
        if let Payload::File(range) = &mut self.payload {
            range.staged(n);
        }
    }

    /// Send a file through the staging block from here on.
    pub fn stage_file(&mut self) {
        if let Payload::File(range) = &mut self.payload {
            range.stage();
        }
    }

    /// The source has no more: the peer ended the stream, or the file is shorter than it was.
    pub fn ended(&mut self) -> Result<State, Error> {
        match (&self.payload, self.goal) {
            (Payload::Memory(_), Goal::All) => Err(Error::Incomplete),
            _ => {
                self.done = true;
                Ok(State::Done)
            }
        }
    }
}

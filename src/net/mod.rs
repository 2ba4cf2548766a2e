//! Sockets and transfers: what there is to do and what has been done, without a clock.
//!
//! `transfer` decides, as a state machine without I/O, and `engine` calls the kernel and waits;
//! `pull` is a transfer from another process's memory, and `file` a part of a file to be sent.
//! `socket_fd` is a socket's descriptor, and `handle` one that any thread may close; `socket` adds
//! directions, their turns and the torn state, `listener` is one that accepts. `address`, `options`
//! and `error` are what they say; `connect` is the race of RFC 8305 as steps, `loopback` takes BBR off
//! connections that stay on this machine, `memory` what the receives of a server share, and `same_host` is how two processes of one host come to
//! know each other.

mod address;
mod connect;
mod error;
mod file;
mod handle;
mod listener;
mod loopback;
mod memory;
mod options;
mod pull;
mod same_host;
mod socket;
mod socket_fd;
mod transfer;

pub use address::{Address, UnixName};
pub use connect::{Race, Step};
pub use error::{Error, OpenError, reason};
pub use file::FileRange;
pub use handle::{Handle, Sleeper};
pub use listener::Listener;
pub use memory::{Answer, BudgetStats, MemoryBudget, Owner, Reservation};
pub use options::{Keepalive, Options};
pub use pull::{Failure, Piece, Pull, Window};
pub use same_host::{Heard, Invited, Lapse, Link, Unread, Visit, here};
pub use socket::{Direction, Opened, Socket, Stats, Torn, Turn};
pub use socket_fd::{SocketFd, close_elsewhere};
pub use transfer::{Call, Goal, Payload, Progress, State, Transfer};

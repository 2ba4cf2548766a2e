//! Sockets and transfers: what there is to do and what has been done, without a clock.
//!
//! `transfer` decides, `engine` calls the kernel and waits.

mod address;
mod connect;
mod error;
mod file;
mod handle;
mod listener;
mod loopback;
mod neighbour;
mod options;
mod pull;
mod socket;
mod transfer;

pub use address::{Address, UnixName};
pub use connect::{ConnectError, Race, Step};
pub use error::{Error, reason};
pub use file::FileRange;
pub use handle::{Handle, Sleeper};
pub use listener::Listener;
pub use neighbour::{Invited, Lease, Neighbour, here, unreadable};
pub use options::{Keepalive, Options};
pub use pull::{Failure, Piece, Pull, Window};
pub use socket::{Direction, Opened, Socket, Stats, Torn, Turn};
pub use transfer::{Call, Goal, Payload, Progress, State, Transfer};

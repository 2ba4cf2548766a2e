//! Large messages between two ends on one host, past the socket.
//!
//! `route` finds the way: it invites or follows, and has the link that comes of it. `offering` is
//! the side of who sends a message by it, and `offered` that of who receives one.

mod offered;
mod offering;
mod route;

pub(super) use offered::{Incoming, Standing};
pub(super) use offering::{Large, Offered};
pub(super) use route::{Route, Turn, threshold};

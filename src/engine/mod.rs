//! Calls the kernel for what `net` decides, and waits for it.
//!
//! `attempt` never waits: both faces begin with it. `blocking` sleeps in poll(2).

mod attempt;
mod blocking;

pub use attempt::{attempt, count_inline, spin};
pub use blocking::{CALL, Interrupt, accept, connect, transfer};

//! The frames of a channel: bytes to values and back, and every limit. No I/O, no Python.
//!
//! `hello` comes first; then a `message`, whose header has a description of each `part` and the
//! `meta`, and `dtype` checks what it says of its items; past the socket there is an `offer` (with the invitation before it) and its `answer`.
//! `error` is what no well-behaved peer sends. `docs/wire-format.md` has every byte.

mod answer;
mod dtype;
mod error;
mod hello;
mod message;
pub mod meta;
mod offer;
mod part;

pub use answer::{ANSWER_LEN, Answer, Verdict};
pub use dtype::Layout;
pub use error::WireError;
pub use hello::{Flags, HELLO_LEN, Hello, Host, VERSION};
pub use message::{Header, Kind, Limits, PREFIX_LEN, Parsed};
pub use offer::{Invitation, MAX_RUNS, Offer, Run};
pub use part::{MAX_NDIM, Order, Part};

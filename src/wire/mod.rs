//! The frames of a channel: bytes to values and back, and every limit. No I/O, no Python.
//!
//! `docs/wire-format.md` has every byte.

mod answer;
mod error;
mod hello;
mod message;
pub mod meta;
mod offer;
mod part;

pub use answer::{ANSWER_LEN, Answer, Verdict};
pub use error::WireError;
pub use hello::{Flags, HELLO_LEN, Hello, Host, VERSION};
pub use message::{Header, Kind, Limits, PREFIX_LEN, Parsed};
pub use offer::{Invitation, MAX_RUNS, Offer, Run};
pub use part::{MAX_NDIM, Order, Part};

//! The frames of a channel: bytes to values and back, and every limit. No I/O, no Python.
//!
//! `docs/wire-format.md` has every byte.

mod error;
mod hello;
mod message;
pub mod meta;
mod part;

pub use error::WireError;
pub use hello::{Flags, HELLO_LEN, Hello, VERSION};
pub use message::{Header, Kind, Limits, PREFIX_LEN, Parsed};
pub use part::{MAX_NDIM, Order, Part};

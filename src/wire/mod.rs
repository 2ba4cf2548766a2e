//! The frames of a channel: bytes to values and back, and every limit. No I/O, no Python.
//!
//! `hello` comes first; then a `message`, whose header has a description of each `part` and the
//! `meta`, and `dtype` checks what it says of its items. `same_host` is what two ends on one host
//! say beside that, which is not all by the connection. `error` is what no well-behaved peer sends.
//! `docs/wire-format.md` has every byte.

mod dtype;
mod error;
mod hello;
mod message;
pub mod meta;
mod part;
mod same_host;

pub use dtype::Layout;
pub use error::WireError;
pub use hello::{Flags, HELLO_LEN, Hello, Host, VERSION};
pub use message::{Header, Kind, Limits, PREFIX_LEN, Parsed};
pub use part::{MAX_NDIM, Order, Part};
pub use same_host::{
    ANSWER_LEN, Answer, BOARD_LEN, Board, ByLink, Invitation, JOIN_LEN, Join, MAX_RUNS, Offer,
    Place, Run, Verdict, WELCOME_LEN, Welcome,
};

//! The core of pinwire: moves memory that somebody else owns over sockets, without copying it.
//!
//! Layers import downwards only: `py` > `engine` > `net` > `wire` > `sys` > `mem`.
//! `tests/layers.rs` holds them to it.

pub mod engine;
pub mod mem;
pub mod net;
pub mod sys;
pub mod wire;

#[cfg(feature = "python")]
mod py;

#[cfg(not(target_os = "linux"))]
compile_error!("pinwire runs on Linux: it relies on MSG_DONTWAIT, sendfile(2) and eventfd(2)");

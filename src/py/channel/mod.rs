//! Channels: messages of arrays over a stream.
//!
//! `base` is what a channel is, and `greeting` what both ends say first; `sending` and `receiving` are the scripts of its calls, `composing`
//! makes messages and `delivering` gives them out, `want` is what is to become of one, `inbox` what
//! has come and was not asked for yet, `landing` the memory a payload goes to; `dtype`, `layout` and
//! `meta` translate what a header says; `asyncio` and `blocking` are the faces. Past the socket:
//! `route` finds the way to a peer on the same host and `offering` goes it, `guest` and `offered`
//! are the other end.

mod allocate;
mod asyncio;
mod base;
mod blocking;
mod composing;
mod delivering;
mod dtype;
mod greeting;
mod guest;
mod header;
mod inbox;
mod landing;
mod layout;
mod memory;
mod message;
mod meta;
mod offered;
mod offering;
mod options;
mod receiving;
mod route;
mod sending;
mod want;

pub(super) use asyncio::{Channel, Header};
pub(super) use base::BaseChannel;
pub(super) use blocking::{BlockingChannel, BlockingHeader, Prepared};
pub(super) use header::BaseHeader;
pub(super) use memory::Memory;
pub(super) use message::{Message, Part};
pub(super) use options::check_channel_options;

//! Channels: messages of arrays over a stream.
//!
//! `base` is what a channel is, `options` what it is opened with, and `greeting` what both ends say
//! first. `sending` and `receiving` are the scripts of its calls: `composing` makes messages,
//! `delivering` gives them out. `inbox` is what has come and nobody asked for yet, `want` what is to
//! become of one, `landing` the memory its payload goes to; `allocate` and `memory` make some, and
//! `reserving` says how much the channels of a server may have together. `dtype`,
//! `layout` and `meta` translate what a header says; `message` and `header` are what users get, and
//! `asyncio` and `blocking` the faces.
//!
//! `same_host` is how large messages go past the socket.

mod allocate;
mod asyncio;
mod base;
mod blocking;
mod composing;
mod delivering;
mod dtype;
mod greeting;
mod header;
mod inbox;
mod landing;
mod layout;
mod memory;
mod message;
mod meta;
mod options;
mod receiving;
mod reserving;
mod same_host;
mod sending;
mod want;

pub(super) use asyncio::{Channel, Header};
pub(super) use base::BaseChannel;
pub(super) use blocking::{BlockingChannel, BlockingHeader, Prepared};
pub(super) use header::BaseHeader;
pub(super) use memory::Memory;
pub(super) use message::{Message, Part};
pub(super) use options::check_channel_options;
pub(super) use reserving::MemoryBudget;

//! Memory without its owners' language: where bytes lie, in which order, in which pieces.
//!
//! Nothing here allocates for the payload (but for one bounded staging block), does I/O or knows
//! who owns the memory.
//!
//! `region` is an iovec, `runs` a strided or indirect array as contiguous runs, `cursor` a list of
//! them as one stream of bytes, in windows of IOV_MAX; `copy` stages runs that are short, and those
//! of items whose `fields` leave gaps.

mod copy;
mod cursor;
mod fields;
mod region;
mod runs;

pub use cursor::{Access, Copying, Cursor, DIRECT_RUN, IOV_MAX, MustCopy, STAGING};
pub use fields::Fields;
pub use region::{Block, Region};
pub use runs::{Dim, LayoutError, Runs};

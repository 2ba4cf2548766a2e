#![allow(unsafe_code)] // Send for raw memory, and the one staging block.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// A piece of memory that somebody else keeps alive: the kernel's `struct iovec`.
///
/// Never a slice: other code may read and write the same bytes at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Region {
    /// The first byte. Not read when `len` is 0.
    pub base: *mut u8,
    /// Bytes.
    pub len: usize,
}

// SAFETY: a Region is two numbers. Whoever makes one from real memory (`Runs::new`, `Block`)
// promises that the memory outlives it; nothing in it is tied to a thread.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// The region without its first `n` bytes.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn skip(self, n: usize) -> Region {
        assert!(n <= self.len);
        Region { base: self.base.wrapping_add(n), len: self.len - n }
    }
}

/// Memory of our own, for bytes that have to be staged. Its content starts undefined.
#[derive(Debug)]
pub struct Block {
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a Block owns its memory alone, as a Box<[u8]> does.
unsafe impl Send for Block {}
// SAFETY: as above; whoever writes to its region sees to it that nobody else does.
unsafe impl Sync for Block {}

impl Block {
    /// A block of `len` bytes, aligned to a cache line.
    ///
    /// # Panics
    /// If `len` is 0.
    pub fn new(len: usize) -> Block {
        assert!(len > 0);
        let layout = Layout::from_size_align(len, 64).expect("a staging block is small");
        // SAFETY: the layout's size is not 0.
        let base = unsafe { alloc(layout) };
        Block { base: NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout)), layout }
    }

    /// Bytes it has.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.layout.size()
    }

    /// Its memory, valid as long as the block is.
    pub fn region(&self) -> Region {
        Region { base: self.base.as_ptr(), len: self.layout.size() }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, freed once, here.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

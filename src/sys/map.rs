#![allow(unsafe_code)] // Calls into libc.

use std::io;
use std::ptr::NonNull;

/// The size of a huge page on x86-64, and of the usual one on arm64.
pub const HUGE_PAGE: usize = 2 * 1024 * 1024;

/// Fresh memory from the kernel, zero, in huge pages where it has some (mmap(2), madvise(2)).
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a Mapping owns its memory alone, as a Box<[u8]> does.
unsafe impl Send for Mapping {}
// SAFETY: as above; its address and length never change.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// At least `len` bytes: a multiple of 2 MiB, from a multiple of 2 MiB on. Pages take memory when
    /// they are first touched.
    pub fn new(len: usize) -> io::Result<Mapping> {
        let too_large = || io::Error::from_raw_os_error(libc::ENOMEM);
        let whole = len.max(1).checked_next_multiple_of(HUGE_PAGE).ok_or_else(too_large)?;
        let span = whole.checked_add(HUGE_PAGE).ok_or_else(too_large)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, wherever the kernel likes, touches nobody's memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), span, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let before = start.align_offset(HUGE_PAGE);
        // SAFETY: all within the mapping that was just made: it is `HUGE_PAGE` longer than what
        // is kept, and what lies before and behind that is given back.
        let base = unsafe {
            let base = start.byte_add(before);
            if before > 0 {
                libc::munmap(start, before);
            }
            if before < HUGE_PAGE {
                libc::munmap(base.byte_add(whole), HUGE_PAGE - before);
            }
            // A kernel without huge pages refuses; ordinary ones do as well.
            libc::madvise(base, whole, libc::MADV_HUGEPAGE);
            base
        };
        let base = NonNull::new(base.cast()).expect("no mapping is at 0");
        Ok(Mapping { base, len: whole })
    }

    /// Tell the kernel that the content is of no use to anybody: it takes pages back when it needs
    /// some, and until then they are there to be written again without a fault (MADV_FREE).
    pub fn forget(&mut self) {
        // SAFETY: the mapping is ours alone, and whoever has it next may find anything in it.
        unsafe { libc::madvise(self.base.as_ptr().cast(), self.len, libc::MADV_FREE) };
    }

    /// The first byte.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty one is no use")]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length, unmapped once, here.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#![allow(unsafe_code)] // Raw copies between an array and the staging block.

use std::ptr::copy_nonoverlapping;

/// Copy `count` items of `len` bytes, `stride` bytes apart, together at `to`.
///
/// # Safety
/// The items may be read, `to` may be written for `count * len` bytes, and they do not overlap.
/// Somebody may write to the items meanwhile; then it is undefined which values are copied.
pub(super) unsafe fn gather(from: *const u8, stride: isize, count: usize, len: usize, to: *mut u8) {
    // A fixed length lets the compiler turn each copy into one load and one store.
    match len {
        // SAFETY: the caller's promise, handed on unchanged.
        1 => unsafe { strided::<1>(from, stride, to, 1, count) },
        // SAFETY: as above.
        2 => unsafe { strided::<2>(from, stride, to, 2, count) },
        // SAFETY: as above.
        4 => unsafe { strided::<4>(from, stride, to, 4, count) },
        // SAFETY: as above.
        8 => unsafe { strided::<8>(from, stride, to, 8, count) },
        // SAFETY: as above.
        16 => unsafe { strided::<16>(from, stride, to, 16, count) },
        _ => {
            for i in 0..count {
                // SAFETY: the caller's promise; i < count.
                unsafe {
                    copy_nonoverlapping(at(from.cast_mut(), stride, i), to.add(i * len), len);
                }
            }
        }
    }
}

/// The reverse of `gather`.
///
/// # Safety
/// The items may be written, `from` may be read for `count * len` bytes, and they do not overlap.
pub(super) unsafe fn scatter(
    from: *const u8,
    to: *mut u8,
    stride: isize,
    count: usize,
    len: usize,
) {
    match len {
        // SAFETY: the caller's promise, handed on unchanged.
        1 => unsafe { strided::<1>(from, 1, to, stride, count) },
        // SAFETY: as above.
        2 => unsafe { strided::<2>(from, 2, to, stride, count) },
        // SAFETY: as above.
        4 => unsafe { strided::<4>(from, 4, to, stride, count) },
        // SAFETY: as above.
        8 => unsafe { strided::<8>(from, 8, to, stride, count) },
        // SAFETY: as above.
        16 => unsafe { strided::<16>(from, 16, to, stride, count) },
        _ => {
            for i in 0..count {
                // SAFETY: the caller's promise; i < count.
                unsafe { copy_nonoverlapping(from.add(i * len), at(to, stride, i), len) };
            }
        }
    }
}

/// Equally spaced places in memory.
#[derive(Clone, Copy)]
pub(super) struct Strided {
    /// The first one.
    pub(super) base: *mut u8,
    /// Bytes from one to the next; may be negative or 0.
    pub(super) stride: isize,
}

/// Copy `count` items of `len` bytes.
///
/// # Safety
/// The items may be read there and written here, and the places do not overlap. Somebody may write
/// to the items meanwhile; then it is undefined which values are copied.
pub(super) unsafe fn copy(from: Strided, to: Strided, count: usize, len: usize) {
    let (Strided { base: from, stride: from_stride }, Strided { base: to, stride }) = (from, to);
    match len {
        // SAFETY: the caller's promise, handed on unchanged.
        1 => unsafe { strided::<1>(from, from_stride, to, stride, count) },
        // SAFETY: as above.
        2 => unsafe { strided::<2>(from, from_stride, to, stride, count) },
        // SAFETY: as above.
        4 => unsafe { strided::<4>(from, from_stride, to, stride, count) },
        // SAFETY: as above.
        8 => unsafe { strided::<8>(from, from_stride, to, stride, count) },
        // SAFETY: as above. A long double has so many.
        10 => unsafe { strided::<10>(from, from_stride, to, stride, count) },
        // SAFETY: as above.
        12 => unsafe { strided::<12>(from, from_stride, to, stride, count) },
        // SAFETY: as above.
        16 => unsafe { strided::<16>(from, from_stride, to, stride, count) },
        _ => {
            for i in 0..count {
                // SAFETY: the caller's promise; i < count.
                unsafe { copy_nonoverlapping(at(from, from_stride, i), at(to, stride, i), len) };
            }
        }
    }
}

/// # Safety
/// `count` items of `N` bytes may be read and written at the given distances.
unsafe fn strided<const N: usize>(
    from: *const u8,
    from_stride: isize,
    to: *mut u8,
    to_stride: isize,
    count: usize,
) {
    for i in 0..count {
        let from = at(from.cast_mut(), from_stride, i).cast::<[u8; N]>();
        let to = at(to, to_stride, i).cast::<[u8; N]>();
        // SAFETY: the caller's promise; arrays of bytes need no alignment.
        unsafe { to.write(from.read()) };
    }
}

fn at(base: *mut u8, stride: isize, i: usize) -> *mut u8 {
    base.wrapping_offset(stride * i as isize)
}

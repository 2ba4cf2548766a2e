//! What a peer announces takes no memory; what it sends takes a small multiple of its bytes.
#![allow(unsafe_code)] // An allocator that counts.

mod frames;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use pinwire::wire::{Header, Parsed, Part};
use proptest::prelude::*;
use rmpv::Value;

struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    NOW.set(NOW.get() + bytes);
    PEAK.set(PEAK.get().max(NOW.get()));
}

// SAFETY: the system's allocator does the work; the counters are of plain numbers, without a
// destructor, and so can be used at any time of a thread's life.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: what GlobalAlloc asks of the caller is all that the system's allocator does.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as for `alloc`; the memory is the system's allocator's.
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The result of a call, and the most memory that it had at a time.
fn measured<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let result = call();
    (result, (PEAK.get() - before) as usize)
}

/// A byte of meta may be a value of its own, in a vector that doubles while the old one is there;
/// eight of descriptions make a part. rmpv reserves up to 64 KiB for a string that is announced.
fn allowed(come: usize) -> usize {
    const { assert!(size_of::<Part>() <= 4 * 8 * size_of::<Value>()) };
    4 * size_of::<Value>() * come + 64 * 1024
}

fn check(bytes: &[u8]) {
    let (parsed, peak) = measured(|| Header::parse(bytes));
    match parsed {
        Ok(Parsed::Needs(_)) => assert_eq!(peak, 0, "for what has only been announced"),
        _ => assert!(peak <= allowed(bytes.len()), "{peak} for {}", bytes.len()),
    }
}

fn frame(parts: u32, descriptions: &[u8], meta: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0, 0];
    bytes.extend(parts.to_le_bytes());
    bytes.extend((descriptions.len() as u32).to_le_bytes());
    bytes.extend((meta.len() as u32).to_le_bytes());
    bytes.extend([0; 8]);
    [&bytes, descriptions, meta].concat()
}

proptest! {
    #[test]
    fn any_meta_takes_a_multiple_of_its_bytes(
        meta in prop::collection::vec(any::<u8>(), 1..2048),
        lists in 0usize..20,
    ) {
        check(&frame(0, &[], &meta));
        let nested = [&b"\x81\x01"[..], &vec![0x91; lists], &meta].concat();
        check(&frame(0, &[], &nested));
    }

    #[test]
    fn any_prefix_takes_nothing_before_the_rest(announced in any::<[u8; 20]>()) {
        check(&[&[1, 0, 0, 0][..], &announced].concat());
    }
}

#[test]
fn the_most_that_may_be_announced_takes_nothing() {
    let mut bytes = frame(65536, &[], &[]);
    bytes[8..12].copy_from_slice(&(4u32 << 20).to_le_bytes());
    bytes[12..16].copy_from_slice(&65536u32.to_le_bytes());
    bytes[16..24].copy_from_slice(&(i64::MAX as u64).to_le_bytes());
    check(&bytes);
    bytes.resize(1 << 20, 0);
    check(&bytes);
}

#[test]
fn parts_that_were_only_announced_take_nothing() {
    check(&frame(65536, &[], b"\x80"));
    check(&frame(65536, b"\0\0\0\0C\0\0\0", b"\x80"));
}

#[test]
fn the_most_values_in_the_fewest_bytes_take_a_multiple_of_them() {
    for value in [0xc0, 0x90, 0x80, 0xa0, 0x01] {
        let mut meta = b"\x81\x01\xdc\xff\x00".to_vec();
        meta.extend([value; 0xff00]);
        check(&frame(0, &[], &meta));
        let mut meta = b"\xde\x7f\x00".to_vec();
        meta.extend([1, value].repeat(0x7f00));
        check(&frame(0, &[], &meta));
    }
    check(&frame(65536, &b"\0\0\0\0C\0\0\0".repeat(65536), &[]));
}

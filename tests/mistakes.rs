//! Mistakes with memory, for a sanitizer to find: `make sanitize` wants to see each of them fail.
#![allow(unsafe_code)] // That is what they are about.

use std::hint::black_box;
use std::thread;

use pinwire::mem::Block;

#[test]
#[ignore = "reads freed memory, for `make sanitize`"]
fn a_freed_block_is_read() {
    let block = Block::new(64);
    let base = block.region().base;
    // SAFETY: the block has 64 bytes, and nobody else knows of it yet.
    unsafe { base.write_bytes(7, 64) };
    drop(block);
    // SAFETY: none: this is the mistake.
    assert_eq!(unsafe { black_box(base).read() }, 7);
}

#[test]
#[ignore = "writes behind its memory, for `make sanitize`"]
fn a_block_is_written_past_its_end() {
    let block = Block::new(64);
    // SAFETY: none: this is the mistake.
    unsafe { black_box(block.region().base).write_bytes(7, 65) };
}

#[test]
#[ignore = "loses memory, for `make sanitize`"]
fn a_block_is_lost() {
    // On a stack that is gone when leaks are looked for: an old copy of the address is a reference.
    thread::spawn(|| std::mem::forget(black_box(Block::new(64)))).join().unwrap();
}

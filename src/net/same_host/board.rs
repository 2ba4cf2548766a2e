use std::io;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::sys;
use crate::wire::{BOARD_LEN, Offer, Place};

/// What this end shows: `wire::Board`, as the other end reads it.
#[derive(Debug)]
pub(super) struct OurBoard {
    /// At an address of its own, for as long as the board lives.
    shown: Box<Shown>,
    /// The record of the offer that stands.
    record: Vec<u8>,
    offers: u64,
}

#[derive(Debug)]
#[repr(C)]
struct Shown {
    nonce: [u8; 32],
    number: AtomicU64,
    record: AtomicU64,
    len: AtomicU64,
}

const _: () = assert!(size_of::<Shown>() == BOARD_LEN);

impl OurBoard {
    /// One that offers nothing.
    pub(super) fn new() -> io::Result<OurBoard> {
        let (number, record, len) = Default::default();
        let shown = Box::new(Shown { nonce: sys::random()?, number, record, len });
        Ok(OurBoard { shown, record: Vec::new(), offers: 0 })
    }

    /// Where it is, and how to know it.
    pub(super) fn place(&self) -> Place {
        Place { address: address(&raw const *self.shown), nonce: self.shown.nonce }
    }

    /// Let something be read; gives its number, which no other has.
    pub(super) fn offer(&mut self, offer: &Offer) -> u64 {
        self.withdraw();
        self.record = offer.encode();
        self.shown.record.store(address(self.record.as_ptr()), Ordering::SeqCst);
        self.shown.len.store(self.record.len() as u64, Ordering::SeqCst);
        self.offers += 1;
        // Last: who finds it finds the others as well.
        self.shown.number.store(self.offers, Ordering::SeqCst);
        self.offers
    }

    /// Nothing is offered any more: whoever has read it looks for the number afterwards, and finds
    /// that it may have read something else.
    pub(super) fn withdraw(&mut self) {
        self.shown.number.store(0, Ordering::SeqCst);
        // Before what was offered is written to or given back.
        fence(Ordering::SeqCst);
        self.record = Vec::new();
    }
}

fn address<T>(of: *const T) -> u64 {
    of.addr() as u64
}

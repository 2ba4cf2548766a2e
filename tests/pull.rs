//! Copies from a process: of whatever pieces, to whatever layout, by however many threads. Here
//! the process is this one, which may always be read.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinwire::engine::{self, Bell, Outcome};
use pinwire::mem::{Access, Copying, Cursor, Dim, Region, Runs};
use pinwire::net::{
    Direction, Error, Failure, Opened, Options, Payload, Progress, Pull, Socket, State, Transfer,
};
use proptest::prelude::*;

const MIB: usize = 1024 * 1024;

fn socket() -> (Arc<Socket>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let opened = Opened::Elsewhere { nonblocking: false };
    (Socket::new(OwnedFd::from(ours), None, &Options::default(), opened).unwrap(), theirs)
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// The pieces of `memory` that these lengths make, which are the sources of a pull.
fn pieces(memory: &[u8], lens: &[usize]) -> Vec<Region> {
    let mut rest = memory;
    let mut regions = Vec::new();
    for &len in lens {
        let (piece, behind) = rest.split_at(len.min(rest.len()));
        regions.push(Region { base: piece.as_ptr().cast_mut(), len: piece.len() });
        rest = behind;
    }
    regions.push(Region { base: rest.as_ptr().cast_mut(), len: rest.len() });
    regions.retain(|region| region.len > 0);
    regions
}

/// Where it goes: rows of `row` bytes, with as many between them.
fn rows(memory: &mut [u8], row: usize) -> Runs {
    let count = memory.len() / (2 * row);
    let dims = [Dim::direct(count, 2 * row as isize), Dim::direct(row, 1)];
    // SAFETY: the tests keep `memory` for as long as the runs.
    unsafe { Runs::new(memory.as_mut_ptr(), 1, &dims) }.unwrap()
}

fn pull_of(from: Vec<Region>, to: Runs) -> (Transfer, Failure) {
    let mut cursor = Cursor::new(Access::Write);
    cursor.push(to, Copying::Allowed).unwrap();
    let progress = Progress::new(cursor.left() as u64, 0);
    let failure = Failure::default();
    let pull = Pull::new(std::process::id() as i32, cursor, from, &failure);
    (Transfer::part_of(&progress, Payload::Peer(pull)), failure)
}

fn contiguous(memory: &mut [u8]) -> Runs {
    // SAFETY: the tests keep `memory` for as long as the runs.
    unsafe { Runs::contiguous(Region { base: memory.as_mut_ptr(), len: memory.len() }) }
}

fn rows_of(memory: &[u8], row: usize) -> Vec<u8> {
    memory.chunks(row).step_by(2).flatten().copied().collect()
}

proptest! {
    #[test]
    fn a_pull_is_what_was_there_whatever_the_pieces(
        lens in prop::collection::vec(1usize..3000, 0..40),
        row in prop_oneof![1usize..40, 1024usize..3000],
        count in 1usize..40,
        limit in 1usize..9000,
    ) {
        let source = noise(row * count);
        let mut target = vec![0; 2 * row * count];
        let (socket, _peer) = socket();
        let (mut transfer, failure) = pull_of(pieces(&source, &lens), rows(&mut target, row));
        prop_assert_eq!(transfer.direction(), Direction::Receive);
        let fd = socket.fd().unwrap();
        while engine::attempt(&socket, fd.as_fd(), &mut transfer, limit).unwrap() != State::Done {}
        prop_assert!(failure.get().is_none());
        prop_assert_eq!(transfer.progress().left(), 0);
        prop_assert_eq!(rows_of(&target, row), source);
        let between: Vec<u8> = target.chunks(row).skip(1).step_by(2).flatten().copied().collect();
        prop_assert!(between.iter().all(|&byte| byte == 0));
    }
}

fn blocking(socket: &Arc<Socket>, transfer: &mut Transfer) -> Result<(), Error> {
    engine::pull(socket, transfer, None, &mut || Ok(()))
}

#[test]
fn a_large_pull_in_a_thread_is_exact() {
    for (size, row) in [(5 * MIB + 3, 0), (4 * MIB, 4096), (4 * MIB, 16)] {
        let source = noise(size);
        let mut target = vec![0; 2 * size];
        let to = if row == 0 { contiguous(&mut target[..size]) } else { rows(&mut target, row) };
        let (mut transfer, failure) = pull_of(pieces(&source, &[1, 70_000, MIB]), to);
        blocking(&socket().0, &mut transfer).unwrap();
        assert!(failure.get().is_none());
        assert_eq!(transfer.progress().left(), 0);
        let got = if row == 0 { target[..size].to_vec() } else { rows_of(&target, row) };
        assert!(got == source, "{size} {row}");
    }
}

#[test]
fn a_large_pull_on_the_workers_lands_exact_or_with_all_up_to_a_point() {
    const SIZE: usize = 24 * MIB;
    let source = noise(SIZE);
    let bell = Arc::new(Bell::new().unwrap());
    for stop in [false, true, true, true] {
        let mut target = vec![0; SIZE];
        let (socket, _peer) = socket();
        let (mut transfer, failure) = pull_of(pieces(&source, &[]), contiguous(&mut target));
        let progress = Arc::clone(transfer.progress());
        let flight = engine::fly(&socket, &mut transfer, None, &bell).unwrap();
        if stop {
            while progress.transferred() == 0 {
                std::hint::spin_loop();
            }
            flight.stop();
        }
        flight.wait();
        let landing = flight.take(&socket).unwrap();
        let taken = progress.transferred() as usize;
        assert!(failure.get().is_none());
        assert!(target[..taken] == source[..taken]);
        assert!(target[taken..].iter().all(|&byte| byte == 0));
        match landing.outcome {
            Outcome::Done => assert_eq!(taken, SIZE),
            Outcome::Stopped => assert!(stop),
            Outcome::Failed(error) => panic!("{error}"),
        }
        // What is left goes on from there.
        transfer = landing.transfer;
        blocking(&socket, &mut transfer).unwrap();
        assert!(target == source);
    }
}

#[test]
fn memory_that_is_not_there_ends_a_pull_and_says_why() {
    let source = noise(3 * MIB);
    let hole = Region { base: ptr::without_provenance_mut(4096), len: MIB };
    for alone in [true, false] {
        let mut target = vec![0; 7 * MIB];
        let mut from = pieces(&source, &[MIB]);
        from.insert(1, hole);
        from.extend(pieces(&source, &[]));
        let (socket, _peer) = socket();
        let (mut transfer, failure) = pull_of(from, contiguous(&mut target));
        if alone {
            let fd = socket.fd().unwrap();
            while engine::attempt(&socket, fd.as_fd(), &mut transfer, MIB).unwrap() != State::Done {
            }
            assert_eq!(transfer.progress().transferred() as usize, MIB);
        } else {
            blocking(&socket, &mut transfer).unwrap();
        }
        assert_eq!(failure.get().unwrap().raw_os_error(), Some(libc::EFAULT));
        assert!(target[..MIB] == source[..MIB]);
    }
}

#[test]
fn a_pull_ends_when_its_socket_is_closed_or_its_time_is_over() {
    let source = noise(8 * MIB);
    let mut target = vec![0; 8 * MIB];
    let (closed, _peer) = socket();
    drop(closed.handle().close());
    let (mut transfer, _) = pull_of(pieces(&source, &[]), contiguous(&mut target));
    assert!(matches!(blocking(&closed, &mut transfer), Err(Error::Closed)));

    let (open, _peer) = socket();
    let (mut transfer, _) = pull_of(pieces(&source, &[]), contiguous(&mut target));
    let soon = Some(Instant::now() + Duration::from_nanos(1));
    let result = engine::pull::<Error>(&open, &mut transfer, soon, &mut || Ok(()));
    // One whose time is over before it begins takes what it can at once, and that is all.
    assert!(matches!(result, Err(Error::TimedOut) | Ok(())));
    let taken = transfer.progress().transferred() as usize;
    assert!(target[..taken] == source[..taken]);
}

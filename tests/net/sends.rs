//! Sends over a real socket whose peer reads, waits and goes in every order. How much the kernel
//! takes is its own affair: what was sent is what the peer has, or has yet to read.

use std::io::{ErrorKind, Read as _};
use std::os::fd::AsFd;

use pinwire::engine;
use pinwire::mem::{Access, Copying, Cursor, Dim, Runs};
use pinwire::net::{Error, Goal, Payload, State, Transfer};
use socket2::SockRef;

use super::pair;

/// More than the smallest send buffer has room for.
const HALF: usize = 6 * 1024;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Nothing,
    Reads(usize),
    ReadsAll,
    Goes,
    /// We close, as another thread would.
    Closes,
}

const STEPS: [Step; 5] =
    [Step::Nothing, Step::Reads(1000), Step::ReadsAll, Step::Goes, Step::Closes];

/// Two parts: one where it lies, one of every second byte, which is staged.
fn transfer(memory: &mut [u8]) -> Transfer {
    let mut cursor = Cursor::new(Access::Read);
    let base = memory.as_mut_ptr();
    // SAFETY: `memory` has room for three halves, and the tests keep it as long as the transfer.
    let direct = unsafe { Runs::new(base, 1, &[Dim::direct(HALF, 1)]) }.unwrap();
    // SAFETY: as above.
    let staged = unsafe { Runs::new(base.wrapping_add(HALF), 1, &[Dim::direct(HALF, 2)]) }.unwrap();
    for runs in [direct, staged] {
        cursor.push(runs, Copying::Allowed).unwrap();
    }
    Transfer::new(Payload::Memory(cursor), Goal::All)
}

/// How often the kernel had no room.
fn story(memory: &mut [u8], expected: &[u8], steps: &[Step], limit: usize) -> usize {
    let mut transfer = transfer(memory);
    let (socket, theirs) = pair();
    SockRef::from(&socket.fd().unwrap()).set_send_buffer_size(1).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let (mut theirs, mut got) = (Some(theirs), Vec::new());
    let mut read = |theirs: &mut Option<_>, most: usize| {
        let Some(peer) = theirs else { return };
        let peer: &mut std::os::unix::net::UnixStream = peer;
        let mut more = vec![0; most];
        while let Ok(n @ 1..) = peer.read(&mut more) {
            got.extend_from_slice(&more[..n]);
            if most < expected.len() {
                break;
            }
        }
        assert!(expected.starts_with(&got), "{steps:?}");
    };
    let (fd, mut starved) = (socket.fd().unwrap(), 0);
    for &step in steps {
        match step {
            Step::Nothing => {}
            Step::Reads(n) => read(&mut theirs, n),
            Step::ReadsAll => read(&mut theirs, expected.len()),
            Step::Goes => drop(theirs.take()),
            Step::Closes => drop(socket.handle().close()),
        }
        let before = transfer.progress().transferred();
        let attempt = engine::attempt(&socket, fd.as_fd(), &mut transfer, limit);
        let sent = transfer.progress().transferred();
        match attempt {
            Ok(State::Done) => assert_eq!(sent as usize, expected.len()),
            Ok(State::Moving) => assert!(sent > before && (sent as usize) < expected.len()),
            Ok(State::Starved) => {
                assert!(sent == before && (sent as usize) < expected.len());
                starved += 1;
            }
            Err(Error::Closed) => assert!(!socket.handle().is_open() && sent == before),
            Err(Error::Io(error)) => {
                let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(theirs.is_none() && gone.contains(&error.kind()) && sent == before);
                assert!(Error::from(error).ends_the_connection());
            }
            Err(error) => panic!("{steps:?}: {error}"),
        }
    }
    let sent = transfer.progress().transferred() as usize;
    if theirs.is_some() {
        read(&mut theirs, expected.len());
        assert_eq!(got.len(), sent, "{steps:?}: no more and no less");
    }
    starved
}

#[test]
fn send_when_the_peer_reads_waits_and_goes_in_any_order_then_what_was_sent_is_what_it_has() {
    const LONG: u32 = 4;
    let mut memory: Vec<u8> = (0..3 * HALF).map(|i| (i % 251) as u8).collect();
    let second = memory[HALF..].iter().copied().step_by(2);
    let expected: Vec<u8> = memory[..HALF].iter().copied().chain(second).collect();
    let mut starved = 0;
    for number in 0..STEPS.len().pow(LONG) {
        let step = |turn| STEPS[number / STEPS.len().pow(turn) % STEPS.len()];
        let steps: Vec<_> = (0..LONG).map(step).collect();
        for limit in [1000, usize::MAX] {
            starved += story(&mut memory, &expected, &steps, limit);
        }
    }
    assert!(starved > 100, "only {starved} had to wait");
}

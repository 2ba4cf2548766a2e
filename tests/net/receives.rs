//! Receives over a real socket whose peer does everything in every order, against a plain model.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use pinwire::engine;
use pinwire::mem::Access;
use pinwire::net::{Error, Goal, State};

use super::{pair, transfer};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Nothing,
    Writes(usize),
    Ends,
    /// It is gone, without having read what we sent it.
    Resets,
    /// We close, as another thread would.
    Closes,
}

const STEPS: [Step; 6] =
    [Step::Nothing, Step::Writes(1), Step::Writes(2), Step::Ends, Step::Resets, Step::Closes];

#[derive(Debug, PartialEq)]
enum Outcome {
    Is(State),
    Incomplete,
    Reset,
    Closed,
}

/// What is on its way to us.
#[derive(Default)]
struct Model {
    written: usize,
    received: usize,
    has_ended: bool,
    is_reset: bool,
    is_closed: bool,
}

impl Model {
    fn attempt(&mut self, goal: Goal, total: usize) -> Outcome {
        let there = self.written - self.received;
        if self.is_closed {
            return Outcome::Closed;
        }
        if there > 0 {
            let offered = total - self.received;
            let n = there.min(offered);
            self.received += n;
            let is_done = self.received == total || goal == Goal::Some;
            return Outcome::Is(if is_done { State::Done } else { State::Moving });
        }
        // The kernel tells of a reset once; after that it is an end.
        if std::mem::take(&mut self.is_reset) {
            return Outcome::Reset;
        }
        match (self.has_ended, goal) {
            (false, _) => Outcome::Is(State::Starved),
            (true, Goal::Some) => Outcome::Is(State::Done),
            (true, Goal::All) => Outcome::Incomplete,
        }
    }
}

fn story(steps: &[Step], goal: Goal) {
    const TOTAL: usize = 4;
    let (socket, theirs) = pair();
    let (mut theirs, mut memory) = (Some(theirs), [0; TOTAL]);
    let mut transfer = transfer(&mut memory, Access::Write, goal);
    let mut model = Model::default();
    for &step in steps {
        match (step, &mut theirs) {
            (Step::Writes(n), Some(peer)) if !model.has_ended && !model.is_closed => {
                peer.write_all(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10][model.written..][..n]).unwrap();
                model.written += n;
            }
            (Step::Ends, Some(peer)) => {
                peer.shutdown(Shutdown::Write).unwrap();
                model.has_ended = true;
            }
            (Step::Resets, peer @ Some(_)) if !model.is_closed => {
                let fd = socket.fd().unwrap();
                pinwire::sys::send_bytes(fd.as_fd(), b"x").unwrap();
                drop(peer.take());
                (model.has_ended, model.is_reset) = (true, true);
            }
            (Step::Closes, _) => {
                drop(socket.handle().close());
                model.is_closed = true;
            }
            _ => {}
        }
        // It is borrowed for the length of a call, so another thread may close it before.
        let fd = socket.fd();
        let spare = UnixStream::pair().unwrap().0;
        let fd = fd.as_ref().map_or(spare.as_fd(), |fd| fd.as_fd());
        let outcome = match engine::attempt(&socket, fd, &mut transfer, usize::MAX) {
            Ok(state) => Outcome::Is(state),
            Err(Error::Incomplete) => Outcome::Incomplete,
            Err(Error::Closed) => Outcome::Closed,
            Err(Error::Io(error)) if error.raw_os_error() == Some(libc::ECONNRESET) => {
                Outcome::Reset
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(outcome, model.attempt(goal, TOTAL), "{steps:?} {goal:?}");
        assert_eq!(transfer.progress().transferred(), model.received as u64);
        if !matches!(outcome, Outcome::Is(State::Moving | State::Starved)) {
            break;
        }
    }
    assert_eq!(memory[..model.received], [1, 2, 3, 4][..model.received]);
    assert!(memory[model.received..].iter().all(|&byte| byte == 0));
    // What was not asked for is left for the next transfer.
    if let (false, Some(fd)) = (model.is_reset, socket.handle().get()) {
        let rest = model.written - model.received;
        let mut ours = UnixStream::from(fd.as_fd().try_clone_to_owned().unwrap());
        ours.set_nonblocking(true).unwrap();
        let mut left = [0; 16];
        let n = ours.read(&mut left).unwrap_or(0);
        assert_eq!(n, rest, "{steps:?}");
    }
}

#[test]
fn receive_when_the_peer_does_anything_in_any_order_then_it_ends_as_the_model_says() {
    const LONG: u32 = 4;
    for number in 0..STEPS.len().pow(LONG) {
        let step = |turn| STEPS[number / STEPS.len().pow(turn) % STEPS.len()];
        let steps: Vec<_> = (0..LONG).map(step).collect();
        for goal in [Goal::Some, Goal::All] {
            story(&steps, goal);
        }
    }
}

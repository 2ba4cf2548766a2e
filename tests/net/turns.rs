//! Every order in which a stream is begun, let go, torn, ended and closed.

use std::sync::Arc;

use pinwire::net::{Direction, Error, Socket, Torn, Turn};

use super::pair;

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(Direction),
    LetGo(Direction),
    Tear(u64),
    End,
    Close,
}

const STEPS: [Step; 8] = [
    Step::Begin(Direction::Send),
    Step::Begin(Direction::Receive),
    Step::LetGo(Direction::Send),
    Step::LetGo(Direction::Receive),
    Step::Tear(1),
    Step::Tear(2),
    Step::End,
    Step::Close,
];

/// What a stream ought to be.
#[derive(Default)]
struct Model {
    turns: [Option<Turn>; 2],
    torn: Option<u64>,
    is_closed: bool,
}

impl Model {
    fn may_begin(&self, direction: Direction) -> Result<(), &'static str> {
        if self.is_closed {
            Err("closed")
        } else if self.turns[direction as usize].is_some() {
            Err("busy")
        } else if direction == Direction::Send && self.torn.is_some() {
            Err("torn")
        } else {
            Ok(())
        }
    }

    fn step(&mut self, socket: &Arc<Socket>, step: Step) {
        match step {
            Step::Begin(direction) => {
                let expected = self.may_begin(direction);
                let begun = socket.begin(direction);
                assert_eq!(begun.as_ref().map(drop).map_err(|error| self.name(error)), expected);
                if let Ok(turn) = begun {
                    self.turns[direction as usize] = Some(turn);
                }
            }
            Step::LetGo(direction) => self.turns[direction as usize] = None,
            Step::Tear(transferred) => {
                socket.tear(Torn { transferred, nbytes: 9 });
                self.torn.get_or_insert(transferred);
            }
            Step::End => {
                // The end of a torn stream may be said.
                let expected = match self.may_begin(Direction::Send) {
                    Err("torn") => Ok(()),
                    other => other,
                };
                assert_eq!(socket.send_eof().map_err(|error| self.name(&error)), expected);
            }
            Step::Close => {
                assert_eq!(socket.handle().close().is_some(), !self.is_closed);
                self.is_closed = true;
            }
        }
    }

    fn name(&self, error: &Error) -> &'static str {
        match error {
            Error::Closed => "closed",
            Error::Busy(_) => "busy",
            Error::Torn(torn) => {
                assert_eq!(Some(torn.transferred), self.torn, "the first one counts");
                "torn"
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn stream_when_it_is_used_in_any_order_then_each_step_ends_as_the_model_says() {
    const LONG: u32 = 5;
    for story in 0..STEPS.len().pow(LONG) {
        let (socket, _peer) = pair();
        let mut model = Model::default();
        for turn in 0..LONG {
            model.step(&socket, STEPS[story / STEPS.len().pow(turn) % STEPS.len()]);
        }
        assert_eq!(socket.handle().is_open(), !model.is_closed);
    }
}

//! Transfers of memory, with every answer of the kernel at every point, against a plain model.

use pinwire::mem::{Access, Copying, Cursor, Dim, Runs};
use pinwire::net::{Call, Direction, Error, Goal, Payload, State, Transfer};

const MOST: usize = 6;

/// What the kernel and others do: it moves so many bytes, or says that there are no more; and the
/// transfer is handed on, as to a worker.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Moves(usize),
    Ends,
    HandsOn,
}

/// What there is to say of a transfer without having one.
#[derive(Clone, Copy)]
struct Model {
    total: usize,
    moved: usize,
    goal: Goal,
    done: bool,
}

impl Model {
    fn moves(&mut self, n: usize) -> State {
        self.moved += n;
        self.done = self.moved == self.total || self.goal == Goal::Some;
        if self.done { State::Done } else { State::Moving }
    }
}

/// Parts of `lens` bytes, every other one of them in short runs, which are staged.
fn cursor(memory: &mut [u8], access: Access, lens: &[usize]) -> Cursor {
    let mut cursor = Cursor::new(access);
    let mut base = memory.as_mut_ptr();
    for (index, &len) in lens.iter().enumerate() {
        let stride = 1 + index as isize % 2;
        // SAFETY: `memory` has room for twice each, and the tests keep it as long as the cursor.
        let runs = unsafe { Runs::new(base, 1, &[Dim::direct(len, stride)]) }.unwrap();
        cursor.push(runs, Copying::Allowed).unwrap();
        base = base.wrapping_add(2 * len);
    }
    cursor
}

/// All ways in which a transfer of so many bytes can go.
fn stories(total: usize) -> Vec<Vec<Answer>> {
    let mut stories = vec![vec![]];
    for n in 1..=total {
        let rest = stories_after(total - n);
        stories.extend(rest.into_iter().map(|rest| [vec![Answer::Moves(n)], rest].concat()));
    }
    let handed_on = stories.iter().map(|story| [vec![Answer::HandsOn], story.clone()].concat());
    let handed_on: Vec<_> = handed_on.collect();
    stories.extend(handed_on);
    stories.push(vec![Answer::Ends]);
    stories
}

fn stories_after(total: usize) -> Vec<Vec<Answer>> {
    if total == 0 { vec![vec![]] } else { stories(total) }
}

fn run(transfer: &mut Transfer, story: &[Answer], limit: usize, model: &mut Model) {
    for &answer in story {
        let offered = match transfer.next(limit) {
            None => {
                assert!(model.done || model.moved == model.total);
                return;
            }
            Some(Call::Send(window) | Call::Receive(window)) => {
                window.iter().map(|region| region.len).sum::<usize>()
            }
            other => panic!("{other:?}"),
        };
        assert!(!model.done && (1..=model.total - model.moved).contains(&offered));
        match answer {
            Answer::Moves(n) => {
                let n = n.min(offered);
                assert_eq!(transfer.moved(n), model.moves(n), "{story:?}");
            }
            Answer::Ends => {
                match transfer.ended() {
                    Ok(state) => assert!(state == State::Done && model.goal == Goal::Some),
                    Err(error) => {
                        assert!(matches!(error, Error::Incomplete) && model.goal == Goal::All);
                    }
                }
                model.done |= model.goal == Goal::Some;
            }
            Answer::HandsOn => {
                let direction = transfer.direction();
                let handed_on = transfer.take();
                let mut left_behind = std::mem::replace(transfer, handed_on);
                assert!(left_behind.next(limit).is_none());
                assert_eq!(left_behind.direction(), direction);
                assert_eq!(left_behind.progress().transferred(), model.moved as u64);
            }
        }
        assert_eq!(transfer.progress().transferred(), model.moved as u64);
        assert_eq!(transfer.progress().left(), (model.total - model.moved) as u64);
    }
}

#[test]
fn transfer_when_the_kernel_answers_in_any_order_then_it_is_as_the_model_says() {
    let parts: [&[usize]; 6] = [&[1], &[4], &[MOST], &[2, 3], &[1, 0, 2], &[1, 2, 2]];
    let mut runs = 0;
    for lens in parts {
        let total = lens.iter().sum();
        for access in [Access::Read, Access::Write] {
            for goal in [Goal::Some, Goal::All] {
                for limit in [1, 2, usize::MAX] {
                    for story in stories(total) {
                        let mut memory = [0; 2 * MOST];
                        let cursor = cursor(&mut memory, access, lens);
                        let mut transfer = Transfer::new(Payload::Memory(cursor), goal);
                        let sends = transfer.direction() == Direction::Send;
                        assert_eq!(sends, access == Access::Read);
                        let mut model = Model { total, moved: 0, goal, done: false };
                        run(&mut transfer, &story, limit, &mut model);
                        let is_over = model.done || model.moved == total;
                        assert_eq!(transfer.next(limit).is_none(), is_over, "{story:?}");
                        runs += 1;
                    }
                }
            }
        }
    }
    assert!(runs > 10_000, "only {runs}");
}

#[test]
fn transfer_when_it_has_nothing_to_move_then_it_asks_for_nothing() {
    for access in [Access::Read, Access::Write] {
        for goal in [Goal::Some, Goal::All] {
            for lens in [&[][..], &[0], &[0, 0]] {
                let mut memory = [0; 1];
                let payload = Payload::Memory(cursor(&mut memory, access, lens));
                assert!(Transfer::new(payload, goal).next(usize::MAX).is_none());
            }
        }
    }
}

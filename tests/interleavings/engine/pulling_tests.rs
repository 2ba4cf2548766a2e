use std::sync::Arc;

use loom::thread::{self, JoinHandle};

use super::pulling::Pulling;
use crate::model_with;
use crate::net::{Memory, Transfer};

fn help(pulling: &Arc<Pulling>) -> JoinHandle<()> {
    let pulling = Arc::clone(pulling);
    thread::spawn(move || while pulling.copy_piece() {})
}

/// `pieces` that `helpers` copy with the owner, who ends it after `turns` of its own. However that
/// goes, its memory is its own after `finish`: loom would see a thread that still writes to it.
fn ends_with_all_up_to_a_point(pieces: usize, helpers: usize, turns: usize, is_divisible: bool) {
    // With more than one helper, all orders take minutes.
    let preemptions = if helpers > 1 { Some(3) } else { None };
    model_with(preemptions, move || {
        let memory = Memory::new(pieces);
        let mut transfer = Transfer::new(&memory, is_divisible);
        let pulling = Pulling::new(&mut transfer);
        assert_eq!(pulling.is_shared_from(pieces as u64), is_divisible);
        let helpers: Vec<_> = (0..helpers).map(|_| help(&pulling)).collect();
        let has_copied_all = (0..turns).any(|_| !pulling.copy_piece());
        let done = pulling.finish().progress().transferred();
        let copied = memory.take();
        let expected = [vec![1; done], vec![0; pieces - done]].concat();
        assert_eq!(copied, expected, "each once, and none behind one that is missing");
        assert!(done == pieces || !has_copied_all);
        assert!(done >= turns.min(pieces));
        assert!(!pulling.copy_piece(), "there is none to take any more");
        helpers.into_iter().for_each(|helper| helper.join().unwrap());
        assert!(memory.take().iter().all(|&copies| copies == 0));
    });
}

#[test]
fn pull_when_a_helper_copies_too_then_all_is_copied_once() {
    ends_with_all_up_to_a_point(3, 1, 4, true);
}

#[test]
fn pull_when_it_ends_early_then_nobody_writes_to_the_memory_any_more() {
    for turns in 0..3 {
        ends_with_all_up_to_a_point(3, 1, turns, true);
    }
}

#[test]
fn pull_when_two_helpers_copy_and_it_ends_early_then_nobody_writes_any_more() {
    for turns in 0..2 {
        ends_with_all_up_to_a_point(2, 2, turns, true);
    }
}

#[test]
fn pull_when_it_cannot_be_divided_then_one_at_a_time_copies() {
    for turns in 0..3 {
        ends_with_all_up_to_a_point(2, 1, turns, false);
    }
}

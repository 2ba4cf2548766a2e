//! Who is next: whole messages go out one after the other, in the order of the calls.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use super::script::Alarm;

/// First come, first served.
#[derive(Default)]
pub(super) struct Queue(Mutex<State>);

/// No Python code runs while it is locked.
#[derive(Default)]
struct State {
    /// Who has the turn is not among those who wait.
    taken: bool,
    waiting: VecDeque<Waiting>,
    last: u64,
}

struct Waiting {
    number: u64,
    /// None before its owner sleeps.
    alarm: Option<Alarm>,
}

/// A place in a queue, or the turn. Dropped, it is given to the next.
pub(super) struct Place {
    queue: Arc<Queue>,
    number: u64,
}

impl Queue {
    /// Line up.
    pub(super) fn join(self: &Arc<Queue>) -> Place {
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        if state.taken {
            state.waiting.push_back(Waiting { number, alarm: None });
        }
        state.taken = true;
        Place { queue: Arc::clone(self), number }
    }

    /// Take the turn if nobody has it.
    pub(super) fn try_join(self: &Arc<Queue>) -> Option<Place> {
        let mut state = self.lock();
        if state.taken {
            return None;
        }
        state.taken = true;
        state.last += 1;
        Some(Place { queue: Arc::clone(self), number: state.last })
    }

    /// Whether somebody has the turn.
    pub(super) fn is_taken(&self) -> bool {
        self.lock().taken
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether it is at the front: the owner's turn.
    pub(super) fn has_turn(&self) -> bool {
        !self.queue.lock().waiting.iter().any(|waiting| waiting.number == self.number)
    }

    /// Be woken by this when the turn comes. False if it has come.
    pub(super) fn wake_by(&self, alarm: Alarm) -> bool {
        let mut state = self.queue.lock();
        let mine = state.waiting.iter_mut().find(|waiting| waiting.number == self.number);
        let old = match mine {
            Some(waiting) => waiting.alarm.replace(alarm),
            None => return false,
        };
        drop(state);
        drop(old);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if let Some(at) = state.waiting.iter().position(|waiting| waiting.number == self.number) {
            let gone = state.waiting.remove(at);
            drop(state);
            drop(gone);
            return;
        }
        // The turn goes on to the first who can be woken.
        while let Some(next) = state.waiting.pop_front() {
            drop(state);
            let woken = next
                .alarm
                .is_none_or(|alarm| Python::try_attach(|py| alarm.ring(py)).unwrap_or(false));
            if woken {
                return;
            }
            state = self.queue.lock();
        }
        state.taken = false;
    }
}

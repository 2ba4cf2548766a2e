use std::sync::Arc;

use super::Notify;
use super::bell::Bell;
use crate::net::{Error, Sleeper, Socket, Transfer};
use crate::sys;
use crate::sys::sync::atomic::{AtomicBool, Ordering};
use crate::sys::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A transfer that is in the hands of the runtime's workers.
///
/// They touch addresses, lengths and the descriptor, never Python: whoever started the flight
/// keeps the memory alive until it has landed.
#[derive(Debug)]
pub struct Flight {
    number: u64,
    /// In a child that was forked since there is nobody to land it.
    forks: u32,
    stop: AtomicBool,
    poke: Notify,
    state: Mutex<Position>,
    landed: Condvar,
}

#[derive(Debug)]
enum Position {
    Up,
    Landed(Box<Landing>),
    Taken,
}

/// What comes back.
#[derive(Debug)]
pub struct Landing {
    /// As far as it came.
    pub transfer: Transfer,
    /// Why it ended.
    pub outcome: Outcome,
}

/// Why a flight ended.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing is left to move.
    Done,
    /// By this error.
    Failed(Error),
    /// It was stopped, or its worker was: more could follow.
    Stopped,
}

impl Flight {
    /// One that is up.
    pub(super) fn new(number: u64) -> Arc<Flight> {
        Arc::new(Flight {
            number,
            forks: sys::forks(),
            stop: AtomicBool::new(false),
            poke: Notify::new(),
            state: Mutex::new(Position::Up),
            landed: Condvar::new(),
        })
    }

    /// Its number, by which the bell tells of it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether it is going to land in this process, and not only in the one it was forked from.
    pub fn lands_here(&self) -> bool {
        self.forks == sys::forks()
    }

    /// Have it land soon.
    pub fn stop(&self) {
        if self.lands_here() {
            self.stop.store(true, Ordering::Release);
            self.poke.notify_one();
        }
    }

    /// Whether it is to land: its worker looks between two system calls.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// What wakes its worker when it is stopped, or its socket closed.
    pub(super) fn poke(&self) -> &Notify {
        &self.poke
    }

    /// Give the transfer back, and have the bell tell of it; whether that rang.
    pub(super) fn land(&self, landing: Landing, bell: &Bell) -> bool {
        *self.lock() = Position::Landed(Box::new(landing));
        self.landed.notify_all();
        bell.tell(self.number)
    }

    /// Sleep until it has landed: for as long as one system call takes, if it was stopped or its
    /// socket closed.
    pub fn wait(&self) {
        if self.lands_here() {
            let mut state = self.lock();
            while matches!(*state, Position::Up) {
                state = self.landed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Take what came back, for the socket it flew over. None if it has not landed, or all was
    /// taken; and in a forked child.
    pub fn take(self: &Arc<Flight>, socket: &Socket) -> Option<Landing> {
        socket.handle().forget(self);
        if !self.lands_here() {
            return None;
        }
        let mut state = self.lock();
        if matches!(*state, Position::Up) {
            return None;
        }
        match std::mem::replace(&mut *state, Position::Taken) {
            Position::Landed(landing) => Some(*landing),
            Position::Up | Position::Taken => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Position> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sleeper for Flight {
    fn wake(&self) {
        self.poke.notify_one();
    }
}

//! Memory that the receives of many connections share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Progress;

/// A step: so much is reserved before the first byte of a message has come, if the budget is tight.
/// What has come is doubled by the next steps.
const STEP: u64 = 64 << 10;

/// Bytes that a holder has to receive within `PATIENCE` while others wait for memory.
const PACE: u64 = 256 << 10;
const PATIENCE: Duration = Duration::from_millis(250);

/// The most that counts of the time between two looks: a thread that was busy elsewhere says
/// nothing about the peers.
const LOOK: Duration = Duration::from_millis(50);

/// How long to wait before asking again: longer the more are waiting.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Whose a reservation is.
pub trait Owner {
    /// Whether its peer has sent nothing that waits to be received.
    fn is_silent(&self) -> bool;
}

/// A limit for the memory of messages that are being received, over many connections of the
/// owners `H`.
///
/// A message gets all its memory at once while no more than half of the limit is in use, and in
/// steps otherwise, each as large as what has come already: a promise alone holds little. The last
/// quarter is for those that have a sixteenth at most. Whoever asks for more than there is waits, and
/// the one that needs least is next. While somebody waits, a holder whose bytes come slower than
/// 1 MiB/s loses its reservation; and the oldest holder gets what it asks for beyond the limit, so
/// that somebody always comes to an end.
#[derive(Debug)]
pub struct MemoryBudget<H: Owner> {
    limit: u64,
    state: Mutex<State<H>>,
}

#[derive(Debug)]
struct State<H> {
    /// Bytes that are reserved, without those of the oldest that are beyond the limit.
    used: u64,
    /// These.
    beyond: u64,
    last: u64,
    holders: BTreeMap<u64, Holder<H>>,
    /// When it was last looked at who is slow.
    looked: Instant,
    waits: u64,
    ended: u64,
}

#[derive(Debug)]
struct Holder<H> {
    who: H,
    /// Bytes within the limit, and beyond it.
    reserved: u64,
    beyond: u64,
    progress: Arc<Progress>,
    /// What had come when it was last fast enough, and for how long it has not been since.
    mark: u64,
    slow: Duration,
    /// Bytes that it needs and waits for.
    waits: Option<u64>,
}

/// What a budget says to who asks for more.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<H> {
    /// It has it.
    Granted,
    /// Ask again after so long.
    Wait(Duration),
    /// This one has lost its reservation, for being slow: end it, and ask again.
    Ended(H),
    /// It has lost its own reservation.
    Lost,
}

/// How a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetStats {
    /// Bytes that may be reserved.
    pub limit: u64,
    /// Bytes that are.
    pub reserved: u64,
    /// Messages that had to wait for memory.
    pub waits: u64,
    /// Messages that were ended for coming too slowly.
    pub ended: u64,
}

/// Memory that one connection may use. Dropped, it is free again.
#[derive(Debug)]
pub struct Reservation<H: Owner> {
    budget: Arc<MemoryBudget<H>>,
    number: u64,
    reserved: u64,
}

impl<H: Owner> MemoryBudget<H> {
    /// A budget of so many bytes.
    pub fn new(limit: u64) -> Arc<MemoryBudget<H>> {
        let state = State {
            used: 0,
            beyond: 0,
            last: 0,
            holders: BTreeMap::new(),
            looked: Instant::now(),
            waits: 0,
            ended: 0,
        };
        Arc::new(MemoryBudget { limit, state: Mutex::new(state) })
    }

    /// Bytes that may be reserved.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// A reservation of nothing, for what `progress` tells of.
    pub fn open(self: &Arc<Self>, who: H, progress: &Arc<Progress>) -> Reservation<H> {
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        let holder = Holder {
            who,
            reserved: 0,
            beyond: 0,
            progress: Arc::clone(progress),
            mark: 0,
            slow: Duration::ZERO,
            waits: None,
        };
        state.holders.insert(number, holder);
        drop(state);
        Reservation { budget: Arc::clone(self), number, reserved: 0 }
    }

    /// How it stands.
    pub fn stats(&self) -> BudgetStats {
        let state = self.lock();
        let (limit, reserved) = (self.limit, state.used + state.beyond);
        BudgetStats { limit, reserved, waits: state.waits, ended: state.ended }
    }

    fn lock(&self) -> MutexGuard<'_, State<H>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H: Owner> Reservation<H> {
    /// Bytes that may be used.
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Its bytes are those of another transfer from now on.
    pub fn follow(&self, progress: &Arc<Progress>) {
        if let Some(holder) = self.budget.lock().holders.get_mut(&self.number) {
            holder.progress = Arc::clone(progress);
            holder.mark = progress.transferred();
        }
    }

    /// Ask for more than is reserved: `all` in the end. `has_come` of it has.
    pub fn ask(&mut self, all: u64, has_come: u64, now: Instant) -> Answer<H> {
        let mut state = self.budget.lock();
        let used = state.used;
        let is_oldest = state.holders.keys().next() == Some(&self.number);
        if !state.holders.contains_key(&self.number) {
            return Answer::Lost;
        }
        let left = all.saturating_sub(self.reserved);
        let step = left.min(has_come.max(STEP));
        let is_small = self.reserved + step <= self.budget.limit / 16;
        let ceiling = if is_small { self.budget.limit } else { self.budget.limit / 4 * 3 };
        let fits = |more: u64, of: u64| used.checked_add(more).is_some_and(|sum| sum <= of);
        let more = if fits(left, self.budget.limit / 2) {
            left
        } else if state.is_next(self.number, left) && fits(step, ceiling) {
            step
        } else if let Some(slow) = state.take_slow(self.number, now) {
            return Answer::Ended(slow);
        } else if is_oldest {
            state.grant_beyond(self.number, step);
            self.reserved += step;
            return Answer::Granted;
        } else {
            return Answer::Wait(state.wait(self.number, left));
        };
        state.grant(self.number, more);
        self.reserved += more;
        Answer::Granted
    }
}

impl<H: Owner> State<H> {
    fn grant(&mut self, number: u64, more: u64) {
        self.used += more;
        let holder = self.holders.get_mut(&number).expect("looked up before");
        holder.reserved += more;
        holder.go_on();
    }

    /// Others do not have less for it.
    fn grant_beyond(&mut self, number: u64, more: u64) {
        self.beyond += more;
        let holder = self.holders.get_mut(&number).expect("looked up before");
        holder.beyond += more;
        holder.go_on();
    }

    /// Whether nobody else waits who needs less.
    fn is_next(&self, number: u64, left: u64) -> bool {
        let mut others = self.holders.iter().filter(|(other, _)| **other != number);
        !others.any(|(_, holder)| holder.waits.is_some_and(|needs| needs < left))
    }

    fn wait(&mut self, number: u64, left: u64) -> Duration {
        let holder = self.holders.get_mut(&number).expect("looked up before");
        if holder.waits.replace(left).is_none() {
            self.waits += 1;
        }
        if self.is_next(number, left) {
            return PAUSE;
        }
        let waiting = self.holders.values().filter(|holder| holder.waits.is_some()).count() as u32;
        (PAUSE + PAUSE * waiting / 16).min(LONGEST_PAUSE)
    }

    /// Take the reservation away from the slowest of the others, if one is too slow.
    fn take_slow(&mut self, asks: u64, now: Instant) -> Option<H> {
        let passed = now.saturating_duration_since(self.looked);
        if passed >= PAUSE / 2 {
            self.looked = now;
            self.look(passed.min(LOOK));
        }
        loop {
            let others = self.holders.iter_mut().filter(|(number, _)| **number != asks);
            let (&number, slowest) = others.max_by_key(|(_, holder)| holder.slow)?;
            if slowest.slow < PATIENCE {
                return None;
            }
            if slowest.who.is_silent() {
                self.ended += 1;
                return self.remove(number);
            }
            // It is we who are slow.
            slowest.slow = Duration::ZERO;
        }
    }

    /// So much time has passed: who is slow?
    fn look(&mut self, passed: Duration) {
        for holder in self.holders.values_mut() {
            let has_come = holder.progress.transferred();
            let is_fast = has_come.saturating_sub(holder.mark) >= PACE;
            if holder.waits.is_some() || holder.reserved == 0 || is_fast {
                (holder.mark, holder.slow) = (has_come, Duration::ZERO);
            } else {
                holder.slow += passed;
            }
        }
    }

    fn remove(&mut self, number: u64) -> Option<H> {
        let holder = self.holders.remove(&number)?;
        self.used -= holder.reserved;
        self.beyond -= holder.beyond;
        Some(holder.who)
    }
}

impl<H: Owner> Holder<H> {
    /// It has got what it waited for.
    fn go_on(&mut self) {
        self.waits = None;
        self.slow = Duration::ZERO;
        self.mark = self.progress.transferred();
    }
}

impl<H: Owner> Drop for Reservation<H> {
    fn drop(&mut self) {
        let gone = self.budget.lock().remove(self.number);
        drop(gone); // Not while the budget is locked: it may be a Python object.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who has an even number has sent something that waits.
    impl Owner for u32 {
        fn is_silent(&self) -> bool {
            self % 2 == 1
        }
    }

    const MIB: u64 = 1 << 20;

    fn reservation(budget: &Arc<MemoryBudget<u32>>, who: u32) -> (Reservation<u32>, Arc<Progress>) {
        let progress = Progress::new(0, 0);
        (budget.open(who, &progress), progress)
    }

    #[test]
    fn ask_when_there_is_plenty_then_all_is_granted_at_once() {
        let budget = MemoryBudget::new(100 * MIB);
        let (mut first, _) = reservation(&budget, 1);
        assert_eq!(first.ask(50 * MIB, 0, Instant::now()), Answer::Granted);
        assert_eq!(first.reserved(), 50 * MIB);
    }

    #[test]
    fn ask_when_more_than_half_is_used_then_steps_are_granted() {
        let budget = MemoryBudget::new(100 * MIB);
        let (mut first, _) = reservation(&budget, 1);
        for (has_come, reserved) in [(0, 1), (1, 2), (2, 4), (4, 8)] {
            assert_eq!(first.ask(u64::MAX, has_come * STEP, Instant::now()), Answer::Granted);
            assert_eq!(first.reserved(), reserved * STEP);
        }
    }

    #[test]
    fn ask_when_several_wait_then_the_one_that_needs_least_is_next() {
        let budget = MemoryBudget::new(4 * MIB);
        let (mut holder, _) = reservation(&budget, 1);
        let (mut other, _) = reservation(&budget, 2);
        let (mut large, _) = reservation(&budget, 3);
        let (mut small, _) = reservation(&budget, 4);
        let now = Instant::now();
        assert_eq!(holder.ask(2 * MIB, 0, now), Answer::Granted);
        assert_eq!(other.ask(3 * MIB, MIB, now), Answer::Granted);
        assert!(matches!(large.ask(3 * MIB, MIB, now), Answer::Wait(_)));
        assert!(matches!(small.ask(2 * MIB, MIB, now), Answer::Wait(_)));
        drop(other);
        assert!(matches!(large.ask(3 * MIB, MIB, now), Answer::Wait(_)));
        assert_eq!(small.ask(2 * MIB, MIB, now), Answer::Granted);
    }

    #[test]
    fn ask_when_nothing_is_left_then_only_the_oldest_goes_on() {
        let budget = MemoryBudget::new(6 * MIB);
        let (mut first, _) = reservation(&budget, 1);
        let (mut second, _) = reservation(&budget, 2);
        let now = Instant::now();
        assert_eq!(first.ask(2 * MIB, 0, now), Answer::Granted);
        assert_eq!(second.ask(5 * MIB, MIB, now), Answer::Granted);
        assert_eq!(second.ask(5 * MIB, MIB, now), Answer::Granted);
        assert!(matches!(second.ask(5 * MIB, 2 * MIB, now), Answer::Wait(_)));
        assert_eq!(first.ask(3 * MIB, 2 * MIB, now), Answer::Granted);
        assert_eq!(budget.stats().reserved, 5 * MIB);
        assert_eq!(budget.stats().waits, 1);
        drop(first);
        assert_eq!(second.ask(5 * MIB, 2 * MIB, now), Answer::Granted);
    }

    #[test]
    fn ask_when_large_ones_have_taken_all_they_may_then_a_small_one_still_gets_some() {
        let budget = MemoryBudget::new(16 * MIB);
        let (mut large, _) = reservation(&budget, 1);
        let (mut other, _) = reservation(&budget, 2);
        let (mut small, _) = reservation(&budget, 3);
        let now = Instant::now();
        assert_eq!(large.ask(8 * MIB, 0, now), Answer::Granted);
        assert_eq!(other.ask(20 * MIB, 4 * MIB, now), Answer::Granted);
        assert!(matches!(other.ask(20 * MIB, 4 * MIB, now), Answer::Wait(_)));
        assert_eq!(large.ask(20 * MIB, 8 * MIB, now), Answer::Granted);
        assert_eq!(small.ask(MIB, 0, now), Answer::Granted);
    }

    #[test]
    fn ask_when_a_holder_is_slow_then_it_loses_its_reservation() {
        let budget = MemoryBudget::new(6 * MIB);
        let (mut slow, _) = reservation(&budget, 1);
        let (mut fast, moving) = reservation(&budget, 2);
        let (mut third, _) = reservation(&budget, 3);
        let mut now = Instant::now();
        assert_eq!(slow.ask(2 * MIB, 0, now), Answer::Granted);
        assert_eq!(fast.ask(2 * MIB, MIB, now), Answer::Granted);
        assert_eq!(fast.ask(2 * MIB, MIB, now), Answer::Granted);
        let mut answer = third.ask(2 * MIB, MIB, now);
        for looks in 1.. {
            assert!(looks < 20);
            now += Duration::from_millis(50);
            moving.set(looks * PACE, u64::MAX);
            answer = third.ask(2 * MIB, MIB, now);
            if !matches!(answer, Answer::Wait(_)) {
                break;
            }
        }
        assert_eq!(answer, Answer::Ended(1));
        assert_eq!(slow.ask(2 * MIB, 0, now), Answer::Lost);
        assert_eq!(third.ask(2 * MIB, MIB, now), Answer::Granted);
        assert_eq!(budget.stats().ended, 1);
    }

    #[test]
    fn ask_when_a_holder_has_sent_more_than_was_received_then_it_is_not_slow() {
        let budget = MemoryBudget::new(3 * MIB);
        let (mut first, _) = reservation(&budget, 2);
        let (mut second, _) = reservation(&budget, 3);
        let mut now = Instant::now();
        assert_eq!(first.ask(2 * MIB, MIB, now), Answer::Granted);
        assert_eq!(first.ask(2 * MIB, MIB, now), Answer::Granted);
        for _ in 0..20 {
            now += LOOK;
            assert!(matches!(second.ask(MIB, MIB, now), Answer::Wait(_)));
        }
    }

    #[test]
    fn ask_when_its_thread_was_busy_elsewhere_then_nobody_is_called_slow() {
        let budget = MemoryBudget::new(3 * MIB);
        let (mut first, _) = reservation(&budget, 1);
        let (mut second, _) = reservation(&budget, 2);
        let now = Instant::now();
        assert_eq!(first.ask(2 * MIB, MIB, now), Answer::Granted);
        assert_eq!(first.ask(2 * MIB, MIB, now), Answer::Granted);
        assert!(matches!(second.ask(MIB, MIB, now), Answer::Wait(_)));
        assert!(matches!(second.ask(MIB, MIB, now + PATIENCE * 4), Answer::Wait(_)));
    }

    #[test]
    fn drop_when_all_are_gone_then_nothing_is_reserved() {
        let budget = MemoryBudget::new(10 * MIB);
        let held: Vec<_> = (0..8)
            .map(|who| {
                let (mut one, _) = reservation(&budget, who);
                assert_eq!(one.ask(MIB / 2, 0, Instant::now()), Answer::Granted);
                one
            })
            .collect();
        drop(held);
        assert_eq!(budget.stats().reserved, 0);
    }
}

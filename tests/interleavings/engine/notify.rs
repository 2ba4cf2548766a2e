//! In place of tokio's.

#[derive(Debug)]
pub(crate) struct Notify(loom::sync::Notify);

impl Notify {
    pub(crate) fn new() -> Notify {
        Notify(loom::sync::Notify::new())
    }

    /// Wake the one who sleeps, or else who sleeps next.
    pub(crate) fn notify_one(&self) {
        self.0.notify();
    }

    /// What a worker awaits, as a thread that sleeps.
    pub(crate) fn sleep(&self) {
        self.0.wait();
    }
}

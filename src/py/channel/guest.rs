//! Whose memory this end reads large messages from.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::prelude::*;

use super::base::BaseChannel;
use crate::net::Neighbour;
use crate::wire::Invitation;

/// The receiving side of a way past the socket.
pub(super) struct Guest {
    /// Its stream has it, and lets it go when it is closed.
    neighbour: Mutex<Weak<Neighbour>>,
    /// Whether our hello says that we may be invited.
    is_willing: bool,
    was_invited: AtomicBool,
}

impl Guest {
    pub(super) fn new(is_willing: bool) -> Guest {
        Guest { neighbour: Mutex::default(), is_willing, was_invited: AtomicBool::new(false) }
    }

    /// Who offers messages to us.
    pub(super) fn neighbour(&self) -> Option<Arc<Neighbour>> {
        self.lock().upgrade()
    }

    /// The peer invites us to read what it is going to offer. What becomes of that, it hears.
    pub(super) fn follow(
        &self,
        py: Python<'_>,
        channel: &BaseChannel,
        invitation: &Invitation,
    ) -> PyResult<()> {
        if !self.is_willing || self.was_invited.swap(true, Ordering::Relaxed) {
            let text = "the peer invites where nobody has asked for it, or once more";
            return Err(channel.break_off(py, text.to_owned()));
        }
        if let Ok(neighbour) = Neighbour::visit(invitation) {
            let socket = Arc::clone(neighbour.socket());
            let neighbour = Arc::new(neighbour);
            *self.lock() = Arc::downgrade(&neighbour);
            channel.stream().get().attach(py, socket, Some(neighbour))?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Weak<Neighbour>> {
        self.neighbour.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

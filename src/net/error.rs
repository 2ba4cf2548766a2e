use std::io;

use thiserror::Error as ThisError;

use super::{Address, Direction, Torn};

/// Why a transfer did not start or did not end as asked.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The object was closed, before or meanwhile.
    #[error("it is closed")]
    Closed,
    /// Another transfer is in flight in this direction.
    #[error("another {0} is in flight on this stream; await it first")]
    Busy(Direction),
    /// An earlier send was interrupted in the middle.
    #[error(
        "an earlier send was interrupted after {} of {} bytes, so the peer would misread what \
         follows; close the stream",
        .0.transferred, .0.nbytes
    )]
    Torn(Torn),
    /// The stream ended before all was received.
    #[error("the stream ended")]
    Incomplete,
    /// The deadline passed.
    #[error("timed out")]
    TimedOut,
    /// The kernel refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// No address could be had, to connect to or to listen on. The first error counts; the text names
/// them all.
#[derive(Debug, ThisError)]
#[error("{}", .0.iter().map(describe).collect::<Vec<_>>().join("; "))]
pub struct OpenError(pub(super) Vec<(Address, io::Error)>);

/// The address is one that the caller has given, or a resolver: no peer's words.
fn describe((address, error): &(Address, io::Error)) -> String {
    format!("{} ({})", reason(error), String::from_utf8_lossy(&address.url()))
}

impl OpenError {
    /// The errno of the first attempt.
    pub fn errno(&self) -> Option<i32> {
        self.0.first().and_then(|(_, error)| error.raw_os_error())
    }
}

/// What the kernel's error means, without its number, which travels beside it.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().map(|errno| format!(" (os error {errno})"));
    number.and_then(|number| text.strip_suffix(&number).map(str::to_owned)).unwrap_or(text)
}

impl Error {
    /// Whether the connection is gone, so that the kernel itself refuses what would follow.
    pub fn ends_the_connection(&self) -> bool {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown,
            NetworkUnreachable, NotConnected, TimedOut,
        };
        matches!(self, Error::Io(error) if matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | HostUnreachable | NetworkDown
                | NetworkUnreachable | NotConnected | TimedOut
        ))
    }
}

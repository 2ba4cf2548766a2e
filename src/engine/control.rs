use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

pub use dns_lookup::LookupError;
use dns_lookup::{AddrInfoHints, SockType, getaddrinfo};
use tokio::io::Interest;
use tokio::{task, time};

use super::runtime::watch;
use crate::net::{OpenError, Race, Socket, Step};

/// How soon a race is looked at again where the system has no room to watch it.
const LOOK: Duration = Duration::from_millis(10);

/// What a name and a port stand for (getaddrinfo(3)), in the order of preference of RFC 6724.
/// Without a name: this machine, or every interface if `passive`.
///
/// # Panics
/// Outside the runtime.
pub async fn resolve(
    host: Option<String>,
    port: u16,
    passive: bool,
) -> Result<Vec<SocketAddr>, LookupError> {
    let look_up = move || {
        let hints = AddrInfoHints {
            socktype: SockType::Stream.into(),
            flags: if passive { libc::AI_PASSIVE } else { 0 },
            ..AddrInfoHints::default()
        };
        let answer = getaddrinfo(host.as_deref(), Some(&port.to_string()), Some(hints))?;
        answer.map(|info| Ok(info?.sockaddr)).collect()
    };
    task::spawn_blocking(look_up).await.unwrap_or_else(|error| Err(io::Error::from(error).into()))
}

/// Wait until one of the addresses has answered.
///
/// # Panics
/// Outside the runtime.
pub async fn connect_on_runtime(mut race: Race) -> Result<Arc<Socket>, OpenError> {
    loop {
        match race.step(Instant::now())? {
            Step::Connected(socket) => return Ok(socket),
            Step::Wait(until) => writable(&race, until).await,
        }
    }
}

/// Sleep until one of the race's descriptors is writable, or until then.
async fn writable(race: &Race, until: Option<Instant>) {
    let all = race.pending().count();
    let watched = race.pending().filter_map(|fd| watch(fd, Interest::WRITABLE)).collect::<Vec<_>>();
    let any = poll_fn(|context| {
        let ready = watched.iter().any(|fd| fd.poll_write_ready(context).is_ready());
        if ready { Poll::Ready(()) } else { Poll::Pending }
    });
    let look = (watched.len() < all).then(|| Instant::now() + LOOK);
    match until.into_iter().chain(look).min() {
        // Whichever came first: the next step finds out.
        Some(until) => drop(time::timeout_at(until.into(), any).await),
        None => any.await,
    }
}

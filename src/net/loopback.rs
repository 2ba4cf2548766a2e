//! TCP connections that stay on this machine: no pacing.
//!
//! BBR spaces segments out in time for the sake of routers on the way. Where there are none, that
//! only costs. Every number here is from `docs/decisions/2026-11-21-loopback-congestion.md`.

use socket2::{SockAddr, Socket};

use super::Options;

/// Who paces: BBR in each of its versions ("bbr", "bbr2", "bbr3").
const PACING: &[u8] = b"bbr";

/// Who does not, in the order in which they are asked for; all of them are equally fast. CUBIC
/// first: should a loopback address be forwarded elsewhere (DNAT), it is what most hosts use.
/// Reno is what every system has, and allows to everybody unless the administrator says otherwise.
const UNPACED: [&[u8]; 2] = [b"cubic", b"reno"];

/// SO_SNDBUF where pacing stays: of 64 KiB to 2 MiB what BBR is fastest with.
const PACED_SEND_BUFFER: usize = 256 * 1024;

/// Do away with pacing on a connection that stays on this machine; leave any other as it is.
///
/// What cannot be had is done without: the connection works either way. A send buffer's size that
/// the user chose stays.
pub(super) fn tune(socket: &Socket, local: &SockAddr, peer: &SockAddr, options: &Options) {
    if !stays_here(local, peer) || !socket.tcp_congestion().is_ok_and(|name| paces(&name)) {
        return;
    }
    if UNPACED.iter().any(|name| socket.set_tcp_congestion(name).is_ok()) {
        return;
    }
    if options.send_buffer_size.is_none() {
        let _ = socket.set_send_buffer_size(PACED_SEND_BUFFER);
    }
}

fn paces(name: &[u8]) -> bool {
    name.starts_with(PACING)
}

/// Whether the peer is on this machine: at a loopback address, or at our own. Unix sockets have no
/// such addresses.
pub(super) fn stays_here(local: &SockAddr, peer: &SockAddr) -> bool {
    let Some(peer) = peer.as_socket() else {
        return false;
    };
    let peer = peer.ip().to_canonical();
    peer.is_loopback() || local.as_socket().is_some_and(|local| local.ip().to_canonical() == peer)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn address(text: &str) -> SockAddr {
        text.parse::<SocketAddr>().unwrap().into()
    }

    #[test]
    fn loopback_and_our_own_address_are_here() {
        for (local, peer) in [
            ("127.0.0.1:1", "127.0.0.1:2"),
            ("127.0.0.1:1", "127.9.8.7:2"),
            ("[::1]:1", "[::1]:2"),
            ("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.2]:2"),
            ("10.0.0.5:1", "10.0.0.5:2"),
            ("10.0.0.5:1", "[::ffff:10.0.0.5]:2"),
            ("[fd00::5]:1", "[fd00::5]:2"),
        ] {
            assert!(stays_here(&address(local), &address(peer)), "{local} {peer}");
        }
    }

    #[test]
    fn any_other_address_is_elsewhere() {
        for (local, peer) in [
            ("10.0.0.5:1", "10.0.0.6:1"),
            ("128.0.0.1:1", "126.255.255.255:1"),
            ("[fd00::5]:1", "[fd00::6]:1"),
            ("[::ffff:10.0.0.5]:1", "[::ffff:10.0.0.6]:1"),
        ] {
            assert!(!stays_here(&address(local), &address(peer)), "{local} {peer}");
        }
        let unix = SockAddr::unix("/tmp/some").unwrap();
        assert!(!stays_here(&unix, &unix));
    }

    #[test]
    fn every_version_of_bbr_paces() {
        assert!(["bbr", "bbr2", "bbr3"].iter().all(|name| paces(name.as_bytes())));
        assert!(!["cubic", "reno", "dctcp", ""].iter().any(|name| paces(name.as_bytes())));
    }
}

//! Another process of this host.
#![allow(unsafe_code)] // Calls into libc.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use libc::c_int;

use super::unix::{Interest, check, getsockopt, poll, retry};
use crate::mem::Region;

/// The option of a unix socket that gives a descriptor of the peer's process (Linux 6.5); libc has
/// no name for it.
const SO_PEERPIDFD: c_int = 77;

/// Copy memory of another process (process_vm_readv(2)): the bytes of `from`, which are addresses
/// there, to `to`, both one region after the other. Gives how many; fewer than there are if not all
/// of it can be read.
///
/// Whether it may be read at all is the kernel's decision, as for ptrace(2).
///
/// # Safety
/// The regions of `to` must be memory that may be written. Others may read or write them, and the
/// process may write to its own, at the same time.
pub unsafe fn read_process(pid: i32, to: &[Region], from: &[Region]) -> io::Result<usize> {
    let local = to.as_ptr().cast::<libc::iovec>();
    let remote = from.as_ptr().cast::<libc::iovec>();
    let (locals, remotes) = (to.len() as libc::c_ulong, from.len() as libc::c_ulong);
    // SAFETY: the caller's promise; the kernel checks the addresses of the other process itself.
    retry(|| unsafe { libc::process_vm_readv(pid, local, locals, remote, remotes, 0) })
}

/// Copy memory of another process that begins at this address, as much as there is room for.
pub fn peek(pid: i32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let to = Region { base: into.as_mut_ptr(), len: into.len() };
    let from = Region { base: std::ptr::without_provenance_mut(address as usize), ..to };
    // SAFETY: the slice is the caller's alone.
    unsafe { read_process(pid, &[to], &[from]) }
}

/// The process at the other end of a unix socket, as it was when that was opened (SO_PEERPIDFD).
pub fn peer_process(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut raw = [0; 4];
    getsockopt(fd, libc::SOL_SOCKET, SO_PEERPIDFD, &mut raw)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(c_int::from_ne_bytes(raw)) })
}

/// Whether the process of such a descriptor has ended (pidfd_open(2)).
pub fn has_ended(process: &OwnedFd) -> bool {
    let ready = poll([(process.as_fd(), Interest::Read)], Some(Duration::ZERO));
    ready.is_ok_and(|[ended]| ended)
}

/// Which boot of which machine this is (random(4)).
pub fn boot_id() -> io::Result<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let number = u128::from_str_radix(&text.trim().replace('-', ""), 16);
    number.map(u128::to_be_bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Which network namespace this thread is in (namespaces(7)).
pub fn network_namespace() -> io::Result<u64> {
    fs::metadata("/proc/thread-self/ns/net").map(|namespace| namespace.ino())
}

/// Bytes that nobody can guess (getrandom(2)).
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: `bytes` has room for N bytes. Up to 256 the call gives all of them.
    check(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_reads_itself() {
        let from = *b"some bytes of this process";
        let mut to = [0; 26];
        let source = [Region { base: from.as_ptr().cast_mut(), len: 26 }];
        let target = [
            Region { base: to.as_mut_ptr(), len: 10 },
            Region { base: to[10..].as_mut_ptr(), len: 16 },
        ];
        // SAFETY: both are arrays of this function's.
        let read = unsafe { read_process(std::process::id() as i32, &target, &source) };
        assert_eq!((read.unwrap(), to), (26, from));
    }

    #[test]
    fn memory_that_is_not_there_is_refused() {
        let mut to = [0; 8];
        let target = [Region { base: to.as_mut_ptr(), len: 8 }];
        let source = [Region { base: std::ptr::without_provenance_mut(64), len: 8 }];
        // SAFETY: the target is an array of this function's.
        let read = unsafe { read_process(std::process::id() as i32, &target, &source) };
        assert_eq!(read.unwrap_err().raw_os_error(), Some(libc::EFAULT));
    }

    #[test]
    fn boots_namespaces_and_random_bytes_are_told_apart() {
        assert_ne!(boot_id().unwrap(), [0; 16]);
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        assert_eq!(network_namespace().unwrap(), network_namespace().unwrap());
        assert_ne!(random::<32>().unwrap(), random::<32>().unwrap());
    }
}

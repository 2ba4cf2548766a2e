//! Another process of this host.
#![allow(unsafe_code)] // Calls into libc.

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use libc::c_int;

use super::Credentials;
use super::unix::{check, retry, setsockopt};
use crate::mem::Region;

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

/// Whether packets that come tell who has sent them (SO_PASSCRED, unix(7)); what a listener says
/// goes for those who connect to it.
pub fn tell_senders(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let value = c_int::from(on).to_ne_bytes();
    setsockopt(fd, libc::SOL_SOCKET, libc::SO_PASSCRED, Ok(&value))
}

/// The next packet without blocking: bytes that it has, which may be more than there is room for,
/// and who has sent it, as far as `tell_senders` was asked for. The user is the real one. Of
/// descriptors that come with it none is kept: they are closed here, by whatever that takes.
pub fn receive_packet(
    fd: BorrowedFd<'_>,
    into: &mut [u8],
) -> io::Result<(usize, Option<Credentials>)> {
    // Aligned as a cmsghdr, with room for credentials alone: what else comes is closed by the kernel.
    const CONTROL: usize = size_of::<libc::cmsghdr>() + size_of::<libc::ucred>();
    let mut control = [0u64; CONTROL.div_ceil(8)];
    let mut window = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: all zeroes is a msghdr without anything.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut window;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC | libc::MSG_TRUNC;
    // SAFETY: the slice is the caller's alone, `control` ours, and both outlive the call, as what
    // `message` points at does.
    let len = retry(|| unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) })?;
    // SAFETY: the kernel has filled in `message`, whose control data is aligned and ours.
    let from = unsafe {
        libc::CMSG_FIRSTHDR(&raw const message)
            .as_ref()
            .filter(|header| {
                header.cmsg_level == libc::SOL_SOCKET
                    && header.cmsg_type == libc::SCM_CREDENTIALS
                    && header.cmsg_len >= CONTROL
            })
            .map(|header| libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned())
    };
    Ok((len, from.map(|from| Credentials { pid: from.pid, uid: from.uid, gid: from.gid })))
}

/// The effective user of a process, as far as others may read it: one that is not dumpable, or has
/// executed a program with rights of its own, belongs to root there (proc_pid(5)). That holds for the
/// files below its directory, not for the directory.
///
/// A process need not be seen there (`hidepid`, proc(5)): that is EPERM, and does not say that it is
/// gone.
pub fn process_user(pid: i32) -> io::Result<u32> {
    let owner = fs::metadata(format!("/proc/{pid}/mem")).map(|memory| memory.uid());
    owner.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::from_raw_os_error(libc::EPERM),
        _ => error,
    })
}

/// Whether a process is gone: it has no memory any more. Nothing is read of one that is there.
pub fn is_gone(pid: i32) -> bool {
    let nowhere = peek(pid, 0, &mut [0]);
    nowhere.is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH))
}

/// Whether `/proc` is that of our pid namespace: in another one a number is another process's, or
/// nobody's.
pub fn proc_is_ours() -> bool {
    let this = fs::read_link("/proc/self");
    this.is_ok_and(|this| this.as_os_str() == std::process::id().to_string().as_str())
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
    use std::fs::Permissions;
    use std::io::{Read, Write};
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::process::{Command, Stdio};

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
    fn a_process_has_the_user_that_it_has() {
        let pid = std::process::id() as i32;
        assert_eq!(process_user(pid).unwrap(), crate::sys::effective_user());
        assert_eq!(process_user(i32::MAX).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!((is_gone(pid), is_gone(i32::MAX)), (false, true));
        assert!(proc_is_ours());
    }

    #[test]
    fn a_process_that_has_ended_is_gone_also_before_anybody_has_waited_for_it() {
        let mut child = Command::new("cat").stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.as_mut().unwrap();
        child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
        let pid = child.id() as i32;
        // Its output ends a moment before it does.
        while !is_gone(pid) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_gone(pid));
    }

    /// Needs root, and a directory for temporary files whose programs may have rights.
    #[test]
    fn a_program_with_a_group_of_its_own_is_not_its_users() {
        const USER: u32 = 65533;
        const GROUP: u32 = 4242;
        let program = std::env::temp_dir().join(format!("pinwire-group-{}", std::process::id()));
        let cat = ["/bin/cat", "/usr/bin/cat"].iter().find(|path| Path::new(path).exists());
        fs::copy(cat.unwrap(), &program).unwrap();
        let may_be_made = chown(&program, None, Some(GROUP)).is_ok()
            && fs::set_permissions(&program, Permissions::from_mode(0o2755)).is_ok();
        let child = may_be_made.then(|| {
            let mut command = Command::new(&program);
            command.uid(USER).gid(USER).stdin(Stdio::piped()).stdout(Stdio::piped());
            command.spawn().ok()
        });
        fs::remove_file(&program).unwrap();
        let Some(mut child) = child.flatten() else { return };
        // Once it says something it has become that program.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let user = process_user(child.id() as i32).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        if status.contains(&format!("\t{GROUP}\t")) {
            assert_ne!(user, USER);
        }
    }

    #[test]
    fn boots_namespaces_and_random_bytes_are_told_apart() {
        assert_ne!(boot_id().unwrap(), [0; 16]);
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        assert_eq!(network_namespace().unwrap(), network_namespace().unwrap());
        assert_ne!(random::<32>().unwrap(), random::<32>().unwrap());
    }
}

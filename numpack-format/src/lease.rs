//! The system's word that nobody else has a file open. The only file with `unsafe` code besides
//! [`crate::map`] and [`crate::process`].
#![allow(unsafe_code)]

use std::fs::File;

/// Whether the system has leases at all.
pub(crate) const POSSIBLE: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A write lease (fcntl(2), `F_SETLEASE`) on an open file: it was given because no other open file
/// leads to it, and as long as it lives, nobody gets another one. Who tries waits until it is given
/// back, or is refused if he does not want to wait; `/proc/sys/fs/lease-break-time` bounds the wait.
#[derive(Debug)]
pub(crate) struct Lease {
    file: File,
}

impl Lease {
    /// `None` gives no reason: somebody else has the file open, or it is another user's, or the
    /// system or the file system has no leases.
    pub(crate) fn take(file: File) -> Option<Lease> {
        sys::lease(&file).then_some(Lease { file })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the lease back, but not the file.
    pub(crate) fn end(self) -> File {
        // Closing all copies of the open file does it too, but not as long as a forked child lives.
        sys::release(&self.file);
        self.file
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod sys {
    use libc::{F_SETLEASE, F_UNLCK, F_WRLCK, SIGURG, c_int};
    use std::fs::File;
    use std::os::fd::AsRawFd;

    /// The same on all of Linux's systems that Rust knows; the `libc` crate has it for few.
    const F_SETSIG: c_int = 10;

    pub(super) fn lease(file: &File) -> bool {
        // Somebody who is kept waiting makes the system send a signal. By default that is one which
        // ends the process; this one is ignored, but by those who expect it for no reason.
        set(file, F_SETSIG, SIGURG) && set(file, F_SETLEASE, F_WRLCK as c_int)
    }

    pub(super) fn release(file: &File) {
        set(file, F_SETLEASE, F_UNLCK as c_int);
    }

    fn set(file: &File, what: c_int, value: c_int) -> bool {
        // SAFETY: the descriptor is open as long as the file is borrowed. Both commands take an
        // `int` and no pointer, and change nothing but the open file.
        unsafe { libc::fcntl(file.as_raw_fd(), what, value) == 0 }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod sys {
    use std::fs::File;

    pub(super) fn lease(_: &File) -> bool {
        false
    }

    pub(super) fn release(_: &File) {}
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;
    use crate::disk::Dir;
    use crate::{Error, Result};
    use std::io::Read;
    use std::time::Duration;

    #[test]
    fn it_is_given_to_the_only_one() -> Result<()> {
        let t = tempfile::tempdir().unwrap();
        let path = t.path().join("f");
        std::fs::write(&path, "old").unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        // Another thread's child has all files open until it starts its program.
        let take = || {
            let mut tries = (0..2000).map(|_| {
                std::thread::sleep(Duration::from_millis(1));
                Lease::take(open())
            });
            tries.find_map(|lease| lease).unwrap()
        };
        let others: [&dyn Fn() -> File; 2] = [&|| File::open(&path).unwrap(), &open];
        for other in others {
            let other = other();
            let copy = other.try_clone().unwrap();
            assert!(Lease::take(open()).is_none());
            drop(other);
            assert!(Lease::take(open()).is_none(), "a copy of it is open still");
            drop(copy);
            drop(take());
        }

        // The process outlives that somebody waits, or is turned away.
        let lease = take();
        let dir = Dir::open(t.path()).unwrap();
        assert!(matches!(dir.open_file("f"), Err(Error::Changed { .. })));
        std::thread::scope(|s| {
            let reader = s.spawn(|| {
                let mut text = String::new();
                File::open(&path).unwrap().read_to_string(&mut text).unwrap();
                text
            });
            std::thread::sleep(Duration::from_millis(50));
            assert!(!reader.is_finished());
            std::os::unix::fs::FileExt::write_all_at(lease.file(), b"new", 0).unwrap();
            let file = lease.end();
            assert_eq!(reader.join().unwrap(), "new");
            drop(file);
        });
        assert!(dir.open_file("f")?.is_some());
        Ok(())
    }
}

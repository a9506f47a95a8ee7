//! Which process this is, without asking the system each time: what takes a microsecond should not
//! spend a tenth of it on that. A page of memory that the system clears in a forked child holds the
//! answer (`madvise(2)`, `MADV_WIPEONFORK`); where it is 0, the system is asked.
//!
//! The only file with `unsafe` code besides [`crate::map`] and [`crate::lease`].
#![allow(unsafe_code)]

use std::sync::OnceLock;

use memmap2::Mmap;

static PAGE: OnceLock<Option<Mmap>> = OnceLock::new();

/// The number of this process.
pub(crate) fn id() -> u32 {
    let page = PAGE.get_or_init(sys::page).as_ref();
    let known =
        page.and_then(|page| page.first_chunk()).map_or(0, |&word| u32::from_ne_bytes(word));
    if known == 0 { std::process::id() } else { known }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod sys {
    use memmap2::{Mmap, MmapMut};

    /// A page that holds the number of the process that made it, and in its children nothing.
    pub(super) fn page() -> Option<Mmap> {
        let mut page = MmapMut::map_anon(4096).ok()?;
        // SAFETY: the address and the length are those of a private anonymous map, which is what
        // the advice is for; it changes nothing in this process, and in a child only these bytes,
        // to which nobody there holds a reference across the fork.
        let advised =
            unsafe { libc::madvise(page.as_mut_ptr().cast(), page.len(), libc::MADV_WIPEONFORK) };
        // An older system does not clear it.
        if advised != 0 {
            return None;
        }
        page[..4].copy_from_slice(&std::process::id().to_ne_bytes());
        page.make_read_only().ok()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod sys {
    pub(super) fn page() -> Option<memmap2::Mmap> {
        None
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_what_the_system_says() {
        assert_eq!(super::id(), std::process::id());
        assert_eq!(super::id(), std::process::id());
        #[cfg(target_os = "linux")]
        assert!(super::PAGE.get().is_some_and(Option::is_some));
    }

    /// A child is another process, also when its parent had asked before.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_forked_child_is_another() {
        let parent = super::id();
        // SAFETY: the child calls nothing that could wait for another thread of the parent's, and
        // ends without running what is to run at the end of a program.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let right = super::id() != parent && super::id() == std::process::id();
            // SAFETY: it ends the process, and touches nothing.
            unsafe { libc::_exit(if right { 0 } else { 1 }) };
        }
        let mut status = -1;
        // SAFETY: the child is this process's own, and the status lies on the stack.
        let ended = unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!((ended, status), (child, 0));
        assert_eq!(super::id(), parent);
    }
}

//! The signals that a thread blocks (pthread_sigmask(3)).

use std::mem::MaybeUninit;
use std::ptr;

/// Blocks every signal in this thread, for good: no handler runs on it.
pub(crate) fn block_all() {
    let mut all = MaybeUninit::uninit();
    // SAFETY: sigfillset(3) initialises the set, and the mask is only of this one thread.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), ptr::null_mut());
    }
}

/// Calls `act` while every signal is blocked in this thread.
#[cfg(feature = "tokio")]
pub(crate) fn while_blocked<T>(act: impl FnOnce() -> T) -> T {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: sigfillset(3) initialises the one set and pthread_sigmask(3) the other.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = act();
    // SAFETY: the set was initialised above.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
    }
    result
}

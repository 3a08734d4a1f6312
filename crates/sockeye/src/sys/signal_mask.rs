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

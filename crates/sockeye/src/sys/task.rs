//! Whether two threads share their table of fds.

/// linux/kcmp.h
const KCMP_FILES: libc::c_int = 2;

/// Whether two threads have one table of fds (kcmp(2)); `None` where the kernel does not
/// say.
pub(crate) fn share_descriptors(one: i32, other: i32) -> Option<bool> {
    // SAFETY: kcmp(2) takes five integers, the last two unused here, and touches no memory of ours.
    match unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0, 0) } {
        0 => Some(true),
        1.. => Some(false),
        _ => None,
    }
}

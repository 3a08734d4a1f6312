//! [`FdPolicy`]: what a relay does with file descriptors that are passed to it.

/// What a relay does with file descriptors (fds) that a side passes (`SCM_RIGHTS`, unix(7)).
#[doc(alias = "SCM_RIGHTS")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FdPolicy {
    /// They are passed on with the byte or the record that they came with.
    Pass,
    /// The kernel refuses them: the sender's sendmsg(2) fails with `EPERM` (`SO_PASSRIGHTS`, Linux
    /// 6.16). Before that, the connection ends with an error when some come.
    Refuse,
    /// They are received, closed and counted.
    Drop,
}

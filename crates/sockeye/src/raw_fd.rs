//! `AsRawFd` of the types that are `AsFd`.

/// `AsRawFd` of a type, with its generic parameters behind it: the number of the fd that `AsFd` borrows.
macro_rules! as_raw_fd {
    ($socket:ty $(, $($parameters:tt)*)?) => {
        impl $(<$($parameters)*>)? std::os::fd::AsRawFd for $socket {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsFd::as_fd(self).as_raw_fd()
            }
        }
    };
}

pub(crate) use as_raw_fd;

//! Which sockets exist and whose they are: one dump of the kernel's table, one look into `/proc`.

pub mod diag;
pub(crate) mod procfs;

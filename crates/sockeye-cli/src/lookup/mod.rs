//! Names of users and processes, states of processes, descriptions of fds.

pub(crate) mod descriptor;
pub(crate) mod ids;
pub(crate) mod names;
pub(crate) mod process_start;
pub(crate) mod stopped;
pub(crate) mod users;

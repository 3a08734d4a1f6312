//! UNIX sockets done right.

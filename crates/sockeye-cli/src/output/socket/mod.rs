//! A socket as text and as JSON.

mod json;
mod other_end;
mod text;

pub(crate) use json::{address_base64, json_address, reached_at, reached_at_base64};
pub(crate) use other_end::OtherEnd;
pub(crate) use text::{
    address, command, file_state, kind, path_address, state, write_address, write_fds, write_file,
    write_processes,
};

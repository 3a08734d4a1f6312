//! The server of connections that the options of the listening side ask for.

use sockeye::server::Server;

use super::allowed::allowed_peers;
use super::lifecycle::Lifecycle;
use crate::args::ListenOptions;

pub(crate) fn server(options: &ListenOptions, lifecycle: &Lifecycle) -> Server {
    let mut server = Server::new()
        .drain_timeout(options.drain)
        .abort_on(lifecycle.abort.clone())
        .renew_files(lifecycle.renew.clone())
        .on_handover(lifecycle.on_handover());
    if let Some(most) = options.max_connections {
        server = server.max_connections(most);
    }
    if let Some(most) = options.max_per_uid {
        server = server.max_per_uid(most);
    }
    if let Some(timeout) = options.first_byte_timeout {
        server = server.first_byte_timeout(timeout);
    }
    if let Some(timeout) = options.idle_timeout {
        server = server.idle_timeout(timeout);
    }
    if options.once {
        server = server.once();
    }
    match allowed_peers(&options.allow_users, &options.allow_groups) {
        Some(allowed) => server.allow_peers(allowed),
        None => server,
    }
}

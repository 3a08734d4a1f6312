//! What tonic 0.14 needs: the caller of a connection.

use tonic::transport::server::Connected;

use super::{Caller, IncomingConnection};

impl Connected for IncomingConnection {
    /// An extension of each request.
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller().clone()
    }
}

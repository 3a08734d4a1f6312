use clap::ValueEnum;

/// A column of the listing, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Column {
    Kind,
    State,
    #[value(alias = "address_base64")]
    Address,
    #[value(alias = "recv_queue")]
    RecvQ,
    #[value(alias = "send_queue")]
    SendQ,
    #[value(alias = "uid")]
    User,
    #[value(name = "pid", aliases = ["pid/command", "command", "process", "holders"])]
    Process,
    Fd,
    Peer,
    PeerUser,
    Inode,
    PeerInode,
    PeerAddress,
    File,
    Netns,
    Client,
    ClientUser,
    ClientFd,
    ClientInode,
    ClientQ,
    Server,
    ServerUser,
    ServerFd,
    ServerInode,
    ServerQ,
}

impl Column {
    /// Whether `--connections` has it.
    pub(crate) fn is_of_connections(self) -> bool {
        self.is_of_both() || !self.is_of_sockets()
    }

    /// Whether the other listings have it.
    pub(crate) fn is_of_sockets(self) -> bool {
        !matches!(
            self,
            Self::Client
                | Self::ClientUser
                | Self::ClientFd
                | Self::ClientInode
                | Self::ClientQ
                | Self::Server
                | Self::ServerUser
                | Self::ServerFd
                | Self::ServerInode
                | Self::ServerQ
        )
    }

    fn is_of_both(self) -> bool {
        matches!(self, Self::Kind | Self::State | Self::Address | Self::Netns)
    }
}

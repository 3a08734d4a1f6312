//! Fd passing: a privileged daemon opens the files of one directory for clients that may not, and passes
//! the file descriptor (`SCM_RIGHTS`). A request is a name in a line; the answer is `ok` with an fd, or the
//! error. Other users than its own are named after the directory.
//!
//! ```console
//! $ cargo run -p sockeye --features signal --example open_files -- /tmp/open.sock /var/log 1000
//! $ python3 -c 'import os, socket
//! s = socket.socket(socket.AF_UNIX); s.connect("/tmp/open.sock"); s.send(b"dpkg.log\n")
//! answer, fds, _, _ = socket.recv_fds(s, 100, 1); print(answer, [os.read(fd, 60) for fd in fds])'
//! ```

mod common;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use sockeye::{Claim, Connection, Framing, FramingError, Listener, Messages, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> common::Ending {
    let usage = "usage: open_files ADDRESS DIRECTORY [UID]... [--drain D]";
    let mut args = common::Arguments::parse(usage)?;
    let words = args.rest()?;
    let (directory, users) = words.split_first().ok_or_else(|| args.usage_error())?;
    let users: Vec<u32> = users
        .iter()
        .map(|id| id.to_string_lossy().parse())
        .collect::<Result<_, _>>()?;
    let (shutdown, abort) = common::signals()?;
    // Fds go one way only: the kernel refuses those that a client passes, since `allow_fd_passing` is off.
    let listener = Listener::open(&args.address, &Claim::options().mode(0o666))?;
    let directory = Arc::new(File::open(directory)?);
    common::listening(&args.address);
    let report = Server::new()
        // The mode lets anybody connect; these users alone are served (SO_PEERCRED).
        .same_user()
        .allow_users(users)
        .max_connections(100)
        .max_per_uid(10)
        .first_byte_timeout(Duration::from_secs(5))
        .message_timeout(Duration::from_secs(5))
        // Frees the fds of a client that asks and never receives, too.
        .idle_timeout(Duration::from_secs(5))
        .drain_timeout(args.drain)
        .abort_on(abort)
        .run(
            listener,
            |client| serve(client, directory.clone()),
            shutdown,
        )
        .await?;
    common::finish(&report)
}

async fn serve(connection: Connection, directory: Arc<File>) -> Result<(), FramingError> {
    // PATH_MAX.
    let mut requests = Messages::new(connection, Framing::Line, 4096);
    while let Some(request) = requests.next().await? {
        let directory = directory.clone();
        // A file system may hang, and the other clients shall not.
        let open = tokio::task::spawn_blocking(move || open(&directory, &request.payload));
        match open.await.map_err(io::Error::other)? {
            // The client gets a duplicate; ours is closed here.
            Ok(file) => requests.send_msg(b"ok", &[file.as_fd()]).await?,
            Err(error) => requests.send(error.to_string().as_bytes()).await?,
        }
    }
    Ok(())
}

fn open(directory: &File, name: &[u8]) -> io::Result<OwnedFd> {
    // Neither `..` nor a link leads out of the directory, and a FIFO does not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let file = openat2(directory, name, flags, Mode::empty(), within)?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

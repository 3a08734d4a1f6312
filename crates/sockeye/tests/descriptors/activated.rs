//! A socket that a service manager has passed (`LISTEN_FDS`), as the shell plays one.

use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use sockeye::{Claim, Listener};
use tokio::io::AsyncWriteExt;

use crate::alone;
use crate::sockets::runtime;

/// Has the socket on descriptor 3 and announces it to the program.
const MANAGER: &str = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=$$; exec \"$0\" \"$@\"";

#[test]
fn a_passed_socket_is_listened_on_by_its_name() {
    alone(|| {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("app.sock");
        #[expect(clippy::disallowed_methods, reason = "a service manager binds it")]
        let listener = UnixListener::bind(&path).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        let mut program = Command::new("sh")
            .args(["-c", MANAGER])
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "activated::as_the_program"])
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(program.wait().unwrap().success());
        assert_eq!(answer, path.to_str().unwrap());
        assert!(path.exists(), "it is the manager's to remove");
    });
}

#[test]
#[ignore = "the program that the test above runs"]
fn as_the_program() {
    runtime().block_on(async {
        let address = "systemd:web".parse().unwrap();
        let listener = Listener::open(&address, &Claim::options()).unwrap();
        let mut connection = listener.accept().await.unwrap();
        let name = listener.address().unwrap().to_string();
        connection.write_all(name.as_bytes()).await.unwrap();
    });
}

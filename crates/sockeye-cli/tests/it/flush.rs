//! A client passes a file whose close(2) never ends, and which no signal gets anybody out of.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{
    Place, Process, Server, is_root, require_peer, require_python_module, run, skipped, sockeye,
};

/// A FUSE that answers no FLUSH, and a client that passes a file of it.
const CLIENT: &str = r"
import array, ctypes, os, signal, socket, sys, time
from fusepy import FUSE, Operations
mount, path, kind = sys.argv[1:4]
class Hung(Operations):
    def getattr(self, path, fh=None):
        return dict(st_mode=0o40755 if path == '/' else 0o100644, st_nlink=1)
    def open(self, path, flags): return 1
    def flush(self, path, fh): signal.pause()
if os.fork():
    FUSE(Hung(), mount, foreground=True, nothreads=True)
    os._exit(1)
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
while ' %s fuse' % mount not in open('/proc/mounts').read(): time.sleep(0.01)
client = socket.socket(socket.AF_UNIX, getattr(socket, kind))
client.connect(path)
fds = array.array('i', [os.open(mount + '/file', os.O_RDONLY)])
client.sendmsg([b'x\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
print('sent', flush=True)
time.sleep(1000)
";

#[test]
fn a_server_that_hangs_in_close_has_given_up_its_path_before() {
    if !is_root() || fs::metadata("/dev/fuse").is_err() {
        return skipped("not root, or no /dev/fuse");
    }
    let (Some(unshare), Some(python)) = (require_peer("unshare"), require_python_module("fusepy"))
    else {
        return;
    };
    for (kind, python_kind) in [
        ("unix", "SOCK_STREAM"),
        ("seqpacket", "SOCK_SEQPACKET"),
        ("dgram", "SOCK_DGRAM"),
    ] {
        let place = Place::new();
        let address = format!("{kind}:{}", place.socket().display());
        let start = || {
            let mut command = Server::command(&["--fds"]);
            Server::started_by(command.arg(&address), place.socket())
        };
        let ask = || {
            run(sockeye().args(["send", "-t", "10s", &address, "hello"])).succeeds();
        };
        let mut server = start();
        fs::create_dir(place.at("mount")).expect("our own place");
        let mut command = Command::new(&unshare);
        command
            .args(["-m", "--propagation", "private"])
            .arg(&python)
            .args(["-c", CLIENT])
            .args([place.at("mount"), place.socket()])
            .arg(python_kind);
        let client = Process::spawn(&mut command);
        client.stdout.first_lines(1);
        ask();
        server.terminate();
        server.await_release();
        // Even this does not end it.
        server.process.signal(Signal::KILL);
        let mut next = start();
        ask();
        next.stop().is_clean();
        drop(client);
        server.process.wait();
    }
}

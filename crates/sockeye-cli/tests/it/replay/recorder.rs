//! [`RecordingRelay`]: records what goes between clients and a server, with the library.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use sockeye::capture::{Recorder, RecorderOptions};
use sockeye::relay::{ObserverHandle, ObserverLimits};
use sockeye::server::{Connection, Server};
use sockeye::{
    Address, CancellationToken, Claim, Connector, Kind, Listener, Name, Relay, SeqPacket,
    SeqPacketListener,
};

use crate::support::Place;

pub(super) struct RecordingRelay {
    pub(super) front: PathBuf,
    file: PathBuf,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl RecordingRelay {
    /// In front of the server at `target`, at `NAME.sock`, into `NAME.pcapng`.
    #[track_caller]
    pub(super) fn start(place: &Place, name: &str, kind: Kind, target: &Path) -> Self {
        let front = place.at(format!("{name}.sock"));
        let file = place.at(format!("{name}.pcapng"));
        let address = |path: &Path| Address::new(kind, &Name::Path(path.to_owned())).unwrap();
        let (from, to) = (address(&front), address(target));
        let (stop, file_path) = (CancellationToken::new(), file.clone());
        let stopped = stop.clone();
        let (listens, listening) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(record(from, to, &file_path, stopped, listens));
        });
        listening.recv().expect("it listens");
        Self {
            front,
            file,
            stop,
            thread,
        }
    }

    /// Waits for the end of all connections; the recording.
    #[track_caller]
    pub(super) fn finish(self) -> PathBuf {
        self.stop.cancel();
        self.thread.join().expect("no panic");
        self.file
    }
}

async fn record(
    from: Address,
    to: Address,
    file: &Path,
    stop: CancellationToken,
    listens: mpsc::Sender<()>,
) {
    let recorder = Recorder::create(file, &RecorderOptions::new(&from)).unwrap();
    let limits = ObserverLimits::default();
    let (handle, thread) = ObserverHandle::start_complete(recorder, limits).unwrap();
    let relay = Relay::new().observe(handle);
    let server = Server::new().task_per_handler();
    let claim = Claim::options().allow_fd_passing(true);
    if from.kind() == Kind::Stream {
        let listener = Listener::open(&from, &claim).unwrap();
        let relay = relay.clone();
        listens.send(()).unwrap();
        let handler = move |client: Connection| {
            let (relay, to) = (relay.clone(), to.clone());
            async move {
                let target = Connector::new().connect(&to).await.unwrap();
                relay.join(client, target).await.unwrap();
            }
        };
        server.run(listener, handler, stop.cancelled()).await
    } else {
        let listener = SeqPacketListener::open(&from, &claim).unwrap();
        let relay = relay.clone();
        listens.send(()).unwrap();
        let handler = move |client: Connection<SeqPacket>| {
            let (relay, to) = (relay.clone(), to.clone());
            async move {
                let target = Connector::new().connect_seqpacket(&to).await.unwrap();
                relay.join(client, target).await.unwrap();
            }
        };
        server.run(listener, handler, stop.cancelled()).await
    }
    .unwrap();
    drop(relay);
    thread.join().unwrap().finish();
}

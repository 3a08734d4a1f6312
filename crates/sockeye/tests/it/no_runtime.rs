//! Where a runtime is missing, the panic names the line of the caller.

use std::cell::Cell;
use std::future::poll_fn;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use sockeye::server::Server;
use sockeye::{Claim, Connector, Datagram, Kind, Listener, SeqPacket, SeqPacketListener, Stream};
use tokio::runtime::{Builder, is_rt_shutdown_err};

use crate::support::Place;

thread_local! {
    /// Where this thread panicked last.
    static FILE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Where `act` panics.
fn panics_in<T>(act: impl FnOnce() -> T) -> Option<String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            FILE.set(info.location().map(|location| location.file().to_owned()));
            before(info);
        }));
    });
    FILE.set(None);
    assert!(
        catch_unwind(AssertUnwindSafe(act)).is_err(),
        "it has panicked"
    );
    FILE.take()
}

#[test]
fn the_panic_without_a_runtime_names_the_caller() {
    assert_panics_are_here();
}

#[test]
fn the_panic_in_a_runtime_without_io_names_the_caller() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    assert_panics_are_here();
}

#[test]
fn the_error_in_a_runtime_that_has_ended_says_so() {
    let runtime = Builder::new_current_thread().enable_io().build().unwrap();
    let handle = runtime.handle().clone();
    let _entered = handle.enter();
    drop(runtime);
    let error = Stream::pair().unwrap_err();
    assert!(is_rt_shutdown_err(&error), "{error}");
}

#[test]
fn a_server_in_a_runtime_without_timers_panics_at_its_start() {
    let runtime = Builder::new_current_thread().enable_io().build().unwrap();
    let place = Place::new();
    let address = place.address_of(Kind::Stream);
    let mut has_begun = false;
    let shutdown = poll_fn(|_| {
        has_begun = true;
        Poll::Ready(())
    });
    let run = runtime.block_on(async {
        let listener = Listener::open(&address, &Claim::options()).unwrap();
        AssertUnwindSafe(Server::new().run(listener, |_| async {}, shutdown))
            .catch_unwind()
            .await
    });
    assert!(run.is_err());
    assert!(!has_begun);
}

#[test]
fn a_connector_that_would_wait_panics_in_a_runtime_without_timers() {
    let runtime = Builder::new_current_thread().enable_io().build().unwrap();
    let place = Place::new();
    let address = place.address_of(Kind::Stream);
    let connect = |connector: Connector| {
        let connect = AssertUnwindSafe(async { connector.connect(&address).await.map(drop) });
        runtime.block_on(connect.catch_unwind())
    };
    assert!(connect(Connector::new()).is_ok_and(|connected| connected.is_err()));
    let waits = Connector::new().wait_for(Duration::from_secs(1));
    let _listener = UnixListener::bind(address.path().unwrap()).unwrap();
    assert!(connect(Connector::new()).is_ok_and(|connected| connected.is_ok()));
    // Also where a server is there.
    assert!(connect(waits).is_err());
}

fn assert_panics_are_here() {
    let here = Some(file!().to_owned());
    let place = Place::new();
    let claim = |kind| Claim::options().claim(&place.address_of(kind)).unwrap();
    let pair = || UnixStream::pair().unwrap().0;

    let stream = claim(Kind::Stream);
    assert_eq!(panics_in(|| Listener::from_claim(stream)), here);
    let packets = claim(Kind::SeqPacket);
    assert_eq!(panics_in(|| SeqPacketListener::from_claim(packets)), here);
    let datagrams = claim(Kind::Datagram);
    assert_eq!(panics_in(|| Datagram::from_claim(datagrams)), here);
    place.assert_empty();

    let listener = UnixListener::bind(place.socket()).unwrap();
    let adopted = listener.try_clone().unwrap();
    assert_eq!(panics_in(|| Listener::adopt(adopted.into())), here);
    assert_eq!(panics_in(|| Listener::from_std(listener)), here);
    assert_eq!(panics_in(|| Stream::adopt(pair().into())), here);
    assert_eq!(panics_in(|| Stream::from_std(pair())), here);
    assert_eq!(panics_in(|| Stream::pair().map(drop)), here);
    assert_eq!(panics_in(|| SeqPacket::pair().map(drop)), here);
    assert_eq!(panics_in(|| Datagram::pair().map(drop)), here);
    assert_eq!(panics_in(|| Datagram::unclaimed().map(drop)), here);
}

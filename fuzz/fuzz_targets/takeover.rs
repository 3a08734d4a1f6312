//! Whatever records and fds come on the control socket, each is a frame or none of ours, and no fd is
//! left open.
#![no_main]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

static NULL: LazyLock<File> = LazyLock::new(|| File::open("/dev/null").expect("it is there"));
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
});

fn next_fd() -> i32 {
    NULL.try_clone().expect("a number is free").as_raw_fd()
}

libfuzzer_sys::fuzz_target!(|records: Vec<(Vec<u8>, u8)>| {
    LazyLock::force(&NULL);
    LazyLock::force(&RUNTIME);
    let before = next_fd();
    let records = records.into_iter().take(8);
    let records = records.map(|(bytes, fds)| (bytes, vec![NULL.as_fd(); usize::from(fds)]));
    RUNTIME.block_on(sockeye::fuzzing::takeover(records.collect()));
    // A thread of its own closes what has come.
    let end = Instant::now() + Duration::from_secs(10);
    while next_fd() != before {
        assert!(Instant::now() < end, "no fd is left open");
        std::thread::yield_now();
    }
});

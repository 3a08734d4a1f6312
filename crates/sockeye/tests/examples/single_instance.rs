//! `single_instance`: the first process opens the files of all.

use rustix::process::{Signal, getuid};

use crate::support::{Place, Running, netcat};

#[test]
fn the_first_one_opens_the_files_of_all() {
    let (place, uid) = (Place::new(), getuid().as_raw());
    let start = |file: &str| Running::example("single_instance", [&place.socket(), file]);

    let first = start("one.txt");
    first.expect("open one.txt");
    let opened = format!("opened in process {}", first.pid());
    let second = start("two.txt");
    let pid = second.pid();
    assert_eq!(second.rest(), [&opened[..]]);
    first.expect(&format!("open two.txt (pid {pid} uid {uid})"));
    if let Some(answers) = netcat(&place.socket(), b"three.txt\n") {
        assert_eq!(answers, [&opened[..]]);
        let line = first.next().unwrap();
        assert!(line.starts_with("open three.txt (pid "), "{line}");
    }

    // What a killed one leaves keeps nobody from being the first.
    first.signal(Signal::KILL);
    assert_eq!(first.next(), None);
    let next = start("four.txt");
    next.expect("open four.txt");
    start("quit").rest();
    next.rest();
    place.assert_empty();
}

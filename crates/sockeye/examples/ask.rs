//! The smallest client: sends one line and prints the line that comes back, with who has answered.
//!
//! ```console
//! $ cargo run -p sockeye --example ask -- /tmp/lines.sock hello
//! $ printf 'hello\n' | nc -NlU /tmp/lines.sock     # a server to try it with
//! ```
//!
//! It needs no runtime. It waits up to five seconds for the server to come up, and its error says what was
//! found at the address: nothing, a stale socket, a full backlog, a directory that may not be searched.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use sockeye::{Address, Connector, Peer};

// `Debug` of these errors, which is printed where main fails, is their sentence.
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, line] = &arguments[..] else {
        return Err("usage: ask ADDRESS LINE".into());
    };
    let address: Address = address.parse()?;
    let connector = Connector::new().wait_for(Duration::from_secs(5));
    let mut stream = connector.connect_blocking(&address)?;
    // A server that hangs is an error after ten seconds, not a client that hangs too.
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;

    // The user is certain (SO_PEERCRED); a pid is for display, since it can be reused.
    let server = Peer::of(&stream)?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    // EOF without a line is not an answer.
    if BufReader::new(stream).read_line(&mut answer)? == 0 {
        return Err(format!("{address} has closed the connection without an answer").into());
    }
    println!("{server}: {}", answer.trim_end());
    Ok(())
}

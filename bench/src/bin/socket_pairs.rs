//! Holds pairs of connected sockets open, so that there is something to list: says when it has them, and ends with its
//! standard input.
#![deny(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it says when it is ready")]

use std::io::Read;
use std::os::unix::net::UnixStream;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pairs: usize = std::env::args()
        .nth(1)
        .ok_or("usage: socket_pairs N")?
        .parse()?;
    let held: Vec<_> = (0..pairs)
        .map(|_| UnixStream::pair())
        .collect::<Result<_, _>>()?;
    println!("{}", held.len());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

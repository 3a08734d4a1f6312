//! A single-instance tool without a runtime: the first process is the editor, later ones hand their file
//! over to it and end. Whoever is killed leaves nothing that keeps the next one from being the first.
//!
//! ```console
//! $ cargo run -p sockeye --no-default-features --example single_instance -- /tmp/editor.sock one.txt &
//! $ cargo run -p sockeye --no-default-features --example single_instance -- /tmp/editor.sock two.txt
//! $ printf 'three.txt\n' | nc -NU /tmp/editor.sock
//! ```
//!
//! `quit` instead of a file ends the first one.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use sockeye::{BlockingListener, Claim, Claimed, Peer, StopHandle};

const TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, file] = &arguments[..] else {
        return Err("usage: single_instance ADDRESS FILE".into());
    };
    match Claim::options().claim_or_connect(&address.parse()?)? {
        Claimed::First(_) if file == "quit" => return Err("none is running".into()),
        Claimed::First(claim) => {
            println!("open {file}");
            serve(&claim.into_blocking()?);
        }
        Claimed::Running(stream) => print!("{}", hand_over(stream, file)?),
    }
    Ok(())
}

fn hand_over(mut stream: UnixStream, file: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    writeln!(stream, "{file}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn serve(listener: &BlockingListener) {
    for stream in listener.incoming() {
        let stop = listener.stop_handle();
        match stream {
            Ok(stream) => {
                // A thread each, so that a client that hangs is not waited for.
                thread::spawn(move || receive(&stream, &stop));
            }
            // Most likely out of fds (EMFILE): a loop without a pause would be a busy one.
            Err(error) => {
                println!("accept: {error}");
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn receive(mut stream: &UnixStream, stop: &StopHandle) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut file = String::new();
    // 4096 is PATH_MAX.
    BufReader::new(stream.take(4096)).read_line(&mut file)?;
    let file = file.trim_end();
    println!("open {file} ({})", Peer::of(stream)?);
    writeln!(stream, "opened in process {}", std::process::id())?;
    if file == "quit" {
        stop.stop();
    }
    Ok(())
}

//! Servers with foreign clients: python3 and nc.

use std::process::Command;

use sockeye::Server;

use crate::support::{Running, answer, counts, listener, output_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_gets_its_answer_after_half_close() {
    let (listener, address) = listener();
    let server = Running::start(Server::new(), listener, answer);
    let script = "import socket, sys\n\
        s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n\
        s.sendall(b'q' * 1000000)\n\
        s.shutdown(socket.SHUT_WR)\n\
        n = 0\n\
        while chunk := s.recv(65536): n += len(chunk)\n\
        print(n)";
    let mut python = Command::new("python3");
    python.args(["-c", script, &address.port().to_string()]);
    let Some(output) = output_of(python, Vec::new()).await else {
        return;
    };
    assert_eq!(output, b"1000000\n");
    assert_eq!(counts(&server.report().await), [1, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nc_gets_its_answer_after_half_close() {
    let (listener, address) = listener();
    let server = Running::start(Server::new(), listener, answer);
    let mut nc = Command::new("nc");
    nc.args(["-N", "127.0.0.1", &address.port().to_string()]);
    let question = b"question\n".repeat(10_000);
    let Some(output) = output_of(nc, question.clone()).await else {
        return;
    };
    assert!(output == question, "{} bytes", output.len());
    assert_eq!(counts(&server.report().await), [1, 0, 0, 0]);
}

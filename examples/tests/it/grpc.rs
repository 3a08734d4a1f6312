//! `grpc`, with tonic's own client and with curl.

use tonic::transport::Endpoint;

use crate::helloworld::HelloRequest;
use crate::helloworld::greeter_client::GreeterClient;
use crate::support::{Place, Running, peer, python};

/// With both accept loops.
const LOOPS: [&[&str]; 2] = [&[], &["--incoming"]];

/// With an accept loop, and more options.
#[track_caller]
fn started(place: &Place, options: &[&[&str]]) -> Running {
    let socket = place.socket();
    Running::server("grpc", &[&[&socket[..]], &options.concat()[..]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_answers_the_client_of_tonic() {
    for accept_loop in LOOPS {
        let place = Place::new();
        let daemon = started(&place, &[accept_loop]);
        let endpoint = Endpoint::from_shared(format!("unix:{}", place.socket())).unwrap();
        let mut client = GreeterClient::new(endpoint.connect().await.unwrap());
        for name in ["world", "whole world"] {
            let request = HelloRequest { name: name.into() };
            let reply = client.say_hello(request).await.unwrap().into_inner();
            assert_eq!(reply.message, format!("Hello {name}!"));
        }
        // An idle HTTP/2 connection ends at once.
        let report = daemon.stop();
        assert!(report.contains("drained 1, aborted 0"), "{report}");
        place.assert_empty();
    }
}

#[test]
fn grpc_answers_curl() {
    for accept_loop in LOOPS {
        let place = Place::new();
        let daemon = started(&place, &[accept_loop]);
        let Some(mut curl) = peer("curl") else { return };
        let options = [
            "-sS",
            "--http2-prior-knowledge",
            "--data-binary",
            "@-",
            "-D",
        ];
        let (headers, body) = (place.at("headers"), place.at("body"));
        let grpc = ["-H", "Content-Type: application/grpc", "-H", "TE: trailers"];
        let command = curl
            .args(options)
            .args([&headers[..], "-o", &body, "--unix-socket", &place.socket()])
            .args(grpc)
            .arg("http://localhost/helloworld.Greeter/SayHello");
        let mut curl = Running::start(command);
        curl.write(b"\0\0\0\0\x07\x0a\x05world");
        curl.rest();
        let headers = std::fs::read_to_string(&headers).unwrap();
        assert!(headers.starts_with("HTTP/2 200"), "{headers}");
        assert!(headers.contains("grpc-status: 0"), "{headers}");
        assert_eq!(
            std::fs::read(&body).unwrap(),
            b"\0\0\0\0\x0e\x0a\x0cHello world!"
        );
        daemon.stop();
    }
}

#[test]
fn grpc_answers_the_backlog_and_ends_the_rest_in_time() {
    for accept_loop in LOOPS {
        let place = Place::new();
        let daemon = started(&place, &[accept_loop, &["--drain", "3s"]]);
        let pid = daemon.pid().to_string();
        let Some(said) = python(include_str!("grpc_drain.py"), &[&place.socket(), &pid]) else {
            return;
        };
        let expected = [
            "100 answered",
            "idle: ended",
            "half a preface is open until the drain timeout",
            "all ended",
        ];
        assert_eq!(said, expected, "{accept_loop:?}");
        let (log, code) = daemon.ended();
        let expected = "served 0, refused 0, drained 101, aborted 1, accept errors 0";
        assert_eq!(log, [expected], "{accept_loop:?}");
        assert_eq!(code, Some(7));
        place.assert_empty();
    }
}

//! Fds arrive with their byte.

use std::io::{Read, Write};
use std::os::fd::AsFd;

use sockeye::relay::Relay;
use sockeye::{recv_msg, send_msg};

use super::joined;

#[tokio::test]
async fn fds_arrive_with_the_byte_that_they_were_sent_with() {
    let (mut client, mut target, relay) = joined(&Relay::new());
    let file = std::fs::File::open("/dev/null").unwrap();
    client.write_all(b"a header of 16 b").unwrap();
    send_msg(&client, b"body", &[file.as_fd(); 253]).unwrap();
    client.write_all(b"more").unwrap();
    let received = tokio::task::spawn_blocking(move || {
        let mut header = [0; 16];
        target.read_exact(&mut header).unwrap();
        assert_eq!(&header, b"a header of 16 b");
        let mut buffer = [0; 64];
        let body = recv_msg(&target, &mut buffer).unwrap().unwrap();
        let text = buffer[..body.bytes].to_vec();
        (text, body.descriptors.len())
    });
    assert_eq!(received.await.unwrap(), (b"body".to_vec(), 253));
    drop(client);
    let report = relay.await.unwrap();
    assert_eq!(report.to_target.fds, 253);
}

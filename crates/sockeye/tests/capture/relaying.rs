//! What a relay passes on is recorded.

use std::io::Read;

use sockeye::capture::{RecordedPart, Recorder, RecorderOptions, Recording};
use sockeye::relay::{ObserverHandle, ObserverLimits, Relay};
use sockeye::{SeqPacket, Stream, send_msg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{TO_CLIENT, TO_TARGET, bytes, fields};

#[tokio::test]
async fn a_relayed_stream_is_recorded_with_its_client_and_its_fds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let recorder = Recorder::create(&path, &RecorderOptions::new("/run/app.sock")).unwrap();
    let (handle, thread) =
        ObserverHandle::start_complete(recorder, ObserverLimits::default()).unwrap();
    let relay = Relay::new().observe(handle);
    let ((mut client, front), (back, mut server)) =
        (Stream::pair().unwrap(), Stream::pair().unwrap());
    let joined = relay.join(front, back);
    let exchange = async {
        let (mut reader, writer) = std::io::pipe().unwrap();
        client.write_all(b"before").await.unwrap();
        client.writable().await.unwrap();
        send_msg(&client, b"with an fd", &[std::os::fd::AsFd::as_fd(&writer)]).unwrap();
        client.shutdown(sockeye::Shutdown::Write).unwrap();
        drop(writer);
        let mut request = Vec::new();
        server.read_to_end(&mut request).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        // The recorder holds no fd open.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        (request, answer)
    };
    let (report, (request, answer)) = tokio::join!(joined, exchange);
    report.unwrap();
    drop(relay);
    let status = thread.join().unwrap().finish();
    assert_eq!(status.dropped().blocks, 0);
    let recording = Recording::open(&path).unwrap();
    let [connection] = recording.connections() else {
        panic!("{:?}", recording.connections());
    };
    assert!(connection.is_complete(), "{connection:?}");
    assert_eq!(connection.fds(), 1);
    let own = format!("pid {} (", std::process::id());
    let client = connection.client().unwrap();
    assert!(client.starts_with(&own), "{client}");
    assert!(
        client.contains(" uid ") && client.contains(" gid "),
        "{client}"
    );
    assert_eq!(bytes(&recording, connection, TO_TARGET), request);
    assert_eq!(bytes(&recording, connection, TO_CLIENT), answer.as_bytes());
    let Some(comments) = fields(
        &path,
        "frame.comment contains \"fds 1: \"",
        &["tcp.payload"],
    ) else {
        return;
    };
    let payload: String = b"with an fd".iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(comments, [payload]);
}

#[tokio::test]
async fn relayed_records_are_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let recorder = Recorder::create(&path, &RecorderOptions::new("/run/app.sock")).unwrap();
    let (handle, thread) =
        ObserverHandle::start_complete(recorder, ObserverLimits::default()).unwrap();
    let relay = Relay::new().observe(handle);
    let ((client, front), (back, server)) =
        (SeqPacket::pair().unwrap(), SeqPacket::pair().unwrap());
    let joined = relay.join(front, back);
    let exchange = async {
        for record in [&b"one"[..], b"", b"three"] {
            client.send(record).await.unwrap();
            let mut received = [0; 10];
            assert_eq!(
                server.recv(&mut received).await.unwrap(),
                Some(record.len())
            );
        }
        drop(client);
        drop(server);
    };
    let (report, ()) = tokio::join!(joined, exchange);
    let _ = report.unwrap();
    drop(relay);
    thread.join().unwrap().finish();
    let recording = Recording::open(&path).unwrap();
    let connection = &recording.connections()[0];
    assert!(connection.is_record() && connection.has_begin());
    let records = connection.events().iter();
    let records = records.filter_map(|event| match &event.what {
        RecordedPart::Record(location) => Some(recording.read(location).unwrap()),
        _ => None,
    });
    let records: Vec<_> = records.collect();
    assert!(
        [&b"one"[..], b"", b"three"]
            .iter()
            .zip(&records)
            .all(|(one, other)| one == other)
    );
}

//! [`Asker`]: a successor that does what the test says.

use super::*;

/// A successor that does what the test says.
pub(super) struct Asker(pub(super) SeqPacket);

impl Asker {
    pub(super) async fn connect(place: &Place) -> Self {
        let address = format!("seqpacket:{}", control(place).display());
        let address = address.parse().unwrap();
        Self(Connector::new().connect_seqpacket(&address).await.unwrap())
    }

    /// One that has the descriptors.
    pub(super) async fn offered(place: &Place) -> Self {
        let asker = Self::connect(place).await;
        asker.say(&HELLO).await;
        assert_eq!(asker.hear().await, (OFFER.to_vec(), 3));
        asker
    }

    /// One that may serve.
    pub(super) async fn ready(place: &Place) -> Self {
        let asker = Self::offered(place).await;
        asker.say(&READY).await;
        settled().await;
        asker
    }

    pub(super) async fn say(&self, frame: &[u8]) {
        self.0.send(frame).await.unwrap();
    }

    pub(super) fn has_heard_nothing(&self) -> bool {
        let seen = rustix::net::recv(&self.0, &mut [0; 2], RecvFlags::DONTWAIT | RecvFlags::PEEK);
        seen.err() == Some(Errno::AGAIN)
    }

    /// The next frame and how many descriptors came with it; nothing at the end.
    pub(super) async fn hear(&self) -> (Vec<u8>, usize) {
        let mut buffer = [0; 64];
        loop {
            return match in_time(self.0.recv_msg(&mut buffer)).await {
                Ok(Some(got)) => (buffer[..got.bytes].to_vec(), got.descriptors.len()),
                Ok(None) => Default::default(),
                // What we said was not read; what was said to us comes after that.
                Err(RecvError::Io(error)) if error.kind() == ErrorKind::ConnectionReset => continue,
                Err(error) => panic!("{error}"),
            };
        }
    }
}

//! The addresses that stand for the two sides of a connection.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Every server.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// The ports of clients: hardly any protocol has one of its own there.
const FIRST_PORT: u64 = 49_152;
const PORTS: u64 = 65_536 - FIRST_PORT;
/// The addresses of 127.0.0.0/8 behind that of the server.
const ADDRESSES: u64 = (1 << 24) - 3;

/// The client's side of a connection, another one for each of 2.7e11 numbers.
pub(super) fn client(connection: u64) -> SocketAddrV4 {
    let (address, port) = (connection / PORTS % ADDRESSES, connection % PORTS);
    let address = Ipv4Addr::from_bits(SERVER.to_bits() + 1 + address as u32);
    SocketAddrV4::new(address, (FIRST_PORT + port) as u16)
}

/// Whether a recorder of ours chose both addresses.
pub(super) fn are_ours(one: Ipv4Addr, other: Ipv4Addr) -> bool {
    (one == SERVER) != (other == SERVER) && one.is_loopback() && other.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_another_client() {
        assert_eq!(client(0).to_string(), "127.0.0.2:49152");
        assert_eq!(client(16_383).to_string(), "127.0.0.2:65535");
        assert_eq!(client(16_384).to_string(), "127.0.0.3:49152");
        assert_eq!(client(16_384 * 254).to_string(), "127.0.1.0:49152");
        let last = client(ADDRESSES * PORTS - 1);
        assert_eq!(last.to_string(), "127.255.255.254:65535");
        for connection in [0, ADDRESSES * PORTS - 1, u64::MAX] {
            assert!(are_ours(SERVER, *client(connection).ip()));
        }
    }
}

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;

fn tcp(host: &str, port: u16) -> RelayAddress {
    let host = host.to_owned();
    RelayAddress::Tcp { host, port }
}

fn vsock(number: u32, port: u32) -> RelayAddress {
    let cid = VsockCid::new(number);
    RelayAddress::Vsock { cid, port }
}

#[test]
fn addresses_parse_and_are_printed_as_they_were_written() {
    let unix = |text: &str| RelayAddress::Unix(text.parse().unwrap());
    let cases = [
        ("-", RelayAddress::Stdio),
        ("/run/app.sock", unix("/run/app.sock")),
        ("seqpacket:@jobs", unix("seqpacket:@jobs")),
        ("fd:3", unix("fd:3")),
        ("./tcp:80", unix("./tcp:80")),
        ("./-", unix("./-")),
        ("tcp:localhost:80", tcp("localhost", 80)),
        ("tcp:a_b.example.:65535", tcp("a_b.example.", 65535)),
        ("tcp:0.0.0.0:0", tcp("0.0.0.0", 0)),
        ("tcp:[::1]:80", tcp("::1", 80)),
        ("tcp:[0:0::1]:80", tcp("0:0::1", 80)),
        ("tcp:[fe80::1%eth0.2]:80", tcp("fe80::1%eth0.2", 80)),
        ("vsock:3:1024", vsock(3, 1024)),
        ("vsock:any:1024", vsock(u32::MAX, 1024)),
        ("vsock:hypervisor:1", vsock(0, 1)),
        ("vsock:local:1", vsock(1, 1)),
        ("vsock:host:4294967295", vsock(2, u32::MAX)),
        ("vsock:2:1", vsock(2, 1)),
    ];
    for (text, address) in cases {
        assert_eq!(text.parse::<RelayAddress>().unwrap(), address, "{text}");
        assert_eq!(text.parse::<RelayAddress>().unwrap().to_string(), text);
    }
}

#[test]
fn errors_name_the_part() {
    let cases = [
        ("tcp:1234", "\"1234\" has no port", "./tcp:…"),
        ("tcp:", "\"\" has no port", "tcp:HOST:PORT"),
        ("tcp::80", "the host is empty", "0.0.0.0"),
        ("tcp:h:65536", "\"65536\" is not a TCP port", "65535"),
        ("tcp:h:", "\"\" is not a TCP port", "65535"),
        ("tcp:h:080", "\"080\" is not a TCP port", "65535"),
        ("tcp:h:+80", "\"+80\" is not a TCP port", "65535"),
        ("tcp:h:http", "\"http\" is not a TCP port", "65535"),
        ("tcp:::1:80", "\"::1\" is not in brackets", "tcp:[::1]:80"),
        ("tcp:[::1]", "\"[::1]\" has no port", "tcp:HOST:PORT"),
        ("tcp:[::1:80", "no closing bracket", "tcp:[::1]:80"),
        ("tcp:[127.0.0.1]:80", "not an IPv6", "without brackets"),
        ("tcp:[::1%]:80", "not an IPv6", "without brackets"),
        ("tcp:a b:80", "\"a b\" is not the name", "IPv4 address"),
        ("tcp:*:80", "\"*\" is not the name", "IPv4 address"),
        ("tcp://h:80", "\"//h\" is not the name", "IPv4 address"),
        ("vsock:3", "\"3\" has no port", "vsock:CID:PORT"),
        ("vsock::1", "\"\" is not a context id", "hypervisor"),
        ("vsock:me:1", "\"me\" is not a context id", "hypervisor"),
        ("vsock:3:any", "\"any\" is not a vsock port", "4294967295"),
        ("vsock:4294967296:1", "not a context id", "4294967295"),
        ("tls:h:443", "\"tls:\" is not a kind", "./…"),
        ("stream:tcp:h:80", "\"tcp:\" is not a kind", "./…"),
        ("", "the name is empty", "write a path"),
    ];
    for (text, problem, hint) in cases {
        let error = text.parse::<RelayAddress>().unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
        assert!(error.contains(hint), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "{text}: {error}");
    }
    let long = format!("tcp:{}:80", "h".repeat(254));
    assert!(long.parse::<RelayAddress>().is_err());
    let bytes = OsString::from_vec(b"tcp:caf\xe9:80".to_vec());
    assert!(RelayAddress::parse(bytes).is_err());
}

#[test]
fn a_shell_takes_the_quoted_address_as_one_word() {
    let quoted = |text: &str| text.parse::<RelayAddress>().unwrap().shell_quoted();
    assert_eq!(quoted("tcp:[::1]:80"), "'tcp:[::1]:80'");
    assert_eq!(quoted("tcp:h:80"), "tcp:h:80");
    assert_eq!(quoted("a b"), "'a b'");
    assert_eq!(quoted("-"), "-");
}

proptest! {
    #[test]
    fn whatever_parses_is_printed_so_that_it_parses(
        prefix in prop::sample::select(&["", "-", "tcp:", "tcp:[", "vsock:", "dgram:"][..]),
        rest in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let text = OsString::from_vec([prefix.as_bytes(), &rest].concat());
        if let Ok(address) = RelayAddress::parse(&text) {
            let shown = address.to_string();
            let again: RelayAddress = shown.parse().unwrap();
            prop_assert_eq!(&again, &address);
            prop_assert_eq!(again.to_string(), shown);
        }
    }

    #[test]
    fn text_is_printed_as_it_was_written(text in "(tcp:|vsock:|)([]:%0-9a-z\\[.]{0,12}|any|host|[a-z.]{1,9}|\\[::[0-9a-f]{0,3}(%[a-z]{1,3})?\\])(:[0-9]{1,5})?") {
        if let Ok(address) = RelayAddress::parse(&text) {
            prop_assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn any_host_and_port_round_trip(host in "[a-z0-9][a-z0-9.-]{0,20}", port: u16, ip: Ipv6Addr) {
        for address in [tcp(&host, port), tcp(&ip.to_string(), port)] {
            prop_assert_eq!(&address.to_string().parse::<RelayAddress>().unwrap(), &address);
        }
    }

    #[test]
    fn any_context_id_and_port_round_trip(number: u32, port: u32) {
        let address = vsock(number, port);
        prop_assert_eq!(&address.to_string().parse::<RelayAddress>().unwrap(), &address);
    }
}

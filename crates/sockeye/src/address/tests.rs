use super::*;
use proptest::prelude::*;

fn problem(text: &str) -> String {
    Address::parse(text).unwrap_err().to_string()
}

#[test]
fn kinds_and_names() {
    let cases: [(&str, Kind, Name); 15] = [
        (
            "/run/a.sock",
            Kind::Stream,
            Name::Path("/run/a.sock".into()),
        ),
        ("unix:a", Kind::Stream, Name::Path("a".into())),
        ("stream:@a", Kind::Stream, Name::Abstract(b"a".to_vec())),
        ("datagram:a", Kind::Datagram, Name::Path("a".into())),
        ("seqpacket:/x", Kind::SeqPacket, Name::Path("/x".into())),
        ("dgram:@n", Kind::Datagram, Name::Abstract(b"n".to_vec())),
        (
            "@a\\x00\\x5cb",
            Kind::Stream,
            Name::Abstract(b"a\0\\b".to_vec()),
        ),
        ("@a\\\\b", Kind::Stream, Name::Abstract(b"a\\b".to_vec())),
        (
            "dgram:/a\\\\x41\\x20b",
            Kind::Datagram,
            Name::Path("/a\\x41 b".into()),
        ),
        ("./@file", Kind::Stream, Name::Path("./@file".into())),
        ("fd:3", Kind::Stream, Name::Fd(3)),
        ("systemd:", Kind::Stream, Name::Systemd(String::new())),
        ("a:b", Kind::Stream, Name::Path("a:b".into())),
        ("unix:///run/a", Kind::Stream, Name::Path("/run/a".into())),
        (
            "unix-abstract:a\\x00",
            Kind::Stream,
            Name::Abstract(b"a\0".to_vec()),
        ),
    ];
    for (text, kind, name) in cases {
        let address = Address::parse(text).unwrap();
        assert_eq!((address.kind(), address.name()), (kind, &name), "{text}");
        assert_eq!(address.to_string(), text);
    }
}

#[test]
fn errors_name_the_part() {
    assert!(problem("").contains("empty"));
    assert!(problem("unix:").contains("empty"));
    assert!(problem("@").contains("abstract name is empty"));
    assert!(problem("unix-abstract:").contains("abstract name is empty"));
    assert!(problem("@a\\q").contains("\\\\q"));
    assert!(problem("@a\\x1").contains("not an escape"));
    let backslash = problem("/run/a\\b.sock");
    assert!(
        backslash.contains("\"\\\\b.s\" is not an escape"),
        "{backslash}"
    );
    assert!(
        backslash.contains("write \\\\ for a backslash"),
        "{backslash}"
    );
    assert!(problem("a\\x00b").contains("offset 1"));
    assert!(problem("/run/\\x2e").contains("directory"));
    assert!(problem("fd:x1").contains("\"x1\""));
    assert!(problem("fd:-1").contains("\"-1\""));
    assert!(problem("tcp:localhost:80").contains("tcp:"));
    for url in [
        "http://x",
        "unix:https://a/b",
        "http+unix://%2Frun%2Fa",
        "file:///x",
    ] {
        assert!(problem(url).contains("URL"), "{}", problem(url));
    }
    assert!(problem("dir/").contains("directory"));
    assert!(problem("..").contains("directory"));
    assert!(problem("-").contains("./-"));
    assert!(problem("a\0b").contains("offset 1"));
    assert!(problem(&format!("@{}", "x".repeat(108))).contains("108 bytes"));
    assert!(problem("systemd:a:b").contains("a:b"));
}

#[test]
fn paths_that_look_like_something_else_are_made_clear() {
    for path in [
        "@x",
        "fd:1",
        "unix:a",
        "unix-abstract:a",
        "stream:a",
        "tcp:1",
        "http://x",
        "-",
        "systemd:x",
    ] {
        let address = Address::from_path(path).unwrap();
        assert_eq!(address.path(), Some(Path::new(&format!("./{path}"))));
    }
}

#[test]
fn a_path_is_told_from_one_that_looks_like_its_escape() {
    let byte = OsStr::from_bytes(b"/caf\xe9");
    let typed = Address::parse(byte).unwrap();
    assert_eq!(typed.as_os_str(), byte);
    assert_eq!(typed.to_string(), "/caf\\xe9");
    let literal = Address::from_path("/caf\\xe9").unwrap();
    assert_eq!(literal.path(), Some(Path::new("/caf\\xe9")));
    assert_eq!(literal.to_string(), "/caf\\\\xe9");
    assert_ne!(typed, literal);
    for address in [typed, literal] {
        assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
    }
}

#[cfg(feature = "serde")]
#[test]
fn serde_uses_the_text() {
    let address: Address = serde_json::from_str("\"dgram:@a\\\\x01\"").unwrap();
    assert_eq!(address.name(), &Name::Abstract(vec![b'a', 1]));
    assert_eq!(
        serde_json::to_string(&address).unwrap(),
        "\"dgram:@a\\\\x01\""
    );
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Stream),
        Just(Kind::SeqPacket),
        Just(Kind::Datagram)
    ]
}

proptest! {
    #[test]
    fn any_abstract_name_round_trips(kind in kinds(), name in prop::collection::vec(any::<u8>(), 1..=MAX_NAME)) {
        let address = Address::new(kind, &Name::Abstract(name.clone())).unwrap();
        prop_assert_eq!(address.name(), &Name::Abstract(name));
        prop_assert_eq!(&address.to_string().parse::<Address>().unwrap(), &address);
    }

    #[test]
    fn any_path_round_trips(kind in kinds(), bytes in prop::collection::vec(1u8.., 1..300)) {
        let path = PathBuf::from(OsStr::from_bytes(&bytes));
        if let Ok(address) = Address::new(kind, &Name::Path(path.clone())) {
            prop_assert_eq!(&Address::parse(address.as_os_str()).unwrap(), &address);
            let again: Address = address.to_string().parse().unwrap();
            prop_assert_eq!(&again, &address);
            let clear = Path::new(".").join(&path);
            prop_assert!(again.path() == Some(&path) || again.path() == Some(&clear));
        }
    }

    #[test]
    fn whatever_parses_is_printed_so_that_it_parses(text in prop::collection::vec(any::<u8>(), 0..40)) {
        let text = OsString::from_vec(text);
        if let Ok(address) = Address::parse(&text) {
            prop_assert_eq!(address.as_os_str(), &text);
            let shown = address.to_string();
            prop_assert!(!shown.chars().any(is_hidden));
            let again: Address = shown.parse().unwrap();
            prop_assert_eq!(&again, &address);
            prop_assert_eq!(again.to_string(), shown);
        }
    }

    #[test]
    fn text_is_printed_as_it_was_written(text in "[ -\\[\\]-~é日]{0,40}") {
        if let Ok(address) = Address::parse(&text) {
            prop_assert_eq!(address.to_string(), text);
        }
    }
}

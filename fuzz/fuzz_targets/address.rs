//! Whatever parses as an address is printed back the same, and what is printed is that address.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use sockeye::Address;
use sockeye::relay::RelayAddress;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(address) = RelayAddress::parse(OsStr::from_bytes(bytes)) {
        let printed = address.to_string();
        let again = RelayAddress::parse(&printed).expect("it was printed");
        assert_eq!((&again, again.to_string()), (&address, printed));
    }
    if let Ok(address) = Address::parse(OsStr::from_bytes(bytes)) {
        assert_eq!(address.as_os_str().as_bytes(), bytes);
        let printed = Address::parse(address.to_string()).expect("it was printed");
        assert_eq!(
            (printed.kind(), printed.name()),
            (address.kind(), address.name())
        );
        let again = Address::new(address.kind(), address.name()).expect("it was valid");
        assert_eq!(
            Address::parse(again.as_os_str()).expect("it was printed"),
            again
        );
    }
});

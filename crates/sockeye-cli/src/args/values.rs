//! The values that options take.

use std::num::{IntErrorKind, ParseIntError};
use std::os::fd::RawFd;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

use super::id::{TypedId, group, user};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FramingName {
    Line,
    Raw,
    Length,
}

impl From<FramingName> for sockeye::framing::Framing {
    fn from(framing: FramingName) -> Self {
        match framing {
            FramingName::Line => Self::Line,
            FramingName::Raw => Self::Raw,
            FramingName::Length => Self::Length,
        }
    }
}

/// What to do about a stale socket file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    ReplaceStale,
    Fail,
}

/// Which names the environment variables of a program have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VariableNames {
    Ipc,
    Ucspi,
}

/// Owner and group of a socket file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Owner {
    pub(crate) user: Option<TypedId>,
    pub(crate) group: Option<TypedId>,
}

/// `50us`, `500ms`, `10s`, `2m`; seconds without a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let millis = match unit {
        "us" | "µs" => 1e-3,
        "ms" => 1.0,
        "" | "s" => 1e3,
        "m" => 60e3,
        "h" => 3600e3,
        _ => {
            return Err("write seconds, or a number and us, ms, s, m or h, as in 500ms".to_owned());
        }
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{number:?} is not a number; write 10, 10s or 500ms"))?;
    Duration::try_from_secs_f64(number * millis / 1e3)
        .map_err(|_| "the duration is out of range".to_owned())
}

/// A time limit, which is not 0.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => {
            Err("with 0 there would be no time for anything; omit it for no limit".to_owned())
        }
        time => Ok(time),
    }
}

/// `64KiB`, `1MiB`, or bytes: below 4 GiB.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let too_large = || "the size must be below 4GiB".to_owned();
    match large_size(text)?.map(u32::try_from) {
        Some(Ok(size)) => usize::try_from(size).map_err(|_| too_large()),
        _ => Err(too_large()),
    }
}

/// As [`size`], of any length; more than the type holds is the most it holds.
pub(crate) fn file_size(text: &str) -> Result<u64, String> {
    Ok(large_size(text)?.unwrap_or(u64::MAX))
}

/// `None` where it does not fit.
fn large_size(text: &str) -> Result<Option<u64>, String> {
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" | "K" | "k" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err("write a number of bytes, or KiB, MiB or GiB, as in 64KiB".to_owned()),
    };
    let number: Option<u64> = match number.parse() {
        Ok(number) => Some(number),
        Err(error) if is_too_large(&error) => None,
        Err(_) => {
            return Err(format!(
                "{number:?} is not a whole number; write 64KiB or 1MiB"
            ));
        }
    };
    match number.and_then(|number| number.checked_mul(factor)) {
        Some(0) => Err("the size must be at least 1".to_owned()),
        size => Ok(size),
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    text.split_at(end)
}

fn is_too_large(error: &ParseIntError) -> bool {
    *error.kind() == IntErrorKind::PosOverflow
}

pub(crate) fn count(text: &str) -> Result<usize, String> {
    match whole(text)? {
        0 => Err("with 0 nobody would be served; omit the option for no limit".to_owned()),
        number => Ok(number),
    }
}

/// A whole number, within the limits of its type.
pub(crate) fn whole<T: FromStr<Err = ParseIntError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| {
        if is_too_large(&error) {
            "the number is too large".to_owned()
        } else {
            "write a whole number".to_owned()
        }
    })
}

/// The id of a process.
pub(crate) fn pid(text: &str) -> Result<i32, String> {
    match whole(text)? {
        ..1 => Err("write a whole number of at least 1".to_owned()),
        pid => Ok(pid),
    }
}

/// The number of a file descriptor.
pub(crate) fn fd(text: &str) -> Result<RawFd, String> {
    match whole(text)? {
        ..0 => Err("write a whole number of at least 0".to_owned()),
        fd => Ok(fd),
    }
}

/// Permission bits: `600`, `0600`, `0o600`.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 && !digits.starts_with('+') => Ok(mode),
        _ => Err("write permission bits in octal, 0000 to 0777, as in 0660".to_owned()),
    }
}

/// `USER`, `USER:GROUP`, `:GROUP`; names or numbers.
pub(crate) fn owner(text: &str) -> Result<Owner, String> {
    let (owner, owning_group) = text.split_once(':').unwrap_or((text, ""));
    let owner = Owner {
        user: if_given(owner).map(user).transpose()?,
        group: if_given(owning_group).map(group).transpose()?,
    };
    if owner == Owner::default() {
        Err("write USER, USER:GROUP or :GROUP".to_owned())
    } else {
        Ok(owner)
    }
}

fn if_given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("50us"), Ok(Duration::from_micros(50)));
        assert_eq!(duration("50µs"), Ok(Duration::from_micros(50)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["10 s", "s", "-1s", "1d", "1e999s", ""] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("10"), Ok(10));
        for bad in [
            "",
            "1.5MiB",
            "1TiB",
            "-1",
            "0",
            "4GiB",
            "99999999999999999999",
        ] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_have_errors_in_our_words() {
        assert_eq!(pid("7"), Ok(7));
        assert_eq!(fd("0"), Ok(0));
        assert_eq!(whole::<u32>("0"), Ok(0));
        for bad in ["abc", "", "1.5", "-1", "0x1"] {
            let errors = [
                whole::<u32>(bad).unwrap_err(),
                pid(bad).unwrap_err(),
                fd(bad).unwrap_err(),
                count(bad).unwrap_err(),
            ];
            for error in errors {
                assert!(error.starts_with("write a whole number"), "{bad}: {error}");
            }
        }
        let huge = "5000000000000000000000";
        for error in [whole::<u32>(huge).unwrap_err(), pid(huge).unwrap_err()] {
            assert_eq!(error, "the number is too large");
        }
        assert_eq!(size(huge).unwrap_err(), "the size must be below 4GiB");
    }

    #[test]
    fn modes() {
        assert_eq!(mode("0660"), Ok(0o660));
        assert_eq!(mode("0o660"), Ok(0o660));
        assert_eq!(mode("0"), Ok(0));
        for bad in ["", "888", "1777", "+660", "rw"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn owners() {
        let owner_of = |user, group| Ok(Owner { user, group });
        let root = || Some(TypedId::Name("root".to_owned()));
        let number = |number| Some(TypedId::Number(number));
        assert_eq!(owner("root"), owner_of(root(), None));
        assert_eq!(owner("root:"), owner_of(root(), None));
        assert_eq!(owner("root:0"), owner_of(root(), number(0)));
        assert_eq!(owner(":7"), owner_of(None, number(7)));
        for bad in ["", ":", "4294967295", "0:4294967295"] {
            assert!(owner(bad).is_err(), "{bad}");
        }
    }
}

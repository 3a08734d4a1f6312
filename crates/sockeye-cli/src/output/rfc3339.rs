//! Times as RFC 3339 text.

use std::time::{SystemTime, UNIX_EPOCH};

/// `2026-02-03T04:05:06Z` (RFC 3339).
pub(crate) fn rfc3339(time: SystemTime) -> Option<String> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    ))
}

/// `2026-02-03T04:05:06.000000007Z`
pub(crate) fn rfc3339_nanos(time: SystemTime) -> Option<String> {
    let nanos = time.duration_since(UNIX_EPOCH).ok()?.subsec_nanos();
    let mut text = rfc3339(time)?;
    text.pop();
    text.push_str(&format!(".{nanos:09}Z"));
    Some(text)
}

/// The Gregorian date of a day after 1970-01-01. Years begin in March here, so that the leap day
/// is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + carry, month, of_month)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59Z");
        let time = UNIX_EPOCH + Duration::new(1, 20);
        assert_eq!(
            rfc3339_nanos(time).unwrap(),
            "1970-01-01T00:00:01.000000020Z"
        );
    }
}

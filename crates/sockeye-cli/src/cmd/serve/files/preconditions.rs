//! [`Selected`]: what the conditional and range fields of a request select (RFC 9110, 13.2.2 and 14).

use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName};
use httpdate::{fmt_http_date, parse_http_date};

/// The first second of the year 10000, which an HTTP date cannot name.
const TOO_LATE: i64 = 253_402_300_800;

/// Which version of a file this is.
pub(super) struct FileVersion {
    pub(super) size: u64,
    /// A strong validator: whatever writes to the file changes it.
    pub(super) etag: String,
    /// In whole seconds; `None` where an HTTP date cannot say it.
    modified: Option<SystemTime>,
}

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selected {
    Whole,
    Part(Range<u64>),
    /// 304
    NotModified,
    /// 412
    PreconditionFailed,
    /// 416
    NotSatisfiable,
}

impl FileVersion {
    pub(super) fn of(file: &Metadata) -> Self {
        let seconds = Some(file.mtime()).filter(|&seconds| seconds < TOO_LATE);
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            size: file.size(),
            etag: format!(
                "\"{:x}-{:x}-{:x}.{:x}\"",
                file.ino(),
                file.size(),
                file.mtime(),
                file.mtime_nsec()
            ),
            modified: seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
        }
    }

    /// As the field `Last-Modified` has it.
    pub(super) fn last_modified(&self) -> Option<String> {
        self.modified.map(fmt_http_date)
    }

    /// What a GET with these fields selects.
    pub(super) fn select(&self, fields: &HeaderMap) -> Selected {
        if fields.contains_key(IF_MATCH) {
            if !self.is_listed(fields, &IF_MATCH, false) {
                return Selected::PreconditionFailed;
            }
        } else if self.is_newer_than(fields, &IF_UNMODIFIED_SINCE) == Some(true) {
            return Selected::PreconditionFailed;
        }
        if fields.contains_key(IF_NONE_MATCH) {
            if self.is_listed(fields, &IF_NONE_MATCH, true) {
                return Selected::NotModified;
            }
        } else if self.is_newer_than(fields, &IF_MODIFIED_SINCE) == Some(false) {
            return Selected::NotModified;
        }
        let range = fields.get(RANGE).and_then(|range| range.to_str().ok());
        match range.and_then(|range| select_range(range, self.size)) {
            Some(part) if self.is_of_this_version(fields) => part,
            _ => Selected::Whole,
        }
    }

    /// Whether a list of entity tags has this one. A weak one (`W/`) counts only with `weakly`.
    fn is_listed(&self, fields: &HeaderMap, name: &HeaderName, weakly: bool) -> bool {
        let lists = fields.get_all(name).into_iter();
        let lists = lists.filter_map(|list| list.to_str().ok());
        lists.flat_map(|list| list.split(',')).any(|tag| {
            let tag = tag.trim();
            let opaque = if weakly {
                tag.strip_prefix("W/").unwrap_or(tag)
            } else {
                tag
            };
            opaque == self.etag || tag == "*"
        })
    }

    /// `None` where the field is missing, is no date, or the file has none.
    fn is_newer_than(&self, fields: &HeaderMap, name: &HeaderName) -> Option<bool> {
        let date = parse_http_date(fields.get(name)?.to_str().ok()?).ok()?;
        Some(self.modified? > date)
    }

    /// Whether `If-Range` allows a part: it is missing, or names exactly this version.
    fn is_of_this_version(&self, fields: &HeaderMap) -> bool {
        let Some(version) = fields.get(IF_RANGE) else {
            return true;
        };
        let Ok(version) = version.to_str() else {
            return false;
        };
        version == self.etag
            || self.modified.is_some() && parse_http_date(version).ok() == self.modified
    }
}

/// One range of bytes. `None` where the field is to be ignored: another unit, several ranges, nonsense.
fn select_range(field: &str, size: u64) -> Option<Selected> {
    let (unit, ranges) = field.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = ranges.trim().split_once('-')?;
    let range = match (first, last) {
        // The last bytes.
        ("", count) => size.saturating_sub(position(count)?)..size,
        (first, "") => position(first)?..size,
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(size)
        }
    };
    Some(if range.is_empty() {
        Selected::NotSatisfiable
    } else {
        Selected::Part(range)
    })
}

/// Digits; more than fit are as good as the most that fit.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const DATE: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
    const LATER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";

    fn version() -> FileVersion {
        FileVersion {
            size: 10,
            etag: "\"a\"".to_owned(),
            modified: Some(UNIX_EPOCH + Duration::from_secs(1_000_000_000)),
        }
    }

    fn selected(fields: &[(HeaderName, &'static str)]) -> Selected {
        let fields = fields.iter().cloned();
        let fields = fields.map(|(name, value)| (name, HeaderValue::from_static(value)));
        version().select(&fields.collect())
    }

    #[test]
    fn a_range_is_a_part_or_ignored_or_refused() {
        use Selected::{NotSatisfiable, Part, Whole};
        for (range, expected) in [
            ("bytes=0-0", Part(0..1)),
            ("bytes=2-4", Part(2..5)),
            ("BYTES=2-", Part(2..10)),
            ("bytes=9-9", Part(9..10)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-10", Part(0..10)),
            ("bytes=-11", Part(0..10)),
            ("bytes=0-99999999999999999999999", Part(0..10)),
            ("bytes=0-18446744073709551615", Part(0..10)),
            ("bytes=10-", NotSatisfiable),
            ("bytes=99999999999999999999999-", NotSatisfiable),
            ("bytes=10-20", NotSatisfiable),
            ("bytes=-0", NotSatisfiable),
            ("bytes=4-2", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=--1", Whole),
            ("lines=0-1", Whole),
            ("", Whole),
        ] {
            assert_eq!(selected(&[(RANGE, range)]), expected, "{range}");
        }
    }

    #[test]
    fn nothing_of_an_empty_file_can_be_selected() {
        for range in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            assert_eq!(
                select_range(range, 0),
                Some(Selected::NotSatisfiable),
                "{range}"
            );
        }
    }

    #[test]
    fn a_version_that_is_known_is_not_sent_again() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert_eq!(
                selected(&[(IF_NONE_MATCH, known)]),
                Selected::NotModified,
                "{known}"
            );
        }
        for since in [DATE, LATER] {
            assert_eq!(
                selected(&[(IF_MODIFIED_SINCE, since)]),
                Selected::NotModified
            );
        }
        // The tag decides where there is one, and nonsense is ignored.
        for fields in [
            &[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, DATE)] as &[_],
            &[(IF_MODIFIED_SINCE, "yesterday")],
            &[(IF_MODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:39 GMT")],
        ] {
            assert_eq!(selected(fields), Selected::Whole);
        }
    }

    #[test]
    fn a_precondition_that_fails_is_reported() {
        for fails in [
            (IF_MATCH, "\"b\""),
            (IF_MATCH, "W/\"a\""),
            (IF_UNMODIFIED_SINCE, "Sun, 09 Sep 2001 01:46:39 GMT"),
        ] {
            assert_eq!(selected(&[fails]), Selected::PreconditionFailed);
        }
        for holds in [
            (IF_MATCH, "\"a\""),
            (IF_MATCH, "*"),
            (IF_UNMODIFIED_SINCE, DATE),
        ] {
            assert_eq!(selected(&[holds]), Selected::Whole);
        }
    }

    #[test]
    fn a_part_is_of_the_version_that_if_range_names() {
        let part = Selected::Part(0..2);
        for (version, expected) in [
            ("\"a\"", &part),
            (DATE, &part),
            ("W/\"a\"", &Selected::Whole),
            ("\"b\"", &Selected::Whole),
            (LATER, &Selected::Whole),
        ] {
            let fields = [(RANGE, "bytes=0-1"), (IF_RANGE, version)];
            assert_eq!(selected(&fields), *expected, "{version}");
        }
    }
}

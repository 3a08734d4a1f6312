//! [`HttpCall`]: the request of `send --http` and `bench --http`.

use std::str::FromStr;

use clap::Arg;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method};

/// A method and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpCall {
    pub(crate) method: Option<Method>,
    /// The path and query, or `*`.
    pub(crate) target: PathAndQuery,
}

/// A field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpField {
    pub(crate) name: HeaderName,
    /// Empty: the field that would be sent unasked is omitted.
    pub(crate) value: HeaderValue,
}

impl HttpCall {
    /// Whether a request of this method says how long its body is, even if it has none (RFC 9110, 8.6): a
    /// server may wait for it, or refuse a request without (411).
    pub(crate) fn expects_length(method: &Method) -> bool {
        matches!(*method, Method::POST | Method::PUT | Method::PATCH)
    }
}

/// `GET /path`, or the path alone.
pub(super) fn http_call(text: &str) -> Result<HttpCall, String> {
    let (method, target) = match text.trim().split_once(' ') {
        // A path with a blank is no method.
        Some((method, target)) if !method.starts_with('/') => {
            let method = Method::from_str(method);
            let method = method.map_err(|_| "write a method and a path, as in 'GET /path'")?;
            (Some(method), target.trim())
        }
        _ => (None, text.trim()),
    };
    if !target.starts_with('/') && target != "*" {
        return Err("the path begins with /, without a host, as in 'GET /path'".to_owned());
    }
    let target = PathAndQuery::from_str(target).map_err(|_| {
        "the path may have no blanks; write such characters as %20 (percent-encoding)".to_owned()
    })?;
    Ok(HttpCall { method, target })
}

/// The option that curl has for the method, which is refused with the way to say it here.
pub(super) fn curl_method() -> Arg {
    let refuse = |_: &str| -> Result<String, String> {
        Err("the method goes into --http, as in --http 'POST /path'".to_owned())
    };
    Arg::new("curl-method")
        .short('X')
        .long("request")
        .value_name("METHOD")
        .value_parser(refuse)
        .hide(true)
}

/// `Name: value`.
pub(super) fn http_field(text: &str) -> Result<HttpField, String> {
    let advice = || "write 'Name: value'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(advice)?;
    let name = HeaderName::from_str(name).map_err(|_| advice())?;
    let value = HeaderValue::from_str(value.trim());
    let value = value.map_err(|_| "the value may have no control characters".to_owned())?;
    Ok(HttpField { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_method_and_a_path_or_a_path() {
        let call = |text| http_call(text).map(|call| (call.method, call.target.to_string()));
        assert_eq!(call("/a?b=c"), Ok((None, "/a?b=c".to_owned())));
        assert_eq!(call("GET /"), Ok((Some(Method::GET), "/".to_owned())));
        assert_eq!(
            call("OPTIONS *"),
            Ok((Some(Method::OPTIONS), "*".to_owned()))
        );
        for wrong in [
            "",
            "GET",
            "GET path",
            "GET /a b",
            "GET http://host/",
            "G@T /",
            "GET /a HTTP/1.1",
            "/\u{7}",
        ] {
            assert!(call(wrong).is_err(), "{wrong}");
        }
        for blank in ["/a b.txt", "GET /a b.txt"] {
            assert!(call(blank).unwrap_err().contains("no blanks"), "{blank}");
        }
    }

    #[test]
    fn a_field_is_a_name_and_a_value() {
        let field = |text| http_field(text).map(|field| (field.name.to_string(), field.value));
        let value = HeaderValue::from_static("b: c");
        assert_eq!(field("A:  b: c "), Ok(("a".to_owned(), value)));
        assert_eq!(field("Accept:").unwrap().1, "");
        for wrong in ["", "a", "a b: c", ": c", "a: b\r\nc: d"] {
            assert!(field(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! [`HttpResponseReader`]: the end of a response, for a client that sends one request at a time.

use std::time::Instant;

use super::HttpProblem;
use super::body::{ChunkedBody, HttpBody};
use super::head::{HeadLength, HeadReader};

/// Reads responses, whatever the pieces are in which they come.
#[derive(Debug, Default)]
pub(crate) struct HttpResponseReader {
    head: HeadReader,
    /// The status whose body is being read.
    body: Option<(u16, HttpBody)>,
}

impl HttpResponseReader {
    /// Takes the bytes of a response off the front; its status at its end. A response to HEAD has no
    /// body. Interim responses (1xx) are skipped.
    pub(crate) fn take(
        &mut self,
        bytes: &mut &[u8],
        is_head: bool,
    ) -> Result<Option<u16>, HttpProblem> {
        while !bytes.is_empty() {
            if let Some((status, body)) = &mut self.body {
                let status = *status;
                let is_complete = body.take(bytes, &mut 0);
                if is_complete.map_err(|_| HttpProblem::Chunk)? {
                    self.body = None;
                    return Ok(Some(status));
                }
                continue;
            }
            let Some((head, _)) = self.head.response(bytes, Instant::now())? else {
                return Ok(None);
            };
            let status = head.status;
            let body = match head.length {
                _ if (100..200).contains(&status) && status != 101 => continue,
                _ if is_head || matches!(status, 101 | 204 | 304) => return Ok(Some(status)),
                HeadLength::Length(0) => return Ok(Some(status)),
                HeadLength::Length(length) => HttpBody::Length(length),
                HeadLength::Chunked => HttpBody::Chunked(ChunkedBody::default()),
                HeadLength::Nothing | HeadLength::OtherEncoding => HttpBody::UntilEof,
            };
            self.body = Some((status, body));
        }
        Ok(None)
    }

    /// The status of a response that EOF completes.
    pub(crate) fn end(&mut self) -> Option<u16> {
        match self.body.take()? {
            (status, HttpBody::UntilEof) => Some(status),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statuses, and the one that EOF completes.
    fn read(text: &[u8], piece: usize, is_head: bool) -> (Vec<u16>, Option<u16>) {
        let mut reader = HttpResponseReader::default();
        let mut found = Vec::new();
        for mut bytes in text.chunks(piece) {
            while !bytes.is_empty() {
                found.extend(reader.take(&mut bytes, is_head).unwrap());
            }
        }
        (found, reader.end())
    }

    #[test]
    fn a_response_ends_where_its_head_says() {
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n\
            HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n\
            HTTP/1.0 200 OK\r\n\r\nuntil EOF";
        for piece in [1, 2, 7, text.len()] {
            let (found, last) = read(text, piece, false);
            assert_eq!((found, last), (vec![200, 204, 404, 201], Some(200)));
        }
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(read(head, 5, true), (vec![200], None));
        assert_eq!(read(head, 5, false), (vec![], None));
    }

    #[test]
    fn what_is_no_response_is_a_problem() {
        let take = |mut text: &[u8]| HttpResponseReader::default().take(&mut text, false);
        assert!(take(b"hello, world, this is an echo\n").is_err());
        assert!(take(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n").is_err());
    }
}

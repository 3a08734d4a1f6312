//! Comments of blocks: who has connected, and which fds came.

use std::fmt::{Display, Write};

/// A comment with its frame must stay under what Wireshark takes.
const MOST_BYTES: usize = 16 << 10;

const CLIENT: &str = "client: ";
const FDS: &str = "fds ";
/// Of the FIN of a direction whose writer has not ended it.
pub(super) const READER_GONE: &str = "closed: the reader has gone";

/// What a recorder has written as a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comment<'a> {
    /// Who has connected.
    Client(&'a str),
    /// How many fds came with a block.
    Fds(u64),
    /// The reader has closed its socket, and so the direction has ended.
    ReaderGone,
}

impl<'a> Comment<'a> {
    /// `None` for one that no recorder of ours has written.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if let Some(client) = text.strip_prefix(CLIENT) {
            return Some(Self::Client(client));
        }
        if text == READER_GONE {
            return Some(Self::ReaderGone);
        }
        let (count, _) = text.strip_prefix(FDS)?.split_once(':')?;
        Some(Self::Fds(count.parse().ok()?))
    }
}

/// `client: pid 4242 (curl) uid 1000 gid 1000`.
pub(super) fn client(who: impl Display) -> String {
    shortened(format!("{CLIENT}{who}"))
}

/// `fds 2: /etc/hosts, socket:[4711]`. The count stays whole where the names are too long.
pub(super) fn fds(names: impl ExactSizeIterator<Item = impl Display>) -> String {
    let mut text = format!("{FDS}{}:", names.len());
    for (n, name) in names.enumerate() {
        let separator = if n > 0 { "," } else { "" };
        let _ = write!(text, "{separator} {name}");
        if text.len() > MOST_BYTES {
            break;
        }
    }
    shortened(text)
}

fn shortened(mut text: String) -> String {
    if text.len() > MOST_BYTES {
        let end = (0..=MOST_BYTES).rev().find(|&at| text.is_char_boundary(at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_read_as_they_were_written() {
        let text = client("pid 1 (init) uid 0 gid 0");
        assert_eq!(
            Comment::parse(&text),
            Some(Comment::Client("pid 1 (init) uid 0 gid 0"))
        );
        let text = fds(["/a, b", "pipe:[1]"].iter());
        assert_eq!(text, "fds 2: /a, b, pipe:[1]");
        assert_eq!(Comment::parse(&text), Some(Comment::Fds(2)));
        assert_eq!(Comment::parse(READER_GONE), Some(Comment::ReaderGone));
        assert_eq!(Comment::parse("fds"), None);
        assert_eq!(Comment::parse("somebody else's"), None);
    }

    #[test]
    fn a_long_comment_keeps_its_count() {
        let name = "ä".repeat(5000);
        let text = fds(vec![&name; 253].into_iter());
        assert!(text.len() <= MOST_BYTES + 3);
        assert_eq!(Comment::parse(&text), Some(Comment::Fds(253)));
    }
}

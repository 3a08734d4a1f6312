//! Numbers of fds as text: `0-2, 7`.

use std::fmt::Write;

/// `0-2, 5, 7`, of numbers in ascending order.
pub(super) fn ranges(numbers: &[usize]) -> String {
    let mut text = String::new();
    for range in numbers.chunk_by(|before, after| before + 1 == *after) {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = match range {
            [first, .., last] => write!(text, "{separator}{first}-{last}"),
            [one] => write!(text, "{separator}{one}"),
            [] => Ok(()),
        };
    }
    text
}

/// `0-2 (pipe); 3 (socket)`.
pub(super) fn by_reason(numbers: &[(usize, String)]) -> String {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (number, reason) in numbers {
        match groups.iter_mut().find(|(known, _)| known == reason) {
            Some((_, group)) => group.push(*number),
            None => groups.push((reason, vec![*number])),
        }
    }
    let group = |(reason, group): (&str, Vec<usize>)| format!("{} ({reason})", ranges(&group));
    let groups: Vec<String> = groups.into_iter().map(group).collect();
    groups.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_a_range() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[4]), "4");
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2, 5, 7-8");
    }

    #[test]
    fn numbers_are_grouped_by_reason() {
        let closed = [(0, "pipe"), (3, "socket"), (4, "pipe"), (5, "pipe")];
        let closed = closed.map(|(number, reason)| (number, reason.to_owned()));
        assert_eq!(by_reason(&closed), "0, 4-5 (pipe); 3 (socket)");
    }
}

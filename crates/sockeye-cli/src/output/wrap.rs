//! Lines wrapped between words to the width of a terminal.

use super::elide::width_of;

/// Appends `line`, wrapped between words if it is wider than `width`; further lines are indented by
/// `hang`. A word that is too long is not broken, so that a path can be copied; neither is a quoted one.
pub(crate) fn wrap(out: &mut String, line: &str, width: usize, hang: usize) {
    let hang = hang.min(width / 2);
    let indent = line.len() - line.trim_start_matches(' ').len();
    let (mut gap, mut rest) = line.split_at(indent);
    let mut column = 0;
    let mut is_first = true;
    while !rest.is_empty() {
        let end = word_end(rest);
        let word = &rest[..end];
        if !is_first && column + gap.len() + width_of(word) > width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', hang));
            column = hang;
        } else {
            out.push_str(gap);
            column += gap.len();
        }
        out.push_str(word);
        column += width_of(word);
        rest = &rest[end..];
        let blanks = rest.len() - rest.trim_start_matches(' ').len();
        (gap, rest) = rest.split_at(blanks);
        is_first = false;
    }
}

/// The end of the first word: a blank that is not in quotes (of a shell's word, or of a name in a
/// sentence).
fn word_end(text: &str) -> usize {
    let starts_quoted = ["'", "$'", "\""]
        .iter()
        .any(|quote| text.starts_with(quote));
    let (mut inside, mut is_escaped) = (None, false);
    let end = text.char_indices().find(|&(_, c)| {
        match (inside, c) {
            _ if is_escaped => is_escaped = false,
            (None | Some('"'), '\\') => is_escaped = true,
            (None, '\'' | '"') if starts_quoted => inside = Some(c),
            (None, ' ') => return true,
            (Some(quote), c) if quote == c => inside = None,
            _ => {}
        }
        false
    });
    match (end, inside) {
        (Some((end, _)), _) => end,
        (None, None) => text.len(),
        // A quote without its end is none.
        (None, Some(_)) => text.find(' ').unwrap_or(text.len()),
    }
}

/// Appends a command line that can be copied: wrapped with backslashes, and never inside of quotes.
fn wrap_command(out: &mut String, line: &str, width: usize) {
    let text = line.trim_start_matches(' ');
    let indent = line.len() - text.len();
    let mut column = indent;
    out.push_str(&line[..indent]);
    let mut words = words_of(text).into_iter().peekable();
    let mut is_first = true;
    while let Some(word) = words.next() {
        // The last word has no backslash behind it.
        let tail = if words.peek().is_some() { 2 } else { 0 };
        if !is_first && column + 1 + width_of(word) + tail > width {
            out.push_str(" \\\n");
            column = indent + 2;
            out.extend(std::iter::repeat_n(' ', column));
        } else if !is_first {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width_of(word);
        is_first = false;
    }
}

/// The words of a command line, with blanks in quotes.
fn words_of(line: &str) -> Vec<&str> {
    let mut quote = None;
    let is_blank = |c: char| {
        match quote {
            Some(end) if c == end => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            _ => {}
        }
        c == ' ' && quote.is_none()
    };
    line.split(is_blank)
        .filter(|word| !word.is_empty())
        .collect()
}

/// Wraps paragraphs and lists. The lines of a paragraph are joined; an indented line stays a line, and
/// continues under its second column, if it has one. Lines below `Examples:` are commands.
pub(crate) fn flow(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        let is_prose = !line.is_empty() && !line.starts_with(' ');
        match lines.last_mut().filter(|_| is_prose && is_open) {
            Some(paragraph) => {
                paragraph.push(' ');
                paragraph.push_str(line);
            }
            None => lines.push(line.to_owned()),
        }
        is_open = is_prose && !line.ends_with(':');
    }
    let mut flowed = String::new();
    let mut are_commands = false;
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            flowed.push('\n');
        }
        if are_commands && line.starts_with(' ') {
            wrap_command(&mut flowed, line, width);
        } else {
            wrap(&mut flowed, line, width, hang_of(line));
        }
        are_commands = line == "Examples:" || are_commands && line.starts_with(' ');
    }
    flowed
}

/// Where the second column of a line begins; without one, a little more than its indent.
fn hang_of(line: &str) -> usize {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let text = &line[indent..];
    match text.find("  ") {
        Some(gap) => {
            let after = &text[gap..];
            indent + gap + after.len() - after.trim_start_matches(' ').len()
        }
        None if indent > 0 => indent + 2,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(line: &str, width: usize, hang: usize) -> String {
        let mut out = String::new();
        wrap(&mut out, line, width, hang);
        out
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("  ok  one two", 80, 6), "  ok  one two");
        assert_eq!(wrapped("  ok  one two", 12, 6), "  ok  one\n      two");
        assert_eq!(wrapped("one two three", 7, 2), "one two\n  three");
        assert_eq!(wrapped("é é é", 3, 0), "é é\né");
        assert_eq!(wrapped("a /a/long/path b", 6, 0), "a\n/a/long/path\nb");
        assert_eq!(wrapped("a b", 1, 40), "a\nb", "there is room for a word");
        assert_eq!(wrapped("", 10, 2), "");
    }

    #[test]
    fn what_is_in_quotes_stays_whole() {
        for word in ["'a b'", "$'a b'", "'it'\\''s b'", "\"a b\"", "\"a\\\" b\""] {
            let expected = format!("x\n{word}\ny's\nz");
            assert_eq!(wrapped(&format!("x {word} y's z"), 3, 0), expected);
        }
        assert_eq!(wrapped("x 'a b", 3, 0), "x\n'a\nb");
    }

    #[test]
    fn paragraphs_flow_and_lists_stay() {
        let text = "Some words that\nflow on.\n\nExit status:\n  one\n  two  of a list\nKinds: a";
        assert_eq!(
            flow(text, 80),
            "Some words that flow on.\n\nExit status:\n  one\n  two  of a list\nKinds: a"
        );
        assert_eq!(
            flow("Examples:\n  one 'a b' --two three\n\n  one two", 16),
            "Examples:\n  one 'a b' \\\n    --two three\n\n  one two"
        );
        assert_eq!(flow("  two  of a list", 12), "  two  of a\n      list");
    }
}

//! Texts elided to fit a terminal (`/run/very…/app.sock`).

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// Elides the middle, and keeps about `head` columns of the beginning. Returns the width of the result.
pub(crate) fn elide(line: &mut String, text: &str, room: usize, head: usize) -> usize {
    let keep = room.saturating_sub(1);
    let (head, _) = prefix(text.chars(), head.min(keep));
    // No part of an escape stays, which might be read as something else.
    let head = text[..head].trim_end_matches('\\');
    let used = width_of(head);
    let (tail, _) = prefix(text.chars().rev(), keep - used);
    let mut start = text.len() - tail;
    while start < text.len() && text[..start].ends_with('\\') {
        start += text[start..].chars().next().map_or(1, char::len_utf8);
    }
    let tail = text.get(start..).unwrap_or_default();
    line.push_str(head);
    line.push('…');
    line.push_str(tail);
    used + 1 + width_of(tail)
}

/// Elides what is before `at`, if the rest needs the room.
pub(super) fn elide_from(line: &mut String, text: &str, room: usize, at: usize) -> usize {
    let left = room.saturating_sub(1);
    if at == 0 || left == 0 {
        return elide(line, text, room, left / 2);
    }
    let rest = &text[at..];
    let width = width_of(rest);
    if width <= left {
        return elide(line, text, room, left - width);
    }
    line.push('…');
    1 + elide(line, rest, left, left / 2)
}

/// Where each text begins to differ from all others; the beginning of that path component, if it is near.
pub(super) fn differences(mut texts: Vec<&str>) -> HashMap<&str, usize> {
    texts.sort_unstable();
    texts.dedup();
    let place = |at: usize| {
        let text: &str = texts[at];
        let before = at
            .checked_sub(1)
            .map_or(0, |before| common(texts[before], text));
        let after = texts.get(at + 1).map_or(0, |after| common(after, text));
        let differs = before.max(after);
        let part = text[..differs].rfind('/').map_or(0, |slash| slash + 1);
        (text, if differs - part < 4 { part } else { differs })
    };
    (0..texts.len()).map(place).collect()
}

/// Where each text differs from another with the same beginning, one character each: if these are shown,
/// no two texts look the same.
pub(super) fn partings<'a>(mut texts: Vec<&'a str>) -> HashMap<&'a str, Vec<Range<usize>>> {
    texts.sort_unstable();
    texts.dedup();
    let mut places: HashMap<&'a str, BTreeSet<usize>> = HashMap::new();
    // In order, whatever differs from a text does so where some neighbours before or after it do.
    let mut note = |order: &mut dyn Iterator<Item = &'a str>| {
        let mut open: Vec<usize> = Vec::new();
        let mut before: Option<&str> = None;
        for text in order {
            if let Some(before) = before {
                let at = common(before, text);
                open.retain(|&place| place < at);
                open.push(at);
            }
            places.entry(text).or_default().extend(&open);
            before = Some(text);
        }
    };
    note(&mut texts.iter().copied());
    note(&mut texts.iter().rev().copied());
    let ranges = |text: &str, places: BTreeSet<usize>| {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for start in places {
            let Some(c) = text[start..].chars().next() else {
                continue;
            };
            let end = start + c.len_utf8();
            match ranges.last_mut() {
                // A mark in place of one character would save nothing.
                Some(last) if start <= last.end + 1 => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        ranges
    };
    let told = places.into_iter();
    told.map(|(text, places)| (text, ranges(text, places)))
        .collect()
}

/// Elides all but `parts`, and as much of the end as fits.
pub(super) fn elide_between(
    line: &mut String,
    text: &str,
    room: usize,
    parts: &[Range<usize>],
) -> usize {
    let mut shown = String::new();
    let mut end = 0;
    for part in parts {
        if part.start > end {
            shown.push('…');
        }
        shown.push_str(&text[part.clone()]);
        end = part.end;
    }
    let left = room.saturating_sub(width_of(&shown));
    let rest = &text[end..];
    if width_of(rest) <= left {
        shown.push_str(rest);
    } else if left > 0 {
        elide(&mut shown, rest, left, 0);
    }
    let (bytes, width) = prefix(shown.chars(), room);
    line.push_str(&shown[..bytes]);
    width
}

fn common(a: &str, b: &str) -> usize {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// How many bytes of `chars` fit into a width, and the width of those.
fn prefix(chars: impl Iterator<Item = char>, room: usize) -> (usize, usize) {
    let (mut bytes, mut width) = (0, 0);
    for c in chars {
        if width + width_of_char(c) > room {
            break;
        }
        bytes += c.len_utf8();
        width += width_of_char(c);
    }
    (bytes, width)
}

pub(crate) fn width_of(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.chars().map(width_of_char).sum()
    }
}

/// The width of a character on a terminal, for the scripts of usual names; a table of the rest is not
/// worth a dependency.
fn width_of_char(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(width_of("日本é"), 5);
    }

    #[test]
    fn what_differs_is_kept() {
        let texts = [
            "/run/app.sock",
            "/run/c/3f2a/app.sock",
            "/run/c/9b7c/app.sock",
        ];
        let places = differences(texts.to_vec());
        let shown = texts.map(|text| {
            let mut line = String::new();
            elide_from(&mut line, text, 12, places[text]);
            line
        });
        assert_eq!(shown, ["/ru…app.sock", "…3f2a/….sock", "…9b7c/….sock"]);
    }

    #[test]
    fn what_differs_in_several_places_is_kept() {
        let texts = ["/aaaa/1/bbbb/1/c", "/aaaa/1/bbbb/2/c", "/aaaa/2/bbbb/1/c"];
        let parts = partings(texts.to_vec());
        let shown = |room| {
            texts.map(|text| {
                let mut line = String::new();
                let width = elide_between(&mut line, text, room, &parts[text]);
                assert_eq!(width, width_of(&line));
                line
            })
        };
        assert_eq!(shown(6), ["…1…1/c", "…1…2/c", "…2…1/c"]);
        assert_eq!(shown(4), ["…1…1", "…1…2", "…2…c"]);
    }

    #[test]
    fn no_escape_is_cut_in_two() {
        let shown = |text, room, head| {
            let mut line = String::new();
            let width = elide(&mut line, text, room, head);
            assert_eq!(width, width_of(&line));
            assert!(width <= room);
            line
        };
        assert_eq!(shown("\"ab\\\"cdefgh\"", 9, 4), "\"ab…efgh\"");
        assert_eq!(shown("\"abcdefgh\\\"i\"", 6, 2), "\"a…i\"");
    }
}

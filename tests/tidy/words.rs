//! One name for one thing: the field's words, and no type's name twice.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};

use crate::assert_none;
use crate::source::{FILES, PROSE};

/// What nobody who knows the field searches for, and what they do.
const INSTEAD: &[(&str, &str)] = &[
    ("in vain", "EAGAIN, or spurious"),
    ("leave away", "omit"),
    ("left away", "omitted"),
    ("has its turn", "is polled, or yields"),
    ("have their turn", "are polled, or yield"),
    ("is told of", "is reported"),
    ("the verb", "the subcommand"),
    ("verbs", "subcommands"),
    ("has said all", "half-closed, or EOF"),
    ("in words", "as text"),
    ("gives way", "yields"),
    ("cut off", "aborted"),
    ("contest", "round"),
    ("newcomers", "new clients, or new connections"),
    ("made anew", "recreated"),
    ("told nothing", "what happens to it"),
    ("live server", "running server"),
    ("living server", "running server"),
    ("living socket", "open socket"),
];

#[test]
fn prose_uses_the_words_of_the_field() {
    let mut found = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            // The table of words has them all.
            if path == "CONTRIBUTING.md" && line.starts_with("| ") {
                continue;
            }
            let line = line.to_lowercase();
            for (word, instead) in INSTEAD {
                if has_word(&line, word) {
                    found.push(format!("{path}:{}: \"{word}\": say {instead}", number + 1));
                }
            }
        }
    }
    assert_none(
        &found,
        "Write for somebody who searches for the usual term:",
    );
}

/// Markdown as it is; of code the comments and texts, with as many lines as the file has.
fn texts() -> Vec<(&'static str, String)> {
    let prose = PROSE
        .iter()
        .map(|(path, text)| (path.as_str(), text.clone()));
    let code = FILES
        .iter()
        .filter(|file| !file.path.starts_with("tests/tidy/"));
    let code = code.map(|file| {
        let lines = file.text.lines().map(|line| {
            let comment = line.find("//").map_or("", |at| &line[at..]);
            if comment.is_empty() && line.contains('"') {
                line
            } else {
                comment
            }
        });
        (file.path.as_str(), lines.collect::<Vec<_>>().join("\n"))
    });
    prose.chain(code).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    let is_edge = |at: Option<char>| at.is_none_or(|at| !at.is_alphanumeric());
    line.match_indices(word).any(|(at, _)| {
        is_edge(line[..at].chars().next_back()) && is_edge(line[at + word.len()..].chars().next())
    })
}

/// Types that are written with their module, as `http::Connector`: the names that hyper, axum and tonic
/// have for the same things.
const NAMED_WITH_MODULE: &[&str] = &[
    "crates/sockeye/src/http/connector.rs",
    "crates/sockeye/src/http/incoming.rs",
];

#[test]
fn a_name_of_a_type_is_used_once() {
    let mut types: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    let sources = FILES.iter().filter(|file| file.is_source);
    for file in sources.filter(|file| !NAMED_WITH_MODULE.contains(&file.path.as_str())) {
        let mut names = Names(Vec::new());
        names.visit_file(&file.syntax());
        for name in names.0 {
            types.entry(("", name)).or_default().push(file.path.clone());
        }
    }
    types.retain(|_, files| files.len() > 1);
    let found: Vec<_> = types
        .into_iter()
        .map(|((_, name), files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert_none(&found, "Say in the name of each type which one it is:");
}

struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.0.push(item.ident.to_string());
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.0.push(item.ident.to_string());
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.0.push(item.ident.to_string());
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.ident != "tests" {
            visit::visit_item_mod(self, item);
        }
    }
}

//! ARCHITECTURE.md names what is there, and stays short enough to be read; other prose names items.

use std::collections::BTreeSet;

use crate::assert_none;
use crate::source::{FILES, PROSE, ROOT};

const WORDS: usize = 2100;

#[test]
fn the_architecture_names_files_that_are_there() {
    let names = quoted().into_iter().filter(|name| is_path(name));
    let missing: Vec<String> = names.filter(|name| !is_there(name)).collect();
    assert_none(
        &missing,
        "Name in ARCHITECTURE.md paths from the root, from crates/*/ or from crates/*/src/:",
    );
}

#[test]
fn the_architecture_names_items_that_are_there() {
    let items = items();
    let missing: Vec<String> = quoted()
        .into_iter()
        .filter(|name| !is_path(name) && is_item(name))
        .filter(|name| !name.split("::").all(|part| items.contains(part)))
        .collect();
    assert_none(
        &missing,
        "Name in ARCHITECTURE.md modules, types and functions as the sources do:",
    );
}

#[test]
fn the_architecture_maps_every_module() {
    let quoted = quoted();
    let is_mapped = |name: &str| quoted.contains(name) || quoted.contains(&format!("{name}/"));
    let sources = FILES
        .iter()
        .filter(|file| file.is_source && file.package.starts_with("crates/"));
    let modules: BTreeSet<_> = sources
        .filter_map(|file| Some((&file.package, file.module.first()?)))
        .collect();
    let missing = modules.into_iter().filter(|(_, name)| !is_mapped(name));
    let missing: Vec<String> = missing
        .map(|(package, name)| format!("{name} of {package}"))
        .collect();
    assert_none(
        &missing,
        "Give each top-level module a row in the module map of ARCHITECTURE.md:",
    );
}

/// CHANGELOG.md may name what a later version has renamed.
#[test]
fn prose_names_items_that_are_there() {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let code = FILES.iter().flat_map(|file| {
        let lines = file.text.lines();
        let code = lines.map(|line| line.split("//").next().unwrap_or_default());
        code.flat_map(|line| line.split(|c| !is_name(c)))
    });
    let code: BTreeSet<&str> = code.collect();
    let mut missing = Vec::new();
    for (path, text) in PROSE.iter().filter(|(path, _)| path != "CHANGELOG.md") {
        let names = text
            .lines()
            .flat_map(|line| line.split('`').skip(1).step_by(2));
        for name in names.filter(|name| name.contains("::") && is_item(name)) {
            if !name.split("::").all(|part| code.contains(part)) {
                missing.push(format!("{path}: {name}"));
            }
        }
    }
    assert_none(
        &missing,
        "Name types, functions and fields in prose as the sources do:",
    );
}

#[test]
fn the_architecture_is_short() {
    let words = text().split_whitespace().count();
    assert!(
        words < WORDS,
        "Move what explains a decision from ARCHITECTURE.md to docs/decisions.md: it has {words} words, \
         and {WORDS} are too many for a map."
    );
}

fn text() -> &'static str {
    let found = PROSE.iter().find(|(path, _)| path == "ARCHITECTURE.md");
    &found.expect("there is an ARCHITECTURE.md").1
}

/// What is in backticks on one line, but for placeholders such as `cmd/NAME.rs`.
fn quoted() -> BTreeSet<String> {
    let lines = text().lines();
    let quoted = lines.flat_map(|line| line.split('`').skip(1).step_by(2));
    let quoted = quoted.filter(|name| !name.contains("NAME"));
    quoted.map(str::to_owned).collect()
}

fn is_path(name: &str) -> bool {
    !name.contains(' ') && (name.ends_with('/') || name.ends_with(".rs") || name.ends_with(".md"))
}

fn is_there(path: &str) -> bool {
    let crates = ROOT.join("crates").read_dir();
    let crates = crates.expect("crates/ can be read");
    let crates = crates.map(|entry| entry.expect("an entry").path());
    let mut roots = vec![ROOT.clone()];
    roots.extend(crates.flat_map(|directory| [directory.join("src"), directory]));
    roots.iter().any(|root| root.join(path).exists())
}

/// `Server::run`, `budget`; not a command line, and not the name of a constant of the kernel.
fn is_item(name: &str) -> bool {
    let is_word = |part: &str| {
        part.chars().all(|c| c.is_alphanumeric() || c == '_')
            && part.contains(|c: char| c.is_lowercase())
    };
    name.split("::").all(is_word)
}

/// Names of modules, types, functions, crates and features.
fn items() -> BTreeSet<String> {
    let mut items: BTreeSet<String> = ["None", "unsafe"].map(str::to_owned).into();
    let declares = ["fn", "struct", "enum", "trait", "type", "mod"];
    for file in FILES.iter() {
        items.extend(file.module.iter().cloned());
        let mut words = file
            .text
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .peekable();
        while let Some(word) = words.next() {
            if declares.contains(&word)
                && let Some(name) = words.peek()
            {
                items.insert((*name).to_owned());
            }
        }
    }
    let manifest = std::fs::read_to_string(ROOT.join("Cargo.toml"));
    let manifest = manifest.expect("Cargo.toml can be read");
    let names = manifest.split(|c: char| !c.is_alphanumeric() && c != '_');
    items.extend(names.map(str::to_owned));
    items
}

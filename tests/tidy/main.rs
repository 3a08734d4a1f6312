//! Holds the structure of the workspace, as ARCHITECTURE.md draws it. Each failure says what to do.

mod architecture;
mod errors;
mod imports;
mod sizes;
mod source;
mod structure;
mod words;

/// Fails with all of what was found, a line each, under one sentence that says what to do.
fn assert_none(found: &[String], what_to_do: &str) {
    assert!(found.is_empty(), "{what_to_do}\n  {}\n", found.join("\n  "));
}

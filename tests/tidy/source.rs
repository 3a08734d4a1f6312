//! The sources of the workspace, read once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// One `.rs` file.
pub(crate) struct SourceFile {
    /// Relative to the root of the workspace.
    pub(crate) path: String,
    /// The crate's directory, such as `crates/sockeye`.
    pub(crate) package: String,
    /// `["server", "accept"]` for `src/server/accept.rs`; empty for a crate's root.
    pub(crate) module: Vec<String>,
    /// Whether it is in `src/`, and so not a test, an example or a build script.
    pub(crate) is_source: bool,
    pub(crate) text: String,
}

impl SourceFile {
    /// Parsed each time, since what comes of it stays on one thread.
    pub(crate) fn syntax(&self) -> syn::File {
        syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }
}

/// The root of the workspace.
pub(crate) static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace is there")
});

/// Every Rust file of the workspace.
pub(crate) static FILES: LazyLock<Vec<SourceFile>> = LazyLock::new(|| {
    let paths = find(&["crates", "bench", "examples", "fuzz", "tests"], "rs");
    paths.into_iter().map(|path| source_file(&path)).collect()
});

/// Every text for people, as path and content.
pub(crate) static PROSE: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let mut paths = find(&["bench", "docs", "packaging"], "md");
    let here = fs::read_dir(&*ROOT).expect("the workspace can be read");
    let here = here.map(|entry| entry.expect("an entry").path());
    paths.extend(here.filter(|path| path.extension().is_some_and(|ext| ext == "md")));
    paths.into_iter().map(|path| read(&path)).collect()
});

fn find(directories: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = directories.iter().map(|name| ROOT.join(name)).collect();
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue; // docs/ need not exist
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> (String, String) {
    let text = fs::read_to_string(path).expect("a file of the workspace is text");
    let path = path
        .strip_prefix(&*ROOT)
        .expect("it was found below the root");
    (path.to_str().expect("names are ASCII").to_owned(), text)
}

fn source_file(path: &Path) -> SourceFile {
    let (path, text) = read(path);
    let (package, inside) = match path.find("/src/") {
        Some(at) => (&path[..at], Some(&path[at + "/src/".len()..])),
        None => (path.split("/tests/").next().unwrap_or(&path), None),
    };
    SourceFile {
        package: package.to_owned(),
        module: inside.map(module).unwrap_or_default(),
        is_source: inside.is_some(),
        path,
        text,
    }
}

fn module(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let names = path.split('/').map(str::to_owned);
    names
        .filter(|name| name != "lib" && name != "main")
        .collect()
}

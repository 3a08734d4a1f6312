//! All tables of a run: on standard output as they come, and as a page at the end.

use crate::results_table::{LEGEND, ResultsTable};
use anyhow::Context;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

pub(crate) struct ResultsPage {
    /// One fact a line, its name first.
    head: String,
    tables: Vec<ResultsTable>,
}

impl ResultsPage {
    pub(crate) fn new(head: String) -> Self {
        println!("{head}\n{LEGEND}");
        let tables = Vec::new();
        Self { head, tables }
    }

    pub(crate) fn add(&mut self, table: ResultsTable) {
        println!("{}\n{table}", table.title);
        self.tables.push(table);
    }

    /// As Markdown.
    pub(crate) fn page(&self) -> String {
        let mut page = format!(
            "# Results\n\n\
             Written by `cargo run --release -p sockeye-bench`; what is measured, and how: [README.md](README.md). \
             Quote ratios: times and rates are those of one machine on one day.\n\n\
             ```text\n{}```\n\n## Goals\n\n\
             | what | median (lowest–highest) | goal | |\n| --- | --- | --- | --- |\n",
            self.head
        );
        for table in &self.tables {
            page += &table.goal_rows();
        }
        page += &format!("\n## Tables\n\n```text\n{LEGEND}```\n");
        for table in &self.tables {
            page += &format!("\n### {}\n\n```text\n{table}```\n", table.title);
        }
        page
    }
}

/// The file of the page. It is replaced once the new page is complete.
pub(crate) struct ResultsFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl ResultsFile {
    /// Checks at the start that it can be written.
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<Self> {
        let path = std::path::absolute(path)?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        let file = tempfile::Builder::new()
            .prefix(".results")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(directory)
            .with_context(|| format!("cannot write into {}", directory.display()))?;
        Ok(Self { file, path })
    }

    pub(crate) fn publish(mut self, page: &str) -> anyhow::Result<()> {
        self.file.write_all(page.as_bytes())?;
        let shown = self.path.display();
        let written = self.file.persist(&self.path);
        written.with_context(|| format!("cannot write {shown}"))?;
        eprintln!("written to {shown}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_stays_until_the_page_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("RESULTS.md");
        std::fs::write(&path, "old").unwrap();
        drop(ResultsFile::create(path.clone()).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        ResultsFile::create(path.clone())
            .unwrap()
            .publish("new")
            .unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn a_page_names_the_machine_first() {
        let page = ResultsPage {
            head: "kernel Linux\n".to_owned(),
            tables: Vec::new(),
        }
        .page();
        assert!(page.find("kernel Linux").unwrap() < page.find("## Goals").unwrap());
    }
}

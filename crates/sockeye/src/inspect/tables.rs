//! [`Tables`]: the sockets of all network namespaces that were asked for.

use std::collections::{HashMap, HashSet};
use std::io;

use rustix::fs::fstat;
use rustix::io::Errno;

use super::diag::{self, DiagEntry, Table};
use super::namespace;
use super::options::{Hidden, Namespaces, SnapshotOptions};
use super::procfs::{Open, Walk};

/// Each socket once, by inode number, with its namespace.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) entries: Vec<(DiagEntry, Option<namespace::Id>)>,
    /// Where each is in `entries`.
    pub(super) by_inode: HashMap<u32, usize>,
}

impl Tables {
    /// The tables of the namespaces that processes and files lead to.
    ///
    /// # Errors
    /// As [`diag::read_table`], for the current namespace.
    pub(super) fn read(options: SnapshotOptions, hidden: &mut Hidden) -> io::Result<Self> {
        let mut tables = Self::default();
        tables.add(diag::read_table()?, namespace::current(), hidden);
        if options.namespaces == Namespaces::All {
            for (id, path) in namespace::others() {
                match namespace::dump(&path) {
                    Ok(table) => tables.add(table, Some(id), hidden),
                    Err(error) => match Errno::from_io_error(&error) {
                        // The last process in it has ended.
                        Some(Errno::NOENT | Errno::SRCH) => {}
                        _ => hidden.namespaces += 1,
                    },
                }
            }
        }
        tables.index();
        Ok(tables)
    }

    fn add(&mut self, table: Table, id: Option<namespace::Id>, hidden: &mut Hidden) {
        hidden.tables += usize::from(!table.is_whole);
        let entries = table.entries.into_iter();
        self.entries.extend(entries.map(|entry| (entry, id)));
    }

    fn index(&mut self) {
        self.entries.sort_unstable_by_key(|(entry, _)| entry.inode);
        self.entries.dedup_by_key(|(entry, _)| entry.inode);
        let numbered = self.entries.iter().enumerate();
        self.by_inode = numbered.map(|(at, (entry, _))| (entry.inode, at)).collect();
    }

    /// Adds the tables of namespaces that only sockets lead to, such as an accepted one that has
    /// outlived its client. Returns the open sockets whose table may not be read.
    ///
    /// # Errors
    /// As [`Tables::read`].
    pub(super) fn complete<'a>(
        &mut self,
        walk: &'a Walk,
        options: SnapshotOptions,
        hidden: &mut Hidden,
    ) -> io::Result<Vec<&'a Open>> {
        let found = walk.found.iter();
        let mut unlisted: Vec<&Open> = found.filter(|open| self.lacks(open)).collect();
        if unlisted.is_empty() {
            return Ok(unlisted);
        }
        // Most were made after their table was read.
        let now = Self::read(options, &mut Hidden::default())?;
        self.entries.extend(now.entries);
        self.index();
        unlisted.retain(|open| self.lacks(open));

        let mut seen = HashSet::new();
        for open in &unlisted {
            if let Ok(namespace) = namespace::of_socket(open)
                && let Ok(found) = fstat(&namespace)
                && seen.insert(found.st_ino)
                && let Ok(table) = namespace::dump_in(namespace)
            {
                self.add(table, Some(found.st_ino), hidden);
            }
        }
        self.index();
        unlisted.retain(|open| self.lacks(open));
        Ok(unlisted)
    }

    /// Whether a UNIX socket is in no table.
    fn lacks(&self, open: &Open) -> bool {
        !self.by_inode.contains_key(&open.inode) && open.is_unix()
    }
}

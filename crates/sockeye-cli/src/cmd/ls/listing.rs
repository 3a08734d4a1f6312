//! What the kinds of listing have in common: columns out of rows.

use crate::args::{Column, Ls};
use crate::output::table::{Layout, Table};

/// A row that knows its cells.
pub(super) trait Row {
    fn write(&self, cell: &mut String, column: Column, form: Form) -> std::fmt::Result;

    /// Whether it belongs to the row above.
    fn is_nested(&self) -> bool {
        false
    }
}

/// How much of a long list is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Full,
    Brief,
}

/// Writes rows as a table.
pub(super) fn write<R: Row>(
    args: &Ls,
    default: &[Column],
    rows: &[R],
    out: &mut Vec<u8>,
) -> anyhow::Result<()> {
    let columns = match &*args.columns {
        [] => default,
        chosen => chosen,
    };
    let width = super::terminal().map(|(width, _)| width);
    let mut filled = fill(args, columns, rows, Form::Full);
    if width.is_some_and(|width| !filled.fits(width)) {
        filled = fill(args, columns, rows, Form::Brief);
    }
    Ok(filled.write(out, width)?)
}

fn fill<R: Row>(args: &Ls, columns: &[Column], rows: &[R], form: Form) -> Table {
    // What was asked for by name is not left out.
    let layout = |&column: &Column| match args.columns.is_empty() {
        true => layout(column),
        false => Layout {
            rank: 0,
            ..layout(column)
        },
    };
    let mut table = Table::new(columns.iter().map(layout).collect(), !args.no_header);
    for row in rows {
        for (at, &column) in columns.iter().enumerate() {
            table.cell(|cell| {
                if at == 0 && row.is_nested() {
                    cell.push_str("  ");
                }
                // Writing to a String cannot fail.
                let _ = row.write(cell, column, form);
            });
        }
    }
    table
}

fn layout(column: Column) -> Layout {
    const TEXT: Option<usize> = Some(16);
    let (title, right, least, rank) = match column {
        Column::Kind => ("KIND", false, None, 4),
        Column::State => ("STATE", false, None, 0),
        Column::Address => ("ADDRESS", false, Some(20), 0),
        Column::RecvQ => ("RECV-Q", true, None, 7),
        Column::SendQ => ("SEND-Q", true, None, 8),
        Column::User => ("USER", false, Some(8), 5),
        Column::Process => ("PID/COMMAND", false, TEXT, 0),
        Column::Fd => ("FD", true, None, 6),
        Column::Peer => ("PEER", false, TEXT, 0),
        Column::Inode => ("INODE", true, None, 0),
        Column::PeerInode => ("PEER-INODE", true, None, 0),
        Column::PeerAddress => ("PEER-ADDRESS", false, Some(20), 0),
        Column::File => ("FILE", false, None, 0),
        Column::Netns => ("NETNS", true, None, 0),
        Column::Client => ("CLIENT", false, TEXT, 0),
        Column::ClientUser => ("CLIENT-USER", false, Some(11), 0),
        Column::ClientFd => ("CLIENT-FD", true, None, 6),
        Column::ClientInode => ("CLIENT-INODE", true, None, 0),
        Column::ClientQ => ("CLIENT-Q", true, None, 0),
        Column::Server => ("SERVER", false, TEXT, 0),
        Column::ServerUser => ("SERVER-USER", false, Some(11), 0),
        Column::ServerFd => ("SERVER-FD", true, None, 7),
        Column::ServerInode => ("SERVER-INODE", true, None, 0),
        Column::ServerQ => ("SERVER-Q", true, None, 0),
    };
    Layout {
        title,
        right,
        least,
        keep_end: matches!(column, Column::Address | Column::PeerAddress),
        rank,
    }
}

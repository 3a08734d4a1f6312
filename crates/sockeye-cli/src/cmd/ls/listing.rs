//! Rows as a table, for all kinds of listing.

use crate::args::Ls;
use crate::output::column::Column;
use crate::output::{layout::Layout, table::TextTable};
use crate::stdio::terminal;

/// A row writes its cells.
pub(super) trait Row {
    fn write(&self, cell: &mut String, column: Column, form: RowDetail) -> std::fmt::Result;

    /// Whether it belongs to the row above.
    fn is_nested(&self) -> bool {
        false
    }
}

/// Whether a long list in a cell is shown in full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RowDetail {
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
    let Some((width, _)) = terminal::size() else {
        return Ok(fill(args, columns, rows, RowDetail::Full).write(out, None)?);
    };
    let mut filled = fill(args, columns, rows, RowDetail::Full);
    if !filled.fits(width) {
        filled = fill(args, columns, rows, RowDetail::Brief);
    }
    if args.columns.is_empty() {
        filled = without_least_useful(args, columns, rows, filled, width);
    }
    Ok(filled.write(out, Some(width))?)
}

/// Leaves out the columns that say least before anything is elided: a kind that all have, fds, peers
/// where there are none. Filled each time, since the first column has the indent.
fn without_least_useful<R: Row>(
    args: &Ls,
    columns: &[Column],
    rows: &[R],
    mut filled: TextTable,
    width: usize,
) -> TextTable {
    const STEPS: [(&[Column], Option<&str>); 3] = [
        (&[Column::Kind], Some("stream")),
        (&[Column::Fd, Column::ClientFd, Column::ServerFd], None),
        (&[Column::Peer, Column::PeerUser], Some("-")),
    ];
    let mut kept = columns.to_vec();
    for (step, all) in STEPS {
        if filled.fits(width) {
            break;
        }
        let is_telling = |at: usize| all.is_some_and(|text| !filled.is_all(at, text));
        let goes: Vec<Column> = kept
            .iter()
            .enumerate()
            .filter(|&(at, column)| step.contains(column) && !is_telling(at))
            .map(|(_, &column)| column)
            .collect();
        if !goes.is_empty() {
            kept.retain(|column| !goes.contains(column));
            filled = fill(args, &kept, rows, RowDetail::Brief);
        }
    }
    if filled.leaves_out_first(width) {
        filled = fill(args, &kept[1..], rows, RowDetail::Brief);
    }
    filled
}

fn fill<R: Row>(args: &Ls, columns: &[Column], rows: &[R], form: RowDetail) -> TextTable {
    // What was asked for by name is not left out.
    let layout = |&column: &Column| {
        if args.columns.is_empty() {
            layout(column)
        } else {
            Layout {
                rank: 0,
                ..layout(column)
            }
        }
    };
    let mut table = TextTable::new(columns.iter().map(layout).collect(), !args.no_header);
    if !args.columns.is_empty() {
        table = table.wrapping();
    }
    let has_typed = args.columns.is_empty() && !columns.contains(&Column::Kind);
    for row in rows {
        for (at, &column) in columns.iter().enumerate() {
            table.cell(|cell| {
                if at == 0 && row.is_nested() {
                    cell.push_str("  ");
                }
                let start = cell.len();
                // Writing to a String cannot fail.
                let _ = row.write(cell, column, form);
                if has_typed && column == Column::Address {
                    let arrow = if cell[start..].starts_with("→ ") {
                        "→ ".len()
                    } else {
                        0
                    };
                    cell.insert_str(start + arrow, typed(row));
                }
            });
        }
    }
    table
}

/// The prefix of the address for the kind, if the kind has no column.
fn typed<R: Row>(row: &R) -> &'static str {
    let mut kind = String::new();
    let _ = row.write(&mut kind, Column::Kind, RowDetail::Brief);
    match &*kind {
        "seqpacket" => "seqpacket:",
        "datagram" => "dgram:",
        _ => "",
    }
}

fn layout(column: Column) -> Layout {
    const TEXT: Option<usize> = Some(10);
    // A pid and the longest name of a process (TASK_COMM_LEN): it says more than any column that can be
    // left out.
    const PROCESS: Option<usize> = Some(24);
    let (title, right, least, rank) = match column {
        Column::Kind => ("KIND", false, None, 3),
        Column::State => ("STATE", false, None, 0),
        Column::Address => ("ADDRESS", false, Some(16), 0),
        Column::RecvQ => ("RECV-Q", true, None, 1),
        Column::SendQ => ("SEND-Q", true, None, 2),
        Column::User => ("USER", false, Some(8), 6),
        Column::Process => ("PID/COMMAND", false, PROCESS, 0),
        Column::Fd => ("FD", true, None, 7),
        Column::Peer => ("PEER", false, TEXT, 5),
        Column::PeerUser => ("PEER-USER", false, Some(9), 4),
        Column::Inode => ("INODE", true, None, 0),
        Column::PeerInode => ("PEER-INODE", true, None, 0),
        Column::PeerAddress => ("PEER-ADDRESS", false, Some(16), 0),
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
        is_address: matches!(column, Column::Address | Column::PeerAddress),
        rank,
    }
}

//! `sockeye why`

mod access;
mod bearers;
mod elsewhere;
mod knock;
mod listener;
mod lost;
mod nobody;
mod path;
mod permission;
mod process;
mod report;
mod sight;
mod stopped;
mod user;
mod verdict;

use std::path::Path;

use sockeye::address::MAX_NAME;
use sockeye::{Address, Name};

use crate::args::Why;
use crate::exit::{Exit, failure};
use crate::output;
use knock::through;
pub(super) use lost::relative_namesake;
use path::End;
pub(super) use process::rfc3339;
use report::{Check, Report};
use sight::Sight;
pub(super) use sight::blind;
use user::User;
pub(super) use user::or_root;

pub(crate) fn run(args: &Why) -> anyhow::Result<Exit> {
    let address = &args.address;
    let user = match args.user {
        Some(uid) => User::other(uid),
        None => User::caller(),
    };
    let mut report = Report::default();
    match address.name() {
        Name::Path(path) => explain_path(address, path, &user, &mut report),
        Name::Abstract(_) => verdict::abstract_name(address, &Sight::take(), &mut report),
        _ => {
            let text = format!(
                "cannot explain {address}: no way leads to a descriptor; give a path or @name"
            );
            return Err(failure(Exit::Usage, text));
        }
    }
    if args.connect {
        knock::settle(address, &user, &mut report);
    }
    let exit = report.finish(address);
    let shown = match args.json {
        true => report.as_json(address, &user)?,
        false => report.as_text(address).into_bytes(),
    };
    output::print(&shown)?;
    Ok(exit)
}

fn explain_path(address: &Address, path: &Path, user: &User, report: &mut Report) {
    let length = path.as_os_str().len();
    if length > MAX_NAME {
        report.note(
            Check::Length,
            format!(
                "the path has {length} bytes and {MAX_NAME} fit into a socket address: sockeye reaches it all the same, \
                 other programs need a shorter path (from a nearer directory, or a symbolic link)"
            ),
        );
    }
    let end = path::walk(path, user, report);
    match &end {
        End::Socket { path, stat } => {
            verdict::at_file(address, path, stat, &Sight::take(), report);
        }
        End::NotASocket { path, file } => {
            lost::not_a_socket(address, path, *file, &Sight::take(), report);
        }
        End::Missing { path, what } => {
            lost::missing(address, path, *what, &Sight::take(), report);
        }
        End::Stopped => {}
    }
}

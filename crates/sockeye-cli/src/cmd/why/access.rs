//! [`Access`]: what is said of a permission on the way.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Stat, getxattr};
use rustix::io::Errno;

use sockeye::address::shell_quoted;

use super::guard::Guard;
use super::guard::guard_of;
use super::laggards;
use super::permission::{self, Rule, Want};
use super::report::{Check, Verdict, WhyReport};
use super::through;
use super::user::User;
use crate::exit::Exit;
use crate::lookup::ids::owner;

/// What is said of a permission.
pub(super) struct Access<'a> {
    pub(super) check: Check,
    pub(super) want: Want,
    pub(super) cause: &'static str,
    pub(super) path: &'a Path,
    pub(super) subject: String,
}

impl Access<'_> {
    /// Reports whether the user has the permission, and returns it. For who runs this command the
    /// kernel has `asked`, which knows more than the bits; for others the bits are all there is.
    pub(super) fn tell(
        &self,
        user: &User,
        report: &mut WhyReport,
        stat: &Stat,
        file: &OwnedFd,
        asked: Result<(), Errno>,
    ) -> bool {
        let guard = guard_of(stat);
        let list = access_list(file);
        let (by_bits, rule) = permission::judge(user, guard, list.as_deref(), self.want);
        let allowed = match (user.is_caller, asked) {
            (true, Ok(())) => true,
            (true, Err(Errno::ACCESS)) => false,
            _ => by_bits,
        };
        let mode = format!(
            "mode {:04o}, {}",
            guard.mode & 0o7777,
            owner(guard.uid, guard.gid)
        );
        // Then the bits do not tell which of them are for the caller.
        let is_hidden = user.is_caller && [user.uid, guard.uid, guard.gid].contains(&None);
        let subject = &self.subject;
        let done = match self.want {
            Want::Search => "searched",
            Want::Write => "written",
        };
        let letter = self.want.letter();
        if allowed {
            let why = match (by_bits, rule) {
                (true, Rule::AccessList) => format!("{mode}, and an access list"),
                (true, Rule::Capability) => match (user.uid, self.want) {
                    (Some(0), _) => format!("{mode}; root may do without {letter}"),
                    (_, Want::Search) => format!(
                        "{mode}; CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE may do without {letter}"
                    ),
                    (_, Want::Write) => format!("{mode}; CAP_DAC_OVERRIDE may do without {letter}"),
                },
                _ => mode,
            };
            report.ok(self.check, format!("{subject} may be {done} ({why})"));
            let is_let_in =
                |user: &User| permission::judge(user, guard, list.as_deref(), self.want).0;
            if let Some(text) = laggards::of(user, is_let_in) {
                report.note(self.check, text);
            }
            return true;
        }
        let cut = list
            .as_deref()
            .and_then(|list| permission::cut_by_mask(user, guard, list, self.want));
        let why = match (by_bits, &cut) {
            (true, _) => format!(
                "{mode}: the bits permit it, but a security module or a user namespace does not"
            ),
            (false, _) if is_hidden => {
                format!("{mode}: a user namespace hides whose it is, and the kernel refuses")
            }
            (false, Some((tag, bits, mask))) => format!(
                "{mode}; its access list has {}:{}, but the mask allows {}",
                tag.in_words(),
                letters(*bits),
                match mask {
                    0 => "nothing".to_owned(),
                    mask => format!("{} only", letters(*mask)),
                }
            ),
            (false, None) => format!("{mode}: no {letter} for {}", rule.in_words()),
        };
        let text = format!("{subject} may not be {done} by {user} ({why})");
        let verdict = match self.want {
            Want::Search => format!("{user} may not pass the directory {subject} ({why})"),
            Want::Write => {
                format!("{user} may not write {subject}, which connecting takes ({why})")
            }
        };
        let late =
            user.late_group(|user| permission::judge(user, guard, list.as_deref(), self.want).0);
        let advice = match (is_hidden, late, cut) {
            (true, ..) => {
                "look from outside of this user namespace, where all users are mapped".to_owned()
            }
            (_, Some(gid), _) => user.is_late_for(gid),
            (.., Some(_)) => format!(
                "let its owner widen the mask: setfacl -m m::{} {}",
                self.want.letters(),
                shell_quoted(self.path)
            ),
            _ => self.advice(rule, by_bits, list.is_some(), user, guard),
        };
        let verdict = Verdict::new(Exit::NotPermitted, self.cause, verdict, advice);
        report.no(self.check, text, verdict);
        false
    }

    fn advice(&self, rule: Rule, by_bits: bool, listed: bool, user: &User, guard: Guard) -> String {
        let letter = self.want.letter();
        let path = shell_quoted(self.path);
        match rule {
            _ if by_bits => {
                "look for a denial in the audit log, or ask the administrator".to_owned()
            }
            Rule::Owner => format!("chmod u+{letter} {path}"),
            // The group's bits are the mask of the list then.
            _ if listed => format!(
                "let its owner add {user} to the access list: setfacl -m u:{}:{} {path}",
                user.uid
                    .map_or_else(|| "USER".to_owned(), |uid| uid.to_string()),
                self.want.letters(),
            ),
            Rule::Group => format!("let its owner chmod g+{letter} {path}"),
            // Opening it to everybody would be worse advice than a group, and root's the worst.
            _ if guard.gid.is_some_and(|gid| gid != 0)
                && guard.mode & (self.want.bit() << 3) != 0 =>
            {
                user.joins(guard.gid.unwrap_or_default())
            }
            _ => match self.want {
                Want::Search => {
                    format!("give the directory to a group of {user} and chmod g+x {path}")
                }
                Want::Write => format!(
                    "let the server make the socket for a group of {user}, mode 0660, as its \
                     configuration permits; for now: chgrp {} {path}; chmod 660 {path}",
                    user.own_group()
                ),
            },
        }
    }
}

/// `rw`
fn letters(bits: u32) -> String {
    let letters = [(4, 'r'), (2, 'w'), (1, 'x')];
    let set: String = letters
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, letter)| letter)
        .collect();
    if set.is_empty() {
        "nothing".to_owned()
    } else {
        set
    }
}

fn access_list(file: &OwnedFd) -> Option<Vec<permission::AclEntry>> {
    // XATTR_SIZE_MAX is 64 KiB; a list that long is nobody's.
    let mut attribute = [0; 4096];
    let name = "system.posix_acl_access";
    let length = getxattr(through(file), name, &mut attribute[..]).ok()?;
    permission::decode(&attribute[..length])
}

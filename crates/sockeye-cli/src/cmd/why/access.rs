//! [`Access`]: whether a user has a permission that a connect takes, and what to do if not.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Stat, getxattr};
use rustix::io::Errno;

use sockeye::address::shell_quoted;

use super::attributes::{FileAttributes, attributes_of};
use super::permission::{self, AclEntry, Rule, Want};
use super::report::{Check, Verdict, WhyReport};
use super::stale_groups;
use super::through;
use super::user::User;
use crate::exit::Exit;
use crate::lookup::ids::owner;

/// A permission that a connect takes, of a directory or of the socket file.
pub(super) struct Access<'a> {
    pub(super) check: Check,
    pub(super) want: Want,
    pub(super) cause: &'static str,
    pub(super) path: &'a Path,
    pub(super) subject: String,
}

/// What decides whether a user has it.
struct Decision<'a> {
    user: &'a User,
    attributes: FileAttributes,
    list: Option<&'a [AclEntry]>,
    by_bits: bool,
    rule: Rule,
}

impl Access<'_> {
    /// Reports whether the user has the permission, and returns it. For the caller the kernel was
    /// `asked`, which knows more than the bits; for other users there are only the bits.
    pub(super) fn judge(
        &self,
        user: &User,
        report: &mut WhyReport,
        stat: &Stat,
        file: &OwnedFd,
        asked: Result<(), Errno>,
    ) -> bool {
        let attributes = attributes_of(stat);
        let list = access_list(file);
        let list = list.as_deref();
        let (by_bits, rule) = permission::judge(user, attributes, list, self.want);
        let decision = Decision {
            user,
            attributes,
            list,
            by_bits,
            rule,
        };
        let allowed = match (user.is_caller, asked) {
            (true, Ok(())) => true,
            (true, Err(Errno::ACCESS)) => false,
            _ => by_bits,
        };
        if allowed {
            self.allow(&decision, report);
        } else {
            self.refuse(&decision, report);
        }
        allowed
    }

    fn allow(&self, decision: &Decision<'_>, report: &mut WhyReport) {
        let mode = decision.mode();
        let letter = self.want.letter();
        let why = match (decision.by_bits, decision.rule) {
            (true, Rule::AccessList) => format!("{mode}, and an access list"),
            (true, Rule::Capability) => match (decision.user.uid, self.want) {
                (Some(0), _) => format!("{mode}; root may do without {letter}"),
                (_, Want::Search) => format!(
                    "{mode}; CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE may do without {letter}"
                ),
                (_, Want::Write) => format!("{mode}; CAP_DAC_OVERRIDE may do without {letter}"),
            },
            _ => mode,
        };
        let (subject, done) = (&self.subject, self.want.done());
        report.ok(self.check, format!("{subject} may be {done} ({why})"));
        let is_let_in = |user: &User| decision.lets_in(user, self.want);
        if let Some(text) = stale_groups::of(decision.user, is_let_in) {
            report.note(self.check, text);
        }
    }

    fn refuse(&self, decision: &Decision<'_>, report: &mut WhyReport) {
        let (user, mode) = (decision.user, decision.mode());
        let masked = decision.list.and_then(|list| {
            permission::limited_by_mask(user, decision.attributes, list, self.want)
        });
        let why = match (decision.by_bits, &masked) {
            (true, _) => format!(
                "{mode}: the bits permit it, but a security module or a user namespace does not"
            ),
            (false, _) if decision.is_hidden() => {
                format!("{mode}: a user namespace hides whose it is, and the kernel refuses")
            }
            (false, Some((tag, bits, mask))) => format!(
                "{mode}; its access list has {}:{}, but the mask allows {}",
                tag.describe(),
                letters(*bits),
                match mask {
                    0 => "nothing".to_owned(),
                    mask => format!("{} only", letters(*mask)),
                }
            ),
            (false, None) => format!(
                "{mode}: no {} for {}",
                self.want.letter(),
                decision.rule.describe()
            ),
        };
        let (subject, done) = (&self.subject, self.want.done());
        let text = format!("{subject} may not be {done} by {user} ({why})");
        let verdict = match self.want {
            Want::Search => format!("{user} may not pass the directory {subject} ({why})"),
            Want::Write => {
                format!("{user} may not write {subject}, which connecting takes ({why})")
            }
        };
        let late = user.late_group(|user| decision.lets_in(user, self.want));
        let advice = match (decision.is_hidden(), late, masked) {
            (true, ..) => {
                "look from outside of this user namespace, where all users are mapped".to_owned()
            }
            (_, Some(gid), _) => user.is_late_for(gid),
            (.., Some(_)) => format!(
                "let its owner widen the mask: setfacl -m m::{} {}",
                self.want.letters(),
                shell_quoted(self.path)
            ),
            _ => self.advice(decision),
        };
        let verdict = Verdict::new(Exit::NotPermitted, self.cause, verdict, advice);
        report.no(self.check, text, verdict);
    }

    fn advice(&self, decision: &Decision<'_>) -> String {
        let (user, attributes) = (decision.user, decision.attributes);
        let letter = self.want.letter();
        let path = shell_quoted(self.path);
        match decision.rule {
            _ if decision.by_bits => {
                "look for a denial in the audit log, or ask the administrator".to_owned()
            }
            Rule::Owner => format!("chmod u+{letter} {path}"),
            // With an access list, the group bits are its mask.
            _ if decision.list.is_some() => format!(
                "let its owner add {user} to the access list: setfacl -m u:{}:{} {path}",
                user.uid
                    .map_or_else(|| "USER".to_owned(), |uid| uid.to_string()),
                self.want.letters(),
            ),
            Rule::Group => format!("let its owner chmod g+{letter} {path}"),
            // A group is better advice than everybody, and root's group the worst.
            _ if attributes.gid.is_some_and(|gid| gid != 0)
                && attributes.mode & (self.want.bit() << 3) != 0 =>
            {
                user.joins(attributes.gid.unwrap_or_default())
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

impl Decision<'_> {
    /// `mode 0755, root:root`
    fn mode(&self) -> String {
        let attributes = self.attributes;
        let owner = owner(attributes.uid, attributes.gid);
        format!("mode {:04o}, {owner}", attributes.mode & 0o7777)
    }

    /// Whether a user namespace hides an id, so that the bits do not say which of them are for the
    /// caller.
    fn is_hidden(&self) -> bool {
        self.user.is_caller
            && [self.user.uid, self.attributes.uid, self.attributes.gid].contains(&None)
    }

    /// Whether another user would have the permission.
    fn lets_in(&self, user: &User, want: Want) -> bool {
        permission::judge(user, self.attributes, self.list, want).0
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

fn access_list(file: &OwnedFd) -> Option<Vec<AclEntry>> {
    // XATTR_SIZE_MAX is 64 KiB, but no real list is that long.
    let mut attribute = [0; 4096];
    let name = "system.posix_acl_access";
    let length = getxattr(through(file), name, &mut attribute[..]).ok()?;
    permission::decode(&attribute[..length])
}

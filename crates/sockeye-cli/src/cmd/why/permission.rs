//! Whether permission bits and access lists let a user search a directory or write a file, as the
//! kernel decides it (path_resolution(7), acl(5)).

use super::attributes::FileAttributes;
use super::user::User;
use crate::lookup::ids::group_name;
use crate::lookup::ids::user_name;

/// The permission that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// To search a directory.
    Search,
    /// To write the socket file, which connect(2) needs.
    Write,
}

impl Want {
    pub(super) fn bit(self) -> u32 {
        match self {
            Self::Search => 1,
            Self::Write => 2,
        }
    }

    /// For setfacl(1): connect(2) needs `w` only, but an entry without `r` looks like a mistake.
    pub(super) fn letters(self) -> &'static str {
        match self {
            Self::Search => "x",
            Self::Write => "rw",
        }
    }

    pub(super) fn letter(self) -> char {
        match self {
            Self::Search => 'x',
            Self::Write => 'w',
        }
    }

    /// What may be done to the file, as the end of "may be".
    pub(super) fn done(self) -> &'static str {
        match self {
            Self::Search => "searched",
            Self::Write => "written",
        }
    }
}

/// Which rule decides for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Owner,
    Group,
    Others,
    AccessList,
    /// A capability (root's) that overrides the bits.
    Capability,
}

impl Rule {
    /// The class of users that the bits are for.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Owner => "its owner",
            Self::Group => "its group",
            Self::Others => "others",
            Self::AccessList => "this user by its access list",
            Self::Capability => "root",
        }
    }
}

/// Whether `user` has the permission, and which rule decides.
pub(super) fn judge(
    user: &User,
    attributes: FileAttributes,
    list: Option<&[AclEntry]>,
    want: Want,
) -> (bool, Rule) {
    let (bits, rule) = bits_for(user, attributes, list, want);
    let capable = match want {
        Want::Search => user.searches,
        Want::Write => user.overrides,
    };
    if bits & want.bit() != 0 {
        (true, rule)
    } else if capable && user.rules_over(attributes) {
        (true, Rule::Capability)
    } else {
        (false, rule)
    }
}

/// The entry that would grant it to `user`, were it not for the mask: its tag, its bits, and the mask.
pub(super) fn limited_by_mask(
    user: &User,
    attributes: FileAttributes,
    list: &[AclEntry],
    want: Want,
) -> Option<(Tag, u32, u32)> {
    let is_own = user.uid.is_some() && user.uid == attributes.uid;
    let mask = list.iter().find(|entry| entry.tag == Tag::Mask)?.bits;
    if is_own || mask & want.bit() != 0 {
        return None;
    }
    let is_for = |entry: &&AclEntry| match entry.tag {
        Tag::User(uid) => user.uid == Some(uid),
        Tag::OwningGroup => attributes.gid.is_some_and(|gid| user.groups.contains(&gid)),
        Tag::Group(gid) => user.groups.contains(&gid),
        _ => false,
    };
    let mut meant = list.iter().filter(is_for);
    let cut = meant.find(|entry| entry.bits & want.bit() != 0)?;
    Some((cut.tag, cut.bits, mask))
}

fn bits_for(
    user: &User,
    attributes: FileAttributes,
    list: Option<&[AclEntry]>,
    want: Want,
) -> (u32, Rule) {
    if user.uid.is_some() && user.uid == attributes.uid {
        return (attributes.mode >> 6, Rule::Owner);
    }
    // The group bits are the list's mask. If all are clear, the kernel does not look at the list
    // (acl_permission_check in Linux's fs/namei.c).
    let is_member = attributes.gid.is_some_and(|gid| user.groups.contains(&gid));
    let Some(list) = list.filter(|_| attributes.mode & 0o070 != 0) else {
        return if is_member {
            (attributes.mode >> 3, Rule::Group)
        } else {
            (attributes.mode, Rule::Others)
        };
    };
    let of = |wanted: Tag| list.iter().find(move |entry| entry.tag == wanted);
    let mask = of(Tag::Mask).map_or(7, |entry| entry.bits);
    if let Some(entry) = user.uid.and_then(|uid| of(Tag::User(uid))) {
        return (entry.bits & mask, Rule::AccessList);
    }
    let mut groups = list.iter().filter_map(|entry| match entry.tag {
        Tag::OwningGroup if is_member => Some((entry.bits, Rule::Group)),
        Tag::Group(gid) if user.groups.contains(&gid) => Some((entry.bits, Rule::AccessList)),
        _ => None,
    });
    // One group that grants it is enough; a user of any group that is listed is not "others".
    let mut listed = groups.next();
    for group in groups {
        if listed.is_some_and(|(bits, _)| bits & mask & want.bit() == 0) {
            listed = Some(group);
        }
    }
    match listed {
        Some((bits, rule)) => (bits & mask, rule),
        None => (attributes.mode, Rule::Others),
    }
}

/// Whom an entry of an access list is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Owner,
    User(u32),
    OwningGroup,
    Group(u32),
    Mask,
    Others,
}

impl Tag {
    /// As setfacl(1) writes it, with names.
    pub(super) fn describe(self) -> String {
        match self {
            Self::User(uid) => user_name(uid),
            Self::Group(gid) => format!("group {}", group_name(gid)),
            Self::OwningGroup => "its group".to_owned(),
            Self::Owner => "its owner".to_owned(),
            Self::Mask => "mask".to_owned(),
            Self::Others => "others".to_owned(),
        }
    }
}

/// An entry of an access list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AclEntry {
    tag: Tag,
    bits: u32,
}

/// Decodes the attribute `system.posix_acl_access` (linux/posix_acl_xattr.h); `None` if it is invalid.
pub(super) fn decode(attribute: &[u8]) -> Option<Vec<AclEntry>> {
    let (version, entries) = attribute.split_first_chunk()?;
    if u32::from_le_bytes(*version) != 2 || entries.len() % 8 != 0 {
        return None;
    }
    let decode_one = |entry: &[u8]| {
        let half = |at: usize| Some(u16::from_le_bytes(*entry.get(at..)?.first_chunk()?));
        let id = u32::from_le_bytes(*entry.last_chunk()?);
        let tag = match half(0)? {
            0x01 => Tag::Owner,
            0x02 => Tag::User(id),
            0x04 => Tag::OwningGroup,
            0x08 => Tag::Group(id),
            0x10 => Tag::Mask,
            0x20 => Tag::Others,
            _ => return None,
        };
        let bits = u32::from(half(2)?);
        Some(AclEntry { tag, bits })
    };
    entries.chunks(8).map(decode_one).collect()
}

/// Whether `fs.protected_symlinks` lets `uid` follow a link: in a sticky directory that everybody
/// may write, only its own links and those of the directory's owner. Root is no exception.
pub(super) fn may_follow(
    uid: Option<u32>,
    link_owner: Option<u32>,
    directory: FileAttributes,
) -> bool {
    let open_to_all = directory.mode & 0o1002 == 0o1002;
    // An unknown owner proves nothing.
    !open_to_all || link_owner.is_none() || [uid, directory.uid].contains(&link_owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32, groups: &[u32]) -> User {
        User {
            uid: Some(uid),
            groups: groups.to_vec(),
            ..User::default()
        }
    }

    fn attributes(mode: u32) -> FileAttributes {
        FileAttributes {
            mode,
            uid: Some(10),
            gid: Some(20),
        }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let write = |user: &User, mode| judge(user, attributes(mode), None, Want::Write);
        let (owner, member, other) = (user(10, &[20]), user(11, &[5, 20]), user(11, &[5]));
        assert_eq!(write(&owner, 0o600), (true, Rule::Owner));
        // The owner is not saved by what the group may.
        assert_eq!(write(&owner, 0o066), (false, Rule::Owner));
        assert_eq!(write(&member, 0o660), (true, Rule::Group));
        assert_eq!(write(&member, 0o606), (false, Rule::Group));
        assert_eq!(write(&other, 0o602), (true, Rule::Others));
        assert_eq!(write(&other, 0o660), (false, Rule::Others));
        assert_eq!(write(&other, 0o775), (false, Rule::Others));
    }

    #[test]
    fn searching_takes_x_and_writing_takes_w() {
        let owner = user(10, &[]);
        assert!(judge(&owner, attributes(0o100), None, Want::Search).0);
        assert!(!judge(&owner, attributes(0o600), None, Want::Search).0);
        assert!(!judge(&owner, attributes(0o100), None, Want::Write).0);
    }

    #[test]
    fn capabilities_stand_above_the_bits() {
        let root = User {
            overrides: true,
            searches: true,
            ..user(0, &[0])
        };
        let verdict = judge(&root, attributes(0), None, Want::Write);
        assert_eq!(verdict, (true, Rule::Capability));
        let reader = User {
            searches: true,
            ..user(1, &[])
        };
        assert!(judge(&reader, attributes(0), None, Want::Search).0);
        assert!(!judge(&reader, attributes(0), None, Want::Write).0);
    }

    #[test]
    fn an_owner_that_is_not_known_is_nobody() {
        let unknown = FileAttributes {
            mode: 0o660,
            uid: None,
            gid: None,
        };
        let nobody = User {
            uid: None,
            ..User::default()
        };
        for user in [nobody, user(65534, &[65534])] {
            let verdict = judge(&user, unknown, None, Want::Write);
            assert_eq!(verdict, (false, Rule::Others));
        }
    }

    fn list(entries: &[(Tag, u32)]) -> Vec<AclEntry> {
        entries
            .iter()
            .map(|&(tag, bits)| AclEntry { tag, bits })
            .collect()
    }

    #[test]
    fn access_lists() {
        let list = list(&[
            (Tag::Owner, 6),
            (Tag::User(30), 6),
            (Tag::User(31), 0),
            (Tag::OwningGroup, 0),
            (Tag::Group(40), 6),
            (Tag::Mask, 6),
            (Tag::Others, 0),
        ]);
        let write = |user: &User| judge(user, attributes(0o660), Some(&list), Want::Write);
        assert_eq!(write(&user(10, &[])), (true, Rule::Owner));
        assert_eq!(write(&user(30, &[])), (true, Rule::AccessList));
        assert_eq!(write(&user(31, &[40])), (false, Rule::AccessList));
        // The mode's middle digit is the mask, not what the group may.
        assert_eq!(write(&user(11, &[20])), (false, Rule::Group));
        assert_eq!(write(&user(11, &[20, 40])), (true, Rule::AccessList));
        assert_eq!(write(&user(11, &[])), (false, Rule::Others));
    }

    #[test]
    fn the_mask_limits_entries() {
        let list = list(&[(Tag::User(30), 7), (Tag::Mask, 4), (Tag::Others, 7)]);
        let verdict = judge(&user(30, &[]), attributes(0o647), Some(&list), Want::Write);
        assert_eq!(verdict, (false, Rule::AccessList));
    }

    #[test]
    fn an_entry_that_the_mask_cuts_is_found() {
        let list = list(&[
            (Tag::User(30), 6),
            (Tag::User(31), 4),
            (Tag::OwningGroup, 6),
            (Tag::Group(40), 6),
            (Tag::Mask, 4),
        ]);
        let cut = |uid, groups: &[u32]| {
            limited_by_mask(&user(uid, groups), attributes(0o640), &list, Want::Write)
        };
        assert_eq!(cut(30, &[]), Some((Tag::User(30), 6, 4)));
        assert_eq!(cut(31, &[]), None, "it has no w to be cut");
        assert_eq!(cut(32, &[40]), Some((Tag::Group(40), 6, 4)));
        assert_eq!(cut(32, &[20]), Some((Tag::OwningGroup, 6, 4)));
        assert_eq!(cut(10, &[40]), None, "the owner has nothing to do with it");
    }

    #[test]
    fn an_empty_mask_leaves_the_list_out() {
        let list = list(&[(Tag::User(30), 0), (Tag::Mask, 0), (Tag::Others, 6)]);
        let write = |groups: &[u32], mode| {
            let user = user(30, groups);
            judge(&user, attributes(mode), Some(&list), Want::Write)
        };
        assert_eq!(write(&[], 0o606), (true, Rule::Others));
        assert_eq!(write(&[], 0o600), (false, Rule::Others));
        assert_eq!(write(&[20], 0o606), (false, Rule::Group));
    }

    #[test]
    fn an_attribute_is_decoded() {
        let attribute = [
            2, 0, 0, 0, 2, 0, 6, 0, 30, 0, 0, 0, 0x10, 0, 4, 0, 255, 255, 255, 255,
        ];
        let expected = list(&[(Tag::User(30), 6), (Tag::Mask, 4)]);
        assert_eq!(decode(&attribute), Some(expected));
        assert_eq!(decode(&attribute[..19]), None);
        assert_eq!(decode(&[1, 0, 0, 0]), None);
        assert_eq!(decode(&[]), None);
    }

    #[test]
    fn links_in_open_sticky_directories() {
        let may = |uid, owner, mode| may_follow(Some(uid), Some(owner), attributes(mode));
        assert!(may(5, 6, 0o755));
        assert!(may(5, 6, 0o777));
        assert!(may(5, 5, 0o1777));
        assert!(may(5, 10, 0o1777));
        assert!(!may(5, 6, 0o1777));
        assert!(!may(0, 6, 0o1777));
    }
}

//! Access control lists (acl(5)).

use std::path::Path;

use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;

use super::{NOBODY, Place, skipped};

pub(crate) const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// Lets [`NOBODY`] read and write; `None` (and says so) on a file system without lists.
pub(crate) fn list_nobody(path: &Path, attribute: &str) -> Option<()> {
    // linux/posix_acl_xattr.h: tag, permissions, id
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 7, u32::MAX),
        (0x02, 7, NOBODY),
        (0x04, 5, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    match setxattr(path, attribute, &list, XattrFlags::empty()) {
        Ok(()) => Some(()),
        Err(Errno::OPNOTSUPP) => {
            skipped("this file system has no access control lists");
            None
        }
        Err(errno) => panic!("{errno}"),
    }
}

/// A place whose directory allows [`NOBODY`] by its default list.
pub(crate) fn listed_place() -> Option<Place> {
    let place = Place::new();
    place.open_to_all();
    list_nobody(place.dir(), DEFAULT)?;
    Some(place)
}

#[track_caller]
pub(crate) fn assert_no_list(path: &Path) {
    let found = getxattr(path, ACCESS, &mut [0; 128]);
    assert_eq!(found, Err(Errno::NODATA), "{}", path.display());
}

use std::os::fd::IntoRawFd;

use super::*;

/// Appends a control message; returns where it ends.
fn put<T: Copy>(control: &mut [u64], at: usize, kind: libc::c_int, data: &[T]) -> usize {
    let size = size_of_val(data) as libc::c_uint;
    // SAFETY: it only computes.
    let (length, space) = unsafe { (libc::CMSG_LEN(size), libc::CMSG_SPACE(size)) };
    let end = at + space as usize;
    assert!(end <= size_of_val(control), "there is room");
    // SAFETY: `at` to `end` lie within `control`, and `at` is aligned as a header is, since all
    // sizes here are.
    unsafe {
        let head = control.as_mut_ptr().byte_add(at).cast::<libc::cmsghdr>();
        (*head).cmsg_len = length as _;
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = kind;
        let to = libc::CMSG_DATA(head).cast::<T>();
        for (at, item) in data.iter().enumerate() {
            to.add(at).write_unaligned(*item);
        }
    }
    end
}

fn open() -> RawFd {
    std::fs::File::open("/dev/null").unwrap().into_raw_fd()
}

/// Made by hand, so that Miri can run it, which knows no recvmsg(2).
#[test]
fn control_messages_of_all_lengths_are_taken() {
    const UNKNOWN: libc::c_int = 99;
    let mut control = [0_u64; 64];
    let mut end = put(&mut control, 0, libc::SCM_TIMESTAMPNS, &[0_u64, 0]);
    end = put(&mut control, end, UNKNOWN, b"not 8 bytes");
    let credentials = libc::ucred {
        pid: 1,
        uid: 2,
        gid: 3,
    };
    end = put(&mut control, end, libc::SCM_CREDENTIALS, &[credentials]);
    end = put(&mut control, end, SCM_PIDFD, &[-1]);
    end = put(&mut control, end, SCM_PIDFD, &[open()]);
    end = put(&mut control, end, libc::SCM_RIGHTS, &[open(), open()]);
    end = put(&mut control, end, libc::SCM_RIGHTS, &[open()]);
    // SAFETY: as in `recvmsg_uninit`.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = end as _;
    let mut message = RawMessage {
        length: 0,
        is_control_truncated: false,
        #[cfg(feature = "tokio")]
        has_control: true,
        descriptors: Vec::new(),
        credentials: None,
        pidfd: None,
        is_record: false,
        sender: None,
    };
    // SAFETY: the header is as the kernel would leave it.
    unsafe { take_control(&header, &mut message) };
    assert!(message.is_record);
    assert_eq!(message.descriptors.len(), 3);
    let found = message.credentials.unwrap();
    assert_eq!((found.pid, found.uid, found.gid), (1, 2, 3));
}

#[test]
fn addresses() {
    assert!(address(b"").is_none());
    let is = |found: Option<SocketAddrUnix>, expected: &SocketAddrUnix| {
        assert_eq!(found.as_ref(), Some(expected));
    };
    let abstract_name = SocketAddrUnix::new_abstract_name(b"a\0b").unwrap();
    is(address(b"\0a\0b"), &abstract_name);
    let path = SocketAddrUnix::new("/a").unwrap();
    is(address(b"/a\0"), &path);
    is(address(b"/a\0what a longer one has left"), &path);
    let longest = [b'x'; 108];
    is(
        address(&longest),
        &SocketAddrUnix::new(&longest[..]).unwrap(),
    );
}

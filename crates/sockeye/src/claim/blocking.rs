//! [`BlockingListener`]: a claimed stream socket for servers without a runtime.

use std::fmt;
use std::ops::Deref;
use std::os::unix::net::UnixListener;

use super::ownership::Ownership;

/// A blocking listener that owns its address; dropping it releases the address.
#[doc(alias = "UnixListener")]
#[must_use = "dropping it releases the address"]
pub struct BlockingListener {
    // Dropped in this order: the path is given up before the socket closes.
    ownership: Option<Ownership>,
    listener: UnixListener,
}

impl BlockingListener {
    pub(crate) fn new(ownership: Option<Ownership>, listener: UnixListener) -> Self {
        Self {
            ownership,
            listener,
        }
    }

    /// The listener of the standard library, if it owns no path: adopted or abstract.
    ///
    /// # Errors
    /// Returns itself where it owns a path, whose file nothing else would remove.
    pub fn into_std(self) -> Result<UnixListener, Box<Self>> {
        match self.ownership {
            None => Ok(self.listener),
            Some(_) => Err(Box::new(self)),
        }
    }
}

impl Deref for BlockingListener {
    type Target = UnixListener;

    fn deref(&self) -> &UnixListener {
        &self.listener
    }
}

impl fmt::Debug for BlockingListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlockingListener")
            .field(&self.listener)
            .finish()
    }
}

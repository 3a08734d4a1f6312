//! [`Environment`]: variables for a program.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The variables of a program, in order (environ(7)).
#[derive(Debug, Clone, Default)]
pub struct Environment {
    strings: Vec<CString>,
    own_pid: Option<&'static str>,
}

impl Environment {
    /// Adds a variable, which must not be there yet. A value ends before its first NUL byte.
    pub fn add(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref().as_bytes(), value.as_ref().as_bytes());
        let mut string = Vec::with_capacity(name.len() + value.len() + 2);
        string.extend_from_slice(name);
        string.push(b'=');
        string.extend(value.iter().take_while(|byte| **byte != 0));
        if let Ok(string) = CString::new(string) {
            self.strings.push(string);
        }
    }

    /// Adds a variable whose value is the pid of the program that gets it. There can be one.
    pub fn add_own_pid(&mut self, name: &'static str) {
        self.own_pid = Some(name);
    }

    pub(super) fn strings(&self) -> impl Iterator<Item = &CStr> {
        self.strings.iter().map(CString::as_c_str)
    }

    pub(super) fn own_pid(&self) -> Option<&'static str> {
        self.own_pid
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            environment.add(name, value);
        }
        environment
    }
}

//! [`WhyReport`]: what was checked, the verdict, and one hint.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sockeye::address::quoted;
use sockeye::inspect::BoundName;
use sockeye::{Address, Kind, Name};

use super::listener::Listener;
use super::user::User;
use crate::escape;
use crate::exit::Exit;
use crate::output::wrap::wrap;
use crate::output::{json, socket};

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Check {
    Length,
    Directory,
    Link,
    File,
    Permission,
    Kind,
    Listener,
    Process,
    Backlog,
    Namespace,
    Module,
    Connect,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it must be.
    Ok,
    /// The connect fails here.
    No,
    /// Worth knowing; the connect does not fail here.
    Note,
    /// It could not be checked.
    Unknown,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckedStep {
    check: Check,
    status: Status,
    text: String,
}

/// Whether a connect succeeds, why not, and what to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) exit: Exit,
    /// One stable word, for programs.
    pub(super) cause: Cow<'static, str>,
    pub(super) text: String,
    pub(super) advice: String,
}

impl Verdict {
    pub(super) fn new(
        exit: Exit,
        cause: &'static str,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            exit,
            cause: cause.into(),
            text: text.into(),
            advice: advice.into(),
        }
    }
}

/// All that was found. The texts are escaped already.
#[derive(Debug, Default)]
pub(super) struct WhyReport {
    steps: Vec<CheckedStep>,
    verdict: Option<Verdict>,
    listener: Option<Listener>,
    if_refused: Option<Verdict>,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    kind: &'static str,
    address: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_base64: Option<String>,
    uid: Option<u32>,
    user: Option<&'a str>,
    steps: &'a [CheckedStep],
    listener: Option<&'a Listener>,
    cause: &'a str,
    verdict: &'a str,
    advice: &'a str,
    exit: u8,
}

impl WhyReport {
    pub(super) fn step(&mut self, check: Check, status: Status, text: impl Into<String>) {
        self.steps.push(CheckedStep {
            check,
            status,
            text: text.into(),
        });
    }

    pub(super) fn ok(&mut self, check: Check, text: impl Into<String>) {
        self.step(check, Status::Ok, text);
    }

    pub(super) fn note(&mut self, check: Check, text: impl Into<String>) {
        self.step(check, Status::Note, text);
    }

    /// Reports a failed check. The kernel stops at the first one, so that decides.
    pub(super) fn no(&mut self, check: Check, text: impl Into<String>, verdict: Verdict) {
        self.step(check, Status::No, text);
        self.conclude(verdict);
    }

    pub(super) fn unknown(&mut self, check: Check, text: impl Into<String>, verdict: Verdict) {
        self.step(check, Status::Unknown, text);
        self.conclude(verdict);
    }

    /// Sets the verdict, unless there is one.
    pub(super) fn conclude(&mut self, verdict: Verdict) {
        self.verdict.get_or_insert(verdict);
    }

    /// Replaces the verdict: there is better evidence.
    pub(super) fn overrule(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
    }

    /// Sets the verdict for the case that `--connect` is refused.
    pub(super) fn set_if_refused(&mut self, verdict: Verdict) {
        self.if_refused = Some(verdict);
    }

    pub(super) fn take_if_refused(&mut self) -> Option<Verdict> {
        self.if_refused.take()
    }

    pub(super) fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    pub(super) fn set_listener(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    /// The steps since the last call, and the verdict.
    pub(super) fn take_news(&mut self) -> (Vec<CheckedStep>, Option<Verdict>) {
        (std::mem::take(&mut self.steps), self.verdict.take())
    }

    /// Adds the steps and the verdict of another report.
    pub(super) fn add_news(&mut self, (steps, verdict): (Vec<CheckedStep>, Option<Verdict>)) {
        self.steps.extend(steps);
        if let Some(verdict) = verdict {
            self.conclude(verdict);
        }
    }

    /// The exit code, once all is checked.
    pub(super) fn finish(&mut self, address: &Address) -> Exit {
        let verdict = self.verdict.get_or_insert_with(|| {
            Verdict::new(
                Exit::Done,
                "none",
                "a connect would succeed",
                format!(
                    "nothing prevents a connect to {}; if a client fails, look for the cause in the client",
                    address.quoted()
                ),
            )
        });
        verdict.exit
    }

    /// For people: wrapped to the width of the terminal, if standard output is one.
    pub(super) fn as_text(&self, address: &Address, width: Option<usize>) -> String {
        let width = width.unwrap_or(usize::MAX);
        let mut text = format!("{}\n", escape::address(&address.to_string()));
        let mut line = |line: &str, hang| {
            wrap(&mut text, line, width, hang);
            text.push('\n');
        };
        for step in &self.steps {
            let mark = match step.status {
                Status::Ok => "ok",
                Status::No => "NO",
                Status::Note => "--",
                Status::Unknown => "??",
            };
            line(&format!("  {mark}  {}", step.text), 6);
        }
        if let Some(verdict) = &self.verdict {
            line(&format!("verdict: {}", verdict.text), 2);
            line(&format!("advice: {}", verdict.advice), 2);
        }
        text
    }

    pub(super) fn as_json(&self, address: &Address, user: &User) -> io::Result<Vec<u8>> {
        let name = match address.name() {
            Name::Path(path) => Some(BoundName::Path(path.as_os_str().as_bytes().to_vec())),
            Name::Abstract(name) => Some(BoundName::Abstract(name.clone())),
            // An fd has no path.
            _ => None,
        };
        let verdict = self.verdict.as_ref();
        let shown = JsonReport {
            kind: socket::kind(address.kind()),
            address: name.as_ref().map(socket::json_address),
            address_base64: name.as_ref().and_then(socket::address_base64),
            uid: user.uid,
            user: user.name.as_deref(),
            steps: &self.steps,
            listener: self.listener.as_ref(),
            cause: verdict.map_or("", |verdict| &verdict.cause),
            verdict: verdict.map_or("", |verdict| &verdict.text),
            advice: verdict.map_or("", |verdict| &verdict.advice),
            exit: verdict.map_or(Exit::Done, |verdict| verdict.exit) as u8,
        };
        let mut line = Vec::new();
        json::line(&mut line, &shown)?;
        Ok(line)
    }
}

/// A path in a line of the report.
pub(super) fn shown(path: &Path) -> impl Display {
    quoted(path)
}

/// The verdict on a socket file that no socket is bound to.
pub(super) fn stale() -> Verdict {
    Verdict::new(
        Exit::NothingThere,
        "stale",
        "the socket file is stale: nobody listens on it, its server ended without removing it",
        "start the server; remove the file first if it then says that the address is in use",
    )
}

/// The address with another kind, as an argument.
pub(super) fn with_kind(address: &Address, kind: Kind) -> String {
    let name = match address.name() {
        Name::Path(path) => Name::Path(OsStr::from_bytes(path.as_os_str().as_bytes()).into()),
        other => other.clone(),
    };
    let written = Address::new(kind, &name).map(|address| address.shell_quoted());
    written.unwrap_or_default()
}

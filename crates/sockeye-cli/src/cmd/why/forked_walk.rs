//! The walk along a path in a copy of this process, since a file system on it may hang.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sockeye::inspect::{ForkedWorker, Mount};

use super::path;
use super::report::{Check, CheckedStep, Verdict, WhyReport, shown};
use super::user::User;
use super::walk_end::{HUNG, WalkEnd};
use crate::cmd::hung::{self, path_bytes};
use crate::exit::Exit;

/// A message of the copy: what it found, and what it looks at next, or where the walk ended.
#[derive(Serialize, Deserialize)]
struct WalkProgress {
    found: (Vec<CheckedStep>, Option<Verdict>),
    #[serde(with = "path_bytes")]
    next: PathBuf,
    end: Option<WalkEnd>,
}

/// Walks the path, unless a file system on it hangs.
pub(super) fn walk(path: &Path, user: &User, report: &mut WhyReport) -> std::io::Result<WalkEnd> {
    let mut worker = ForkedWorker::start(|results| {
        let mut send = |report: &mut WhyReport, next: &Path, end| {
            let news = WalkProgress {
                found: report.take_news(),
                next: next.to_owned(),
                end,
            };
            results.send(&serde_json::to_vec(&news).unwrap_or_default());
        };
        let mut report = WhyReport::default();
        let end = path::walk(path, user, &mut report, |report, next| {
            send(report, next, None);
        });
        send(&mut report, path, Some(end));
    })?;
    let deadline = Instant::now() + hung::DEADLINE;
    let mut next = path.to_owned();
    loop {
        let news = match worker.next(deadline) {
            Ok(Some(news)) => serde_json::from_slice::<WalkProgress>(&news)?,
            Ok(None) => return Err(std::io::Error::other("the process that looked has ended")),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                is_hung(&next, report);
                return Ok(WalkEnd::Hung);
            }
            Err(error) => return Err(error),
        };
        report.add_news(news.found);
        if let Some(end) = news.end {
            return Ok(end);
        }
        next = news.next;
    }
}

fn is_hung(path: &Path, report: &mut WhyReport) {
    let mount = Mount::of(path);
    let file_system = hung::file_system(mount.as_ref());
    let path = shown(path);
    let text = format!("{path} could not be looked at: {file_system} does not answer");
    let verdict = Verdict::new(
        Exit::Incomplete,
        HUNG,
        format!("unknown: {text}, and a connect would hang as well"),
        hung::advice(mount.as_ref()),
    );
    report.unknown(Check::File, text, verdict);
}

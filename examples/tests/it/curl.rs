//! curl(1).

use crate::support::{Running, peer};

/// The body and, in a line of its own, the status; `None` where there is no curl.
#[track_caller]
pub(crate) fn curl(socket: &str, arguments: &[&str]) -> Option<Vec<String>> {
    curl_as(&[], socket, arguments)
}

/// As [`curl`], through a command that starts it as another user.
#[track_caller]
pub(crate) fn curl_as(user: &[&str], socket: &str, arguments: &[&str]) -> Option<Vec<String>> {
    let mut command = peer(user.first().unwrap_or(&"curl"))?;
    if !user.is_empty() {
        peer("curl")?;
        command.args(&user[1..]).arg("curl");
    }
    let options = ["-sS", "-w", "\n%{http_code}", "--unix-socket", socket];
    let mut lines = Running::start(command.args(options).args(arguments)).rest();
    // The body may end with a newline of its own.
    lines.retain(|line| !line.is_empty());
    Some(lines)
}

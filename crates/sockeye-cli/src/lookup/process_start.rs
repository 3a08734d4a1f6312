//! Since when a process runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When a process started, to a hundredth of a second (proc_pid_stat(5)).
pub(crate) fn started(pid: i32) -> Option<SystemTime> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let ticks = start_ticks(&stat)?;
    let boot = boot_time(&std::fs::read_to_string("/proc/stat").ok()?)?;
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let since_boot = Duration::from_secs(ticks.checked_div(ticks_per_second)?);
    UNIX_EPOCH.checked_add(Duration::from_secs(boot) + since_boot)
}

/// Field 22. The name in parentheses may hold anything, parentheses too.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    let after = stat.rsplit(|&byte| byte == b')').next()?;
    let mut fields = str::from_utf8(after).ok()?.split_whitespace();
    fields.nth(19)?.parse().ok()
}

fn boot_time(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_passed_over() {
        let stat = b"7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1\n";
        assert_eq!(start_ticks(stat), Some(4711));
        assert_eq!(start_ticks(b""), None);
    }

    #[test]
    fn this_process_runs_since_a_while_ago() {
        let pid = rustix::process::getpid().as_raw_pid();
        let started = started(pid).unwrap();
        assert!(started < SystemTime::now() + Duration::from_secs(2));
        assert!(started > UNIX_EPOCH);
    }
}

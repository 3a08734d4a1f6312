//! Processor time and memory from `/proc`.

use anyhow::Context;
use rustix::io::Errno;
use std::fs;
use std::time::Duration;

/// User and system time that a process, all its threads together, and the children that it has waited for have used
/// since its start, in clock ticks.
pub(crate) fn cpu_ticks(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse_cpu_ticks(&text).with_context(|| format!("cannot understand {path}"))
}

/// The process name may hold spaces and brackets, so fields are counted from the last bracket.
fn parse_cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    // utime stime cutime cstime
    (0..4).map(|_| fields.next()?.parse::<u64>().ok()).sum()
}

/// Processes that a process has started and that are still there.
pub(crate) fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let children: Result<_, _> = text.split_ascii_whitespace().map(str::parse).collect();
    children.with_context(|| format!("cannot understand {path}"))
}

/// As [`cpu_ticks`] without the children, to the nanosecond, of the threads that are still there.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(&path).with_context(|| format!("cannot read {path}"))? {
        let path = task?.path().join("schedstat");
        let shown = path.display();
        let text = match fs::read_to_string(&path) {
            // It has ended meanwhile: before its file was opened, or after.
            Err(error)
                if [Some(Errno::NOENT), Some(Errno::SRCH)]
                    .contains(&Errno::from_io_error(&error)) =>
            {
                continue;
            }
            text => text.with_context(|| format!("cannot read {shown}"))?,
        };
        let nanos = text.split_ascii_whitespace().next();
        let nanos = nanos.and_then(|nanos| nanos.parse().ok());
        sum += Duration::from_nanos(nanos.with_context(|| format!("cannot understand {shown}"))?);
    }
    Ok(sum)
}

/// Time that the whole machine was busy since it booted, stolen time included, in clock ticks.
pub(crate) fn machine_ticks() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    parse_machine_ticks(&text).context("cannot understand /proc/stat")
}

fn parse_machine_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = fields
        .split_ascii_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    // user nice system idle iowait irq softirq steal
    let [user, nice, system, _, _, irq, softirq, steal, ..] = fields[..] else {
        return None;
    };
    Some(user + nice + system + irq + softirq + steal)
}

/// Resident memory of a process, in bytes. The kernel's counter may be off by some hundred KiB, which is little beside
/// ten thousand connections.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse_resident_bytes(&text).with_context(|| format!("no VmRSS in {path}"))
}

fn parse_resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 50 30 20 20 0";
        assert_eq!(parse_cpu_ticks(stat), Some(250));
    }

    #[test]
    fn idle_time_is_not_busy_time() {
        let stat = "cpu  10 1 20 9999 8888 2 3 4 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(parse_machine_ticks(stat), Some(40));
    }

    #[test]
    fn resident_memory_is_in_kib() {
        let status = "Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t  512 kB\n";
        assert_eq!(parse_resident_bytes(status), Some(512 * 1024));
    }

    #[test]
    fn our_own_process_can_be_read() {
        assert!(cpu_ticks(std::process::id()).is_ok());
        assert!(cpu_time(std::process::id()).unwrap() > Duration::ZERO);
        assert!(machine_ticks().unwrap() > 0);
        assert!(resident_bytes(std::process::id()).unwrap() > 0);
    }
}

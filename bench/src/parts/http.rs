//! HTTP: axum's Router through `http::serve` and through `axum::serve`, and nginx.

use crate::client::AnswerKind;
use crate::contestants::Contestant;
use crate::goal::{Bound, Goal};
use crate::idlers::{CONNECTIONS, Idlers};
use crate::interrupt::Interrupt;
use crate::load;
use crate::procfs;
use crate::results_page::ResultsPage;
use crate::results_table::{ResultColumn, ResultsTable, processor_times_at_the_limit};
use crate::rounds::Harness;
use crate::server::RunningServer;
use crate::tools::Tools;
use std::fmt;
use std::time::Duration;

const SOCKEYE: &str = "http::serve";
const AXUM: &str = "axum::serve";

/// How long a server may take to free memory once its connections are idle.
const SETTLE: Duration = Duration::from_millis(500);

/// Writes a configuration beside the socket, whose path is `$0`. One process, so that its memory and its
/// processor time are found.
const NGINX: &str = r#"
directory=$(dirname "$0")
cat > "$directory/nginx.conf" <<END
daemon off; master_process off; pid $directory/pid; error_log stderr error;
events { worker_connections 20000; }
http {
  access_log off; keepalive_timeout 1h; keepalive_requests 1000000000;
  server {
    listen unix:$0;
    location / {
      default_type text/plain;
      return 200 "................................................................";
    }
  }
}
END
exec nginx -p "$directory" -c "$directory/nginx.conf"
"#;

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    let library = |name, server| {
        Ok(Contestant::new(name, &tools.http_server, AnswerKind::Http).arguments(&[server]))
    };
    let contestants = harness.try_out([
        library(SOCKEYE, "sockeye"),
        library(AXUM, "axum"),
        Ok(Contestant::new("nginx", "sh", AnswerKind::Http).arguments(&["-c", NGINX])),
    ])?;
    for connections in [16, 256] {
        let title = format!("GET of 64 bytes, keep-alive, {connections} connections");
        let results = harness.compare_rates(&title, &contestants, |server, _| {
            load::of_http(server, connections, harness.interrupt)
        })?;
        let found = results.ratios(SOCKEYE, AXUM, |sample| sample.rate);
        let instead = processor_times_at_the_limit(&results, SOCKEYE, AXUM);
        let goal = Goal::new(format!("rate to {AXUM}"), found, Bound::AtLeast(1.0));
        let goal = goal.or_processor_time(instead, Bound::AtMost(1.0));
        let note = "the same Router in both; nginx has one process, for information";
        report.add(
            ResultsTable::of_rates(title, &results)
                .note(note)
                .goal(goal),
        );
    }
    let title = format!("resident memory of {CONNECTIONS} idle HTTP connections");
    let results = harness.compare(&title, &contestants, |server, _| {
        weigh(server, harness.interrupt)
    })?;
    let columns = [ResultColumn {
        head: "fresh",
        width: 9,
        decimals: 0,
        figure: &|entry| entry.median(|memory: &IdleMemory| memory.fresh),
    }];
    let found = results.spread(SOCKEYE, IdleMemory::idle);
    let table = ResultsTable::new(title, "bytes", 0, &results, IdleMemory::idle, &columns)
        .note("bytes of each connection after one request, and before it")
        .goal(Goal::new("bytes of each", found, Bound::AtMost(4096.0)));
    report.add(table);
    Ok(())
}

/// Resident memory of a connection, in bytes.
struct IdleMemory {
    /// It has said nothing yet.
    fresh: f64,
    /// It has had one answer.
    idle: f64,
}

impl IdleMemory {
    fn idle(&self) -> f64 {
        self.idle
    }
}

impl fmt::Display for IdleMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} bytes each, fresh {:.0}", self.idle, self.fresh)
    }
}

fn weigh(server: &RunningServer, interrupt: &Interrupt) -> anyhow::Result<IdleMemory> {
    let resident = || anyhow::Ok(procfs::resident_bytes(server.pid())? as f64);
    let before = resident()?;
    let fresh = Idlers::open_silent(server, CONNECTIONS, interrupt)?;
    interrupt.sleep(SETTLE)?;
    let of_fresh = (resident()? - before) / CONNECTIONS as f64;
    fresh.check()?;
    fresh.exchange_each(AnswerKind::Http, interrupt)?;
    interrupt.sleep(SETTLE)?;
    let idle = (resident()? - before) / CONNECTIONS as f64;
    fresh.check()?;
    Ok(IdleMemory {
        fresh: of_fresh,
        idle,
    })
}

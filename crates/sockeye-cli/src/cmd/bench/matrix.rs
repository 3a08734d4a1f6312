//! The measurements of each kind with each size and number of connections.

use std::time::Duration;

use sockeye::address::quoted;
use tempfile::TempDir;

use super::exchange::BenchExchange;
use super::load::{Load, LoadOptions};
use super::report::BenchReport;
use super::request::{self, CustomRequest};
use super::servers::EchoServer;
use super::socket::BenchTarget;
use super::stop::StopSignal;
use super::{MeasuringTimes, complaint};
use crate::args::Bench;
use crate::exit::{Exit, failure};
use crate::output::figures::{self, Conversations, RoundTrips};

/// About a minute, with the start of the servers.
const OWN_BUDGET: Duration = Duration::from_secs(56);
/// At most 20 seconds.
const FOREIGN_BUDGET: Duration = Duration::from_secs(18);
/// Concurrent conversations, at most: enough to keep a server busy.
const CONVERSATIONS: u32 = 16;

pub(super) fn run(args: &Bench, stop: &StopSignal, report: &mut BenchReport) -> anyhow::Result<()> {
    let custom = match &args.address {
        Some(server) => request::of(args, server)?,
        None => None,
    };
    let sizes = match &custom {
        None => args.sizes(),
        // One, whatever its size.
        Some(_) => vec![0],
    };
    let mut servers = ServersUnderTest::start(args, &sizes)?;
    measure(
        args,
        custom.as_ref(),
        &sizes,
        &servers.targets,
        stop,
        report,
    )
    .map_err(|error| servers.blame(error))
}

fn measure(
    args: &Bench,
    custom: Option<&CustomRequest>,
    sizes: &[usize],
    targets: &[BenchTarget],
    stop: &StopSignal,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    let counts = args.connections();
    let steps = targets.len() * (sizes.len() * counts.len() + 1);
    let budget = match args.address {
        None => OWN_BUDGET,
        Some(_) => FOREIGN_BUDGET,
    };
    let times = MeasuringTimes::new(args.time, budget, steps);
    report.expect(steps);

    let exchange = |target, size| exchange_with(args, custom, target, size);
    let options = |connections: u32| LoadOptions {
        connections: connections as usize,
        rate: args.rate,
        busy_poll: args.busy_poll,
        reconnect: false,
    };
    for &size in sizes {
        for &connections in &counts {
            for target in targets {
                let transport = target.endpoint.transport();
                let exchange = exchange(target, size);
                let (size, counts_errors) = (exchange.size(), exchange.counts_errors());
                report.begin(&format!(
                    "{} {} x {connections}",
                    transport.name(),
                    figures::size(size)
                ));
                let mut load = Load::new(target, exchange, options(connections), stop)?;
                load.run(times.warm_up)?;
                let sample = load.run(times.time)?;
                report.remark(target, &sample);
                let found = RoundTrips::new(
                    transport.name(),
                    (transport, size, connections),
                    sample.rate(),
                    &sample.latency,
                );
                let errors = counts_errors.then(|| sample.errors.values().sum());
                report.round_trips(found.with_errors(errors))?;
            }
        }
    }
    let at_a_time = counts.iter().filter(|&&count| count <= CONVERSATIONS);
    let at_a_time = at_a_time.max().copied().unwrap_or(CONVERSATIONS);
    let smallest = sizes.iter().min().copied().unwrap_or_default();
    for target in targets {
        let kind = target.endpoint.transport();
        report.begin(&format!("{} connections", kind.name()));
        let options = LoadOptions {
            rate: None,
            reconnect: true,
            ..options(at_a_time)
        };
        let mut load = Load::new(target, exchange(target, smallest), options, stop)?;
        load.run(times.warm_up)?;
        let sample = load.run(times.time)?;
        report.conversations(Conversations::new(kind, sample.rate()))?;
    }
    Ok(())
}

fn exchange_with(
    args: &Bench,
    custom: Option<&CustomRequest>,
    target: &BenchTarget,
    size: usize,
) -> BenchExchange {
    match custom {
        None => BenchExchange::echo(size, args.framing()),
        Some(custom) => BenchExchange::custom(custom, target.endpoint.transport(), args.framing()),
    }
}

/// Our echo servers and their directory, or the server of the user.
struct ServersUnderTest {
    targets: Vec<BenchTarget>,
    // Dropped in this order.
    servers: Vec<EchoServer>,
    _directory: Option<TempDir>,
}

impl ServersUnderTest {
    fn start(args: &Bench, sizes: &[usize]) -> anyhow::Result<Self> {
        if let Some(endpoint) = &args.address {
            return Ok(Self {
                targets: vec![BenchTarget::new(endpoint.clone())?],
                servers: Vec::new(),
                _directory: None,
            });
        }
        let directory = tempfile::Builder::new()
            .prefix("sockeye-bench-")
            .tempdir()
            .map_err(|error| {
                let place = std::env::temp_dir();
                let place = quoted(&place);
                failure(
                    Exit::Failed,
                    format!(
                        "cannot make a directory for sockets in {place}: {error}; set TMPDIR to one that you may write"
                    ),
                )
            })?;
        let largest = sizes.iter().max().copied().unwrap_or_default();
        let mut servers = Vec::new();
        let mut targets = Vec::new();
        for kind in args.kinds() {
            let server = EchoServer::start(kind, directory.path(), largest, args.busy_poll)?;
            targets.push(BenchTarget::new(server.endpoint.clone())?);
            servers.push(server);
        }
        Ok(Self {
            targets,
            servers,
            _directory: Some(directory),
        })
    }

    /// If an echo server of ours has ended, that is the better explanation.
    fn blame(&mut self, error: anyhow::Error) -> anyhow::Error {
        let mut servers = self.servers.iter_mut();
        let ended = servers.find_map(|server| {
            server
                .ended()
                .map(|status| (server.endpoint.clone(), status))
        });
        match ended {
            Some((endpoint, status)) => complaint(
                Exit::Failed,
                &endpoint,
                &format!("the echo server there has ended ({status})"),
                "look at what ended it, and start the bench again",
            ),
            None => error,
        }
    }
}

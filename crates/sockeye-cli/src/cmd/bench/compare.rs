//! Two servers in turn. Absolute times are not stable on a shared machine; the ratio of two that
//! were taken one after the other is.

use std::time::Duration;

use super::Times;
use super::exchange::Exchange;
use super::load::{Load, Manner};
use super::report::Report;
use super::sample::Sample;
use super::socket::Target;
use super::stop::Stop;
use crate::args::{Bench, Endpoint};
use crate::output::figures::{Ratio, RoundTrips};

/// An odd number has a median.
const PAIRS: usize = 15;
const BUDGET: Duration = Duration::from_secs(18);

pub(super) fn run(
    args: &Bench,
    servers: [&Endpoint; 2],
    stop: &Stop,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (size, connections) = args.single()?;
    let manner = Manner {
        connections: connections as usize,
        rate: None,
        busy_poll: args.busy_poll,
        reconnect: false,
    };
    let times = Times::new(args.time, BUDGET, 2 * PAIRS);
    let [a, b] = servers;
    let targets = [Target::new(a.clone())?, Target::new(b.clone())?];
    let side = |target| Side::new(target, args, size, manner, stop);
    let mut sides = [side(&targets[0])?, side(&targets[1])?];
    report.expect(2 * PAIRS);
    let mut ratios = Vec::with_capacity(PAIRS);
    for pair in 0..PAIRS {
        let mut rates = [0.0; 2];
        // Each begins as often as the other.
        for at in [pair % 2, (pair + 1) % 2] {
            let side = &mut sides[at];
            report.begin(&side.target.endpoint.to_string());
            rates[at] = side.turn(times)?;
        }
        ratios.push(rates[0] / rates[1]);
    }
    for Side {
        target,
        size,
        total,
        ..
    } in &sides
    {
        report.remark(target, total);
        report.side(RoundTrips::new(
            &target.endpoint.to_string(),
            (target.endpoint.transport(), *size, connections),
            total.rate(),
            &total.latency,
        ));
    }
    report.ratio(Ratio::new(ratios))
}

struct Side<'a> {
    target: &'a Target,
    size: usize,
    load: Load<'a>,
    total: Sample,
}

impl<'a> Side<'a> {
    fn new(
        target: &'a Target,
        args: &Bench,
        size: usize,
        manner: Manner,
        stop: &'a Stop,
    ) -> anyhow::Result<Self> {
        let exchange = match args.question() {
            None => Exchange::echo(size),
            Some(question) => Exchange::question(question, target.endpoint.transport()),
        };
        Ok(Self {
            target,
            size: exchange.size(),
            load: Load::new(target, exchange, manner, stop)?,
            total: Sample::new()?,
        })
    }

    /// Requests a second of one turn.
    fn turn(&mut self, times: Times) -> anyhow::Result<f64> {
        self.load.run(times.warm_up)?;
        let sample = self.load.run(times.time)?;
        self.total.add(&sample)?;
        Ok(sample.rate())
    }
}

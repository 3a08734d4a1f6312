//! `--compare`: two servers in turn. Absolute times are not stable on a shared machine; the ratio of two
//! measurements, one right after the other, is.

use std::time::Duration;

use super::MeasuringTimes;
use super::exchange::BenchExchange;
use super::load::{Load, LoadOptions};
use super::report::BenchReport;
use super::request;
use super::sample::Sample;
use super::socket::BenchTarget;
use super::stop::StopSignal;
use crate::args::{Bench, Endpoint};
use crate::output::figures::{Ratio, RoundTrips};

/// An odd number has a median.
const PAIRS: usize = 15;
/// Turns are interleaved in slices, so that a longer disturbance of the machine affects both servers.
const SLICE: Duration = Duration::from_millis(20);
const BUDGET: Duration = Duration::from_secs(18);

pub(super) fn run(
    args: &Bench,
    servers: [&Endpoint; 2],
    stop: &StopSignal,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    let (size, connections) = args.single()?;
    let options = LoadOptions {
        connections: connections as usize,
        rate: None,
        busy_poll: args.busy_poll,
        reconnect: false,
    };
    let times = MeasuringTimes::new(args.time, BUDGET, 2 * PAIRS);
    let targets = servers.map(|server| BenchTarget::new(server.clone()));
    let [a, b] = targets;
    let targets = [a?, b?];
    let exchange = |target: &BenchTarget| {
        let custom = request::of(args, &target.endpoint)?;
        anyhow::Ok(match &custom {
            None => BenchExchange::echo(size, args.framing()),
            Some(custom) => {
                BenchExchange::custom(custom, target.endpoint.transport(), args.framing())
            }
        })
    };
    let side = |target| Side::new(target, exchange(target)?, options, stop);
    let mut sides = [side(&targets[0])?, side(&targets[1])?];
    report.expect(PAIRS);
    let mut ratios = Vec::with_capacity(PAIRS);
    let mut measured = Ok(());
    while ratios.len() < PAIRS && measured.is_ok() {
        let [a, b] = servers;
        report.begin(&format!("{a} and {b}"));
        measured = pair(&mut sides, times).map(|ratio| ratios.push(ratio));
    }
    // The pairs before an error are valid.
    if !ratios.is_empty() {
        report_sides(&sides, connections, ratios, report)?;
    }
    measured
}

/// One turn of each; the ratio of their requests a second.
fn pair(sides: &mut [Side<'_>; 2], times: MeasuringTimes) -> anyhow::Result<f64> {
    let mut turns = [Sample::new()?, Sample::new()?];
    for side in sides.iter_mut() {
        side.load.run(times.warm_up)?;
    }
    let mut left = times.time;
    // Each is first as often as the other.
    for order in [[0, 1], [1, 0]].into_iter().cycle() {
        let slice = left.min(SLICE);
        for at in order {
            turns[at].add(&sides[at].load.run(slice)?)?;
        }
        left -= slice;
        if left.is_zero() {
            break;
        }
    }
    for (side, turn) in sides.iter_mut().zip(&turns) {
        side.total.add(turn)?;
    }
    Ok(turns[0].rate() / turns[1].rate())
}

fn report_sides(
    sides: &[Side<'_>; 2],
    connections: u32,
    ratios: Vec<f64>,
    report: &mut BenchReport,
) -> anyhow::Result<()> {
    for Side {
        target,
        size,
        counts_errors,
        total,
        ..
    } in sides
    {
        report.remark(target, total);
        let errors = counts_errors.then(|| total.errors.values().sum());
        let found = RoundTrips::new(
            &target.endpoint.to_string(),
            (target.endpoint.transport(), *size, connections),
            total.rate(),
            &total.latency,
        );
        report.side(found.with_errors(errors));
    }
    let [a, b] = sides;
    report.ratio(Ratio::new(ratios, a.total.rate() / b.total.rate()))
}

struct Side<'a> {
    target: &'a BenchTarget,
    size: usize,
    counts_errors: bool,
    load: Load<'a>,
    total: Sample,
}

impl<'a> Side<'a> {
    fn new(
        target: &'a BenchTarget,
        exchange: BenchExchange,
        options: LoadOptions,
        stop: &'a StopSignal,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            target,
            size: exchange.size(),
            counts_errors: exchange.counts_errors(),
            load: Load::new(target, exchange, options, stop)?,
            total: Sample::new()?,
        })
    }
}

//! Plays the clients of a recording: connections in their order, and the report.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use sockeye::server::{ShutdownSignal, shutdown_signal};
use sockeye::{Address, ConnectError, Name};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep_until;
use tracing::{info, warn};

use super::client_script::Outcome;
use super::mask::Masks;
use super::pace::Pace;
use super::player::{PlayError, Player};
use super::progress::ReplayProgress;
use super::recording::{LeftOut, Selection, ended, select};
use crate::args::{ReplayArgs, Speed};
use crate::cmd::descriptor_limit;
use crate::cmd::hung;
use crate::cmd::listening::failures::cannot_start;
use crate::cmd::listening::startup;
use crate::exit::{Exit, by_signal, failure};
use crate::output::bytes;
use crate::output::replay::Difference;
use crate::stdio;
use crate::stdio::log::LineQuota;

/// How many connections are open at a time, unless that is given.
const MOST_OPEN: usize = 256;

/// How many differences are printed; the others are counted.
const MOST_DIFFERENCES: u64 = 10;

pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<Exit> {
    let address = Address::clone(&args.address);
    if !matches!(address.name(), Name::Path(_) | Name::Abstract(_)) {
        let address = address.quoted();
        return Err(failure(
            Exit::Usage,
            format!(
                "cannot replay at {address}: it names one socket, and a recording has many connections; give a path or @name"
            ),
        ));
    }
    let masks = args.check.then(|| Masks::new(&args.masks)).transpose()?;
    if let Some(path) = address.path() {
        let time = args.connect_timeout;
        hung::must_answer("connect to", &address, &[path], time, |_| {})?;
    }
    let selection = select(args, address.kind())?;
    descriptor_limit::raise(None);
    let name = address.quoted().to_string();
    startup::can_start(&name, false)?;
    startup::runtime(&name, 1)?.block_on(async {
        let signals = shutdown_signal().map_err(|error| cannot_start(&name, &error))?;
        let playback = Playback::new(args, address, &selection, masks);
        playback.run(selection, signals).await
    })
}

struct Playback {
    player: Arc<Player>,
    progress: ReplayProgress,
    most_open: usize,
    playing: JoinSet<Result<Outcome, PlayError>>,
    /// Which connections are being played, and when they end in the recording.
    open: HashMap<Id, (usize, Option<Duration>)>,
    counted: Counted,
    log: LineQuota,
    /// Why no more connections are begun.
    connect_error: Option<ConnectError>,
    output: anyhow::Result<()>,
}

#[derive(Default)]
struct Counted {
    connections: u64,
    different: u64,
    timed_out: u64,
    failed: u64,
}

impl Playback {
    fn new(
        args: &ReplayArgs,
        address: Address,
        selection: &Selection,
        masks: Option<Masks>,
    ) -> Self {
        let connections = selection.recording.connections();
        let numbers = &selection.numbers;
        let first = numbers.first().map(|&number| connections[number].time());
        let speed = args.speed.unwrap_or(Speed::RECORDED);
        let player = Arc::new(Player {
            recording: Arc::clone(&selection.recording),
            address,
            connector: args.connector(),
            pace: Pace::new(speed, first.unwrap_or_default()),
            timeout: args.timeout,
            masks: masks.map(Arc::new),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        });
        Self {
            progress: ReplayProgress::new(&player, numbers),
            player,
            most_open: args.listen.max_connections.unwrap_or(MOST_OPEN),
            playing: JoinSet::new(),
            open: HashMap::new(),
            counted: Counted::default(),
            log: LineQuota::new(),
            connect_error: None,
            output: Ok(()),
        }
    }

    async fn run(
        mut self,
        selection: Selection,
        mut signals: ShutdownSignal,
    ) -> anyhow::Result<Exit> {
        let progress = self.progress.clone();
        let ended_by = tokio::select! {
            biased;
            signal = signals.next() => Some(signal),
            () = self.play_all(&selection.numbers) => None,
            () = progress.show() => None,
        };
        self.playing.shutdown().await;
        progress.finish();
        self.log.tell_rest();
        // Where nothing could be played, the error says all.
        if self.counted.connections > 0 || self.connect_error.is_none() {
            self.report(&selection.left_out, ended_by);
        }
        self.output?;
        if let Some(signal) = ended_by {
            return Err(by_signal(signal));
        }
        if let Some(error) = self.connect_error {
            return Err(error.into());
        }
        Ok(match &self.counted {
            counted if counted.different + counted.failed > 0 => Exit::Failed,
            counted if counted.timed_out > 0 => Exit::TimedOut,
            _ if !selection.is_complete() => Exit::Incomplete,
            _ => Exit::Done,
        })
    }

    /// Begins each connection when it is due, and waits for the end of all.
    async fn play_all(&mut self, numbers: &[usize]) {
        for &number in numbers {
            let connection = &self.player.recording.connections()[number];
            let (begins, ends) = (connection.time(), ended(connection));
            while self.playing.len() >= self.most_open || self.is_open_before(begins) {
                self.wait_for_one().await;
            }
            while let Some(due) = self.player.pace.not_yet(begins) {
                tokio::select! {
                    () = sleep_until(due) => {}
                    Some(joined) = self.playing.join_next_with_id() => self.count(joined),
                }
            }
            if self.is_over() {
                break;
            }
            let player = Arc::clone(&self.player);
            let task = self.playing.spawn(async move { player.play(number).await });
            self.open.insert(task.id(), (number, ends));
        }
        while !self.playing.is_empty() {
            self.wait_for_one().await;
        }
    }

    /// Whether a connection is open that had ended in the recording before this time: what begins then
    /// may depend on it.
    fn is_open_before(&self, begins: Duration) -> bool {
        let has_ended =
            |(_, ends): &(usize, Option<Duration>)| ends.is_some_and(|ends| ends < begins);
        self.open.values().any(has_ended)
    }

    /// Whether nothing more is begun.
    fn is_over(&self) -> bool {
        self.connect_error.is_some() || self.output.is_err()
    }

    async fn wait_for_one(&mut self) {
        if let Some(joined) = self.playing.join_next_with_id().await {
            self.count(joined);
        }
    }

    fn count(&mut self, joined: Result<(Id, Result<Outcome, PlayError>), JoinError>) {
        let (id, played) = match joined {
            Ok((id, played)) => (id, played),
            // It was ended by a signal, and a panic has been printed.
            Err(error) => (error.id(), Ok(Outcome::Failed("it was aborted".to_owned()))),
        };
        let Some((number, _)) = self.open.remove(&id) else {
            return;
        };
        self.counted.connections += 1;
        match played {
            Ok(Outcome::Played) => {}
            Ok(Outcome::Different(difference)) => {
                self.counted.different += 1;
                self.print(number, &difference);
            }
            Ok(Outcome::TimedOut(text, difference)) => {
                self.counted.timed_out += 1;
                self.complain(number, &text);
                if let Some(difference) = difference {
                    self.print(number, &difference);
                }
            }
            Ok(Outcome::Failed(text)) => {
                self.counted.failed += 1;
                self.complain(number, &text);
            }
            Err(PlayError::Connect(error)) => {
                self.counted.connections -= 1;
                self.connect_error.get_or_insert(error);
            }
            Err(error) => {
                self.counted.failed += 1;
                self.complain(number, &error.to_string());
            }
        }
    }

    /// Prints a difference, if it is one of the first.
    fn print(&mut self, number: usize, difference: &Difference) {
        if self.counted.different + self.counted.timed_out > MOST_DIFFERENCES {
            return;
        }
        let place = difference.place("the answer");
        let text = format!(
            "connection {number} differs at {place}\n{}",
            difference.draw()
        );
        let printed = self.progress.suspend(|| stdio::print(text.as_bytes()));
        if printed.is_err() && self.output.is_ok() {
            self.output = printed;
        }
    }

    fn complain(&self, number: usize, text: &str) {
        if self.log.pass() {
            let warn = || warn!("connection {number}: {text}");
            self.progress.suspend(warn);
        }
    }

    fn report(&self, left_out: &LeftOut, ended_by: Option<Signal>) {
        let Counted {
            connections,
            different,
            timed_out,
            failed,
        } = self.counted;
        let [sent, received] = [&self.player.sent, &self.player.received]
            .map(|count| bytes(count.load(Ordering::Relaxed) as usize));
        let mut text = format!(
            "{}: {sent} sent, {received} received",
            replayed(connections)
        );
        let checks = self.player.masks.is_some();
        for (count, what) in [
            (different, "different"),
            (timed_out, "timed out"),
            (failed, "failed"),
        ] {
            if count > 0 || (checks && what == "different") {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        if !left_out.is_none() {
            text.push_str(&format!("; {left_out}"));
        }
        let left = self.open.len();
        if let Some(signal) = ended_by {
            let name = if signal == Signal::INT {
                "SIGINT"
            } else {
                "SIGTERM"
            };
            text.push_str(&format!("; ended by {name}, {left} were open"));
        }
        info!("{text}");
    }
}

fn replayed(connections: u64) -> String {
    match connections {
        1 => "replayed 1 connection".to_owned(),
        _ => format!("replayed {connections} connections"),
    }
}

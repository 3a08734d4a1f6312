//! Servers that take turns: A B C, C B A, and so on. Each round has new processes, so that luck in where their memory
//! lies is not the same luck in every round, and nobody always comes after the same one.

use crate::child;
use crate::lineup::{Lineup, Missing};
use crate::meter::{Noise, Sample};
use crate::peer::Peer;
use crate::series::Series;
use crate::server::Server;
use crate::shift::Shift;
use crate::stop::Stop;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

/// Everything that stays the same from one contest to the next.
#[derive(Clone, Copy)]
pub(crate) struct Arena<'a> {
    pub(crate) rounds: usize,
    /// The length of a turn.
    pub(crate) turn: Duration,
    /// For sockets and logs.
    pub(crate) directory: &'a Path,
    pub(crate) stop: &'a Stop,
}

/// How long one works before it is another's turn, where all are there at once.
const SLICE: Duration = Duration::from_millis(20);

/// One contestant in one round that works a slice at a time.
pub(crate) trait Stint {
    type Result: Display;

    fn go_on(&mut self, time: Duration) -> anyhow::Result<()>;

    fn end(self) -> anyhow::Result<Self::Result>;
}

/// What one of them has shown, one result from each round.
pub(crate) struct Entry<T> {
    pub(crate) name: &'static str,
    pub(crate) results: Vec<T>,
    /// Cores that others kept busy meanwhile, one figure from each round.
    pub(crate) noise: Vec<f64>,
}

impl<T> Entry<T> {
    /// One figure of each result.
    pub(crate) fn figures(&self, figure: impl Fn(&T) -> f64) -> Vec<f64> {
        self.results.iter().map(figure).collect()
    }

    pub(crate) fn median(&self, figure: impl Fn(&T) -> f64) -> Option<f64> {
        Series::new(self.figures(figure)).map(|series| series.median())
    }
}

/// What came of a contest.
pub(crate) struct Outcome<T> {
    pub(crate) entries: Vec<Entry<T>>,
    pub(crate) missing: Vec<Missing>,
}

impl<T> Outcome<T> {
    /// Of a contest that there cannot be.
    pub(crate) fn without(what: &str, reason: &anyhow::Error) -> Self {
        Self {
            entries: Vec::new(),
            missing: vec![Missing::new(what, format!("{reason:#}"))],
        }
    }

    /// One figure of one entry; `None` where it is missing.
    pub(crate) fn series(&self, name: &str, figure: impl Fn(&T) -> f64) -> Option<Series> {
        Series::new(self.find(name)?.figures(figure))
    }

    /// `ours` to `theirs`, round by round; `None` where one of them is missing.
    pub(crate) fn ratios(
        &self,
        ours: &str,
        theirs: &str,
        figure: impl Fn(&T) -> f64,
    ) -> Option<Series> {
        let (ours, theirs) = (self.find(ours)?, self.find(theirs)?);
        Series::of_ratios(&ours.figures(&figure), &theirs.figures(&figure))
    }

    /// Cores that others kept busy in the worst turn of each round.
    pub(crate) fn noise(&self) -> Vec<f64> {
        let rounds = self.entries.first().map_or(0, |entry| entry.noise.len());
        let worst = |round| {
            let turns = self.entries.iter().map(|entry| entry.noise[round]);
            turns.fold(0.0, f64::max)
        };
        (0..rounds).map(worst).collect()
    }

    fn find(&self, name: &str) -> Option<&Entry<T>> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

impl Arena<'_> {
    /// Starts each server when it is its turn.
    pub(crate) fn hold<T: Display>(
        &self,
        title: &str,
        lineup: &Lineup,
        measure: impl Fn(&Server, &Peer) -> anyhow::Result<T>,
    ) -> anyhow::Result<Outcome<T>> {
        self.hold_unstarted(title, lineup, |peer| {
            measure(&Server::start(peer, self.directory, self.stop)?, peer)
        })
    }

    /// Starts all servers of a round at once, and has each work a slice at a time. `load` puts load on one for as long
    /// as it is told, and returns how many operations that were.
    pub(crate) fn hold_rates<L>(
        &self,
        title: &str,
        lineup: &Lineup,
        load: impl Fn(&Server, &Peer) -> anyhow::Result<L>,
    ) -> anyhow::Result<Outcome<Sample>>
    where
        L: FnMut(&Server, Duration) -> anyhow::Result<u64>,
    {
        let name = |peer: &Peer| peer.name;
        let mut outcome = self.alternate(title, &lineup.peers, name, |peer| {
            let server = Server::start(peer, self.directory, self.stop)?;
            let load = load(&server, peer)?;
            Shift::begin(server, load)
        })?;
        outcome.missing.splice(..0, lineup.missing.iter().cloned());
        Ok(outcome)
    }

    /// The same for those who start their servers on their own.
    pub(crate) fn hold_unstarted<T: Display>(
        &self,
        title: &str,
        lineup: &Lineup,
        measure: impl Fn(&Peer) -> anyhow::Result<T>,
    ) -> anyhow::Result<Outcome<T>> {
        let mut outcome = self.take_turns(title, &lineup.peers, |peer| peer.name, measure)?;
        outcome.missing.splice(..0, lineup.missing.iter().cloned());
        Ok(outcome)
    }

    /// Gives each contestant, who need not be a server, its turn in each round. Whoever fails is out; the first, with
    /// whom the others are compared, must not.
    pub(crate) fn take_turns<C, T: Display>(
        &self,
        title: &str,
        contestants: &[C],
        name: impl Fn(&C) -> &'static str,
        measure: impl Fn(&C) -> anyhow::Result<T>,
    ) -> anyhow::Result<Outcome<T>> {
        self.play(title, contestants, name, |contestants| {
            let turns = contestants.iter().map(|contestant| {
                self.stop.check()?;
                let noise = Noise::start()?;
                let result = measure(contestant);
                child::reap_orphans();
                Ok((result, noise.stop()?))
            });
            turns.collect()
        })
    }

    /// As [`Self::take_turns`], but all are there at once in each round, and a turn is cut into slices: whatever
    /// disturbs the machine for more than a moment disturbs all alike. For those who do nothing while others work.
    pub(crate) fn alternate<C, S: Stint>(
        &self,
        title: &str,
        contestants: &[C],
        name: impl Fn(&C) -> &'static str,
        begin: impl Fn(&C) -> anyhow::Result<S>,
    ) -> anyhow::Result<Outcome<S::Result>> {
        self.play(title, contestants, name, |contestants| {
            let noise = Noise::start()?;
            let mut stints: Vec<_> = contestants
                .iter()
                .map(|contestant| begin(contestant))
                .collect();
            let slices = self.turn.div_duration_f64(SLICE).ceil() as u64;
            for _ in 0..slices {
                for stint in &mut stints {
                    self.stop.check()?;
                    if let Ok(working) = stint
                        && let Err(error) = working.go_on(SLICE)
                    {
                        *stint = Err(error);
                    }
                }
                stints.reverse();
            }
            if slices % 2 == 1 {
                stints.reverse();
            }
            let results: Vec<_> = stints.into_iter().map(|stint| stint?.end()).collect();
            child::reap_orphans();
            let noise = noise.stop()?;
            Ok(results.into_iter().map(|result| (result, noise)).collect())
        })
    }

    /// Has `round` give a result and the noise for each of those that are left, in their order.
    fn play<C, T: Display>(
        &self,
        title: &str,
        contestants: &[C],
        name: impl Fn(&C) -> &'static str,
        round: impl Fn(&[&C]) -> anyhow::Result<Vec<(anyhow::Result<T>, f64)>>,
    ) -> anyhow::Result<Outcome<T>> {
        let entrants = contestants.iter().map(|contestant| {
            let entry = Entry {
                name: name(contestant),
                results: Vec::with_capacity(self.rounds),
                noise: Vec::with_capacity(self.rounds),
            };
            (contestant, entry)
        });
        let mut entrants: Vec<_> = entrants.collect();
        let first = entrants.first().map(|(_, entry)| entry.name);
        let mut missing = Vec::new();
        for number in 1..=self.rounds {
            eprintln!("{title}, round {number} of {}", self.rounds);
            let is_backwards = number % 2 == 0;
            if is_backwards {
                entrants.reverse();
            }
            let contestants: Vec<_> = entrants.iter().map(|(contestant, _)| *contestant).collect();
            let mut left = Vec::with_capacity(entrants.len());
            for ((contestant, mut entry), (result, noise)) in
                entrants.into_iter().zip(round(&contestants)?)
            {
                match result {
                    Ok(result) => {
                        eprintln!("  {:<20} {result:.2}; others {noise:.2} cores", entry.name);
                        entry.results.push(result);
                        entry.noise.push(noise);
                        left.push((contestant, entry));
                    }
                    Err(error) if first == Some(entry.name) || self.stop.is_asked() => {
                        return Err(error.context(format!("{title}: {}", entry.name)));
                    }
                    Err(error) => missing.push(Missing::new(entry.name, format!("{error:#}"))),
                }
            }
            if is_backwards {
                left.reverse();
            }
            entrants = left;
        }
        Ok(Outcome {
            entries: entrants.into_iter().map(|(_, entry)| entry).collect(),
            missing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(measure: fn(&&'static str) -> anyhow::Result<f64>) -> anyhow::Result<Outcome<f64>> {
        let arena = Arena {
            rounds: 2,
            turn: Duration::ZERO,
            directory: Path::new("/"),
            stop: &Stop::default(),
        };
        arena.take_turns("", &["a", "b", "c"], |name| name, measure)
    }

    #[test]
    fn whoever_fails_is_missing_and_the_others_go_on() {
        let outcome = hold(|&name| match name {
            "b" => anyhow::bail!("broken"),
            "c" => Ok(2.0),
            _ => Ok(1.0),
        });
        let outcome = outcome.unwrap();
        assert_eq!(outcome.missing[0].reason, "broken");
        let ratios = outcome.ratios("c", "a", |&figure| figure).unwrap();
        assert_eq!((ratios.min(), ratios.max()), (2.0, 2.0));
        assert!(outcome.series("b", |&figure| figure).is_none());
    }

    #[test]
    fn every_other_round_goes_backwards_and_the_results_keep_their_order() {
        use std::sync::Mutex;
        static TURNS: Mutex<String> = Mutex::new(String::new());
        let outcome = hold(|&name| {
            TURNS.lock().unwrap().push_str(name);
            Ok(1.0)
        });
        assert_eq!(*TURNS.lock().unwrap(), "abccba");
        let names: Vec<_> = outcome.unwrap().entries.iter().map(|e| e.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn slices_are_dealt_out_in_turns_and_whoever_fails_is_out() {
        use std::cell::RefCell;
        struct Player<'a>(&'static str, &'a RefCell<String>);
        impl Stint for Player<'_> {
            type Result = f64;

            fn go_on(&mut self, _time: Duration) -> anyhow::Result<()> {
                self.1.borrow_mut().push_str(self.0);
                anyhow::ensure!(self.0 != "b", "broken");
                Ok(())
            }

            fn end(self) -> anyhow::Result<f64> {
                Ok(if self.0 == "a" { 1.0 } else { 2.0 })
            }
        }
        let slices = RefCell::default();
        let arena = Arena {
            rounds: 2,
            turn: 3 * SLICE,
            directory: Path::new("/"),
            stop: &Stop::default(),
        };
        let outcome = arena.alternate(
            "",
            &["a", "b", "c"],
            |name| name,
            |name| Ok(Player(name, &slices)),
        );
        let outcome = outcome.unwrap();
        assert_eq!(*slices.borrow(), "abccaac".to_owned() + "caacca");
        assert_eq!(outcome.missing[0].reason, "broken");
        let ratios = outcome.ratios("c", "a", |&figure| figure).unwrap();
        assert_eq!((ratios.min(), ratios.max()), (2.0, 2.0));
    }

    #[test]
    fn there_is_no_contest_without_the_first() {
        let outcome = hold(|&name| match name {
            "a" => anyhow::bail!("broken"),
            _ => Ok(1.0),
        });
        assert!(outcome.is_err());
    }
}

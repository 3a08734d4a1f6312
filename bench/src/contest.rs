//! Servers that take turns: A B C, C B A, and so on. Each turn has a new process, so that luck in where its memory lies
//! is not the same luck in every round, and nobody always comes after the same one.

use crate::child;
use crate::lineup::{Lineup, Missing};
use crate::meter::Noise;
use crate::peer::Peer;
use crate::series::Series;
use crate::server::Server;
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
        for round in 1..=self.rounds {
            eprintln!("{title}, round {round} of {}", self.rounds);
            let is_backwards = round % 2 == 0;
            if is_backwards {
                entrants.reverse();
            }
            let mut left = Vec::with_capacity(entrants.len());
            for (contestant, mut entry) in entrants {
                self.stop.check()?;
                let noise = Noise::start()?;
                let result = measure(contestant);
                child::reap_orphans();
                match result {
                    Ok(result) => {
                        let noise = noise.stop()?;
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
    fn there_is_no_contest_without_the_first() {
        let outcome = hold(|&name| match name {
            "a" => anyhow::bail!("broken"),
            _ => Ok(1.0),
        });
        assert!(outcome.is_err());
    }
}

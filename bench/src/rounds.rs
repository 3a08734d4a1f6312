//! Interleaved rounds: A B C, C B A, and so on. Each round has new processes, so that memory layout varies between
//! rounds, and no contestant always follows the same one.

use crate::child;
use crate::comparison::{Comparison, ContestantResults};
use crate::contestants::{Contestant, Contestants, Missing};
use crate::interrupt::Interrupt;
use crate::meter::{Noise, RateSample};
use crate::server::RunningServer;
use crate::sliced_load::{SlicedLoad, SlicedRun};
use anyhow::bail;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

/// Everything that stays the same from one comparison to the next.
#[derive(Clone, Copy)]
pub(crate) struct Harness<'a> {
    pub(crate) rounds: usize,
    /// The length of a turn.
    pub(crate) turn: Duration,
    /// For sockets and logs.
    pub(crate) directory: &'a Path,
    pub(crate) interrupt: &'a Interrupt,
}

/// The length of a slice, where all contestants of a round run at once.
const SLICE: Duration = Duration::from_millis(20);

impl Harness<'_> {
    /// Keeps the candidates that give one answer. The first is the baseline, and must give one.
    pub(crate) fn try_out(
        &self,
        candidates: impl IntoIterator<Item = Result<Contestant, Missing>>,
    ) -> anyhow::Result<Contestants> {
        let (mut present, mut missing) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let fit = candidate.and_then(|contestant| {
                match RunningServer::try_out(&contestant, self.directory, self.interrupt) {
                    Ok(()) => Ok(contestant),
                    Err(error) => Err(Missing::new(contestant.name, format!("{error:#}"))),
                }
            });
            self.interrupt.check()?;
            match fit {
                Ok(contestant) => present.push(contestant),
                Err(Missing { name, reason }) if present.is_empty() => {
                    bail!("{name} does not take part: {reason}")
                }
                Err(reason) => missing.push(reason),
            }
        }
        Ok(Contestants { present, missing })
    }

    /// Starts each server at the beginning of its turn.
    pub(crate) fn compare<T: Display>(
        &self,
        title: &str,
        contestants: &Contestants,
        measure: impl Fn(&RunningServer, &Contestant) -> anyhow::Result<T>,
    ) -> anyhow::Result<Comparison<T>> {
        self.compare_unstarted(title, contestants, |peer| {
            measure(
                &RunningServer::start(peer, self.directory, self.interrupt)?,
                peer,
            )
        })
    }

    /// Starts all servers of a round at once, and loads one at a time, a slice each. `load` loads a server for the
    /// given time and returns the number of operations.
    pub(crate) fn compare_rates<L>(
        &self,
        title: &str,
        contestants: &Contestants,
        load: impl Fn(&RunningServer, &Contestant) -> anyhow::Result<L>,
    ) -> anyhow::Result<Comparison<RateSample>>
    where
        L: FnMut(&RunningServer, Duration) -> anyhow::Result<u64>,
    {
        let name = |peer: &Contestant| peer.name;
        let mut results = self.interleave(title, &contestants.present, name, |peer| {
            let server = RunningServer::start(peer, self.directory, self.interrupt)?;
            let load = load(&server, peer)?;
            SlicedLoad::begin(server, load)
        })?;
        results
            .missing
            .splice(..0, contestants.missing.iter().cloned());
        Ok(results)
    }

    /// The same for contestants that start their servers themselves.
    pub(crate) fn compare_unstarted<T: Display>(
        &self,
        title: &str,
        contestants: &Contestants,
        measure: impl Fn(&Contestant) -> anyhow::Result<T>,
    ) -> anyhow::Result<Comparison<T>> {
        let mut results =
            self.take_turns(title, &contestants.present, |peer| peer.name, measure)?;
        results
            .missing
            .splice(..0, contestants.missing.iter().cloned());
        Ok(results)
    }

    /// Gives each contestant, which need not be a server, one turn in each round. A contestant that fails is dropped;
    /// the first, the baseline, must not fail.
    pub(crate) fn take_turns<C, T: Display>(
        &self,
        title: &str,
        contestants: &[C],
        name: impl Fn(&C) -> &'static str,
        measure: impl Fn(&C) -> anyhow::Result<T>,
    ) -> anyhow::Result<Comparison<T>> {
        self.run_rounds(title, contestants, name, |contestants| {
            let turns = contestants.iter().map(|contestant| {
                self.interrupt.check()?;
                let noise = Noise::start()?;
                let result = measure(contestant);
                child::reap_orphans();
                Ok((result, noise.stop()?))
            });
            turns.collect()
        })
    }

    /// As [`Self::take_turns`], but all contestants of a round exist at once and turns are sliced, so that noise of the
    /// machine disturbs all alike. For contestants that are idle while others run.
    pub(crate) fn interleave<C, S: SlicedRun>(
        &self,
        title: &str,
        contestants: &[C],
        name: impl Fn(&C) -> &'static str,
        begin: impl Fn(&C) -> anyhow::Result<S>,
    ) -> anyhow::Result<Comparison<S::Result>> {
        self.run_rounds(title, contestants, name, |contestants| {
            let noise = Noise::start()?;
            let mut runs: Vec<_> = contestants
                .iter()
                .map(|contestant| begin(contestant))
                .collect();
            let slices = self.turn.div_duration_f64(SLICE).ceil() as u64;
            for _ in 0..slices {
                for run in &mut runs {
                    self.interrupt.check()?;
                    if let Ok(working) = run
                        && let Err(error) = working.run_for(SLICE)
                    {
                        *run = Err(error);
                    }
                }
                runs.reverse();
            }
            if slices % 2 == 1 {
                runs.reverse();
            }
            let results: Vec<_> = runs.into_iter().map(|run| run?.finish()).collect();
            child::reap_orphans();
            let noise = noise.stop()?;
            Ok(results.into_iter().map(|result| (result, noise)).collect())
        })
    }

    /// Calls `round` for the results and the noise of the contestants that are left, in their order.
    fn run_rounds<C, T: Display>(
        &self,
        title: &str,
        contestants: &[C],
        name: impl Fn(&C) -> &'static str,
        round: impl Fn(&[&C]) -> anyhow::Result<Vec<(anyhow::Result<T>, f64)>>,
    ) -> anyhow::Result<Comparison<T>> {
        let entrants = contestants.iter().map(|contestant| {
            let entry = ContestantResults {
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
                    Err(error) if first == Some(entry.name) || self.interrupt.is_set() => {
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
        Ok(Comparison {
            entries: entrants.into_iter().map(|(_, entry)| entry).collect(),
            missing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(measure: fn(&&'static str) -> anyhow::Result<f64>) -> anyhow::Result<Comparison<f64>> {
        let harness = Harness {
            rounds: 2,
            turn: Duration::ZERO,
            directory: Path::new("/"),
            interrupt: &Interrupt::default(),
        };
        harness.take_turns("", &["a", "b", "c"], |name| name, measure)
    }

    #[test]
    fn whoever_fails_is_missing_and_the_others_go_on() {
        let results = hold(|&name| match name {
            "b" => anyhow::bail!("broken"),
            "c" => Ok(2.0),
            _ => Ok(1.0),
        });
        let results = results.unwrap();
        assert_eq!(results.missing[0].reason, "broken");
        let ratios = results.ratios("c", "a", |&figure| figure).unwrap();
        assert_eq!((ratios.min(), ratios.max()), (2.0, 2.0));
        assert!(results.spread("b", |&figure| figure).is_none());
    }

    #[test]
    fn every_other_round_goes_backwards_and_the_results_keep_their_order() {
        use std::sync::Mutex;
        static TURNS: Mutex<String> = Mutex::new(String::new());
        let results = hold(|&name| {
            TURNS.lock().unwrap().push_str(name);
            Ok(1.0)
        });
        assert_eq!(*TURNS.lock().unwrap(), "abccba");
        let names: Vec<_> = results.unwrap().entries.iter().map(|e| e.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn slices_are_dealt_out_in_turns_and_whoever_fails_is_out() {
        use std::cell::RefCell;
        struct Player<'a>(&'static str, &'a RefCell<String>);
        impl SlicedRun for Player<'_> {
            type Result = f64;

            fn run_for(&mut self, _time: Duration) -> anyhow::Result<()> {
                self.1.borrow_mut().push_str(self.0);
                anyhow::ensure!(self.0 != "b", "broken");
                Ok(())
            }

            fn finish(self) -> anyhow::Result<f64> {
                Ok(if self.0 == "a" { 1.0 } else { 2.0 })
            }
        }
        let slices = RefCell::default();
        let harness = Harness {
            rounds: 2,
            turn: 3 * SLICE,
            directory: Path::new("/"),
            interrupt: &Interrupt::default(),
        };
        let results = harness.interleave(
            "",
            &["a", "b", "c"],
            |name| name,
            |name| Ok(Player(name, &slices)),
        );
        let results = results.unwrap();
        assert_eq!(*slices.borrow(), "abccaac".to_owned() + "caacca");
        assert_eq!(results.missing[0].reason, "broken");
        let ratios = results.ratios("c", "a", |&figure| figure).unwrap();
        assert_eq!((ratios.min(), ratios.max()), (2.0, 2.0));
    }

    #[test]
    fn there_is_no_comparison_without_the_first() {
        let results = hold(|&name| match name {
            "a" => anyhow::bail!("broken"),
            _ => Ok(1.0),
        });
        assert!(results.is_err());
    }
}

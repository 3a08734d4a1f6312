//! [`ask`]: looks at files one after the other, and goes on with the next where one hangs.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::forked_worker::ForkedWorker;
use super::mounts::Mounts;

/// The longest wait for one file, where there are others.
const ONE_FILE: Duration = Duration::from_secs(1);

/// Runs `look` on each path in turn, in a forked copy if there is a deadline. Returns its answers and the
/// paths without one: those that hang, those that would hang with them, and those that time ran out for.
pub(super) fn ask(
    paths: &[&Path],
    within: Option<Duration>,
    mut look: impl FnMut(usize) -> Vec<u8>,
) -> (Vec<Option<Vec<u8>>>, Vec<PathBuf>) {
    let Some(within) = within else {
        let answers = (0..paths.len()).map(|index| Some(look(index)));
        return (answers.collect(), Vec::new());
    };
    let deadline = Instant::now() + within;
    let mut answers = vec![None; paths.len()];
    let mut waiting: Vec<usize> = (0..paths.len()).collect();
    let mut unanswered: Vec<usize> = Vec::new();
    while !waiting.is_empty() {
        let (told, hangs) = ask_until_one_hangs(&waiting, deadline, &mut look, &mut answers);
        waiting.drain(..told);
        if waiting.is_empty() {
            break;
        }
        let stuck = waiting.remove(0);
        unanswered.push(stuck);
        if !hangs || Instant::now() >= deadline {
            unanswered.append(&mut waiting);
            break;
        }
        let mounts = Mounts::default();
        let (with_it, others): (Vec<usize>, Vec<usize>) = waiting
            .into_iter()
            .partition(|&other| mounts.hang_together(paths[stuck], paths[other]));
        unanswered.extend(with_it);
        waiting = others;
    }
    let mut unanswered: Vec<PathBuf> = unanswered
        .into_iter()
        .map(|index| paths[index].to_owned())
        .collect();
    unanswered.dedup();
    (answers, unanswered)
}

/// Returns how many have answered, and whether the next one hangs; otherwise the copy has failed.
fn ask_until_one_hangs(
    waiting: &[usize],
    deadline: Instant,
    look: &mut impl FnMut(usize) -> Vec<u8>,
    answers: &mut [Option<Vec<u8>>],
) -> (usize, bool) {
    let worker = ForkedWorker::start(|results| {
        for &index in waiting {
            results.send(&look(index));
        }
    });
    let Ok(mut worker) = worker else {
        return (0, false);
    };
    for (told, &index) in waiting.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = if told + 1 == waiting.len() {
            deadline
        } else {
            // So that there is time left for the others, however many hang.
            Instant::now() + ONE_FILE.min(left / 2)
        };
        match worker.next(patience) {
            Ok(Some(answer)) => answers[index] = Some(answer),
            Ok(None) => return (told, false),
            Err(error) => return (told, error.kind() == io::ErrorKind::TimedOut),
        }
    }
    (waiting.len(), false)
}

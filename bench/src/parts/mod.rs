//! The contests, each with who takes part, what is measured and what is the goal.

mod connect;
mod counts;
mod crowd;
mod echo;
mod idle;
mod inspect;
mod latency;
mod polling;
mod programs;
mod start;

use crate::contest::Arena;
use crate::report::Report;
use crate::tools::Tools;

/// What `--only` chooses from.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Arena<'_>, &Tools, &mut Report) -> anyhow::Result<()>,
    /// Whether it needs more descriptors than most limits allow.
    pub(crate) has_many_descriptors: bool,
}

/// In the order in which they run.
pub(crate) static PARTS: [Part; 10] = [
    Part {
        name: "echo",
        run: echo::run,
        has_many_descriptors: false,
    },
    Part {
        name: "latency",
        run: latency::run,
        has_many_descriptors: false,
    },
    Part {
        name: "polling",
        run: polling::run,
        has_many_descriptors: false,
    },
    Part {
        name: "connect",
        run: connect::run,
        has_many_descriptors: false,
    },
    Part {
        name: "programs",
        run: programs::run,
        has_many_descriptors: false,
    },
    Part {
        name: "idle",
        run: idle::run,
        has_many_descriptors: true,
    },
    Part {
        name: "crowd",
        run: crowd::run,
        has_many_descriptors: true,
    },
    Part {
        name: "start",
        run: start::run,
        has_many_descriptors: false,
    },
    Part {
        name: "counts",
        run: counts::run,
        has_many_descriptors: false,
    },
    Part {
        name: "inspect",
        run: inspect::run,
        has_many_descriptors: true,
    },
];

//! The benchmarks: each with its contestants, what is measured and the goal.

mod connect;
mod counts;
mod crowd;
mod echo;
mod http;
mod idle;
mod inspect;
mod latency;
mod library;
mod polling;
mod programs;
mod relay;
mod start;
mod tap;

use crate::results_page::ResultsPage;
use crate::rounds::Harness;
use crate::tools::Tools;

/// What `--only` chooses from.
pub(crate) struct BenchPart {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Harness<'_>, &Tools, &mut ResultsPage) -> anyhow::Result<()>,
    /// Whether it needs more descriptors than most limits allow.
    pub(crate) has_many_descriptors: bool,
}

/// In the order in which they run.
pub(crate) static PARTS: [BenchPart; 14] = [
    BenchPart {
        name: "echo",
        run: echo::run,
        has_many_descriptors: false,
    },
    BenchPart {
        name: "latency",
        run: latency::run,
        has_many_descriptors: false,
    },
    BenchPart {
        name: "polling",
        run: polling::run,
        has_many_descriptors: false,
    },
    BenchPart {
        name: "library",
        run: library::run,
        has_many_descriptors: true,
    },
    BenchPart {
        name: "http",
        run: http::run,
        has_many_descriptors: true,
    },
    BenchPart {
        name: "connect",
        run: connect::run,
        has_many_descriptors: false,
    },
    BenchPart {
        name: "programs",
        run: programs::run,
        has_many_descriptors: false,
    },
    BenchPart {
        name: "idle",
        run: idle::run,
        has_many_descriptors: true,
    },
    BenchPart {
        name: "crowd",
        run: crowd::run,
        has_many_descriptors: true,
    },
    BenchPart {
        name: "relay",
        run: relay::run,
        has_many_descriptors: true,
    },
    BenchPart {
        name: "tap",
        run: tap::run,
        has_many_descriptors: false,
    },
    BenchPart {
        name: "start",
        run: start::run,
        has_many_descriptors: false,
    },
    BenchPart {
        name: "counts",
        run: counts::run,
        has_many_descriptors: false,
    },
    BenchPart {
        name: "inspect",
        run: inspect::run,
        has_many_descriptors: true,
    },
];

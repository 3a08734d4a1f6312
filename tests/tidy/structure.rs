//! Layers, cycles, subcommands and what a layer may call.

use std::collections::{BTreeMap, BTreeSet};

use crate::assert_none;
use crate::imports::{Module, edges};
use crate::source::FILES;

const LIBRARY: &str = "crates/sockeye";
const COMMAND: &str = "crates/sockeye-cli";
const BENCH: &str = "bench";

/// From the lowest to the highest; a module names those of its own line and of lines above only.
const LIBRARY_LAYERS: &[&[&str]] = &[
    &[
        "sys",
        "error_debug",
        "raw_fd",
        "address",
        "ids",
        "hint",
        "backoff",
    ],
    &["socket", "fd_headroom", "closing", "busy_poll"],
    &["inspect", "peer"],
    &["claim", "adopt", "activation", "ancillary"],
    &["lazy_async_fd", "passing", "recv", "scratch"],
    &[
        "connect",
        "stream",
        "net_stream",
        "packet",
        "program",
        "framing",
    ],
    &["handover"],
    &["listener"],
    &["takeover"],
    &["server"],
    &["http", "relay"],
    &["capture", "tap"],
    &["fuzzing"],
];

const COMMAND_LAYERS: &[&[&str]] = &[
    &["escape", "exit", "transport"],
    &["lookup"],
    &["output"],
    &["stdio"],
    &["args"],
    &["cmd"],
];

#[test]
fn library_modules_import_lower_layers_only() {
    assert_none(
        &against_layers(LIBRARY, LIBRARY_LAYERS),
        "Move what both need to the lower layer (a new module: add it to LIBRARY_LAYERS):",
    );
}

#[test]
fn command_modules_import_lower_layers_only() {
    assert_none(
        &against_layers(COMMAND, COMMAND_LAYERS),
        "Move what both need to the lower layer (a new module: add it to COMMAND_LAYERS):",
    );
}

#[test]
fn modules_import_each_other_one_way() {
    let cycles: Vec<String> = [LIBRARY, COMMAND, BENCH]
        .into_iter()
        .flat_map(cycles)
        .collect();
    assert_none(
        &cycles,
        "Break each circle: move what two modules need of each other to one of its own:",
    );
}

#[test]
fn subcommands_do_not_import_each_other() {
    let subcommands: BTreeSet<&str> = FILES
        .iter()
        .filter(|file| file.package == COMMAND && file.is_source)
        .filter_map(|file| match file.module.as_slice() {
            [args, name] if args == "args" && is_subcommand(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let subcommand = |module: &Module| match module.as_slice() {
        [cmd, name, ..] if cmd == "cmd" && subcommands.contains(name.as_str()) => {
            Some(name.clone())
        }
        _ => None,
    };
    let mut found = Vec::new();
    for (from, to) in edges(COMMAND) {
        if let (Some(one), Some(other)) = (subcommand(&from), subcommand(&to))
            && one != other
        {
            found.push(format!("{} imports {}", from.join("::"), to.join("::")));
        }
    }
    assert_none(
        &found,
        "Give what two subcommands share a module beside them in cmd/:",
    );
}

/// A file of `args/` is a subcommand's if `cmd/` has a module of that name.
fn is_subcommand(name: &str) -> bool {
    FILES.iter().any(|file| {
        let cmd = ["cmd".to_owned(), name.to_owned()];
        file.package == COMMAND && file.module == cmd
    })
}

#[test]
fn arguments_import_nothing_that_looks_up() {
    let mut found = Vec::new();
    for (from, to) in edges(COMMAND) {
        let name = |module: &Module| module.first().cloned().unwrap_or_default();
        if name(&from) == "args" && ["lookup", "stdio"].contains(&name(&to).as_str()) {
            found.push(format!("{} imports {}", from.join("::"), to.join("::")));
        }
    }
    assert_none(
        &found,
        "Parse in args/ without looking anything up: return it in Command::unresolved, for cmd/ to look up:",
    );
}

#[test]
fn arguments_and_output_make_no_system_calls() {
    let mut found = Vec::new();
    for file in FILES
        .iter()
        .filter(|file| file.package == COMMAND && file.is_source)
    {
        let Some(room @ ("args" | "output")) = file.module.first().map(String::as_str) else {
            continue;
        };
        for (number, line) in file.text.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            let calls = [
                "rustix::",
                "libc::",
                " nix::",
                "std::fs",
                "File::open",
                ".exists()",
                "metadata()",
                ".canonicalize()",
            ];
            if let Some(call) = calls.iter().find(|call| line.contains(**call)) {
                found.push(format!("{}:{}: {call} in {room}/", file.path, number + 1));
            }
        }
    }
    assert_none(
        &found,
        "Look things up in lookup/ or cmd/: args/ parses and output/ writes:",
    );
}

fn against_layers(package: &str, layers: &[&[&str]]) -> Vec<String> {
    let layer = |module: &Module| {
        let room = module.first()?;
        Some(layers.iter().position(|line| line.contains(&room.as_str())))
    };
    let mut found = Vec::new();
    for (from, to) in edges(package) {
        // A crate's root names all of its modules.
        let (Some(low), Some(high)) = (layer(&from), layer(&to)) else {
            continue;
        };
        let (from_name, to_name) = (from.join("::"), to.join("::"));
        match (low, high) {
            (Some(low), Some(high)) if low < high => {
                found.push(format!(
                    "{from_name} imports {to_name}, which is of a higher layer"
                ));
            }
            (None, _) => found.push(format!("{from_name} is of no layer")),
            (_, None) => found.push(format!("{to_name} is of no layer")),
            _ => {}
        }
    }
    found
}

/// Circles among the children of each module. A module and its own parts may name each other.
fn cycles(package: &str) -> Vec<String> {
    let mut siblings: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, to) in edges(package) {
        let common = from
            .iter()
            .zip(&to)
            .take_while(|(one, other)| one == other)
            .count();
        if let (Some(one), Some(other)) = (from.get(common), to.get(common)) {
            let below = siblings.entry(from[..common].to_vec()).or_default();
            below.entry(one.clone()).or_default().insert(other.clone());
        }
    }
    let mut found = Vec::new();
    for (parent, edges) in &siblings {
        let reach = |from: &str| reachable(from, edges);
        let names: BTreeSet<&String> = edges.keys().collect();
        let mut told = BTreeSet::new();
        for name in names {
            let circle: BTreeSet<String> = reach(name)
                .into_iter()
                .filter(|other| reach(other).contains(name))
                .collect();
            if circle.len() > 1 && told.insert(circle.clone()) {
                let circle: Vec<String> = circle.into_iter().collect();
                let parent = parent.join("::");
                found.push(format!("{package} {parent}: {}", circle.join(" <-> ")));
            }
        }
    }
    found
}

fn reachable(from: &str, edges: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        for next in edges.get(&name).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    reached
}

//! The figures of the README are those that the benchmark has written.

use super::readme_has;

const RESULTS: &str = include_str!("../../../../../bench/RESULTS.md");

/// The median of this line of the goals.
#[track_caller]
fn goal(what: &str) -> f64 {
    let start = format!("| {what} | ");
    let line = RESULTS.lines().find_map(|line| line.strip_prefix(&start));
    first_number(line.unwrap_or_else(|| panic!("bench/RESULTS.md has no {what:?}")))
}

/// The ratio of the first line of this table to the line of this contestant.
#[track_caller]
fn ratio(table: &str, contestant: &str) -> f64 {
    let title = format!("### {table}");
    let mut lines = RESULTS.lines().skip_while(|line| *line != title);
    let line = lines.find_map(|line| line.strip_prefix(contestant));
    let line = line.unwrap_or_else(|| panic!("{table:?} has no {contestant:?}"));
    // After the median of the rates, with the lowest and the highest.
    let cells = line.split_whitespace().nth(2).expect("a ratio");
    first_number(cells)
}

#[track_caller]
fn first_number(text: &str) -> f64 {
    let number = text.split(' ').next().unwrap_or_default();
    number
        .parse()
        .unwrap_or_else(|_| panic!("{text:?} begins with a number"))
}

#[test]
fn the_rates_of_the_readme_are_those_of_the_results() {
    for (row, contestant) in [
        ("a bare epoll loop in C", "epoll loop in C"),
        ("multi-threaded tokio", "tokio multi-thread"),
        ("Go", "go"),
    ] {
        let [few, many] = [16, 256].map(|connections| {
            goal(&format!(
                "echo, 64 bytes, {connections} connections: rate to {contestant}"
            ))
        });
        readme_has(&format!("| {row} | {few:.2} | {many:.2} |"));
    }
    let [few, many] = [16, 256].map(|connections| {
        ratio(
            &format!("echo, 64 bytes, {connections} connections"),
            "epoll loop in C, TCP",
        )
    });
    readme_has(&format!(
        "| the epoll loop in C over TCP loopback | {few:.2} | {many:.2} |"
    ));
}

#[test]
fn the_times_of_the_readme_are_those_of_the_results() {
    let [ss, lsof] = ["ss -xap", "lsof -U"].map(|tool| {
        let pairs = "list all sockets with their processes: 1 x 4500 pairs";
        goal(&format!("{pairs}: time to {tool}")).recip()
    });
    readme_has(&format!(
        "| time to list 4,500 pairs of sockets, relative | 1 | {ss:.1} | {lsof:.1} |"
    ));
}

#[test]
fn the_memory_of_the_readme_is_that_of_the_results() {
    let idle = "resident memory of 10000 idle connections: bytes of each, sockeye";
    readme_has(&format!(
        "| resident memory of an idle connection | {} bytes | `cargo run --release -p sockeye-bench -- --only idle` |",
        goal(idle)
    ));
}

//! Help is a result: on standard output, exit 0. Wrong usage is exit 2, on standard error.

use crate::ls::terminal::on_terminal;
use crate::support::{Place, Server, run, sockeye};

/// The options that scripts rely on.
const OPTIONS: [(&str, &[&str]); 5] = [
    (
        "serve",
        &[
            "--reply",
            "--http",
            "--echo",
            "--discard",
            "--framing",
            "--max-message",
            "-m, --mode",
            "--owner",
            "--if-exists",
            "--backlog",
            "--max-connections",
            "--max-per-uid",
            "--first-byte-timeout",
            "--idle-timeout",
            "--drain",
            "--ready-fd",
            "--takeover",
            "--json",
        ],
    ),
    (
        "send",
        &[
            "-w, --connect-timeout",
            "-t, --timeout",
            "--wait",
            "--no-shutdown",
            "--framing",
            "--http",
            "-H, --header",
            "-d, --data",
        ],
    ),
    (
        "tap",
        &[
            "--listen",
            "--restore",
            "--follow",
            "--as-me",
            "--credentials",
            "--text",
            "--hex",
            "--json",
            "--http",
            "--summary",
            "-q, --quiet",
            "-s, --max-shown",
            "--filter",
            "--color",
            "--record",
            "--port",
            "--dissector",
            "--drain",
            "--ready-fd",
        ],
    ),
    (
        "ls",
        &[
            "-a, --all",
            "-l, --listening",
            "--connections",
            "--pid",
            "--user",
            "--inode",
            "--kind",
            "--stale",
            "--in",
            "--netns",
            "--json",
            "-H, --no-header",
            "-o, --columns",
            "--watch",
        ],
    ),
    (
        "bench",
        &[
            "--kind",
            "--size",
            "--connections",
            "--time",
            "--echo",
            "--request",
            "--expect",
            "--http",
            "--rate",
            "--compare",
            "--busy-poll",
            "--json",
            "--html",
        ],
    ),
];

/// PATH stands for a path at which nothing is.
const WRONG: &[&[&str]] = &[
    &[],
    &["nonsense"],
    &["serve"],
    &["send"],
    &["connect"],
    &["serve", "--nonsense", "PATH"],
    &["serve", "PATH", "PATH"],
    &["serve", ""],
    &["serve", "--mode", "0999", "PATH"],
    &["serve", "--mode", "rw", "PATH"],
    &["serve", "--mode", "077777", "PATH"],
    &["serve", "--framing", "morse", "PATH"],
    &["serve", "--if-exists", "perhaps", "PATH"],
    &["serve", "--drain", "soon", "PATH"],
    &["serve", "--drain", "-1s", "PATH"],
    &["serve", "--idle-timeout", "5 parsecs", "PATH"],
    &["serve", "--first-byte-timeout", "x", "PATH"],
    &["serve", "--first-byte-timeout", "0", "PATH"],
    &["serve", "--idle-timeout", "0s", "PATH"],
    &["serve", "--message-timeout", "0ms", "PATH"],
    &["send", "--timeout", "0", "PATH", "x"],
    &["send", "--http", "GET path", "PATH"],
    &["send", "--http", "/", "PATH", "words"],
    &["send", "-H", "A: b", "PATH"],
    &["send", "--http", "/", "-H", "nonsense", "PATH"],
    &["send", "--http", "/", "seqpacket:PATH"],
    &[
        "bench",
        "--request-file",
        "/dev/zero",
        "--expect",
        "x",
        "PATH",
    ],
    &["serve", "--max-message", "many", "PATH"],
    &["serve", "--max-message", "99999999999999999999999", "PATH"],
    &["serve", "--max-connections", "0x", "PATH"],
    &["serve", "--max-per-uid", "-3", "PATH"],
    &["serve", "--backlog", "deep", "PATH"],
    &["serve", "--ready-fd", "stdout", "PATH"],
    &["serve", "--echo", "--discard", "PATH"],
    &["serve", "--echo", "--reply", "x", "PATH"],
    &["serve", "--echo", "--json", "PATH"],
    &["send", "--timeout", "never", "PATH", "x"],
    &["send", "-w", "?", "PATH", "x"],
    &["send", "--wait", "", "PATH", "x"],
    &["send", "--framing", "morse", "PATH", "x"],
    &["tap"],
    &["tap", "PATH", "PATH"],
    &["tap", "--hex", "--json", "PATH"],
    &["tap", "--quiet", "PATH"],
    &["tap", "-s", "all", "PATH"],
    &["tap", "--port", "0", "--record", "x", "PATH"],
    &["tap", "--filter", "port=80", "PATH"],
    &["tap", "--restore", "--json", "PATH"],
    &["ls", "--pid", "0"],
    &["ls", "--user", "no-such-user-here"],
    &["ls", "--kind", "raw"],
    &["ls", "--inode", "-1"],
    &["ls", "--in", "PATH"],
    &["ls", "--stale", "PATH"],
    &["ls", "--stale", "--netns", "current"],
    &["ls", "--watch", "soon"],
    &["ls", "--watch", "0"],
    &["ls", "-o", "kind,nonsense"],
    &["ls", "-o", "client"],
    &["ls", "--netns", "some"],
    &["ls", "fd:3"],
    &["bench", "fd:3"],
    &["bench", "tcp:7000"],
    &["bench", "--kind", "unix", "PATH"],
    &["bench", "--kind", "pipe"],
    &["bench", "--compare", "PATH"],
    &["bench", "--compare", "PATH", "PATH", "--size", "1,2"],
    &["bench", "--compare", "PATH", "PATH", "--rate", "1"],
    &["bench", "--request", "x", "PATH"],
    &["bench", "--request", "x", "--expect", "x"],
    &["bench", "--request", "x", "--expect", "", "PATH"],
    &[
        "bench",
        "--request",
        "x",
        "--expect",
        "x",
        "--size",
        "1",
        "PATH",
    ],
    &["bench", "--http", "/"],
    &["bench", "--http", "/", "--size", "1", "PATH"],
    &["bench", "--http", "/", "seqpacket:PATH"],
    &["bench", "--connections", "0"],
    &["bench", "--time", "0"],
    &["bench", "--rate", "0", "PATH"],
];

#[test]
fn each_subcommand_explains_itself_on_standard_output() {
    for subcommand in [
        "serve", "send", "connect", "relay", "tap", "ls", "why", "bench", "demo",
    ] {
        let help = run(sockeye().args([subcommand, "--help"]));
        help.succeeds();
        assert!(
            help.text().contains("Usage"),
            "{subcommand}: {}",
            help.text()
        );
    }
}

#[test]
fn the_command_names_its_subcommands() {
    let help = run(sockeye().arg("--help"));
    help.succeeds();
    for subcommand in [
        "serve", "send", "connect", "relay", "tap", "ls", "why", "bench", "demo",
    ] {
        assert!(
            help.text().contains(subcommand),
            "{subcommand}: {}",
            help.text()
        );
    }
}

#[test]
fn help_has_every_option_that_scripts_rely_on_and_an_example() {
    for (subcommand, options) in OPTIONS {
        let help = run(sockeye().args([subcommand, "--help"])).text();
        for option in options {
            assert!(help.contains(option), "{subcommand} {option}: {help}");
        }
        assert!(help.contains("xample"), "{subcommand} has examples: {help}");
    }
}

#[test]
fn version_prints_the_version() {
    let version = run(sockeye().arg("--version"));
    version.succeeds();
    assert!(version.text().contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_exit_2_and_touches_nothing() {
    let place = Place::new();
    let path = place.socket();
    let path = path.to_str().expect("a plain path");
    for arguments in WRONG {
        let arguments = arguments
            .iter()
            .map(|&word| if word == "PATH" { path } else { word });
        let arguments: Vec<&str> = arguments.collect();
        let tried = run(sockeye().args(&arguments));
        assert_eq!(tried.code, Some(2), "{arguments:?}: {tried:#?}");
        assert_eq!(tried.text(), "", "{arguments:?}: not on standard output");
        assert!(!tried.stderr.is_empty(), "{arguments:?}: says why");
        assert_eq!(place.names().len(), 0, "{arguments:?}: touches nothing");
    }
}

#[test]
fn wrong_usage_points_to_the_help_of_the_subcommand() {
    for (arguments, help) in [
        (&["send"] as &[&str], "sockeye send --help"),
        (&["serve", "--nonsense", "x"], "sockeye serve --help"),
        (&["ls", "--kind", "raw"], "sockeye ls --help"),
        (&["connect", "-"], "sockeye connect --help"),
        (&["bench", "--time", "0"], "sockeye bench --help"),
        (&["nonsense"], "sockeye --help"),
        (&["--nonsense", "send"], "sockeye --help"),
        (&["tcp-echo", "x"], "sockeye --help"),
    ] {
        let tried = run(sockeye().args(arguments));
        tried.fails(2, &[&format!("; see {help}\n")]);
        run(sockeye().args(help.split(' ').skip(1))).succeeds();
    }
}

#[test]
fn a_kind_has_one_word_and_the_others_are_understood() {
    let place = Place::new();
    for (kind, words) in [
        ("stream", &["", "stream:", "unix:"] as &[&str]),
        ("seqpacket", &["seqpacket:"]),
        ("datagram", &["dgram:", "datagram:"]),
    ] {
        for word in words {
            let path = place.at(format!("{kind}.sock"));
            let address = format!("{word}{}", path.display());
            let mut server = Server::started_by(Server::command(&[]).arg(&address), &path);
            assert_eq!(server.greeting, format!("listening on {address}"));
            for word in words {
                let address = format!("{word}{}", path.display());
                run(sockeye().args(["send", &address, "hi"])).succeeds();
                let listed = run(sockeye().args(["ls", "--json", &address])).text();
                assert!(listed.contains(&format!(r#""kind":"{kind}""#)), "{listed}");
                let why = run(sockeye().args(["why", "--json", &address])).text();
                assert!(why.contains(&format!(r#""kind":"{kind}""#)), "{why}");
            }
            server.stop().is_clean();
        }
    }
}

#[test]
fn help_fits_narrow_terminals() {
    let subcommands = [
        "serve", "send", "connect", "relay", "tap", "ls", "why", "bench", "demo", "help",
    ];
    for (subcommand, width) in subcommands
        .into_iter()
        .flat_map(|subcommand| [(subcommand, 60), (subcommand, 80)])
    {
        let mut command = sockeye();
        match subcommand {
            "help" => command.arg("--help"),
            subcommand => command.args([subcommand, "--help"]),
        };
        let text = on_terminal(&mut command, width);
        let plain: Vec<String> = text.lines().map(without_styles).collect();
        for line in &plain {
            // clap does not break the usage.
            let fits = line.chars().count() <= width.into() || line.starts_with("Usage: ");
            assert!(fits, "{subcommand} at {width}: {line}");
        }
        // Quotes stay whole, and a line that goes on says so to the shell.
        for line in plain.iter().filter(|line| line.starts_with("  ")) {
            let text = line.trim_start();
            if text.starts_with("sockeye ") || text.starts_with("printf ") {
                assert_eq!(
                    text.matches('\'').count() % 2,
                    0,
                    "{subcommand} at {width}: {line}"
                );
            }
        }
        // A line that was broken by hand would be broken twice.
        let lines = plain.windows(2);
        let ragged = lines.filter(|pair| {
            let next = pair[1].split(' ').next().unwrap_or_default();
            let is_prose =
                |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
            is_prose(&pair[0])
                && is_prose(&pair[1])
                && pair[0].chars().count() + 1 + next.chars().count() <= width.into()
        });
        assert_eq!(ragged.count(), 0, "{subcommand} at {width}: {text}");
    }
}

#[test]
fn examples_can_be_copied_from_a_narrow_terminal() {
    let examples = |text: &str| -> Vec<String> {
        let plain: Vec<String> = text.lines().map(without_styles).collect();
        let plain = plain.join("\n");
        let (_, after) = plain.split_once("\nExamples:\n").expect("examples");
        let after = after.split("\n\n").next().unwrap_or_default();
        // As a shell joins them.
        let joined = after.replace(" \\\n    ", " ");
        joined.lines().map(str::to_owned).collect()
    };
    for subcommand in ["serve", "send", "connect", "relay", "ls", "why", "bench"] {
        let wide = examples(&on_terminal(sockeye().args([subcommand, "--help"]), 80));
        let narrow = examples(&on_terminal(sockeye().args([subcommand, "--help"]), 40));
        assert_eq!(wide, narrow, "{subcommand}");
        assert!(wide.len() > 2, "{subcommand}: {wide:?}");
    }
}

fn without_styles(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        plain + part.split_once('m').map_or("", |(_, text)| text)
    })
}

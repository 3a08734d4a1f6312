//! The last line of a server: how many connections were served, refused, drained, aborted.

/// The counts of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) served: u64,
    pub(crate) refused: u64,
    pub(crate) drained: u64,
    pub(crate) aborted: u64,
}

impl Report {
    /// Reads `served 3, refused 0, …` as well as `3 served, 0 refused, …`.
    #[track_caller]
    pub(crate) fn parse(line: &str) -> Self {
        let tokens: Vec<&str> = line
            .split(|c: char| !c.is_alphanumeric())
            .filter(|token| !token.is_empty())
            .collect();
        let position = |word: &str| {
            tokens
                .iter()
                .position(|token| *token == word)
                .unwrap_or_else(|| panic!("`{word}` is missing in the report: {line:?}"))
        };
        let number = |index: usize| tokens.get(index)?.parse::<u64>().ok();
        let before = position("served")
            .checked_sub(1)
            .is_some_and(|index| number(index).is_some());
        let count = |word: &str| {
            let at = position(word);
            let beside = if before {
                at.checked_sub(1)
            } else {
                Some(at + 1)
            };
            beside
                .and_then(number)
                .unwrap_or_else(|| panic!("`{word}` has no number in the report: {line:?}"))
        };
        Self {
            served: count("served"),
            refused: count("refused"),
            drained: count("drained"),
            aborted: count("aborted"),
        }
    }
}

#[test]
fn both_orders_are_read() {
    let expected = Report {
        served: 3,
        refused: 0,
        drained: 12,
        aborted: 1,
    };
    for line in [
        "sockeye: done: 3 served, 0 refused, 12 drained, 1 aborted, 0 accept errors",
        "served 3, refused 0, drained 12, aborted 1, accept errors 0",
        r#"{"event":"report","served":3,"refused":0,"drained":12,"aborted":1}"#,
    ] {
        assert_eq!(Report::parse(line), expected);
    }
}

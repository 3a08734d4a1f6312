use super::*;
use proptest::prelude::*;

const NAME: Layout = Layout {
    title: "NAME",
    right: false,
    least: Some(9),
    is_address: true,
    rank: 0,
};
const COUNT: Layout = Layout {
    title: "COUNT",
    right: true,
    least: None,
    is_address: false,
    rank: 1,
};

fn shown(rows: &[[&str; 2]], columns: [Layout; 2], width: Option<usize>) -> String {
    let mut table = TextTable::new(columns.to_vec(), true);
    for cell in rows.iter().flatten() {
        table.cell(|text| text.push_str(cell));
    }
    let mut out = Vec::new();
    table.write(&mut out, width).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn columns_are_aligned_and_lines_end_where_the_text_does() {
    let rows = [["a", "1"], ["long name", "22"]];
    assert_eq!(
        shown(&rows, [NAME, COUNT], None),
        "NAME       COUNT\na              1\nlong name     22\n"
    );
    let rows = [["1", "a"], ["22", "long name"]];
    assert_eq!(
        shown(&rows, [COUNT, NAME], None),
        "COUNT  NAME\n    1  a\n   22  long name\n"
    );
}

#[test]
fn long_cells_lose_their_middle_before_a_column_goes() {
    let rows = [["/run/user/1000/app.sock", "1"]];
    assert_eq!(
        shown(&rows, [NAME, COUNT], Some(20)),
        "NAME           COUNT\n/run…app.sock      1\n"
    );
    assert_eq!(
        shown(&rows, [NAME, COUNT], Some(12)),
        "NAME\n/ru…app.sock\n"
    );
    let name = Layout {
        is_address: false,
        ..NAME
    };
    assert_eq!(
        shown(&rows, [name, COUNT], Some(12)),
        "NAME\n/run/use…ock\n"
    );
}

#[test]
fn a_text_keeps_its_room_until_nothing_else_can_go() {
    const COMMAND: Layout = Layout {
        title: "PID/COMMAND",
        least: Some(24),
        is_address: false,
        ..NAME
    };
    const PEER: Layout = Layout {
        title: "PEER",
        rank: 4,
        ..COMMAND
    };
    let rows = [["19755/sockeye", "19467/sockeye"]];
    assert_eq!(
        shown(&rows, [COMMAND, PEER], Some(27)),
        "PID/COMMAND\n19755/sockeye\n"
    );
    let rows = [["4194304/fifteen-letters", "/run/user/1000/app.sock"]];
    assert_eq!(
        shown(&rows, [COMMAND, NAME], Some(34)),
        "PID/COMMAND              NAME\n4194304/fifteen-letters  /r…p.sock\n"
    );
    let text = shown(&rows, [COMMAND, NAME], Some(21));
    assert!(text.starts_with("PID/COMMAND  NAME\n"), "{text}");
}

#[test]
fn wide_characters_take_two_columns() {
    let rows = [["日本日本日本", "1"]];
    let text = shown(&rows, [NAME, COUNT], Some(9));
    assert!(text.lines().all(|line| width_of(line) <= 9), "{text}");
}

#[test]
fn addresses_that_differ_in_the_middle_do_so_when_they_are_short() {
    let rows = [
        ["/run/containers/a1/app.sock", "1"],
        ["/run/containers/b1/app.sock", "1"],
        ["/run/containers/a1/app.sock", "2"],
    ];
    let text = shown(&rows, [NAME, COUNT], Some(19));
    assert_eq!(
        text,
        "NAME          COUNT\n…a1/app.sock      1\n…b1/app.sock      1\n…a1/app.sock      2\n"
    );
    let text = shown(&rows, [NAME, COUNT], Some(16));
    assert_eq!(
        text,
        "NAME       COUNT\n…a1/a…ock      1\n…b1/a…ock      1\n…a1/a…ock      2\n"
    );
    // What tells them apart stays, whatever else goes.
    let text = shown(&rows, [NAME, COUNT], Some(1));
    assert_eq!(text, "NAME\n…a1/…ock\n…b1/…ock\n…a1/…ock\n");
}

proptest! {
    #[test]
    fn two_addresses_never_look_the_same(
        names in prop::collection::btree_set("/[ab]{0,12}(xx|y)[ab]{0,12}", 2..8),
        width in 1usize..40,
    ) {
        let first: Vec<[&str; 2]> = names.iter().map(|name| [name.as_str(), "1"]).collect();
        let last: Vec<[&str; 2]> = names.iter().map(|name| ["1", name.as_str()]).collect();
        for (rows, columns) in [(&first, [NAME, COUNT]), (&last, [COUNT, NAME])] {
            let text = shown(rows, columns, Some(width));
            let lines: std::collections::BTreeSet<&str> = text.lines().skip(1).collect();
            prop_assert_eq!(lines.len(), names.len(), "{}", text);
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal(
        rows in prop::collection::vec([".{0,40}", "[a-z]{0,40}"], 0..5),
        width in 1usize..60,
    ) {
        let rows: Vec<[&str; 2]> = rows.iter().map(|[a, b]| [a.as_str(), b.as_str()]).collect();
        let name = Layout { is_address: false, ..NAME };
        for columns in [[name, COUNT], [COUNT, name], [COUNT, COUNT]] {
            let text = shown(&rows, columns, Some(width));
            for line in text.split_terminator('\n') {
                prop_assert!(width_of(line) <= width, "{:?}", line);
            }
        }
    }
}

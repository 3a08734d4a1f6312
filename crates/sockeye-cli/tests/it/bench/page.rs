//! `--html`, looked at in a browser.

use std::path::Path;
use std::process::Command;

use super::{bench, serve_unix, text};
use crate::support::{Finished, Place, require_peer, run};

/// Opens a page; the size of the picture that it makes is that of the whole page.
#[track_caller]
fn open(chromium: &Path, profile: &Path, page: &str, options: &[&str]) -> Finished {
    let shown = run(Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--enable-logging=stderr", "--window-size=1200,3000"])
        .arg(format!("--user-data-dir={}", text(profile)))
        .args(options)
        .arg(page));
    assert_eq!(shown.code, Some(0), "{shown:#?}");
    shown
}

#[test]
fn a_browser_shows_the_page_in_light_and_dark() {
    let Some(chromium) = require_peer("chromium") else {
        return;
    };
    let place = Place::new();
    let (one, other) = (place.at("<b>&'one"), place.at("other"));
    for path in [&one, &other] {
        serve_unix(path, |bytes, _| Some(bytes.to_vec()));
    }
    let profile = place.at("profile");
    let picture = |name: &str, page: &str, options: &[&str]| {
        let file = place.at(name);
        let screenshot = format!("--screenshot={}", text(&file));
        let shown = open(
            &chromium,
            &profile,
            page,
            &[options, &[&*screenshot]].concat(),
        );
        (std::fs::read(file).expect("a picture"), shown.stderr)
    };
    let (blank, _) = picture("blank.png", "about:blank", &[]);

    let page = place.at("bench.html");
    let url = format!("file://{}", text(&page));
    let options: [&[&str]; 2] = [
        &["--size", "64,1KiB", "--connections", "1,3"],
        &["--compare", text(&one), text(&other), "--connections", "2"],
    ];
    for options in options {
        run(bench(options).arg("--html").arg(&page)).succeeds();
        let dom = open(&chromium, &profile, &url, &["--dump-dom"]);
        let text = dom.text();
        let charts = if options[0] == "--compare" {
            2
        } else {
            2 + 4 + 1
        };
        assert_eq!(text.matches("</svg>").count(), charts, "{text}");
        assert_eq!(text.matches("</table>").count(), 1, "{text}");
        assert!(!text.contains("<b>"), "names are escaped: {text}");
        let command = format!("sockeye bench --time 30ms {} ", options[0]);
        assert!(text.contains(&command), "what was typed: {text}");
        for outside in ["http:", "https:", "<script", "NaN", "inf"] {
            assert!(!text.contains(outside), "{outside}: {text}");
        }
        let (light, said) = picture("light.png", &url, &[]);
        let dark = ["--blink-settings=preferredColorScheme=0"];
        let (dark, _) = picture("dark.png", &url, &dark);
        assert!(!said.contains("CONSOLE"), "{said}");
        assert!(light.len() > 4 * blank.len(), "it is not blank");
        assert!(light != dark, "each scheme has its colours");
    }
}

//! Charts as SVG. Their colours are classes, so that the page can change them with the scheme.

use std::fmt::{self, Display};

use crate::output::figures::{rate, time};

/// A server: its colour, and the label of its bar.
#[derive(Clone, Copy)]
pub(super) struct Series<'a> {
    pub(super) index: usize,
    pub(super) name: &'a str,
}

/// Rates as bars, in groups.
pub(super) struct Bars<'a> {
    pub(super) title: &'a str,
    pub(super) groups: Vec<(String, Vec<(Series<'a>, f64)>)>,
}

impl Bars<'_> {
    const WIDTH: f64 = 340.0;
    /// Where the bars begin, and the length of the longest.
    const LEFT: f64 = 70.0;
    const LONGEST: f64 = 220.0;
    const ROW: f64 = 18.0;
}

impl Display for Bars<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bars = || self.groups.iter().flat_map(|(_, bars)| bars);
        let most = bars().map(|(_, value)| *value).fold(1.0, f64::max);
        let height = 34.0 + (self.groups.len() * 2 + bars().count()) as f64 * Self::ROW;
        begin(f, self.title, Self::WIDTH, height)?;
        let left = Self::LEFT;
        let mut y = 34.0;
        for (name, bars) in &self.groups {
            y += Self::ROW;
            writeln!(f, "<text class=faint x=0 y={}>{name}</text>", y - 6.0)?;
            for (Series { index, name }, value) in bars {
                let length = value / most * Self::LONGEST;
                let (top, base) = (y + 2.0, y + 13.0);
                let end = left + length + 6.0;
                writeln!(
                    f,
                    "<text class=end x={} y={base}>{name}</text><rect class='bar s{index}' x={left} y={top} width={length:.1} height=14 /><text x={end:.1} y={base}>{}</text>",
                    left - 6.0,
                    rate(*value)
                )?;
                y += Self::ROW;
            }
            y += Self::ROW;
        }
        f.write_str("</svg>\n")
    }
}

/// Tail latency (the slowest tenth, hundredth and so on) on logarithmic axes.
pub(super) struct Curves<'a> {
    pub(super) title: &'a str,
    /// Points as [`crate::output::figures::RoundTrips::curve`] has them.
    pub(super) lines: Vec<(Series<'a>, &'a [(f64, f64)])>,
    /// The decades of microseconds that all charts show.
    pub(super) decades: (i32, i32),
}

impl Curves<'_> {
    const WIDTH: f64 = 340.0;
    const LEFT: f64 = 50.0;
    const TOP: f64 = 30.0;
    const BOTTOM: f64 = 200.0;
    const POWERS: u32 = 4;
    const SHARES: [&'static str; 5] = ["0%", "90%", "99%", "99.9%", "99.99%"];

    fn x(power: f64) -> f64 {
        const ROOM: f64 = 270.0;
        Self::LEFT + power / f64::from(Self::POWERS) * ROOM
    }

    fn y(&self, micros: f64) -> f64 {
        let (low, high) = (f64::from(self.decades.0), f64::from(self.decades.1));
        let share = (micros.max(0.001).log10() - low) / (high - low);
        Self::BOTTOM - share * (Self::BOTTOM - Self::TOP)
    }
}

impl Display for Curves<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        begin(f, self.title, Self::WIDTH, Self::BOTTOM + 24.0)?;
        let (left, right) = (Self::LEFT, Self::x(f64::from(Self::POWERS)));
        for decade in self.decades.0..=self.decades.1 {
            let micros = 10.0_f64.powi(decade);
            let y = self.y(micros);
            writeln!(
                f,
                "<line class=grid x1={left} x2={right} y1={y:.1} y2={y:.1} /><text class='end faint' x={} y={:.1}>{}</text>",
                left - 6.0,
                y + 4.0,
                time(Some(micros)).replace(".00", "").replace(".0", "")
            )?;
        }
        for (power, share) in (0..).zip(Self::SHARES) {
            let x = Self::x(f64::from(power));
            let y = Self::BOTTOM + 16.0;
            writeln!(
                f,
                "<text class='middle faint' x={x:.1} y={y}>{share}</text>"
            )?;
        }
        for (Series { index, name }, points) in &self.lines {
            write!(f, "<polyline class='curve s{index}' points='")?;
            for (power, micros) in *points {
                write!(f, "{:.1},{:.1} ", Self::x(*power), self.y(*micros))?;
            }
            writeln!(f, "'><title>{name}</title></polyline>")?;
        }
        f.write_str("</svg>\n")
    }
}

fn begin(f: &mut fmt::Formatter<'_>, title: &str, width: f64, height: f64) -> fmt::Result {
    writeln!(
        f,
        "<svg role=img aria-label='{title}' width={width} height={height} viewBox='0 0 {width} {height}'>\n<text class=title x=0 y=16>{title}</text>"
    )
}

//! Small multiples over time, as SVG.

use std::fmt::Write as _;

use crate::load::table::Column;
use crate::verdict::{SERIES, Sample};

const WIDTH: f64 = 800.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const PANEL: f64 = 100.0;
/// From one panel's bottom to the next one's top, with the title in between.
const SPACING: f64 = 36.0;
const BOTTOM: f64 = 48.0;

/// Most points of a line: more could not be seen, and the file would grow with the time.
const POINTS: usize = 400;

/// Colours that can be read on white and on black: a picture does not know which of the two a page has.
const STYLE: &str = "text{font:12px sans-serif;fill:#7a828c}.title{font-weight:bold}\
.grid{stroke:#7a828c;stroke-opacity:.35}.line{fill:none;stroke:#2f81f7;stroke-width:1.5;stroke-linejoin:round}";

/// The whole picture: one panel for each series, below one another, with the same time axis.
pub fn svg(title: &str, samples: &[Sample]) -> String {
    let height = SPACING + SERIES.len() as f64 * (PANEL + SPACING) + BOTTOM - SPACING / 2.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\
         <title>{title}</title><style>{STYLE}</style>\n"
    );
    text(&mut svg, (LEFT, 16.0), "class=\"title\"", title);
    let end = samples.last().map_or(1.0, |sample| sample.seconds);
    for series in 0..SERIES.len() {
        let top = SPACING + SPACING / 2.0 + series as f64 * (PANEL + SPACING);
        Panel::new(series, top, end, samples).draw(&mut svg, samples);
    }
    time_axis(&mut svg, height - BOTTOM + 16.0, end);
    svg.push_str("</svg>\n");
    svg
}

struct Panel {
    series: usize,
    top: f64,
    /// Largest values of the two axes.
    end: f64,
    limit: f64,
    step: f64,
}

impl Panel {
    fn new(series: usize, top: f64, end: f64, samples: &[Sample]) -> Self {
        let largest = samples.iter().map(|sample| sample.values[series]).fold(0.0, f64::max);
        let step = round_step(largest / 3.0);
        Self { series, top, end, limit: (largest / step).ceil().max(1.0) * step, step }
    }

    fn draw(&self, svg: &mut String, samples: &[Sample]) {
        let Column(name, unit, _) = SERIES[self.series];
        let title = if unit.is_empty() { name.to_owned() } else { format!("{name}, {unit}") };
        text(svg, (LEFT, self.top - 8.0), "class=\"title\"", &title);
        let mut value = 0.0;
        while value <= self.limit + self.step / 2.0 {
            let y = self.y(value);
            line(svg, (LEFT, y), (WIDTH - RIGHT, y));
            let digits = decimals(self.step);
            text(svg, (LEFT - 6.0, y + 4.0), "text-anchor=\"end\"", &format!("{value:.digits$}"));
            value += self.step;
        }
        let points: Vec<_> = self.points(samples).iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _infallible = writeln!(svg, "<polyline class=\"line\" points=\"{}\"/>", points.join(" "));
    }

    /// Where samples are many, the largest of a few neighbours stands for them, so that no peak is lost.
    fn points(&self, samples: &[Sample]) -> Vec<(f64, f64)> {
        let neighbours = samples.len().div_ceil(POINTS).max(1);
        let largest = |few: &[Sample]| few.iter().map(|sample| sample.values[self.series]).fold(0.0, f64::max);
        let point = |few: &[Sample]| (x(few[0].seconds, self.end), self.y(largest(few)));
        samples.chunks(neighbours).map(point).collect()
    }

    fn y(&self, value: f64) -> f64 {
        self.top + PANEL * (1.0 - value / self.limit)
    }
}

fn time_axis(svg: &mut String, y: f64, end: f64) {
    // Minutes once there are a few of them.
    let (unit, length) = if end > 300.0 { ("min", 60.0) } else { ("s", 1.0) };
    let step = round_step(end / length / 8.0);
    let mut tick = 0.0;
    while tick * length <= end {
        text(svg, (x(tick * length, end), y), "text-anchor=\"middle\"", &format!("{tick:.0$}", decimals(step)));
        tick += step;
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    text(svg, (middle, y + 18.0), "text-anchor=\"middle\"", &format!("time, {unit}"));
}

fn x(seconds: f64, end: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * seconds / end
}

/// 1, 2 or 5 times a power of ten, and not less than `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(0.001).log10().floor());
    [1.0, 2.0, 5.0].map(|factor| factor * power).into_iter().find(|&step| step >= least).unwrap_or(10.0 * power)
}

fn decimals(step: f64) -> usize {
    (-step.log10().floor()).max(0.0) as usize
}

fn text(svg: &mut String, (x, y): (f64, f64), attributes: &str, text: &str) {
    let _infallible = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>");
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _infallible =
        writeln!(svg, "<line class=\"grid\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

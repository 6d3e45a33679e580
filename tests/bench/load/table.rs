//! Tables of figures: medians over the runs, for people and as JSON.

use serde_json::{Map, Value, json};

/// A figure's name, unit and digits.
pub struct Column(pub &'static str, pub &'static str, pub usize);

/// One line of figures, in the order of the columns; NaN where there is none.
pub struct Row {
    pub who: String,
    pub figures: Vec<f64>,
}

impl Row {
    /// The medians of the same figures of several runs.
    pub fn of_medians(who: String, runs: &[Vec<f64>]) -> Self {
        let columns = runs.first().map_or(0, Vec::len);
        let column = |at: usize| median(runs.iter().map(|run| run[at]).collect());
        Self { who, figures: (0..columns).map(column).collect() }
    }
}

/// The middle one of the values; NaN if there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which `share` of the sorted values are, in ms; NaN if there are none.
pub fn quantile_millis(sorted_micros: &[u32], share: f64) -> f64 {
    let index = (sorted_micros.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted_micros.get(index).map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
}

/// In Markdown.
pub fn print(columns: &[Column], rows: &[Row]) {
    let names: Vec<_> = columns.iter().map(|Column(name, _, _)| *name).collect();
    let units: Vec<_> = columns.iter().map(|Column(_, unit, _)| *unit).collect();
    println!("| who | {} |\n|---|{}", names.join(" | "), "---|".repeat(columns.len()));
    println!("| | {} |", units.join(" | "));
    for Row { who, figures } in rows {
        let cells: Vec<_> = figures.iter().zip(columns).map(cell).collect();
        println!("| {who} | {} |", cells.join(" | "));
    }
    println!();
}

fn cell((figure, Column(_, _, digits)): (&f64, &Column)) -> String {
    if figure.is_nan() { "-".into() } else { format!("{figure:.digits$}") }
}

/// An object for each row, null where there is no figure.
pub fn as_json(columns: &[Column], rows: &[Row]) -> Value {
    let object = |row: &Row| -> Map<String, Value> {
        let names = columns.iter().map(|Column(name, _, _)| (*name).to_owned());
        names.zip(row.figures.iter().map(|figure| json!(figure))).collect()
    };
    rows.iter().map(|row| (row.who.clone(), Value::Object(object(row)))).collect::<Map<_, _>>().into()
}

//! Tables of figures: a row for each server, each figure with its median and its spread.

use std::fmt::Write as _;

use serde::Serialize;

/// One column of a table.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// What it shows, with its unit.
    pub name: &'static str,
    /// Digits after the point.
    pub decimals: usize,
}

/// A column, for lists of them.
pub const fn column(name: &'static str, decimals: usize) -> Column {
    Column { name, decimals }
}

/// What was measured of one server.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which server, in which setting.
    pub server: String,
    /// For each run the figures, one for each column. `NaN` where there is none.
    pub runs: Vec<Vec<f64>>,
    /// Why runs are missing.
    pub errors: Vec<String>,
}

/// One scenario's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// The scenario, in one line.
    pub title: String,
    /// What the figures mean and what they were measured under.
    pub notes: Vec<String>,
    /// The columns after the server's name.
    pub columns: Vec<Column>,
    /// One for each server.
    pub rows: Vec<Row>,
}

impl Table {
    /// The table in markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.title);
        for note in &self.notes {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{note}\n");
        }
        let names = self.columns.iter().map(|column| column.name);
        let names: Vec<&str> = std::iter::once("server").chain(names).collect();
        let _ = writeln!(text, "| {} |", names.join(" | "));
        let _ = writeln!(text, "|---{}|", "|--:".repeat(self.columns.len()));
        for row in &self.rows {
            let cells = (0..self.columns.len()).map(|index| self.cell(row, index));
            let cells: Vec<String> = std::iter::once(row.server.clone()).chain(cells).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        for row in &self.rows {
            for error in &row.errors {
                let _ = writeln!(text, "\n{}: {}", row.server, error.replace('\n', "\n    "));
            }
        }
        text
    }

    fn cell(&self, row: &Row, index: usize) -> String {
        let decimals = self.columns[index].decimals;
        let mut values: Vec<f64> = row
            .runs
            .iter()
            .map(|run| run[index])
            .filter(|value| !value.is_nan())
            .collect();
        values.sort_by(f64::total_cmp);
        let shown = |value: f64| with_thousands(&format!("{value:.decimals$}"));
        match (median(&values), values.as_slice()) {
            (Some(_), [only]) => shown(*only),
            (Some(median), [first, .., last]) => {
                format!("{} ({}..{})", shown(median), shown(*first), shown(*last))
            }
            _ => "–".to_owned(),
        }
    }
}

/// The middle of sorted values, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

fn with_thousands(number: &str) -> String {
    let (whole, fraction) = number
        .split_once('.')
        .map_or((number, None), |(whole, fraction)| (whole, Some(fraction)));
    let (sign, digits) = whole
        .strip_prefix('-')
        .map_or(("", whole), |digits| ("-", digits));
    let mut grouped = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if let Some(fraction) = fraction {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(runs: Vec<Vec<f64>>, errors: Vec<String>) -> Table {
        Table {
            title: "echo: as fast as it goes".to_owned(),
            notes: vec!["A note.".to_owned()],
            columns: vec![column("calls/s", 0), column("p99 ms", 1)],
            rows: vec![Row {
                server: "mosec".to_owned(),
                runs,
                errors,
            }],
        }
    }

    #[test]
    fn cells_show_median_and_spread() {
        let runs = vec![
            vec![20_500.4, 3.25],
            vec![1_000.0, f64::NAN],
            vec![900.0, 1.0],
        ];
        let text = table(runs, Vec::new()).markdown();
        let expected = "## echo: as fast as it goes\n\nA note.\n\n\
                        | server | calls/s | p99 ms |\n|---|--:|--:|\n\
                        | mosec | 1,000 (900..20,500) | 2.1 (1.0..3.2) |\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn one_run_has_no_spread_and_none_a_dash() {
        let text = table(vec![vec![1_234_567.0, f64::NAN]], Vec::new()).markdown();
        assert!(text.ends_with("| mosec | 1,234,567 | – |\n"), "{text}");
        let text = table(Vec::new(), vec!["it did not start".to_owned()]).markdown();
        assert!(
            text.ends_with("| mosec | – | – |\n\nmosec: it did not start\n"),
            "{text}"
        );
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(with_thousands("999"), "999");
        assert_eq!(with_thousands("1000"), "1,000");
        assert_eq!(with_thousands("-123456.75"), "-123,456.75");
    }
}
